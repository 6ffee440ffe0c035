"""Arrays and numbers in the page's JSON."""

from __future__ import annotations

import base64
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray

_SINGLE = np.finfo(np.float32)


def encode_array(array: NDArray[Any], *, exact: bool = False) -> dict[str, Any]:
    """Return an array's bytes in C order, as base64: exact for NaN and infinities, at half of JSON's size.

    Args:
        array: floats, or uint8.
        exact: keep double precision. Single, 7 digits, is more than a reader sees; values beyond its range stay double
            anyway.
    """
    double = exact or not _fits(np.asarray(array, np.float64))
    kind = "u1" if array.dtype == np.uint8 else "f8" if double else "f4"
    data = np.ascontiguousarray(array, "u1" if kind == "u1" else f"<{kind}")
    return {"dtype": kind, "bdata": base64.b64encode(data.tobytes()).decode(), "shape": list(array.shape)}


def _fits(array: FloatArray) -> bool:
    """Return whether single precision holds the values."""
    size = np.abs(array[np.isfinite(array) & (array != 0)])
    return not size.size or bool(size.max() <= float(_SINGLE.max) and size.min() >= float(_SINGLE.tiny))


def json_number(x: float | None) -> float | None:
    """Return a number for JSON: None for NaN, infinities and None."""
    return None if x is None or not math.isfinite(x) else float(x)
