"""Slices on all ranks of an MPI job. Every rank makes the same call; rank 0 chooses, writes and reports."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields, replace

from surfaceviz.errors import ProblemError
from surfaceviz.evaluate import allow_tf32
from surfaceviz.execute import MpiJob, MpiWorker, cores
from surfaceviz.pipeline.mpi import Ranks, follow_orders, run_collective
from surfaceviz.pipeline.provenance import attributes_of
from surfaceviz.pipeline.resolve import resolve
from surfaceviz.pipeline.slice.handshake import ChosenSettings, RequestMessage, fingerprint_of
from surfaceviz.pipeline.slice.planning.autotune import build_requested_engine
from surfaceviz.pipeline.slice.planning.make_plan import make_plan
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.point_evaluator import PointEvaluator, reference_centre
from surfaceviz.pipeline.slice.request import Destination, Request
from surfaceviz.pipeline.slice.run import SliceResult, run
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.problem import Problem
from surfaceviz.reporting import Reporter

# Each rank reads these itself: their contents are compared, not their names.
_READ_BY_EACH = ("problem", "weights", "data", "directions", "destination")


Finish = Callable[[Plan, SliceResult, Reporter], SliceResult]


def run_slice(
    request: Request,
    *,
    workers: int | None = None,
    reporter: Reporter | None = None,
    command: str = "",
    finish: Finish | None = None,
) -> SliceResult:
    """Compute a slice: in this process and local ones or, as a collective call, on all ranks of an MPI job.

    Args:
        request: the user's options.
        workers: local processes; None to choose.
        reporter: receives progress and warnings.
        command: for the file's provenance.
        finish: called by rank 0 with the finished slice, to add to it.

    Raises:
        ValueError: an option is invalid.
        SurfacevizError: see `run_collective`.
        Interrupted: a signal arrived; evaluated points are in the file.
    """

    def lead(ranks: Ranks) -> SliceResult:
        plan = make_plan(request, ranks.reporter.say, place=ranks.local_rank)
        if ranks.root is not None and plan.device.type == "cpu" and cores() > 2 * ranks.on_node:
            ranks.reporter.say(f"{ranks.on_node} ranks of one thread each on {cores()} cores; start more ranks")
        own = replace(request, problem="")  # a problem's live objects cannot be sent
        ranks.tell(RequestMessage(own, plan.dtype, plan.request.batch_size))
        result = run(plan, ranks, command=command)
        return result if finish is None else finish(plan, result, ranks.reporter)

    return run_collective(lead, lambda worker, job: _follow(worker, job, request), workers=workers, reporter=reporter)


def _follow(worker: MpiWorker, job: MpiJob, request: Request) -> None:
    """Build the same plan as rank 0, then evaluate the points that rank 0 distributes."""
    problem = request.problem if isinstance(request.problem, Problem) else resolve(request.problem, request.data)
    message: RequestMessage = worker.receive()
    _refuse_other_call(request, message.request)
    own = replace(
        request, problem=problem, dtype=message.dtype, batch_size=message.batch_size, destination=Destination()
    )
    plan = make_plan(own, lambda _line: None, place=job.local_rank)
    with borrowed(plan.problem.model, plan.device), ExitStack() as stack:
        worker.report(fingerprint_of(plan, reference_centre(plan)))
        early = build_requested_engine(plan)

        def serve(settings: ChosenSettings) -> None:
            chosen = replace(
                plan, axes=settings.axes, dtype=settings.dtype, engine=settings.engine, subset=settings.subset
            )
            stack.enter_context(allow_tf32(chosen.dtype, chosen.device))
            known = early.evaluator if early is not None and early.engine == chosen.engine else None
            worker.process_chunks(PointEvaluator(chosen, known))

        follow_orders(worker, {ChosenSettings: serve})


def _refuse_other_call(own: Request, of_rank_0: Request) -> None:
    mine, theirs = _options(own), _options(of_rank_0)
    for name, value in mine.items():
        if value != theirs.get(name):
            raise ProblemError(
                f"{name} is {value} here, {theirs.get(name)} on rank 0; all ranks must make the same call"
            )


def _options(request: Request) -> dict[str, str]:
    """Return the options that must be equal on all ranks, as text."""
    given = {f.name: getattr(request, f.name) for f in fields(Request) if f.name not in _READ_BY_EACH}
    attributes = attributes_of(request)
    del attributes["made_from"], given["coverage"]
    return {name: str(value) for name, value in (given | attributes).items()}
