"""The schedule of a run: all points at once, or round by round until an audit passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.slice_buffer import SliceBuffer
from surfaceviz.records import FloatArray, describe_audit, finished_level
from surfaceviz.refine import RefinementGoal, RefinementResult, fill, refinement
from surfaceviz.reporting import Reporter
from surfaceviz.signals import deferred_signals

Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class PointBatch:
    """Points to evaluate: flat indices, and whether on all samples where otherwise a subset does."""

    indices: Indices
    whole: bool = False


class Schedule(Protocol):
    """Which points to evaluate, and what the others are."""

    total: int | None  # points to evaluate, where that is known

    def rounds(self) -> Iterator[PointBatch]:
        """Yield points; when the next are asked for, the values of the last are on the buffer."""

    def paint(self) -> None:
        """Bring what is interpolated on the buffer up to date, for a snapshot."""

    def level(self) -> object:
        """Return what changes whenever there is more to see; None while there is nothing."""


class FullSchedule:
    """Evaluates every point, or those of a shard."""

    def __init__(self, points: Indices, buffer: SliceBuffer) -> None:
        self._points, self._buffer = points, buffer
        self.total: int | None = len(points)

    def rounds(self) -> Iterator[PointBatch]:
        """Yield the points, once."""
        yield PointBatch(self._points)

    def paint(self) -> None:
        """Do nothing: nothing is interpolated."""

    def level(self) -> object:
        """Return the finest lattice that is complete."""
        level = finished_level(self._buffer.surface())
        return None if level < 0 else level


class RefinementSchedule:
    """Evaluates points coarse to fine and interpolates the rest.

    A run is continued by going through the same rounds again: points that are on the buffer are not evaluated anew.
    Where a subset of the samples does for all but the audits, and one fails, or nothing is left to audit, the subset
    is given up: its points are forgotten and the refinement begins anew on all samples.
    """

    def __init__(self, buffer: SliceBuffer, goal: RefinementGoal, reporter: Reporter, *, subset: bool) -> None:
        self._buffer, self._goal, self._reporter, self._subset = buffer, goal, reporter, subset
        self.total: int | None = None
        self._known: list[Indices] = []  # the rounds that have been evaluated
        self._filled: Mapping[str, FloatArray] | None = None

    def rounds(self) -> Iterator[PointBatch]:
        """Yield the points of each round, and leave the whole surface on the buffer."""
        if self._subset:
            yield from self._refined(on_subset=True)
            if self._buffer.audit is not None:
                return
            self._give_up_subset()
        yield from self._refined(on_subset=False)

    def _refined(self, *, on_subset: bool) -> Iterator[PointBatch]:
        """Go through a refinement; without an audit to show for it on a subset, leave the buffer without one."""
        rounds = refinement(self._buffer.axes, self._goal)
        asked, audits = next(rounds), 0
        while True:
            self._filled = asked.filled
            yield PointBatch(asked.indices, whole=not on_subset or asked.purpose == "audit")
            self._known.append(asked.indices)
            values, audited = self._buffer.at(asked.indices), asked.purpose == "audit"
            try:
                asked = rounds.send({name: values[name] for name in self._goal.levels})
            except StopIteration as stop:
                if not on_subset or stop.value.audit.count:
                    self._finish(stop.value)
                return
            if audited and on_subset:
                return
            if audited:
                audits += 1
                self._reporter.say(f"audit {audits}: too many of the interpolated points are off; refining on")

    def _give_up_subset(self) -> None:
        with deferred_signals():  # what is told of the samples and what is on the buffer belong together
            self._buffer.forget_all()
            self._buffer.provenance["subset"] = "all"
            self._buffer.provenance["samples_reason"] = "all: a subset did not stand up to an audit on all samples"
            self._known, self._filled = [], None
        self._reporter.say("samples: the subset does not stand up to an audit on all of them; all from the beginning")

    def paint(self) -> None:
        """Put the interpolant of the last whole round on the buffer."""
        if self._filled is not None:
            self._interpolate(self._filled, np.sort(np.concatenate(self._known)))

    def level(self) -> object:
        """Return how many rounds are complete, once there is something to interpolate."""
        return None if self._filled is None else len(self._known)

    def _finish(self, refined: RefinementResult) -> None:
        with deferred_signals():  # a file with an audit is a finished one
            self._interpolate(refined.filled, refined.evaluated)
            self._filled, self._buffer.audit = None, refined.audit
        self._reporter.say(f"audit: {describe_audit(refined.audit)}")

    def _interpolate(self, filled: Mapping[str, FloatArray], known: Indices) -> None:
        values = self._buffer.at(known)
        others = {name: array for name, array in values.items() if name not in filled}
        # A loss below all that are known, of -1e-4 say, would be no finding; where the true one is not, this is closer.
        losses = {name: np.fmax(array, np.fmin.reduce(values[name])) for name, array in filled.items()}
        self._buffer.interpolate({**losses, **fill(self._buffer.axes, known, others)})


def own_points(plan: Plan) -> Indices:
    """Return the flat indices of the points that may be evaluated, coarse lattices first."""
    return plan.request.coverage.points([axis.count for axis in plan.axes])


def schedule_of(plan: Plan, buffer: SliceBuffer, levels: Mapping[str, float], reporter: Reporter) -> Schedule:
    """Return the schedule of a plan."""
    coverage = plan.request.coverage
    if coverage.complete:
        return FullSchedule(own_points(plan), buffer)
    centre = {name: buffer.centre[name] for name in levels}
    return RefinementSchedule(
        buffer,
        RefinementGoal(tolerance=coverage.error, levels=dict(levels), centre=centre),
        reporter,
        subset=plan.subset is not None,
    )
