"""Refusals of data in forms that are easily mistaken: lists of samples, lists of numbers, tables."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor

from surfaceviz.errors import ProblemError


def refuse_columns(name: str, source: Any) -> None:
    """Raise for columns that are tables or lists of numbers instead of tensors.

    Raises:
        ProblemError: the message tells how to convert them.
    """
    columns = (
        list(source.values()) if isinstance(source, Mapping) else source if isinstance(source, tuple) else [source]
    )
    table = next((column for column in columns if hasattr(column, "to_numpy")), None)
    if table is not None:
        raise ProblemError(
            f"split {name} has a {type(table).__name__}; expected tensors or arrays: give .to_numpy(), in a tuple "
            "(inputs, targets)"
        )
    if not isinstance(source, Mapping | tuple):
        return
    if any(isinstance(column, list) and _is_numbers(column) for column in columns):
        raise ProblemError(f"split {name} has lists of numbers; expected tensors or arrays: give torch.tensor(...)")


def _is_numbers(values: Any) -> bool:
    while isinstance(values, list) and values:
        values = values[0]
    return isinstance(values, numbers.Number)


def refuse_samples(name: str, source: Any) -> None:
    """Raise for a list of samples (x_i, y_i), which would be read as a list of batches.

    Raises:
        ProblemError: every entry has a single number as its target.
    """
    if not isinstance(source, list | tuple) or not source or not all(map(_is_sample, source)):
        return
    shapes = ", ".join(str(tuple(np.shape(x))) for x in source[0][:-1])
    raise ProblemError(
        f"split {name} is a list of {len(source)} samples, the first of shape {shapes} with a single number as its "
        "target; a list holds batches. Give columns: (torch.stack([x for x, y in pairs]), torch.tensor([y for x, y in "
        "pairs])), or a DataLoader of the list"
    )


def _is_sample(entry: Any) -> bool:
    if not isinstance(entry, tuple | list) or len(entry) < 2:  # noqa: PLR2004  (inputs, target)
        return False
    return isinstance(entry[-1], numbers.Number) or (isinstance(entry[-1], Tensor | np.ndarray) and not entry[-1].ndim)
