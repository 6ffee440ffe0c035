"""Comparisons of values that two machines computed: by bits, or within rounding."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any, TypeVar

import numpy as np

KeyT = TypeVar("KeyT", bound=Hashable)

# Ours. Losses of one model on different CPUs or versions of torch differ by some 1e-6; a larger difference than
# VALUE_RTOL means that the code, the data or the weights have changed.
VALUE_RTOL, VALUE_ATOL = 1e-4, 1e-7
TENSOR_RTOL, TENSOR_ATOL = 1e-5, 1e-8  # of directions: sums of a filter's squares are added in another order; ours


def same_bits(a: Mapping[KeyT, Any], b: Mapping[KeyT, Any]) -> bool:
    """Return whether two mappings have the same keys and equal numbers or arrays; NaN equals NaN.

    >>> same_bits({"train_loss": float("nan")}, {"train_loss": float("nan")})
    True
    """
    return a.keys() == b.keys() and all(np.array_equal(value, b[key], equal_nan=True) for key, value in a.items())


def within_rounding(
    a: Mapping[KeyT, Any], b: Mapping[KeyT, Any], *, rtol: float = VALUE_RTOL, atol: float = VALUE_ATOL
) -> bool:
    """Return whether two mappings have the same keys and values with |a - b| <= atol + rtol |b|; NaN equals NaN.

    Args:
        a: the numbers or arrays, by name.
        b: the numbers or arrays that they are compared with; arrays of another shape are different.
        rtol: relative tolerance; `VALUE_RTOL` for losses and metrics, `TENSOR_RTOL` for tensors of directions.
        atol: absolute tolerance.

    >>> within_rounding({"train_loss": 1.0}, {"train_loss": 1.00001}), within_rounding({"a": 1.0}, {"a": 1.001})
    (True, False)
    """
    return a.keys() == b.keys() and all(
        np.shape(value) == np.shape(b[key]) and np.allclose(value, b[key], rtol=rtol, atol=atol, equal_nan=True)
        for key, value in a.items()
    )
