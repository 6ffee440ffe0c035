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
from surfaceviz.errors import Interrupted, ProblemError, StoreError
from surfaceviz.evaluate import Evaluator, How, Values, tensor_float
from surfaceviz.execute import Crew, Run, Workers, cores, keep_memory, map_unordered
from surfaceviz.functional import borrowed
from surfaceviz.grid import Chunk, chunks
from surfaceviz.interrupt import check, interruptible, shielded
from surfaceviz.listener import Listener, Quiet
from surfaceviz.pipeline import caveats
from surfaceviz.pipeline.board import Board, Snapshots
from surfaceviz.pipeline.course import Asked, Course, course, own_points
from surfaceviz.pipeline.identity import compare_centres, provenance, refuse_other
from surfaceviz.pipeline.plan import Plan
from surfaceviz.pipeline.points import Points, made
from surfaceviz.pipeline.settle import loss_levels, settle
from surfaceviz.pipeline.watch import Watch, picture_beside
from surfaceviz.pipeline.workers import check_workers, chunk_size, local_workers
from surfaceviz.records import EVALUATED, Mark, Slice


@dataclass(frozen=True, slots=True)
class Outcome:
    """A finished run: its slice, and what it took."""

    surface: Slice
    path: Path | None
    fresh: int  # points evaluated in this run
    seconds: float
    snapshot_seconds: float
    watch_seconds: float = 0.0


class Company(Protocol):
    """The other ranks of an MPI job, which a run is done with."""

    crew: Crew

    def meet(self, plan: Plan, centre: Mapping[str, float]) -> str:
        """Compare what all have built; return a note for the file."""

    def settle(self, plan: Plan) -> None:
        """Tell them what was chosen."""


def run(
    plan: Plan,
    *,
    workers: int | None = 1,
    listener: Listener | None = None,
    command: str = "",
    company: Company | None = None,
) -> Outcome:
    """Evaluate what is missing of a plan and return the slice; with an output, every few seconds it is on disk.

    Args:
        plan: what to do.
        workers: processes; None chooses by the time of one point.
        listener: told what happens.
        command: for the file's provenance.
        company: the other ranks, of whom this process is rank 0.

    Raises:
        StoreError: the file is another run's, or held by another, or can't be written.
        ProblemError: the centre is NaN, or measuring a point raised; what was done is kept.
        Interrupted: by SIGINT or SIGTERM; likewise.
    """
    listener = listener or Quiet()
    if company is None:
        check_workers(plan, workers)
    if plan.output is None:
        with interruptible():
            return _run(plan, None, workers, listener, command, company)
    with interruptible(), surfaceviz.lock.held(plan.output):
        fresh_start = plan.request.overwrite or not plan.output.exists()
        before = None if fresh_start else store.read(plan.output)
        if before is not None:
            refuse_other(plan, before)
        return _run(plan, before, workers, listener, command, company)


def _run(
    plan: Plan, before: Slice | None, workers: int | None, listener: Listener, command: str, company: Company | None
) -> Outcome:
    started = time.monotonic()
    keep_memory()
    with borrowed(plan.problem.model, plan.device), ExitStack() as stack:
        centre = Evaluator(plan.world(evaluate.default_dtype(plan.problem.model), whole=True), How()).centre().first
        _say_centre(plan, centre, listener)
        for line in caveats.still(plan):
            listener.say(line)
        met = "" if company is None else company.meet(plan, centre)
        levels = loss_levels(plan, centre)
        if before is None:
            processes = (workers or cores()) if company is None else company.crew.size
            plan, evaluator, noted = settle(plan, levels, processes, listener)
        else:
            evaluator, noted = None, {}
        stack.enter_context(tensor_float(plan.dtype, plan.device))
        assert plan.how is not None
        if company is not None:
            company.settle(plan)  # now, so that all build at the same time
        points = Points(plan, evaluator)
        plan = replace(plan, how=points.how)
        centre = points.centre.first
        rounding = "" if before is None else compare_centres(plan, before, centre, listener)
        if before is not None and _finished(plan, before):
            whole = f"all {before.done} points" + (f" of shard {plan.request.shard}" if plan.request.shard else "")
            listener.say(f"{plan.output} is complete already: {whole}; nothing to do")
            return Outcome(before, plan.output, 0, 0.0, 0.0)
        for line in caveats.before(plan, points.how, centre):
            listener.warn(line)
        noted |= provenance(plan, command, before, rounding or met) | _unsampled(points.centre)
        board = _board(plan, points, noted, before)
        held = () if plan.request.regenerate else plan.directions
        tensors = [{name: t.numpy() for name, t in d.tensors.items()} for d in held]
        snapshots = Snapshots(plan.output, board, tensors)
        left = len(own_points(plan)) - np.count_nonzero(board.origin == EVALUATED)
        crew = None if company is None else company.crew
        where = (
            Workers(crew.size, "mpi", crew) if crew else local_workers(plan, workers, points.seconds * left, listener)
        )
        way = course(plan, board, levels, listener)
        watch = Watch(picture_beside(plan.output) if plan.output and plan.request.watch else None, listener.warn)
        fresh = _Filling(plan, points, board, snapshots, where, listener, watch).fill(way)
    for line in caveats.after(plan, board.surface()):
        listener.warn(line)
    return Outcome(board.surface(), plan.output, fresh, time.monotonic() - started, snapshots.seconds, watch.seconds)


def _board(plan: Plan, points: Points, provenance: Mapping[str, str | int | float], before: Slice | None) -> Board:
    marks = [Mark(name, place, points.on_all(place)) for name, place in plan.marks]
    return Board(
        [axis.coordinates() for axis in plan.axes], points.centre, directions=[d.record for d in plan.directions],
        marks=marks, provenance=provenance, before=before,
    )  # fmt: skip


def _finished(plan: Plan, before: Slice) -> bool:
    if plan.request.tolerance is None:
        return bool(np.all(before.origin.flat[own_points(plan)]))
    return before.complete and before.audit is not None


def _unsampled(centre: Values) -> dict[str, str]:
    """Return the note that metrics without a value for each sample have no standard error."""
    without = [name for name in centre.values if name not in centre.stderr]
    return {"stderr": f"none for {', '.join(without)}: no values for each sample"} if without else {}


class _Filling:
    """Evaluates the missing points of a course into a board, with snapshots."""

    def __init__(
        self,
        plan: Plan,
        points: Points,
        board: Board,
        snapshots: Snapshots,
        where: Workers,
        listener: Listener,
        watch: Watch,
    ) -> None:
        self._watch = watch
        self._plan, self._points, self._board, self._snapshots = plan, points, board, snapshots
        self._where, self._listener = where, listener
        self._counts: Counter[str] = Counter(json.loads(str(board.provenance["worker_points"])))
        self._before, self._begun = float(board.provenance["seconds"]), time.monotonic()
        self._fresh = 0

    def fill(self, way: Course) -> int:
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

    def _round(self, asked: Asked, run: Run[Chunk, Values], way: Course) -> None:
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
            self._listener.warn(f"{note}; values agree within rounding")

    @property
    def _done(self) -> int:
        return int(np.count_nonzero(self._board.origin == EVALUATED))

    def _advance(self, way: Course) -> None:
        self._listener.advance(self._done, way.total, self._fresh)

    def _seen(self, way: Course) -> Slice:
        way.paint()
        return self._board.surface()

    def _prepare(self, way: Course) -> None:
        way.paint()
        self._update()

    def _update(self) -> None:
        self._board.provenance["worker_points"] = json.dumps(self._counts)
        self._board.provenance["seconds"] = self._before + time.monotonic() - self._begun

    def _save(self) -> None:
        self._update()
        self._snapshots.save()


def _say_centre(plan: Plan, centre: Mapping[str, float], listener: Listener) -> None:
    for split in plan.splits:
        shown = {k.removeprefix(f"{split.name}_"): v for k, v in centre.items() if k.startswith(f"{split.name}_")}
        listener.say(f"centre, {split.name}: " + ", ".join(f"{metric} {value:.6g}" for metric, value in shown.items()))
        if not math.isfinite(shown["loss"]):
            raise ProblemError(f"the {split.name} loss at the centre is {shown['loss']}; nothing to cut around")


def _left_off(plan: Plan, board: Board, signum: int) -> str:
    evaluated = np.count_nonzero(board.origin == EVALUATED)
    done = f"{evaluated} of {len(own_points(plan))} points"
    if plan.request.tolerance is not None:
        done = f"{evaluated} evaluated points, not audited yet,"
    stop = Interrupted(signum).args[0]
    if plan.output is None:
        return f"{stop} after {done}; nothing was written"
    same = "the same command without overwrite" if plan.request.overwrite else "the same command"
    return f"{stop}; {done} are in {plan.output}; {same} goes on from there"
