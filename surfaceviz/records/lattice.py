"""Coarse lattices in a grid: the order in which points are evaluated, and pictures of a part of the grid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records.rays import complete_rays
from surfaceviz.records.slices import Slice

_COARSEST = 5  # points of an axis that the first lattice has at least, where the axis has as many; ours


def levels(shape: Sequence[int]) -> NDArray[np.int64]:
    """Return for each point of a grid the coarsest lattice that it belongs to: 0 for the first, then 1, ...

    A lattice has every 2^k-th point along each axis, and the last one; the first has some five to eight an axis.

    >>> levels([17]).tolist()
    [0, 2, 1, 2, 0, 2, 1, 2, 0, 2, 1, 2, 0, 2, 1, 2, 0]
    """
    most = [_halvings(n) for n in shape]
    finest = max(most)
    along = [finest - np.where(_steps(n) >= own, finest, _steps(n)) for n, own in zip(shape, most, strict=True)]
    return np.asarray(np.maximum.reduce(np.meshgrid(*along, indexing="ij")))


def _halvings(n: int) -> int:
    """Return how often an axis can be thinned by 2."""
    return max(0, int(np.floor(np.log2(max(1, n - 1) / (_COARSEST - 1)))))


def _steps(n: int) -> NDArray[np.int64]:
    """Return the exponents of 2 in 0 .. n - 1; of both ends a large one."""
    i = np.arange(n)
    exponents = np.zeros(n, np.int64)
    for k in range(1, max(2, n.bit_length() + 1)):
        exponents[i % 2**k == 0] = k
    exponents[[0, -1]] = n.bit_length() + 1
    return exponents


def coarse_first(shape: Sequence[int]) -> NDArray[np.intp]:
    """Return the flat indices of a grid's points, those of the coarsest lattice first, each lattice in C order."""
    return np.argsort(levels(shape).ravel(), kind="stable")


def finished_level(surface: Slice) -> int:
    """Return the finest lattice of which every point has a value, counted from 0; -1 for none.

    Rays are evaluated one after another: each complete one counts as a level.
    """
    if surface.seeds:
        return len(complete_rays(surface)) - 1
    missing = levels(surface.shape)[surface.origin == 0]
    return int(missing.min()) - 1 if missing.size else int(levels(surface.shape).max())


def coarsened(surface: Slice) -> Slice:
    """Return a slice's finest lattice of which every point has a value; where there is none, the slice as it is.

    Rays stay as they are, because those that are complete are drawn without the others.
    """
    if surface.seeds:
        return surface
    level = finished_level(surface)
    of = levels(surface.shape)
    if level < 0 or level >= of.max():
        return surface
    kept = tuple(np.flatnonzero((of <= level).any(axis=tuple(set(range(of.ndim)) - {k}))) for k in range(of.ndim))
    where = np.ix_(*kept)
    return replace(
        surface,
        axes=tuple(axis[k] for axis, k in zip(surface.axes, kept, strict=True)),
        values={name: array[where] for name, array in surface.values.items()},
        stderr={name: array[where] for name, array in surface.stderr.items()},
        rise_stderr={name: array[where] for name, array in surface.rise_stderr.items()},
        origin=surface.origin[where],
    )
