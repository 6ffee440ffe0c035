"""The run of a slice: evaluate a plan's points, write snapshots, return the record."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

import surfaceviz.lock
from surfaceviz import atomic_write, store
from surfaceviz.errors import Interrupted, StoreError
from surfaceviz.evaluate import Evaluator, PointValues, allow_tf32
from surfaceviz.execute import RunChunks, WorkerSpec, cores, map_unordered, retain_freed_memory
from surfaceviz.pipeline.mpi import Ranks
from surfaceviz.pipeline.provenance import Attributes
from surfaceviz.pipeline.slice.checks import diagnostics
from surfaceviz.pipeline.slice.checks.float64_check import kept_check, report_precision
from surfaceviz.pipeline.slice.checks.noise import kept_noise, measure_noise, noise_lines
from surfaceviz.pipeline.slice.chunks import Chunk, chunks
from surfaceviz.pipeline.slice.handshake import ChosenSettings, fingerprint_of
from surfaceviz.pipeline.slice.levels import level_attributes, loss_levels
from surfaceviz.pipeline.slice.live_plot import LivePlot, picture_path
from surfaceviz.pipeline.slice.planning.autotune import choose_settings
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.planning.resume import compare_centres, provenance, refuse_other_run
from surfaceviz.pipeline.slice.point_evaluator import PointEvaluator, reference_centre, worker_factory
from surfaceviz.pipeline.slice.schedule import PointBatch, Schedule, own_points, schedule_of
from surfaceviz.pipeline.slice.slice_buffer import SliceBuffer, Snapshots
from surfaceviz.pipeline.slice.workers import check_devices, chunk_size, local_workers
from surfaceviz.problem.functional import borrowed
from surfaceviz.records import EVALUATED, Mark, Slice, with_seeds
from surfaceviz.reporting import Reporter
from surfaceviz.signals import deferred_signals, interruptible, raise_if_interrupted


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceResult:
    """The result of a run: the slice and timings.

    Attributes:
        surface: the slice.
        path: the file; None if nothing was written, and on ranks other than 0.
        fresh: points that were evaluated in this run.
        seconds: time of the run.
        snapshot_seconds: part of ``seconds`` for snapshots.
        watch_seconds: part of ``seconds`` for the live plot.
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
        plan: the plan.
        ranks: the processes; by default this one.
        command: for the file's provenance.

    Raises:
        StoreError: the file holds another run, is locked by another process, or can't be written.
        ProblemError: the centre is NaN, or evaluating a point raised; finished points are kept.
        Interrupted: SIGINT or SIGTERM arrived; finished points are kept.
    """
    ranks = ranks or Ranks(workers=1)
    if ranks.root is None:
        check_devices(plan, ranks.workers)
    with interruptible(), ExitStack() as stack:
        before, output = None, None
        if plan.output is not None:
            stack.enter_context(surfaceviz.lock.held(plan.output))
            atomic_write.remove_dead_parts(picture_path(plan.output))
            output = store.OutputFile(plan.output, keep=not plan.request.destination.overwrite)
            before = _slice_to_resume(plan)
        return _run(plan, before, ranks, command, output=output)


def _slice_to_resume(plan: Plan) -> Slice | None:
    """Return the slice that this run resumes; None for a new run."""
    assert plan.output is not None
    if plan.request.destination.overwrite or not plan.output.exists():
        return None
    before = store.read(plan.output)
    refuse_other_run(plan, before)
    return with_seeds(before, plan.seeds) if plan.seeds else before


def _run(
    plan: Plan, before: Slice | None, ranks: Ranks, command: str, *, output: store.OutputFile | None
) -> SliceResult:
    started = time.monotonic()
    retain_freed_memory()
    with borrowed(plan.problem.model, plan.device), ExitStack() as stack:
        centre = reference_centre(plan)
        diagnostics.report_centre(plan, centre, ranks.reporter)
        for line in diagnostics.fixed_tensor_lines(plan):
            ranks.reporter.say(line)
        rounding = ranks.compare(fingerprint_of(plan, centre))
        levels = loss_levels(plan, centre, before)
        plan, evaluator, notes = _choose_settings(plan, before, levels, ranks)
        stack.enter_context(allow_tf32(plan.dtype, plan.device))
        ranks.tell(ChosenSettings.of(plan))  # now, so that all ranks build their evaluators at the same time
        points = PointEvaluator(plan, evaluator)
        plan = replace(plan, engine=points.engine)
        if before is not None:
            rounding = compare_centres(plan, before, points.centre.first, ranks.reporter) or rounding
            if _is_complete(plan, before):
                return _already_complete(plan, before, ranks.reporter)
        notes |= provenance(plan, command, before, rounding) | _stderr_note(points.centre)
        notes |= level_attributes(levels) | kept_check(before)
        notes |= measure_noise(plan, centre) if before is None else kept_noise(before)
        slice_run = _prepare_run(plan, points, notes, before, ranks=ranks, output=output)
        expected = points.seconds * plan.request.coverage.expected_points(len(own_points(plan))) / _processes(ranks)
        check = partial(report_precision, plan, slice_run.buffer, levels, seconds=expected, reporter=ranks.reporter)
        fresh = slice_run.fill(schedule_of(plan, slice_run.buffer, levels, ranks.reporter), check)
    surface = slice_run.buffer.surface()
    for line in [*diagnostics.slice_warnings(plan, surface), *noise_lines(plan, surface)]:
        ranks.reporter.warn(line)
    return SliceResult(
        surface=slice_run.buffer.surface(), path=plan.output, fresh=fresh, seconds=time.monotonic() - started,
        snapshot_seconds=slice_run.snapshots.seconds, watch_seconds=slice_run.watch.seconds,
    )  # fmt: skip


def _choose_settings(
    plan: Plan, before: Slice | None, levels: Mapping[str, float], ranks: Ranks
) -> tuple[Plan, Evaluator | None, Attributes]:
    """Return the plan with all choices made, its evaluator if one was built, and notes for the file."""
    if before is not None:
        return plan, None, {}
    return choose_settings(plan, levels, _processes(ranks), ranks.reporter)


def _processes(ranks: Ranks) -> int:
    return (ranks.workers or cores()) if ranks.spec is None else ranks.spec.count


def _already_complete(plan: Plan, before: Slice, reporter: Reporter) -> SliceResult:
    shard = plan.request.coverage.shard
    whole = f"all {before.done} points" + (f" of shard {shard}" if shard else "")
    reporter.say(f"{plan.output} is complete already: {whole}; nothing to do")
    return SliceResult(surface=before, path=plan.output, fresh=0)


def _prepare_run(
    plan: Plan,
    points: PointEvaluator,
    provenance: Attributes,
    before: Slice | None,
    *,
    ranks: Ranks,
    output: store.OutputFile | None,
) -> _SliceRun:
    """Return the run of a plan: its buffer, snapshots, workers and live plot."""
    for line in diagnostics.centre_warnings(plan, points.engine, points.centre.first):
        ranks.reporter.warn(line)
    buffer = _buffer(plan, points, provenance, before)
    held = plan.directions if plan.request.directions.held and not plan.seeds else ()
    tensors = [{name: t.numpy() for name, t in d.tensors.items()} for d in held]
    left = len(own_points(plan)) - np.count_nonzero(buffer.origin == EVALUATED)
    workers = ranks.spec or local_workers(plan, ranks.workers, points.seconds * left, ranks.reporter)
    picture = picture_path(plan.output) if plan.output and plan.request.destination.watch else None
    return _SliceRun(
        plan=plan, points=points, buffer=buffer, snapshots=Snapshots(output, buffer, tensors), workers=workers,
        reporter=ranks.reporter, watch=LivePlot(picture, ranks.reporter.warn),
    )  # fmt: skip


def _buffer(plan: Plan, points: PointEvaluator, provenance: Attributes, before: Slice | None) -> SliceBuffer:
    marks = [Mark(name, place, points.on_all(place)) for name, place in plan.made.marks]
    return SliceBuffer(
        [axis.coordinates() for axis in plan.axes], points.centre, directions=[d.record for d in plan.directions],
        marks=marks, provenance=provenance, seeds=plan.seeds, before=before, path=plan.made.path,
    )  # fmt: skip


def _is_complete(plan: Plan, before: Slice) -> bool:
    if plan.request.coverage.complete:
        return bool(np.all(before.origin.flat[own_points(plan)]))
    return before.complete and before.audit is not None


def _stderr_note(centre: PointValues) -> dict[str, str]:
    """Return a note on metrics that have no standard error, because they have no value for each sample."""
    without = [name for name in centre.values if name not in centre.stderr]
    return {"stderr": f"none for {', '.join(without)}: no values for each sample"} if without else {}


class _SliceRun:
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

    def fill(self, schedule: Schedule, check: Callable[[], None]) -> int:
        """Return the number of points evaluated; ``check`` is called before the first, and may be interrupted too."""
        self._save()  # an error in writing shows before the work
        try:
            with map_unordered(worker_factory(self._plan, self._points, self._workers), self._workers) as run:
                self._advance(schedule)
                check()
                for batch in schedule.rounds():
                    self._round(batch, run, schedule)
            self._save()
        except StoreError:
            raise  # another attempt to write would hide the error
        except BaseException as error:
            with deferred_signals(raise_after=False):
                schedule.interpolate()
                self._save(hurried=True)
            if isinstance(error, Interrupted):
                raise Interrupted(error.signum, _interruption_message(self._plan, self.buffer, error.signum)) from None
            raise
        finally:
            self.snapshots.wait()
        return self._fresh

    def _round(self, batch: PointBatch, run: RunChunks[Chunk, PointValues], schedule: Schedule) -> None:
        size = chunk_size(self._points.seconds, len(batch.indices), self._workers.count)
        buffer, group = self.buffer, self._points.group
        for done in run(chunks(buffer.axes, batch.indices, buffer.origin, size, group=group, whole=batch.whole)):
            known = self._done
            self.buffer.put(done.chunk.indices, done.result)
            self._store_note(done.result.note)
            self._counts[str(done.worker)] += len(done.chunk.indices)
            self._fresh += self._done - known
            self._advance(schedule)
            raise_if_interrupted()
            self.snapshots.save_if_due(partial(self._prepare_snapshot, schedule))
            self.watch.update(partial(self._current_slice, schedule), schedule.level)

    def _store_note(self, note: str) -> None:
        """Store a note, such as on a smaller batch size, in the provenance; the centre's note is stored already."""
        if note and note != self._points.centre.note and note != self.buffer.provenance.get("rounding"):
            self.buffer.provenance["rounding"] = note
            self._reporter.warn(f"{note}; values agree within rounding")

    @property
    def _done(self) -> int:
        return int(np.count_nonzero(self.buffer.origin == EVALUATED))

    def _advance(self, schedule: Schedule) -> None:
        self._reporter.advance(self._done, schedule.total, self._fresh)

    def _current_slice(self, schedule: Schedule) -> Slice:
        schedule.interpolate()
        return self.buffer.surface()

    def _prepare_snapshot(self, schedule: Schedule) -> None:
        schedule.interpolate()
        self._update_provenance()

    def _update_provenance(self) -> None:
        self.buffer.provenance["worker_points"] = json.dumps(self._counts)
        self.buffer.provenance["seconds"] = self._before + time.monotonic() - self._begun

    def _save(self, *, hurried: bool = False) -> None:
        self._update_provenance()
        self.snapshots.save(hurried=hurried)


def _interruption_message(plan: Plan, buffer: SliceBuffer, signum: int) -> str:
    evaluated = np.count_nonzero(buffer.origin == EVALUATED)
    done = f"{evaluated} of {len(own_points(plan))} points"
    if not plan.request.coverage.complete:
        done = f"{evaluated} evaluated points, not audited yet,"
    stop = Interrupted(signum).args[0]
    if plan.output is None:
        return f"{stop} after {done}; nothing was written: give output='FILE.h5', and the same call resumes"
    same = "the same command without overwrite" if plan.request.destination.overwrite else "the same command"
    return f"{stop}; {done} are in {plan.output}; {same} resumes from there"
