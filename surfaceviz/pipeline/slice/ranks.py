"""Slices on all ranks of an MPI job: every rank makes the same call; rank 0 decides, writes and reports."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import fields, replace

from surfaceviz.errors import ProblemError
from surfaceviz.evaluate import allow_tf32
from surfaceviz.execute import MpiJob, MpiWorker, cores
from surfaceviz.pipeline.mpi import Ranks, follow_orders, run_collective
from surfaceviz.pipeline.provenance import attributes_of
from surfaceviz.pipeline.resolve import resolve
from surfaceviz.pipeline.slice.handshake import Opening, Settled, fingerprint_of
from surfaceviz.pipeline.slice.planning.autotune import prepared
from surfaceviz.pipeline.slice.planning.make_plan import make_plan
from surfaceviz.pipeline.slice.point_evaluator import PointEvaluator, reference_centre
from surfaceviz.pipeline.slice.request import Destination, Request
from surfaceviz.pipeline.slice.run import SliceResult, run
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.problem import Problem
from surfaceviz.reporting import Reporter

# Each rank reads these for itself: their contents are compared, not their names.
_READ_BY_EACH = ("problem", "weights", "data", "directions", "destination")


def run_slice(
    request: Request, *, workers: int | None = None, reporter: Reporter | None = None, command: str = ""
) -> SliceResult:
    """Compute a slice: in this process and local ones or, as a collective call, on all ranks of an MPI job.

    Raises:
        ValueError: an option has a value that it cannot have.
        SurfacevizError: see `run_collective`.
        Interrupted: by a signal; points that were evaluated are in the file.
    """

    def lead(ranks: Ranks) -> SliceResult:
        plan = make_plan(request, ranks.reporter.say, place=ranks.local_rank)
        if ranks.root is not None and plan.device.type == "cpu" and cores() > 2 * ranks.on_node:
            ranks.reporter.say(
                f"{ranks.on_node} ranks of one thread each where there are {cores()} cores: start more of them"
            )
        ranks.tell(Opening(replace(request, problem=""), plan.dtype))  # a problem's live objects cannot be sent
        return run(plan, ranks, command=command)

    return run_collective(lead, lambda worker, job: _follow(worker, job, request), workers=workers, reporter=reporter)


def _follow(worker: MpiWorker, job: MpiJob, request: Request) -> None:
    """Build the same plan as rank 0, then evaluate the points that it hands out."""
    problem = request.problem if isinstance(request.problem, Problem) else resolve(request.problem, request.data)
    opening: Opening = worker.receive()
    _refuse_other_call(request, opening.request)
    own = replace(request, problem=problem, dtype=opening.dtype, destination=Destination())
    plan = make_plan(own, lambda _line: None, place=job.local_rank)
    with borrowed(plan.problem.model, plan.device), ExitStack() as stack:
        worker.report(fingerprint_of(plan, reference_centre(plan)))
        early = prepared(plan)

        def serve(settled: Settled) -> None:
            chosen = replace(plan, axes=settled.axes, dtype=settled.dtype, engine=settled.engine, subset=settled.subset)
            stack.enter_context(allow_tf32(chosen.dtype, chosen.device))
            known = early.evaluator if early is not None and early.engine == chosen.engine else None
            worker.process_chunks(PointEvaluator(chosen, known))

        follow_orders(worker, {Settled: serve})


def _refuse_other_call(own: Request, of_rank_0: Request) -> None:
    mine, theirs = _options(own), _options(of_rank_0)
    for name, value in mine.items():
        if value != theirs.get(name):
            raise ProblemError(
                f"{name} is {value} here, {theirs.get(name)} on rank 0; all ranks must make the same call"
            )


def _options(request: Request) -> dict[str, str]:
    """Return the options that must be the same on all ranks, in words."""
    given = {f.name: getattr(request, f.name) for f in fields(Request) if f.name not in _READ_BY_EACH}
    attributes = attributes_of(request)
    del attributes["made_from"], given["coverage"]
    return {name: str(value) for name, value in (given | attributes).items()}
