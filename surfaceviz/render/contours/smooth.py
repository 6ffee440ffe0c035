"""Shape-preserving refinement of grids, for smooth lines and a smooth lit surface."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import distance_transform_edt

from surfaceviz.records import FloatArray

_POINTS = 201  # of a refined axis, about; a 6.8 in page at 300 dpi shows ten pixels between two of them
_MOST = 8  # new points for an old one
_LEAST = 3  # points of an axis that can bend


def refine_grid(axes: tuple[FloatArray, ...], z: FloatArray) -> tuple[tuple[FloatArray, ...], FloatArray]:
    """Return finer axes, with all old points among the new ones, and z on them; grids that are fine stay as they are.

    Piecewise cubic, monotone between neighbouring points along each axis (no overshoot), first along alpha, then along
    beta. A cell with a corner that is not finite is NaN.

    Args:
        axes: (n,), (m,).
        z: (n, m).

    Source: Fritsch & Butland (1984), by `scipy.interpolate.PchipInterpolator`.
    """
    factors = [min(_MOST, max(1, _POINTS // len(axis))) if len(axis) >= _LEAST else 1 for axis in axes]
    known = np.isfinite(z)
    if not known.any() or max(factors) == 1:
        return axes, np.where(known, z, np.nan)
    fine = tuple(_finer(axis, factor) for axis, factor in zip(axes, factors, strict=True))
    filled = z if known.all() else z[tuple(distance_transform_edt(~known, return_distances=False, return_indices=True))]
    for k, (old, new) in enumerate(zip(axes, fine, strict=True)):
        if len(new) > len(old):
            filled = PchipInterpolator(old, filled, axis=k)(new)
    return fine, np.where(_inside(known, factors), filled, np.nan)


def _finer(axis: FloatArray, factor: int) -> FloatArray:
    steps = np.arange(factor) / factor
    between = axis[:-1, None] + steps * np.diff(axis)[:, None]
    return np.append(between.ravel(), axis[-1])


def _inside(known: NDArray[np.bool_], factors: list[int]) -> NDArray[np.bool_]:
    """Return which points of the finer grid lie in, or on the rim of, a cell with four known corners."""
    if known.all():
        shape = [(n - 1) * factor + 1 for n, factor in zip(known.shape, factors, strict=True)]
        return np.ones(shape, bool)
    whole = known[:-1, :-1] & known[1:, :-1] & known[:-1, 1:] & known[1:, 1:]
    cells = np.kron(whole, np.ones(factors, bool)).astype(bool)
    around = np.pad(cells, 1)  # a point touches up to four fine cells
    return np.asarray(around[:-1, :-1] | around[1:, :-1] | around[:-1, 1:] | around[1:, 1:])
