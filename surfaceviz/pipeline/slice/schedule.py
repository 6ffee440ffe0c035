"""The schedule of a run: all points at once, or rounds of a refinement until an audit passes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from surfaceviz.pipeline.slice.levels import Levels, add_lattice_levels
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.slice_buffer import SliceBuffer
from surfaceviz.records import FloatArray, describe_audit, finished_level
from surfaceviz.refine import JudgedMetric, RefinementGoal, RefinementResult, coarse_lattice, refinement
from surfaceviz.reporting import Reporter
from surfaceviz.signals import deferred_signals

Indices = NDArray[np.intp]
_SUBSET_FAILED = "all: a subset did not pass an audit on all samples"


@dataclass(frozen=True, slots=True)
class PointBatch:
    """Points to evaluate: flat indices, and whether on all samples although the plan has a subset."""

    indices: Indices
    whole: bool = False


class Schedule(Protocol):
    """The order in which points are evaluated, and the interpolation of the others."""

    total: int | None  # number of points to evaluate, if it is known

    def rounds(self) -> Iterator[PointBatch]:
        """Yield batches of points; the values of a batch must be in the buffer before the next one is requested."""

    def interpolate(self) -> None:
        """Update the interpolated points of the buffer, for a snapshot."""

    def level(self) -> object:
        """Return a value that changes with each complete level; None before the first."""


class FullSchedule:
    """Evaluates every point, or those of a shard."""

    def __init__(self, points: Indices, buffer: SliceBuffer, levels: Levels) -> None:
        self._points, self._buffer, self._levels = points, buffer, levels
        self.total: int | None = len(points)

    def rounds(self) -> Iterator[PointBatch]:
        """Yield the points, once."""
        yield PointBatch(self._points)
        add_lattice_levels(self._buffer, self._levels)

    def interpolate(self) -> None:
        """Do nothing: nothing is interpolated."""

    def level(self) -> object:
        """Return the number of the finest complete lattice."""
        level = finished_level(self._buffer.surface())
        return None if level < 0 else level


class RefinementSchedule:
    """Evaluates points coarse to fine and interpolates the rest.

    A resumed run repeats the same rounds; points that are in the buffer are not evaluated again. With a subset of the
    samples, only audits take all samples. If an audit fails, or no point is left to audit, the subset is dropped: its
    points are removed, and the refinement restarts on all samples.
    """

    def __init__(self, plan: Plan, buffer: SliceBuffer, levels: Levels, reporter: Reporter) -> None:
        self._buffer, self._levels, self._reporter = buffer, levels, reporter
        self._tolerance, self._subset = plan.request.coverage.error, plan.subset is not None
        self._samples = {split.name: split.count for split in plan.splits}
        self.total: int | None = None
        self._known: list[Indices] = []  # indices of the evaluated rounds
        self._interpolant: Mapping[str, FloatArray] | None = None

    def rounds(self) -> Iterator[PointBatch]:
        """Yield the points of each round; at the end the buffer holds the whole surface."""
        yield PointBatch(coarse_lattice(self._buffer.axes))
        add_lattice_levels(self._buffer, self._levels)
        if self._subset:
            yield from self._refinement_rounds(on_subset=True)
            if self._buffer.audit is not None:
                return
            self._drop_subset()
        yield from self._refinement_rounds(on_subset=False)

    def _refinement_rounds(self, *, on_subset: bool) -> Iterator[PointBatch]:
        """Yield the rounds of one refinement. On a subset the buffer gets an audit only if one passes."""
        rounds = refinement(self._buffer.axes, self._goal())
        request, audits = next(rounds), 0
        while True:
            self._interpolant = request.filled
            yield PointBatch(request.indices, whole=not on_subset or request.purpose == "audit")
            self._known.append(request.indices)
            values, audited = self._buffer.at(request.indices), request.purpose == "audit"
            try:
                request = rounds.send(values)
            except StopIteration as stop:
                if not on_subset or stop.value.audit.count:
                    self._finish(stop.value)
                return
            if audited and on_subset:
                return
            if audited:
                audits += 1
                self._reporter.say(
                    f"audit {audits}: too many interpolated points are outside the tolerance; refining further"
                )

    def _goal(self) -> RefinementGoal:
        losses = sorted(self._levels, key=len, reverse=True)  # a split's name may begin with another's
        metrics = {}
        for name in (name for name in self._buffer.centre if name not in self._levels):
            split = next(loss.removesuffix("_loss") for loss in losses if name.startswith(loss.removesuffix("loss")))
            step = 1 / self._samples[split] if name == f"{split}_accuracy" else 0.0
            metrics[name] = JudgedMetric(f"{split}_loss", step)
        return RefinementGoal(
            tolerance=self._tolerance,
            levels=self._levels,
            centre={loss: self._buffer.centre[loss] for loss in self._levels},
            metrics=metrics,
            first_audit=2 if str(self._buffer.provenance.get("samples_reason", "")) == _SUBSET_FAILED else 1,
        )

    def _drop_subset(self) -> None:
        with deferred_signals():  # the provenance and the points must change together
            self._buffer.clear()
            self._buffer.provenance["subset"] = "all"
            self._buffer.provenance["samples_reason"] = _SUBSET_FAILED
            self._known, self._interpolant = [], None
        self._reporter.say("samples: the subset does not pass an audit on all samples; restarting with all")

    def interpolate(self) -> None:
        """Write the interpolant of the last complete round to the buffer."""
        if self._interpolant is not None:
            self._interpolate(self._interpolant, np.sort(np.concatenate(self._known)))

    def level(self) -> object:
        """Return the number of complete rounds; None before the first interpolant."""
        return None if self._interpolant is None else len(self._known)

    def _finish(self, refined: RefinementResult) -> None:
        with deferred_signals():  # an audit marks the file as finished
            self._interpolate(refined.filled, refined.evaluated)
            self._interpolant, self._buffer.audit = None, refined.audit
        self._reporter.say(f"audit: {describe_audit(refined.audit)}")

    def _interpolate(self, filled: Mapping[str, FloatArray], known: Indices) -> None:
        # An interpolated loss below all evaluated ones is an artefact, so it is clipped to the lowest evaluated loss.
        values, empty = self._buffer.at(known), np.full(self._buffer.origin.shape, np.nan)
        clipped = {name: np.fmax(array, np.fmin.reduce(values[name])) for name, array in filled.items()}
        self._buffer.interpolate({name: clipped.get(name, empty) for name in values})


def own_points(plan: Plan) -> Indices:
    """Return the flat indices of the points that may be evaluated, coarse lattices first."""
    return plan.request.coverage.points([axis.count for axis in plan.axes], plan.request.directions.repeat)


def schedule_of(plan: Plan, buffer: SliceBuffer, levels: Levels, reporter: Reporter) -> Schedule:
    """Return the schedule of a plan."""
    if plan.request.coverage.complete:
        return FullSchedule(own_points(plan), buffer, levels)
    return RefinementSchedule(plan, buffer, levels, reporter)
