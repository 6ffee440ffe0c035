"""The run of a slice: evaluate the points of a plan, keep them safe, end with a record."""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

import surfaceviz.lock
from surfaceviz import store
from surfaceviz.errors import Interrupted, ProblemError, StoreError
from surfaceviz.evaluate import Evaluator, PointValues, allow_tf32
from surfaceviz.execute import RunChunks, WorkerSpec, cores, map_unordered, retain_freed_memory
from surfaceviz.pipeline.mpi import Ranks
from surfaceviz.pipeline.provenance import Attributes
from surfaceviz.pipeline.slice import diagnostics
from surfaceviz.pipeline.slice.chunks import Chunk, chunks
from surfaceviz.pipeline.slice.handshake import Settled, fingerprint_of
from surfaceviz.pipeline.slice.live_plot import LivePlot, picture_beside
from surfaceviz.pipeline.slice.planning.autotune import loss_levels, settle
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.planning.resume import compare_centres, provenance, refuse_other
from surfaceviz.pipeline.slice.point_evaluator import PointEvaluator, made, reference_centre
from surfaceviz.pipeline.slice.schedule import PointBatch, Schedule, own_points, schedule_of
from surfaceviz.pipeline.slice.slice_buffer import SliceBuffer, Snapshots
from surfaceviz.pipeline.slice.workers import check_devices, chunk_size, local_workers
from surfaceviz.problem.functional import borrowed
from surfaceviz.records import EVALUATED, Mark, Slice
from surfaceviz.reporting import Reporter
from surfaceviz.signals import deferred_signals, interruptible, raise_if_interrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceResult:
    """A finished run: its slice, and what it took.

    Attributes:
        surface: the slice.
        path: the file; None where nothing was written, and on ranks other than 0.
        fresh: points that were evaluated in this run.
        seconds: time of the run.
        snapshot_seconds: time of that spent on snapshots.
        watch_seconds: time of that spent on the live plot.
    """

    surface: Slice
    path: Path | None
    fresh: int
    seconds: float = 0.0
    snapshot_seconds: float = 0.0
    watch_seconds: float = 0.0


def run(plan: Plan, ranks: Ranks | None = None, *, command: str = "") -> SliceResult:
    """Evaluate the missing points of a plan and return the slice; snapshots are written every few seconds.

    Args:
        plan: what to do.
        ranks: the processes; by default this one.
        command: for the file's provenance.

    Raises:
        StoreError: the file is another run's, or held by another process, or can't be written.
        ProblemError: the centre is NaN, or evaluating a point raised; finished points are kept.
        Interrupted: by SIGINT or SIGTERM; likewise.
    """
    ranks = ranks or Ranks(workers=1)
    if ranks.root is None:
        check_devices(plan, ranks.workers)
    with interruptible(), ExitStack() as stack:
        before = None
        if plan.output is not None:
            stack.enter_context(surfaceviz.lock.held(plan.output))
            before = _slice_there(plan)
        return _run(plan, before, ranks, command)


def _slice_there(plan: Plan) -> Slice | None:
    """Return the slice in the output that this run resumes; None where it starts."""
    assert plan.output is not None
    if plan.request.destination.overwrite or not plan.output.exists():
        return None
    before = store.read(plan.output)
    refuse_other(plan, before)
    return before


def _run(plan: Plan, before: Slice | None, ranks: Ranks, command: str) -> SliceResult:
    started = time.monotonic()
    retain_freed_memory()
    with borrowed(plan.problem.model, plan.device), ExitStack() as stack:
        centre = reference_centre(plan)
        _say_centre(plan, centre, ranks.reporter)
        for line in diagnostics.still(plan):
            ranks.reporter.say(line)
        rounding = ranks.compare(fingerprint_of(plan, centre))
        levels = loss_levels(plan, centre)
        plan, evaluator, noted = _settled(plan, before, levels, ranks)
        stack.enter_context(allow_tf32(plan.dtype, plan.device))
        ranks.tell(Settled.of(plan))  # now, so that all build at the same time
        evaluator_of_points = PointEvaluator(plan, evaluator)
        plan = replace(plan, engine=evaluator_of_points.engine)
        if before is not None:
            rounding = compare_centres(plan, before, evaluator_of_points.centre.first, ranks.reporter) or rounding
            if _finished(plan, before):
                return _finished_before(plan, before, ranks.reporter)
        noted |= provenance(plan, command, before, rounding) | _without_stderr(evaluator_of_points.centre)
        filling = _filling(plan, evaluator_of_points, noted, before, ranks)
        fresh = filling.fill(schedule_of(plan, filling.buffer, levels, ranks.reporter))
    for line in diagnostics.after(plan, filling.buffer.surface()):
        ranks.reporter.warn(line)
    return SliceResult(
        surface=filling.buffer.surface(), path=plan.output, fresh=fresh, seconds=time.monotonic() - started,
        snapshot_seconds=filling.snapshots.seconds, watch_seconds=filling.watch.seconds,
    )  # fmt: skip


def _settled(
    plan: Plan, before: Slice | None, levels: Mapping[str, float], ranks: Ranks
) -> tuple[Plan, Evaluator | None, Attributes]:
    """Return the plan with nothing left open, its evaluator if there is one yet, and notes for the file."""
    if before is not None:
        return plan, None, {}
    processes = (ranks.workers or cores()) if ranks.spec is None else ranks.spec.count
    plan, evaluator, noted = settle(plan, levels, processes, ranks.reporter)
    if plan.dtype != plan.usual_dtype:
        plan.drop_reference()
    return plan, evaluator, noted


def _finished_before(plan: Plan, before: Slice, reporter: Reporter) -> SliceResult:
    shard = plan.request.coverage.shard
    whole = f"all {before.done} points" + (f" of shard {shard}" if shard else "")
    reporter.say(f"{plan.output} is complete already: {whole}; nothing to do")
    return SliceResult(surface=before, path=plan.output, fresh=0)


def _filling(
    plan: Plan, points: PointEvaluator, provenance: Attributes, before: Slice | None, ranks: Ranks
) -> _Filling:
    """Return the buffer of a plan with what fills it."""
    for line in diagnostics.before(plan, points.engine, points.centre.first):
        ranks.reporter.warn(line)
    buffer = _buffer(plan, points, provenance, before)
    held = plan.directions if plan.request.directions.held else ()
    tensors = [{name: t.numpy() for name, t in d.tensors.items()} for d in held]
    left = len(own_points(plan)) - np.count_nonzero(buffer.origin == EVALUATED)
    workers = ranks.spec or local_workers(plan, ranks.workers, points.seconds * left, ranks.reporter)
    watched = picture_beside(plan.output) if plan.output and plan.request.destination.watch else None
    return _Filling(
        plan=plan, points=points, buffer=buffer, snapshots=Snapshots(plan.output, buffer, tensors), workers=workers,
        reporter=ranks.reporter, watch=LivePlot(watched, ranks.reporter.warn),
    )  # fmt: skip


def _buffer(plan: Plan, points: PointEvaluator, provenance: Attributes, before: Slice | None) -> SliceBuffer:
    marks = [Mark(name, place, points.on_all(place)) for name, place in plan.made.marks]
    return SliceBuffer(
        [axis.coordinates() for axis in plan.axes], points.centre, directions=[d.record for d in plan.directions],
        marks=marks, provenance=provenance, before=before,
    )  # fmt: skip


def _finished(plan: Plan, before: Slice) -> bool:
    if plan.request.coverage.complete:
        return bool(np.all(before.origin.flat[own_points(plan)]))
    return before.complete and before.audit is not None


def _without_stderr(centre: PointValues) -> dict[str, str]:
    """Return the note that metrics without a value for each sample have no standard error."""
    without = [name for name in centre.values if name not in centre.stderr]
    return {"stderr": f"none for {', '.join(without)}: no values for each sample"} if without else {}


class _Filling:
    """Evaluates the missing points of a schedule into a buffer, with snapshots."""

    def __init__(
        self,
        *,
        plan: Plan,
        points: PointEvaluator,
        buffer: SliceBuffer,
        snapshots: Snapshots,
        workers: WorkerSpec,
        reporter: Reporter,
        watch: LivePlot,
    ) -> None:
        self.buffer, self.snapshots, self.watch = buffer, snapshots, watch
        self._plan, self._points, self._workers, self._reporter = plan, points, workers, reporter
        self._counts: Counter[str] = Counter(json.loads(str(buffer.provenance["worker_points"])))
        self._before, self._begun = float(buffer.provenance["seconds"]), time.monotonic()
        self._fresh = 0

    def fill(self, schedule: Schedule) -> int:
        """Return the number of points evaluated."""
        self._save()  # whatever is wrong with the file shows before the work
        try:
            with map_unordered(made(self._plan, self._points, self._workers), self._workers) as run:
                self._advance(schedule)
                for batch in schedule.rounds():
                    self._round(batch, run, schedule)
            self._save()
        except StoreError:
            raise  # another try to write would only hide it
        except BaseException as error:
            with deferred_signals(raise_after=False):
                schedule.paint()
                self._save()
            if isinstance(error, Interrupted):
                raise Interrupted(error.signum, _left_off(self._plan, self.buffer, error.signum)) from None
            raise
        return self._fresh

    def _round(self, batch: PointBatch, run: RunChunks[Chunk, PointValues], schedule: Schedule) -> None:
        size = chunk_size(self._points.seconds, len(batch.indices), self._workers.count)
        buffer, group = self.buffer, self._points.group
        for done in run(chunks(buffer.axes, batch.indices, buffer.origin, size, group, whole=batch.whole)):
            known = self._done
            self.buffer.put(done.chunk.indices, done.result)
            self._note(done.result.note)
            self._counts[str(done.worker)] += len(done.chunk.indices)
            self._fresh += self._done - known
            self._advance(schedule)
            raise_if_interrupted()
            self.snapshots.save_if_due(partial(self._prepare, schedule))
            self.watch.look(partial(self._seen, schedule), schedule.level)

    def _note(self, note: str) -> None:
        """Put a note into the file, where all else is as it was; a batch size that was halved at the start is there."""
        if note and note != self._points.centre.note and note != self.buffer.provenance.get("rounding"):
            self.buffer.provenance["rounding"] = note
            self._reporter.warn(f"{note}; values agree within rounding")

    @property
    def _done(self) -> int:
        return int(np.count_nonzero(self.buffer.origin == EVALUATED))

    def _advance(self, schedule: Schedule) -> None:
        self._reporter.advance(self._done, schedule.total, self._fresh)

    def _seen(self, schedule: Schedule) -> Slice:
        schedule.paint()
        return self.buffer.surface()

    def _prepare(self, schedule: Schedule) -> None:
        schedule.paint()
        self._update()

    def _update(self) -> None:
        self.buffer.provenance["worker_points"] = json.dumps(self._counts)
        self.buffer.provenance["seconds"] = self._before + time.monotonic() - self._begun

    def _save(self) -> None:
        self._update()
        self.snapshots.save()


def _say_centre(plan: Plan, centre: Mapping[str, float], reporter: Reporter) -> None:
    for split in plan.splits:
        shown = {k.removeprefix(f"{split.name}_"): v for k, v in centre.items() if k.startswith(f"{split.name}_")}
        reporter.say(f"centre, {split.name}: " + ", ".join(f"{metric} {value:.6g}" for metric, value in shown.items()))
        if not math.isfinite(shown["loss"]):
            raise ProblemError(f"the {split.name} loss at the centre is {shown['loss']}; nothing to cut around")


def _left_off(plan: Plan, buffer: SliceBuffer, signum: int) -> str:
    evaluated = np.count_nonzero(buffer.origin == EVALUATED)
    done = f"{evaluated} of {len(own_points(plan))} points"
    if not plan.request.coverage.complete:
        done = f"{evaluated} evaluated points, not audited yet,"
    stop = Interrupted(signum).args[0]
    if plan.output is None:
        return f"{stop} after {done}; nothing was written"
    same = "the same command without overwrite" if plan.request.destination.overwrite else "the same command"
    return f"{stop}; {done} are in {plan.output}; {same} goes on from there"
