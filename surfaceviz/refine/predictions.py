"""Predictions of a grid's values from the points evaluated so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray
from surfaceviz.refine import acquisition
from surfaceviz.refine.error_metric import ErrorMetric, RefinementGoal
from surfaceviz.refine.interpolant import IntArray, predict, scaled_points


@dataclass(frozen=True, slots=True)
class EvaluatedPoints:
    """The evaluated points: flat indices (n,), sorted, and the losses there."""

    indices: IntArray
    values: Mapping[str, FloatArray]

    def plus(self, indices: IntArray, values: Mapping[str, FloatArray]) -> EvaluatedPoints:
        """Return these points and new ones."""
        joined = np.concatenate([self.indices, indices])
        order = np.argsort(joined)
        return EvaluatedPoints(
            joined[order], {k: np.concatenate([v, values[k]])[order] for k, v in self.values.items()}
        )

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Mask of the points where no loss diverged (n,)."""
        finite: NDArray[np.bool_] = np.logical_and.reduce([np.isfinite(v) for v in self.values.values()])
        return finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Predictions at the points that are not evaluated.

    Attributes:
        rest: (Q,) flat indices of the points not evaluated.
        filled: name -> the grid.
        forced: (Q,) whether a point must be evaluated, as it's near a diverged one.
        score: (Q,) acquisition score, see `acquisition.scores`.
        exceedance: (Q,) probability that the error is over the tolerance.
        distance: (Q,) to the nearest point evaluated.
    """

    rest: IntArray
    filled: Mapping[str, FloatArray]
    forced: NDArray[np.bool_]
    score: FloatArray
    exceedance: FloatArray
    distance: FloatArray

    def exceedance_at(self, indices: IntArray) -> FloatArray:
        """Return the exceedance probability of some points of `rest`, by their flat indices."""
        return self.exceedance[np.searchsorted(self.rest, indices)]


def error_metrics(goal: RefinementGoal, known: EvaluatedPoints) -> dict[str, ErrorMetric]:
    """Return the error metric of each loss, from all evaluated points."""
    return {
        name: ErrorMetric.of(known.values[name], level=level, centre=goal.centre[name])
        for name, level in goal.levels.items()
    }


def predict_rest(axes: Sequence[FloatArray], goal: RefinementGoal, known: EvaluatedPoints) -> Predictions:
    """Return the predictions at the points of the grid that are not in ``known``."""
    shape = tuple(len(axis) for axis in axes)
    rest = np.setdiff1d(np.arange(int(np.prod(shape))), known.indices)
    forced = acquisition.near_diverged(axes, rest, known.indices, ~known.finite)
    metrics = error_metrics(goal, known)
    blank = {name: np.full(shape, np.nan) for name in metrics}
    filled = with_values(blank, known.indices, known.values)
    nearest = acquisition.nearest(scaled_points(axes), rest, known.indices)
    if not known.finite.any():
        return Predictions(
            rest=rest, filled=filled, forced=forced, score=nearest, exceedance=np.ones(len(rest)), distance=nearest
        )
    u = np.stack([m.transform(known.values[name][known.finite]) for name, m in metrics.items()], axis=1)
    prediction = predict(axes, known.indices[known.finite], u, rest)
    guesses = [
        m.inverse_transform(mean, float(top))
        for m, mean, top in zip(metrics.values(), prediction.mean.T, u.max(axis=0), strict=True)
    ]
    score, exceedance = acquisition.scores(list(metrics.values()), guesses, prediction.spread, goal.tolerance)
    filled = with_values(filled, rest, dict(zip(metrics, guesses, strict=True)))
    return Predictions(rest=rest, filled=filled, forced=forced, score=score, exceedance=exceedance, distance=nearest)


def with_values(
    grids: Mapping[str, FloatArray], indices: IntArray, values: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """Return the grids with new values at the flat indices."""
    new = {name: grid.copy() for name, grid in grids.items()}
    for name, grid in new.items():
        grid.reshape(-1)[indices] = values[name]
    return new
