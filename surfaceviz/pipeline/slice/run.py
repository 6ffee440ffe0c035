"""The main job: evaluate the points of a plan, keep them safe, end with a record."""

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
from typing import Protocol

import numpy as np

import surfaceviz.lock
from surfaceviz import evaluate, store
from surfaceviz.directions.axes import Chunk, chunks
from surfaceviz.errors import Interrupted, ProblemError, StoreError
from surfaceviz.evaluate import EngineConfig, Evaluator, PointValues, allow_tf32
from surfaceviz.execute import MpiRoot, RunChunks, WorkerSpec, cores, map_unordered, retain_freed_memory
from surfaceviz.pipeline.slice import diagnostics
from surfaceviz.pipeline.slice.autotune import loss_levels, settle
from surfaceviz.pipeline.slice.identity import compare_centres, provenance, refuse_other
from surfaceviz.pipeline.slice.live_plot import LivePlot, picture_beside
from surfaceviz.pipeline.slice.plan import Plan
from surfaceviz.pipeline.slice.point_evaluator import PointEvaluator, made
from surfaceviz.pipeline.slice.schedule import Asked, Schedule, course, own_points
from surfaceviz.pipeline.slice.slice_buffer import SliceBuffer, Snapshots
from surfaceviz.pipeline.slice.workers import check_workers, chunk_size, local_workers
from surfaceviz.problem.functional import borrowed
from surfaceviz.records import EVALUATED, Mark, Slice
from surfaceviz.reporting import QuietReporter, Reporter
from surfaceviz.signals import check, interruptible, shielded


@dataclass(frozen=True, slots=True)
class SliceResult:
    """A finished run: its slice, and what it took."""

    surface: Slice
    path: Path | None
    fresh: int  # points evaluated in this run
    seconds: float
    snapshot_seconds: float
    watch_seconds: float = 0.0


class Company(Protocol):
    """The other ranks of an MPI job, which a run is done with."""

    root: MpiRoot

    def meet(self, plan: Plan, centre: Mapping[str, float]) -> str:
        """Compare what all have built; return a note for the file."""

    def settle(self, plan: Plan) -> None:
        """Tell them what was chosen."""


def run(
    plan: Plan,
    *,
    workers: int | None = 1,
    reporter: Reporter | None = None,
    command: str = "",
    company: Company | None = None,
) -> SliceResult:
    """Evaluate what is missing of a plan and return the slice; with an output, every few seconds it is on disk.

    Args:
        plan: what to do.
        workers: processes; None chooses by the time of one point.
        reporter: told what happens.
        command: for the file's provenance.
        company: the other ranks, of whom this process is rank 0.

    Raises:
        StoreError: the file is another run's, or held by another, or can't be written.
        ProblemError: the centre is NaN, or measuring a point raised; what was done is kept.
        Interrupted: by SIGINT or SIGTERM; likewise.
    """
    reporter = reporter or QuietReporter()
    if company is None:
        check_workers(plan, workers)
    if plan.output is None:
        with interruptible():
            return _run(plan, None, workers, reporter, command, company)
    with interruptible(), surfaceviz.lock.held(plan.output):
        fresh_start = plan.request.overwrite or not plan.output.exists()
        before = None if fresh_start else store.read(plan.output)
        if before is not None:
            refuse_other(plan, before)
        return _run(plan, before, workers, reporter, command, company)


def _run(
    plan: Plan, before: Slice | None, workers: int | None, reporter: Reporter, command: str, company: Company | None
) -> SliceResult:
    started = time.monotonic()
    retain_freed_memory()
    with borrowed(plan.problem.model, plan.device), ExitStack() as stack:
        centre = (
            Evaluator(plan.context(evaluate.default_dtype(plan.problem.model), whole=True), EngineConfig())
            .centre()
            .first
        )
        _say_centre(plan, centre, reporter)
        for line in diagnostics.still(plan):
            reporter.say(line)
        met = "" if company is None else company.meet(plan, centre)
        levels = loss_levels(plan, centre)
        if before is None:
            processes = (workers or cores()) if company is None else company.root.size
            plan, evaluator, noted = settle(plan, levels, processes, reporter)
        else:
            evaluator, noted = None, {}
        stack.enter_context(allow_tf32(plan.dtype, plan.device))
        assert plan.engine is not None
        if company is not None:
            company.settle(plan)  # now, so that all build at the same time
        points = PointEvaluator(plan, evaluator)
        plan = replace(plan, engine=points.engine)
        centre = points.centre.first
        rounding = "" if before is None else compare_centres(plan, before, centre, reporter)
        if before is not None and _finished(plan, before):
            whole = f"all {before.done} points" + (f" of shard {plan.request.shard}" if plan.request.shard else "")
            reporter.say(f"{plan.output} is complete already: {whole}; nothing to do")
            return SliceResult(before, plan.output, 0, 0.0, 0.0)
        for line in diagnostics.before(plan, points.engine, centre):
            reporter.warn(line)
        noted |= provenance(plan, command, before, rounding or met) | _unsampled(points.centre)
        board = _board(plan, points, noted, before)
        held = () if plan.request.regenerate else plan.directions
        tensors = [{name: t.numpy() for name, t in d.tensors.items()} for d in held]
        snapshots = Snapshots(plan.output, board, tensors)
        left = len(own_points(plan)) - np.count_nonzero(board.origin == EVALUATED)
        root = None if company is None else company.root
        where = (
            WorkerSpec(root.size, "mpi", root)
            if root
            else local_workers(plan, workers, points.seconds * left, reporter)
        )
        way = course(plan, board, levels, reporter)
        watch = LivePlot(picture_beside(plan.output) if plan.output and plan.request.watch else None, reporter.warn)
        fresh = _Filling(plan, points, board, snapshots, where, reporter, watch).fill(way)
    for line in diagnostics.after(plan, board.surface()):
        reporter.warn(line)
    return SliceResult(
        board.surface(), plan.output, fresh, time.monotonic() - started, snapshots.seconds, watch.seconds
    )


def _board(
    plan: Plan, points: PointEvaluator, provenance: Mapping[str, str | int | float], before: Slice | None
) -> SliceBuffer:
    marks = [Mark(name, place, points.on_all(place)) for name, place in plan.marks]
    return SliceBuffer(
        [axis.coordinates() for axis in plan.axes], points.centre, directions=[d.record for d in plan.directions],
        marks=marks, provenance=provenance, before=before,
    )  # fmt: skip


def _finished(plan: Plan, before: Slice) -> bool:
    if plan.request.tolerance is None:
        return bool(np.all(before.origin.flat[own_points(plan)]))
    return before.complete and before.audit is not None


def _unsampled(centre: PointValues) -> dict[str, str]:
    """Return the note that metrics without a value for each sample have no standard error."""
    without = [name for name in centre.values if name not in centre.stderr]
    return {"stderr": f"none for {', '.join(without)}: no values for each sample"} if without else {}


class _Filling:
    """Evaluates the missing points of a course into a board, with snapshots."""

    def __init__(
        self,
        plan: Plan,
        points: PointEvaluator,
        board: SliceBuffer,
        snapshots: Snapshots,
        where: WorkerSpec,
        reporter: Reporter,
        watch: LivePlot,
    ) -> None:
        self._watch = watch
        self._plan, self._points, self._board, self._snapshots = plan, points, board, snapshots
        self._where, self._reporter = where, reporter
        self._counts: Counter[str] = Counter(json.loads(str(board.provenance["worker_points"])))
        self._before, self._begun = float(board.provenance["seconds"]), time.monotonic()
        self._fresh = 0

    def fill(self, way: Schedule) -> int:
        """Return the number of points evaluated."""
        self._save()  # whatever is wrong with the file shows before the work
        try:
            with map_unordered(made(self._plan, self._points, self._where), self._where) as run:
                self._advance(way)
                for asked in way.rounds():
                    self._round(asked, run, way)
            self._save()
        except StoreError:
            raise  # another try to write would only hide it
        except BaseException as error:
            with shielded(and_raise=False):
                way.paint()
                self._save()
            if isinstance(error, Interrupted):
                raise Interrupted(error.signum, _left_off(self._plan, self._board, error.signum)) from None
            raise
        return self._fresh

    def _round(self, asked: Asked, run: RunChunks[Chunk, PointValues], way: Schedule) -> None:
        size = chunk_size(self._points.seconds, len(asked.indices), self._where.count)
        board, group = self._board, self._points.group
        for done in run(chunks(board.axes, asked.indices, board.origin, size, group, whole=asked.whole)):
            known = self._done
            self._board.put(done.chunk.indices, done.result)
            self._note(done.result.note)
            self._counts[str(done.worker)] += len(done.chunk.indices)
            self._fresh += self._done - known
            self._advance(way)
            check()
            self._snapshots.save_if_due(partial(self._prepare, way))
            self._watch.look(partial(self._seen, way), way.level)

    def _note(self, note: str) -> None:
        """Put a note into the file, where all else is as it was; a batch size that was halved at the start is there."""
        if note and note != self._points.centre.note and note != self._board.provenance.get("rounding"):
            self._board.provenance["rounding"] = note
            self._reporter.warn(f"{note}; values agree within rounding")

    @property
    def _done(self) -> int:
        return int(np.count_nonzero(self._board.origin == EVALUATED))

    def _advance(self, way: Schedule) -> None:
        self._reporter.advance(self._done, way.total, self._fresh)

    def _seen(self, way: Schedule) -> Slice:
        way.paint()
        return self._board.surface()

    def _prepare(self, way: Schedule) -> None:
        way.paint()
        self._update()

    def _update(self) -> None:
        self._board.provenance["worker_points"] = json.dumps(self._counts)
        self._board.provenance["seconds"] = self._before + time.monotonic() - self._begun

    def _save(self) -> None:
        self._update()
        self._snapshots.save()


def _say_centre(plan: Plan, centre: Mapping[str, float], reporter: Reporter) -> None:
    for split in plan.splits:
        shown = {k.removeprefix(f"{split.name}_"): v for k, v in centre.items() if k.startswith(f"{split.name}_")}
        reporter.say(f"centre, {split.name}: " + ", ".join(f"{metric} {value:.6g}" for metric, value in shown.items()))
        if not math.isfinite(shown["loss"]):
            raise ProblemError(f"the {split.name} loss at the centre is {shown['loss']}; nothing to cut around")


def _left_off(plan: Plan, board: SliceBuffer, signum: int) -> str:
    evaluated = np.count_nonzero(board.origin == EVALUATED)
    done = f"{evaluated} of {len(own_points(plan))} points"
    if plan.request.tolerance is not None:
        done = f"{evaluated} evaluated points, not audited yet,"
    stop = Interrupted(signum).args[0]
    if plan.output is None:
        return f"{stop} after {done}; nothing was written"
    same = "the same command without overwrite" if plan.request.overwrite else "the same command"
    return f"{stop}; {done} are in {plan.output}; {same} goes on from there"
