"""What the points evaluated so far tell about the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray
from surfaceviz.refine import acquisition
from surfaceviz.refine.error_metric import Goal, Measure
from surfaceviz.refine.interpolant import IntArray, places, predict


@dataclass(frozen=True, slots=True)
class Known:
    """What has been evaluated: flat indices (n,), sorted, and the losses there."""

    indices: IntArray
    values: Mapping[str, FloatArray]

    def plus(self, indices: IntArray, values: Mapping[str, FloatArray]) -> Known:
        """Return these points and new ones."""
        joined = np.concatenate([self.indices, indices])
        order = np.argsort(joined)
        return Known(joined[order], {k: np.concatenate([v, values[k]])[order] for k, v in self.values.items()})

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Where no loss diverged (n,)."""
        finite: NDArray[np.bool_] = np.logical_and.reduce([np.isfinite(v) for v in self.values.values()])
        return finite


@dataclass(frozen=True, slots=True)
class View:
    """What the evaluated points tell about the rest.

    Attributes:
        rest: (Q,) flat indices of the points not evaluated.
        filled: name -> the grid.
        forced: (Q,) whether a point must be evaluated, as it's near a diverged one.
        doubt: (Q,) as `choose.doubts` has it.
        chance: (Q,) likewise.
        distance: (Q,) to the nearest point evaluated.
    """

    rest: IntArray
    filled: Mapping[str, FloatArray]
    forced: NDArray[np.bool_]
    doubt: FloatArray
    chance: FloatArray
    distance: FloatArray

    def chance_at(self, indices: IntArray) -> FloatArray:
        """Return the chance of some of `rest`, by their flat indices."""
        return self.chance[np.searchsorted(self.rest, indices)]


def measures_of(goal: Goal, known: Known) -> dict[str, Measure]:
    """Return the measure of each loss, by all points evaluated."""
    return {
        name: Measure.of(known.values[name], level=level, centre=goal.centre[name])
        for name, level in goal.levels.items()
    }


def look(axes: Sequence[FloatArray], goal: Goal, known: Known) -> View:
    """Return what ``known`` tells about the other points of the grid."""
    shape = tuple(len(axis) for axis in axes)
    rest = np.setdiff1d(np.arange(int(np.prod(shape))), known.indices)
    forced = acquisition.near_diverged(axes, rest, known.indices, ~known.finite)
    measures = measures_of(goal, known)
    blank = {name: np.full(shape, np.nan) for name in measures}
    filled = with_values(blank, known.indices, known.values)
    nearest = acquisition.nearest(places(axes), rest, known.indices)
    if not known.finite.any():
        return View(rest, filled, forced, nearest, np.ones(len(rest)), nearest)
    u = np.stack([m.flatten(known.values[name][known.finite]) for name, m in measures.items()], axis=1)
    prediction = predict(axes, known.indices[known.finite], u, rest)
    guesses = [
        m.unflatten(mean, float(top))
        for m, mean, top in zip(measures.values(), prediction.mean.T, u.max(axis=0), strict=True)
    ]
    doubt, chance = acquisition.doubts(list(measures.values()), guesses, prediction.spread, goal.tolerance)
    filled = with_values(filled, rest, dict(zip(measures, guesses, strict=True)))
    return View(rest, filled, forced, doubt, chance, nearest)


def with_values(
    grids: Mapping[str, FloatArray], indices: IntArray, values: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """Return the grids with new values at the flat indices."""
    new = {name: grid.copy() for name, grid in grids.items()}
    for name, grid in new.items():
        grid.reshape(-1)[indices] = values[name]
    return new
