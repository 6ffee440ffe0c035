"""The minima of a slice that count: those whose persistence exceeds what the errors of their own points allow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray, MinimumKind
from surfaceviz.topology.merge_tree import NONE, IntArray, MergeTree, merge_tree, on_border

ERROR = 0.05  # probability of any false minimum in a slice; see `threshold`
_STEP = 2  # points of the grid: one step of every second point
FEWEST = 5  # points along an axis, so that every second one makes a grid; ours

Pair = Callable[[int, int], tuple[float, float]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """The most persistent minima of an array, and whether they count.

    Attributes:
        tree: the merge tree, of all minima.
        difference: loss at the pass less that at the minimum, evaluated for both, (k,); NaN where that was not needed.
        stderr: its standard error over paired samples, (k,).
        verdict: codes of `MinimumKind`, (k,).
    """

    tree: MergeTree
    difference: FloatArray
    stderr: FloatArray
    verdict: NDArray[np.uint8]


def threshold(count: int) -> float:
    """Return the number of standard errors that the persistence of a minimum must exceed, z(1 - 0.05 / m).

    With it, the probability of any false minimum among m is at most 5% (Bonferroni), where the pairs were not chosen by
    the samples that they are judged on.

    Args:
        count: number m of minima of the slice.
    """
    return NormalDist().inv_cdf(1 - ERROR / max(count, 1))


def judge(values: FloatArray, pair: Pair, *, most: int, held_out: bool) -> Judged:
    """Return which of the ``most`` most persistent minima of an array count.

    A minimum counts if its persistence exceeds z(1 - 0.05 / m) standard errors of the paired difference between its
    pass and itself, m being the number of all minima. This must also hold if cells are cut by the other diagonal, and
    on every second point: each of the grids of every second point must have such a minimum in its basin, near it.
    Minima on the border, and those that meet no lower one, do not count. The lowest minimum has no pass.

    Args:
        values: 1-D or 2-D; NaN where missing, infinite where diverged.
        pair: returns the difference of the losses at two points, given by flat index as (minimum, pass), and its
            standard error over paired samples.
        most: the number of minima that are judged.
        held_out: whether the samples of the pairs are not those of the values. If they are, noise that a minimum was
            chosen by is in its difference as well: a minimum on every second point must then be at most one of its
            steps away. Ours: with 1-D noise alone, the errors reject too little on their own samples.
    """
    tree = merge_tree(values)
    k = min(most, len(tree))
    judged = Judged(
        tree=tree, difference=np.full(k, np.nan), stderr=np.full(k, np.nan), verdict=np.zeros(k, np.uint8),
    )  # fmt: skip
    checks, border = _Checks(values, tree, pair, held_out=held_out), on_border(values, tree.minimum[:k])
    for number in range(k):
        minimum, highest = int(tree.minimum[number]), int(tree.highest[number])
        if highest != NONE:
            judged.difference[number], judged.stderr[number] = pair(minimum, highest)
        judged.verdict[number] = _verdict(number, is_border=bool(border[number]), checks=checks)
    return judged


def _verdict(number: int, *, is_border: bool, checks: _Checks) -> MinimumKind:
    minimum, highest = int(checks.tree.minimum[number]), int(checks.tree.highest[number])
    if is_border:
        return MinimumKind.BORDER
    if highest == NONE:
        return MinimumKind.LOWEST if number == 0 else MinimumKind.NO_PASS
    if not checks.exceeds(minimum, highest):
        return MinimumKind.WITHIN_ERROR
    if not checks.on_other_diagonal(minimum):
        return MinimumKind.ONE_DIAGONAL
    return MinimumKind.COUNTS if checks.on_every_second_point(number) else MinimumKind.ONE_RESOLUTION


class _Checks:
    """The checks of one array; other merge trees are computed once, and where a minimum needs them."""

    def __init__(self, values: FloatArray, tree: MergeTree, pair: Pair, *, held_out: bool) -> None:
        self.tree, self._held_out = tree, held_out
        self._values, self._pair, self._z = values, pair, threshold(len(tree))
        self._flipped: MergeTree | None = None
        self._coarse: list[tuple[IntArray, MergeTree]] = []

    def exceeds(self, minimum: int, highest: int) -> bool:
        """Return whether the loss at the pass exceeds that at the minimum by more than z standard errors."""
        difference, error = self._pair(minimum, highest)
        return math.isfinite(difference) and difference > 0 and difference > self._z * error

    def on_other_diagonal(self, minimum: int) -> bool:
        """Return whether a point is such a minimum if cells are cut by the other diagonal."""
        if self._values.ndim == 1:
            return True
        self._flipped = self._flipped or merge_tree(self._values, flipped=True)
        number = int(self._flipped.basin.flat[minimum])
        found, flat = int(self._flipped.minimum[number]), self._values.ravel()
        highest = int(self._flipped.highest[number])
        return bool(flat[found] == flat[minimum]) and (highest == NONE or self.exceeds(found, highest))

    def on_every_second_point(self, number: int) -> bool:
        """Return whether each grid of every second point has such a minimum in the basin of this one, near it.

        Near is at most one of that grid's steps away; also, on held-out samples, so that its loss does not exceed that
        of this minimum by more than the error: on a broad floor, noise decides where the minimum lies.
        """
        if min(self._values.shape) < FEWEST:
            return False
        self._coarse = self._coarse or list(_every_second(self._values))
        basin, minimum = self.tree.basin_of(number).ravel(), int(self.tree.minimum[number])
        return all(self._has_near(minimum, basin, index, tree) for index, tree in self._coarse)

    def _has_near(self, minimum: int, basin: NDArray[np.bool_], index: IntArray, tree: MergeTree) -> bool:
        inside = np.flatnonzero(basin[index[tree.minimum]])
        if not len(inside):
            return False
        found, highest = int(index[tree.minimum[inside[0]]]), int(tree.highest[inside[0]])  # the most persistent one
        near = self._steps(minimum, found) <= _STEP or (self._held_out and not self.exceeds(minimum, found))
        return near and (highest == NONE or self.exceeds(found, int(index[highest])))

    def _steps(self, one: int, two: int) -> int:
        places = np.unravel_index([one, two], self._values.shape)
        return max(abs(int(a) - int(b)) for a, b in places)


def _every_second(values: FloatArray) -> Iterator[tuple[IntArray, MergeTree]]:
    """Yield the grids of every second point: flat indices in the array, and the merge tree by either diagonal."""
    numbers = np.arange(values.size).reshape(values.shape)
    for start in itertools.product((0, 1), repeat=values.ndim):
        chosen = tuple(slice(each, None, 2) for each in start)
        for flipped in (False, True):
            yield numbers[chosen].ravel(), merge_tree(values[chosen], flipped=flipped)
