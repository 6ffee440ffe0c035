"""Persistence by `gudhi`'s simplex tree on the grid's triangulation, and surfaces whose minima are known."""

from __future__ import annotations

import gudhi
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


def intervals(values: Array, *, flipped: bool = False) -> Array:
    """Return the sorted (birth, death) of the components of sublevel sets, (m, 2); those of no length are left out."""
    grid = values.reshape(len(values), -1)
    numbers = np.arange(grid.size).reshape(grid.shape)
    diagonal = (numbers[1:, :-1], numbers[:-1, 1:]) if flipped else (numbers[:-1, :-1], numbers[1:, 1:])
    pairs = [(numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1]), diagonal]
    tree, flat = gudhi.SimplexTree(), grid.ravel()
    for point in np.flatnonzero(np.isfinite(flat)):
        tree.insert([int(point)], float(flat[point]))
    for one, two in pairs:
        for a, b in zip(one.ravel(), two.ravel(), strict=True):
            if np.isfinite(flat[a]) and np.isfinite(flat[b]):
                tree.insert([int(a), int(b)], float(max(flat[a], flat[b])))
    tree.compute_persistence(min_persistence=0, persistence_dim_max=True)
    found = np.asarray(tree.persistence_intervals_in_dimension(0)).reshape(-1, 2)
    return found[np.lexsort(found.T)]


def double_well(x: Array) -> Array:
    """Return a W of straight lines: minima 0 at -1 and 0.3 at 1, the pass 1 at 0, rising by 2 a unit outside."""
    return np.where(x < -1, 2 * (-1 - x), np.where(x < 0, 1 + x, np.where(x < 1, 1 - 0.7 * x, 0.3 + 2 * (x - 1))))
