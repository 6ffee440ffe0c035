"""Merge trees of arrays on a grid: minima, the passes between them, and their basins."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray

IntArray = NDArray[np.int64]

NONE = -1  # the pass or the parent of a minimum that meets no lower one
# The neighbours of a point in the triangulation, in the order in which each is joined to the next.
_LINK = ((1, 0), (1, 1), (0, 1), (-1, 0), (-1, -1), (0, -1))


@dataclass(frozen=True, slots=True, kw_only=True)
class MergeTree:
    """The merge tree of an array: where the components of its sublevel sets begin, and where they meet.

    All arrays have one entry for each minimum, the lowest minimum first, then by falling persistence.

    Attributes:
        minimum: flat index of the minimum, (m,).
        highest: flat index of the pass: the lowest point at which its component meets that of a lower minimum; -1 where
            it meets none, (m,).
        parent: number of the minimum that lives on at the pass; -1 where there is none, (m,).
        persistence: value at the pass minus that at the minimum; infinite without a pass, (m,).
        basin: number of the minimum in which steepest descent ends from each point, the shape of the array; -1 at
            points without a finite value.
    """

    minimum: IntArray
    highest: IntArray
    parent: IntArray
    persistence: FloatArray
    basin: IntArray

    def __len__(self) -> int:
        return len(self.minimum)

    def basin_of(self, number: int) -> NDArray[np.bool_]:
        """Return the basin of a minimum with those of all minima that end in it."""
        is_its = np.zeros(len(self) + 1, np.bool_)  # the last: of no minimum
        is_its[number] = True
        for each in range(number + 1, len(self)):  # those that end in a minimum come after it
            is_its[each] = is_its[self.parent[each]]
        found: NDArray[np.bool_] = is_its[self.basin]
        return found


def merge_tree(values: FloatArray, *, flipped: bool = False) -> MergeTree:
    """Return the merge tree of a 1-D or 2-D array on the grid's triangulation, by the elder rule.

    A sublevel set {f <= c} holds the points with a value of at most c and the edges between them. In 2-D each cell is
    cut by one diagonal, from [i, j] to [i + 1, j + 1]. Where two components meet, the one with the higher minimum ends.
    Of equal values, that of the lower index is the lower one; minima without persistence are left out, so that a
    plateau is one minimum. Points that are NaN (missing) or infinite (diverged) are not part of any sublevel set.

    Args:
        values: the array f, shape (n,) or (n_alpha, n_beta).
        flipped: whether cells are cut by the other diagonal, from [i + 1, j] to [i, j + 1].

    Source: Edelsbrunner & Harer, Computational Topology (2010), VII.1; first by descent, then over the saddles, ours.
    """
    if flipped and values.ndim > 1:
        return _mirrored(merge_tree(values[:, ::-1]), values.shape)
    grid = values.reshape(len(values), -1)
    order = np.argsort(np.where(np.isfinite(grid), grid, np.inf), axis=None, kind="stable")
    count = int(np.isfinite(grid).sum())
    around = _neighbour_ranks(order, grid.shape, count)
    bottom = _descend(np.minimum(np.arange(count), around.min(axis=0)))  # all in ranks: point k is the k-th lowest
    lowest, basin = np.unique(bottom, return_inverse=True)
    parent, death = _merge(basin, len(lowest), _saddles(around))
    return _listed(values, order, lowest, parent=parent, death=death, basin=basin)


def _neighbour_ranks(order: IntArray, shape: tuple[int, ...], count: int) -> IntArray:
    """Return the ranks of the six neighbours of the point of each rank, (6, count); ``order.size`` for none."""
    outside = order.size
    ranks = np.full((shape[0] + 2, shape[1] + 2), outside, np.int32 if outside < 2**31 else np.int64)
    own = ranks[1:-1, 1:-1]
    placed = np.full(outside, outside, ranks.dtype)
    placed[order[:count]] = np.arange(count)
    own[...] = placed.reshape(shape)
    start = order[:count] // shape[1] * ranks.shape[1] + order[:count] % shape[1]
    flat, middle = ranks.ravel(), ranks.shape[1] + 1
    return np.stack([flat[start + (middle + i * ranks.shape[1] + j)] for i, j in _LINK])


def _descend(lower: IntArray) -> IntArray:
    """Return where steps from each point to its lowest neighbour end; each round doubles the steps."""
    while not np.array_equal(further := lower[lower], lower):
        lower = further
    return lower


def _saddles(around: IntArray) -> tuple[IntArray, IntArray, IntArray]:
    """Return (rank, neighbour, other) where the lower neighbours of a point are not joined without it, by rising rank.

    The six neighbours form a ring; each run of lower ones is a component. ``neighbour`` is in the first run, ``other``
    in each further one.
    """
    is_lower = around < np.arange(around.shape[1])
    begins = is_lower & ~np.roll(is_lower, 1, axis=0)
    begins[0] |= is_lower.all(axis=0)
    points = np.flatnonzero(begins.sum(axis=0) > 1)
    begins, ring = begins[:, points], around[:, points]
    first = begins.argmax(axis=0)
    columns = np.arange(len(points))
    begins[first, columns] = False
    column, run = np.nonzero(begins.T)
    return points[column], ring[first[column], column], ring[run, column]


def _merge(basin: IntArray, count: int, saddles: tuple[IntArray, IntArray, IntArray]) -> tuple[IntArray, IntArray]:
    """Return for each basin, the lowest first, the basin that it merges into, and the rank of the pass; -1 for none."""
    rank, neighbour, other = saddles
    root, parent, death = list(range(count)), [NONE] * count, [NONE] * count
    one, two = basin[neighbour], basin[other]
    apart = one != two
    for at, first, second in zip(rank[apart].tolist(), one[apart].tolist(), two[apart].tolist(), strict=True):
        a, b = _root(root, first), _root(root, second)
        if a != b:
            elder, younger = (a, b) if a < b else (b, a)
            root[younger] = parent[younger] = elder
            death[younger] = at
    return np.array(parent, np.int64), np.array(death, np.int64)


def _root(root: list[int], a: int) -> int:
    """Return the root of a component, and shorten the way to it."""
    while root[a] != a:
        root[a] = root[root[a]]
        a = root[a]
    return a


def _listed(
    values: FloatArray, order: IntArray, lowest: IntArray, *, parent: IntArray, death: IntArray, basin: IntArray
) -> MergeTree:
    """Return the tree without minima of no persistence, sorted, in indices of the array."""
    flat = values.ravel()
    minimum, met = order[lowest], death != NONE
    highest = np.where(met, order[death], NONE)
    persistence = np.full(len(minimum), np.inf)
    persistence[met] = flat[highest[met]] - flat[minimum[met]]
    kept = persistence > 0
    heir = np.where(kept, np.arange(len(minimum)), parent)
    heir = _descend(heir)
    chosen = np.flatnonzero(kept)
    chosen = chosen[np.lexsort((chosen, -persistence[chosen], chosen != 0))]
    number = np.full(len(minimum) + 1, NONE)  # the last: of no minimum
    number[chosen] = np.arange(len(chosen))
    basins = np.full(flat.shape, NONE)
    basins[order[: len(basin)]] = number[heir[basin]]
    above = np.where(parent[chosen] == NONE, NONE, heir[parent[chosen]])
    return MergeTree(
        minimum=minimum[chosen], highest=highest[chosen], parent=number[above], persistence=persistence[chosen],
        basin=basins.reshape(values.shape),
    )  # fmt: skip


def _mirrored(tree: MergeTree, shape: tuple[int, ...]) -> MergeTree:
    """Return the tree of an array from that of the array with its second axis reversed."""
    columns = shape[1]

    def back(index: IntArray) -> IntArray:
        return np.where(index == NONE, NONE, index // columns * columns + (columns - 1 - index % columns))

    return MergeTree(
        minimum=back(tree.minimum), highest=back(tree.highest), parent=tree.parent, persistence=tree.persistence,
        basin=tree.basin[:, ::-1],
    )  # fmt: skip


def on_border(values: FloatArray, points: IntArray) -> NDArray[np.bool_]:
    """Return whether points, by flat index, lie on the border of an array or next to a missing (NaN) point."""
    known = np.pad(~np.isnan(values), 1)
    inside = np.ones(values.shape, np.bool_)
    for shift in np.ndindex(*(3,) * values.ndim):
        inside &= known[tuple(slice(i, i + n) for i, n in zip(shift, values.shape, strict=True))]
    found: NDArray[np.bool_] = ~inside.ravel()[points]
    return found
