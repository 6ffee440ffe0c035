"""Predictions of a grid's values from the points evaluated so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray
from surfaceviz.refine import acquisition
from surfaceviz.refine.error_metrics import ErrorMetric, LossError, MetricError, RefinementGoal
from surfaceviz.refine.interpolant import IntArray, predict, scaled_points

_STEPS = 2  # an accuracy may be off by so many samples: it has steps, which no interpolation follows; ours


@dataclass(frozen=True, slots=True)
class EvaluatedPoints:
    """The evaluated points: flat indices (n,), sorted, and losses and other metrics there."""

    indices: IntArray
    values: Mapping[str, FloatArray]

    def plus(self, indices: IntArray, values: Mapping[str, FloatArray]) -> EvaluatedPoints:
        """Return these points and new ones."""
        joined = np.concatenate([self.indices, indices])
        order = np.argsort(joined)
        return EvaluatedPoints(
            joined[order], {k: np.concatenate([v, values[k]])[order] for k, v in self.values.items()}
        )

    def finite(self, goal: RefinementGoal) -> NDArray[np.bool_]:
        """Return the mask of the points where no loss diverged (n,)."""
        finite: NDArray[np.bool_] = np.logical_and.reduce([np.isfinite(self.values[name]) for name in goal.levels])
        return finite


@dataclass(frozen=True, slots=True, kw_only=True)
class Predictions:
    """Predictions at the points that are not evaluated.

    Attributes:
        rest: (Q,) flat indices of the points not evaluated.
        filled: name -> the grid; a metric without a value at some point with a finite loss is not among them.
        judged: the same names -> (Q,) whether an error there counts: for losses everywhere, for other metrics where
            their split's loss is predicted to be at most its level.
        below: (Q,) whether any loss is predicted to be at most its level.
        forced: (Q,) whether a point must be evaluated, as it's near a diverged one.
        score: (Q,) acquisition score, see `acquisition.scores`.
        exceedance: (Q,) probability that the error is over the tolerance.
        distance: (Q,) to the nearest point evaluated.
    """

    rest: IntArray
    filled: Mapping[str, FloatArray]
    judged: Mapping[str, NDArray[np.bool_]]
    below: NDArray[np.bool_]
    forced: NDArray[np.bool_]
    score: FloatArray
    exceedance: FloatArray
    distance: FloatArray

    def exceedance_at(self, indices: IntArray) -> FloatArray:
        """Return the exceedance probability of some points of `rest`, by their flat indices."""
        return self.exceedance[np.searchsorted(self.rest, indices)]

    def errors(
        self, metrics: Mapping[str, ErrorMetric], asked: IntArray, truth: Mapping[str, FloatArray]
    ) -> FloatArray:
        """Return the error of each point that was asked for (k,), the largest over the losses and metrics judged."""
        at = np.searchsorted(self.rest, asked)
        errors = [
            np.where(self.judged[name][at], metrics[name].error(grid.ravel()[asked], truth[name]), 0.0)
            for name, grid in self.filled.items()
            if name in metrics
        ]
        worst: FloatArray = np.maximum.reduce(errors)
        return worst


def error_metrics(goal: RefinementGoal, known: EvaluatedPoints) -> dict[str, ErrorMetric]:
    """Return the error metric of each loss and other metric, from all evaluated points.

    A metric without a value at some point where the losses are finite has none.
    """
    losses = {
        name: LossError.of(known.values[name], level=level, centre=goal.centre[name])
        for name, level in goal.levels.items()
    }
    finite = known.finite(goal)
    others = {
        name: MetricError.of(
            values, known.values[loss][finite] <= goal.levels[loss], least=_STEPS * step / goal.tolerance
        )
        for name, (loss, step) in goal.metrics.items()
        if (values := known.values[name][finite]).size and np.isfinite(values).all()
    }
    return {**losses, **others}


def predict_rest(axes: Sequence[FloatArray], goal: RefinementGoal, known: EvaluatedPoints) -> Predictions:
    """Return the predictions at the points of the grid that are not in ``known``."""
    shape = tuple(len(axis) for axis in axes)
    rest = np.setdiff1d(np.arange(int(np.prod(shape))), known.indices)
    finite = known.finite(goal)
    forced = acquisition.near_diverged(axes, rest, known.indices, ~finite)
    metrics = error_metrics(goal, known)
    blank = {name: np.full(shape, np.nan) for name in metrics}
    filled = with_values(blank, known.indices, known.values)
    nearest = acquisition.nearest(scaled_points(axes), rest, known.indices)
    everywhere = np.ones(len(rest), bool)
    if not finite.any():
        return Predictions(
            rest=rest, filled=filled, judged=dict.fromkeys(metrics, everywhere), below=everywhere, forced=forced,
            score=nearest, exceedance=np.ones(len(rest)), distance=nearest,
        )  # fmt: skip
    guesses, spreads = _guesses(axes, metrics, known, finite, rest=rest)
    at_most = {name: guesses[name] <= level for name, level in goal.levels.items()}
    judged = {name: at_most[goal.metrics[name].loss] if name in goal.metrics else everywhere for name in metrics}
    score, exceedance = np.zeros((2, len(rest)))
    for name, metric in metrics.items():
        own, over = acquisition.scores(metric, guesses[name], spreads[name], goal.tolerance)
        score = np.maximum(score, np.where(judged[name], own, 0.0))
        exceedance = np.maximum(exceedance, np.where(judged[name], over, 0.0))
    return Predictions(
        rest=rest, filled=with_values(filled, rest, guesses), judged=judged,
        below=np.logical_or.reduce(list(at_most.values())), forced=forced, score=score, exceedance=exceedance,
        distance=nearest,
    )  # fmt: skip


def _guesses(
    axes: Sequence[FloatArray],
    metrics: Mapping[str, ErrorMetric],
    known: EvaluatedPoints,
    finite: NDArray[np.bool_],
    *,
    rest: IntArray,
) -> tuple[dict[str, FloatArray], dict[str, FloatArray]]:
    """Return the interpolated values of each quantity (Q,), and their standard errors in the transformed variables."""
    u = np.stack([metric.transform(known.values[name][finite]) for name, metric in metrics.items()], axis=1)
    prediction = predict(axes, known.indices[finite], u, rest)
    guesses = {
        name: metric.inverse_transform(mean, float(top))
        for (name, metric), mean, top in zip(metrics.items(), prediction.mean.T, u.max(axis=0), strict=True)
    }
    return guesses, dict(zip(metrics, prediction.spread.T, strict=True))


def with_values(
    grids: Mapping[str, FloatArray], indices: IntArray, values: Mapping[str, FloatArray]
) -> dict[str, FloatArray]:
    """Return the grids with new values at the flat indices."""
    new = {name: grid.copy() for name, grid in grids.items()}
    for name, grid in new.items():
        grid.reshape(-1)[indices] = values[name]
    return new
