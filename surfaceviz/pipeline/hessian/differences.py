"""Second differences of a slice's own values, to compare its curvature with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from surfaceviz.records import EVALUATED, FloatArray, Slice

_NEAR = 1e-9  # of the range: a point that lies so close to a grid point is that one


def differences(surface: Slice, name: str, place: Sequence[float]) -> FloatArray:
    """Return the second differences of a slice's values at a grid point, along each axis.

    NaN where the point is none of the grid's, is at its rim, or has neighbours that were not evaluated.
    """
    found = np.full(surface.ndim, np.nan)
    index = [int(np.argmin(np.abs(axis - x))) for axis, x in zip(surface.axes, place, strict=True)]
    on_grid = all(
        math.isclose(axis[i], x, abs_tol=_NEAR * float(np.ptp(axis)))
        for axis, i, x in zip(surface.axes, index, place, strict=True)
    )
    for k, axis in enumerate(surface.axes if on_grid and name in surface.values else ()):
        if not 0 < index[k] < len(axis) - 1:
            continue
        three = [(*index[:k], index[k] + step, *index[k + 1 :]) for step in (-1, 0, 1)]
        if all(surface.origin[i] == EVALUATED for i in three):
            low, middle, high = (float(surface.values[name][i]) for i in three)
            found[k] = (low - 2 * middle + high) / (axis[1] - axis[0]) ** 2
    return found
