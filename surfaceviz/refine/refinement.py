"""The course of a refinement: a coarse lattice, rounds of doubtful points, an audit, if need be again."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import Audit, FloatArray
from surfaceviz.refine import acquisition
from surfaceviz.refine import audit as auditing
from surfaceviz.refine.error_metric import Goal, Measure
from surfaceviz.refine.interpolant import IntArray, places
from surfaceviz.refine.predictions import Known, View, look, measures_of, with_values

# An audit comes when the share over the tolerance, as estimated, is below _ESTIMATE, and among the points evaluated
# last, which were the most doubtful ones, at most _LAST_OVER. Ours, tuned as in `choose`: the true share is then 0.8%
# in the median and 4% at most, and 85 of 100 first audits pass. With 0.02 it's 94, but 5% more points on average.
_ESTIMATE = 0.03
_LAST_OVER = 0.3
_MEMORY = 2  # rounds that count as the last
_AFTER_FAILURE = 0.7  # a failed audit shows the estimate to be too hopeful: it is to fall by this factor; 0.5 is alike


@dataclass(frozen=True, slots=True)
class Round:
    """Points to evaluate, and the picture so far.

    Attributes:
        indices: (k,) flat, C order, sorted; none was asked for before.
        purpose: ``start``, ``refine``, ``audit`` or ``rest`` (so few are left that all are evaluated).
        filled: name of each loss -> the grid, finite but for diverged points that were evaluated; None at the start.
        estimate: the share over the tolerance among points not evaluated, as estimated; 1 at the start.
    """

    indices: IntArray
    purpose: str
    filled: Mapping[str, FloatArray] | None
    estimate: float


@dataclass(frozen=True, slots=True)
class Refined:
    """What a refinement came to.

    Attributes:
        filled: name of each loss -> the grid; points evaluated as they came, the others interpolated.
        evaluated: (n,) flat indices of the points evaluated, sorted.
        fitted: (<= n,) those of them that the interpolant goes through, below the level: all but the last audit's, and
            no diverged ones.
        audit: the last audit, which passed; of no points where nothing is left to interpolate.
        failed: the audits before it: too many points over the tolerance, or one that had diverged.
        measures: name of each loss -> the measure of its errors, by all points evaluated.
    """

    filled: Mapping[str, FloatArray]
    evaluated: IntArray
    fitted: IntArray
    audit: Audit
    failed: tuple[Audit, ...]
    measures: Mapping[str, Measure]


def refinement(axes: Sequence[FloatArray], goal: Goal) -> Generator[Round, Mapping[str, FloatArray], Refined]:
    """Yield rounds of points to evaluate until an audit shows that the others are within the tolerance.

    Each round is answered, by `send`, with name -> losses (k,) at its indices, in their order. What is asked depends
    on the arguments and the answers alone: a run is continued by answering again from what is stored. After a passed
    audit the interpolant stays the one that was audited, but above the level, which it is not judged by.

    Raises:
        ValueError: not one or two axes, an axis of fewer than 2 points, an answer of another shape.

    >>> rounds = refinement([np.linspace(-1, 1, 101)], Goal(0.05, {"loss": 4.0}, {"loss": 0.0}))
    >>> next(rounds).indices.tolist()
    [0, 12, 25, 38, 50, 62, 75, 88, 100]
    """
    if len(axes) not in (1, 2) or min(len(axis) for axis in axes) < 2:  # noqa: PLR2004
        raise ValueError(f"axes of {[len(a) for a in axes]} points: expected one or two axes of at least 2 points")
    first = acquisition.start(axes)
    known = Known(first, _checked((yield Round(first, "start", None, 1.0)), first, goal))
    last: list[_Hits] = []
    failed: list[Audit] = []
    refined = True  # since the last audit
    while (view := look(axes, goal, known)).rest.size:
        estimate = _estimate(view, last)
        ready = refined and not view.forced.any() and _content(estimate, last, len(failed))
        asked = auditing.draw(view.rest, seed=goal.seed, number=len(failed) + 1) if ready else _next(axes, known, view)
        purpose = "refine" if not ready else "rest" if asked.size == view.rest.size else "audit"
        answer = _checked((yield Round(asked, purpose, view.filled, estimate)), asked, goal)
        fitted, known = known, known.plus(asked, answer)
        errors = _errors(measures_of(goal, known), view.filled, asked, answer)
        if purpose == "audit":
            left = view.rest.size - asked.size
            report = auditing.judge(errors, left, tolerance=goal.tolerance, number=len(failed) + 1)
            # A diverged point leads to its neighbours, whatever the bound.
            if report.passed and np.isfinite(report.worst):
                filled = _repainted(with_values(view.filled, asked, answer), look(axes, goal, known).filled, goal)
                return _refined(goal, known, fitted, filled, report, failed)
            failed.append(report)
        else:
            last = [*last, _Hits.among(errors > goal.tolerance, view.chance_at(asked))][-_MEMORY:]
        refined = purpose != "audit"
    nothing = auditing.judge(np.empty(0), 0, tolerance=goal.tolerance, number=len(failed) + 1)
    return _refined(goal, known, known, view.filled, nothing, failed)


@dataclass(frozen=True, slots=True)
class _Hits:
    """Of a round: how many points there were, were over the tolerance, and had been expected to be."""

    count: int
    over: int
    expected: float

    @classmethod
    def among(cls, over: NDArray[np.bool_], chances: FloatArray) -> _Hits:
        return cls(len(over), int(np.count_nonzero(over)), float(chances.sum()))


def _checked(answer: Mapping[str, FloatArray], asked: IntArray, goal: Goal) -> dict[str, FloatArray]:
    """Return the losses that were sent, as float64."""
    values = {name: np.asarray(answer[name], np.float64) for name in goal.levels if name in answer}
    shapes = {name: array.shape for name, array in values.items()}
    if shapes != dict.fromkeys(goal.levels, asked.shape):
        raise ValueError(f"losses of shapes {shapes}: expected {asked.shape} for each of {sorted(goal.levels)}")
    return values


def _estimate(view: View, last: Sequence[_Hits]) -> float:
    """Return the share over the tolerance to expect: the mean chance, corrected by how the last chances came out."""
    over, expected = sum(h.over for h in last), sum(h.expected for h in last)
    return float(view.chance.mean()) * (over + 1) / (expected + 1)


def _content(estimate: float, last: Sequence[_Hits], failures: int) -> bool:
    """Return whether an audit is worth its points."""
    over, count = sum(h.over for h in last), sum(h.count for h in last)
    return estimate < _ESTIMATE * _AFTER_FAILURE**failures and over <= _LAST_OVER * count


def _next(axes: Sequence[FloatArray], known: Known, view: View) -> IntArray:
    """Return the points of the next round: those near diverged ones first, far apart, then the most doubtful."""
    points = places(axes)[view.rest]
    count = acquisition.round_size(len(known.indices))
    must = np.flatnonzero(view.forced)
    chosen = must[acquisition.most_doubtful(points[must], view.distance[must], view.distance[must], count)]
    others = np.flatnonzero(~view.forced)
    more = acquisition.most_doubtful(points[others], view.doubt[others], view.distance[others], count - len(chosen))
    return np.sort(view.rest[np.concatenate([chosen, others[more]])])


def _errors(
    measures: Mapping[str, Measure], filled: Mapping[str, FloatArray], asked: IntArray, truth: Mapping[str, FloatArray]
) -> FloatArray:
    """Return the error of each point asked, the largest of its losses (k,)."""
    errors = [m.error(filled[name].ravel()[asked], truth[name]) for name, m in measures.items()]
    worst: FloatArray = np.maximum.reduce(errors)
    return worst


def _repainted(filled: Mapping[str, FloatArray], again: Mapping[str, FloatArray], goal: Goal) -> dict[str, FloatArray]:
    """Return the audited grids with what was interpolated anew wherever both lie above the level.

    There all values count as one, so that nothing audited changes; but the audit's own points, which the audited
    interpolant does not go through, would stand out of the picture.
    """
    above = {name: (filled[name] > level) & (again[name] > level) for name, level in goal.levels.items()}
    return {name: np.where(above[name], again[name], array) for name, array in filled.items()}


def _refined(
    goal: Goal,
    known: Known,
    fitted: Known,
    filled: Mapping[str, FloatArray],
    report: Audit,
    failed: Sequence[Audit],
) -> Refined:
    through = fitted.indices[fitted.finite]
    return Refined(filled, known.indices, through, report, tuple(failed), measures_of(goal, known))
