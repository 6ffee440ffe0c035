"""Second differences of a slice's own values, to compare its curvature with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from surfaceviz.records import EVALUATED, FloatArray, Slice
from surfaceviz.records.second_differences import second_difference

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
        line: tuple[int | slice, ...] = (*index[:k], slice(None), *index[k + 1 :])
        near = slice(index[k] - 1, index[k] + 2)
        if np.all(surface.origin[line][near] == EVALUATED):
            found[k] = second_difference(axis, surface.values[name][line], index[k])
    return found
