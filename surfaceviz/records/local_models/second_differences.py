"""Second differences of sampled functions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from surfaceviz.records.arrays import EVALUATED, FloatArray
from surfaceviz.records.slices import Slice

_SAME_POINT = 1e-9  # distance, as a share of the range, up to which a point counts as a grid point


def second_difference(x: FloatArray, y: FloatArray, i: int) -> float:
    """Return the second derivative of y(x) at x[i] by its two neighbours; NaN at an end.

    2 [(y_{i+1} - y_i) / h_+ - (y_i - y_{i-1}) / h_-] / (h_- + h_+), with the steps h_- and h_+ to either side.

    >>> import numpy as np
    >>> round(second_difference(np.array([-1.0, 0.0, 0.5]), 3 * np.array([1.0, 0.0, 0.25]), 1), 12)
    6.0

    Args:
        x: rising, (n,).
        y: (n,).
        i: index of the point.
    """
    if not 0 < i < len(x) - 1:
        return math.nan
    before, after = x[i] - x[i - 1], x[i + 1] - x[i]
    with np.errstate(invalid="ignore"):  # inf - inf, where the loss diverges, is NaN
        return float(2 * ((y[i + 1] - y[i]) / after - (y[i] - y[i - 1]) / before) / (before + after))


def axis_second_differences(surface: Slice, name: str, place: Sequence[float]) -> FloatArray:
    """Return the second differences of a slice's values at a grid point along each axis, (ndim,).

    NaN if the point is not a grid point, lies on the boundary, or has a neighbour that was not evaluated.
    """
    differences = np.full(surface.ndim, np.nan)
    index = [int(np.argmin(np.abs(axis - x))) for axis, x in zip(surface.axes, place, strict=True)]
    on_grid = all(
        math.isclose(axis[i], x, abs_tol=_SAME_POINT * float(np.ptp(axis)))
        for axis, i, x in zip(surface.axes, index, place, strict=True)
    )
    for k, axis in enumerate(surface.axes if on_grid and name in surface.values else ()):
        if not 0 < index[k] < len(axis) - 1:
            continue
        line: tuple[int | slice, ...] = (*index[:k], slice(None), *index[k + 1 :])
        near = slice(index[k] - 1, index[k] + 2)
        if np.all(surface.origin[line][near] == EVALUATED):
            differences[k] = second_difference(axis, surface.values[name][line], index[k])
    return differences
