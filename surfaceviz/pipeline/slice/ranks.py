"""A run of all ranks of an MPI job: every rank makes the same call, rank 0 decides, writes and talks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from surfaceviz import evaluate, signals
from surfaceviz.directions import random
from surfaceviz.directions.axes import Axis
from surfaceviz.errors import ProblemError
from surfaceviz.evaluate import EngineConfig, Evaluator, allow_tf32
from surfaceviz.execute import (
    MpiJob,
    MpiRoot,
    MpiWorker,
    act_as_mpi_root,
    act_as_mpi_worker,
    cores,
    join_mpi_job,
    retain_freed_memory,
)
from surfaceviz.pipeline.resolve import resolve
from surfaceviz.pipeline.slice.autotune import prepared
from surfaceviz.pipeline.slice.identity import ROUNDING, same_values
from surfaceviz.pipeline.slice.plan import Plan, make_plan
from surfaceviz.pipeline.slice.point_evaluator import PointEvaluator
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.pipeline.slice.run import SliceResult, run
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.problem import Problem
from surfaceviz.reporting import QuietReporter, Reporter

# Of a request, what each rank reads for itself: its content is compared, not its name.
_OWN = ("problem", "weights", "data", "toward", "directions", "output", "default_output", "overwrite")
_SHARED = {
    "weights_sha256": "weights",
    "data_sha256": "data",
    "toward": "models to lead to",
    "directions": "directions",
}
_SHARED |= {"device": "devices"}
_DIFFERENT_CPUS = "another kind of CPU than rank 0's: values agree within rounding"


@dataclass(frozen=True, slots=True)
class Opening:
    """What rank 0 was asked, and the dtype that its file may ask for."""

    request: Request
    dtype: str


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a rank has built, for rank 0 to compare with its own."""

    shared: Mapping[str, str]
    directions: tuple[str, ...]  # sha256
    norms: tuple[float, ...]  # of the directions' tensors, which tell rounding from another direction
    centre: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Settled:
    """What rank 0 has measured and chosen, for every plan."""

    axes: tuple[Axis, ...]
    dtype: str
    engine: EngineConfig
    subset: int | None


def run_slice(
    request: Request, *, workers: int | None = None, reporter: Reporter | None = None, command: str = ""
) -> SliceResult:
    """Plan and run a request: in this process and local ones, or, under an MPI launcher, with all ranks.

    Then it is a collective call, and each rank returns the whole slice; only rank 0 writes and reports.

    Raises:
        ValueError: an option that can't be.
        SurfacevizError: whatever goes wrong; on other ranks than the one where it did, `RootStoppedError`, or on
            rank 0 with the rank's name.
        Interrupted: as of `run`.
    """
    reporter = reporter or QuietReporter()
    job = join_mpi_job(reporter.warn)
    if job is None:
        return run(make_plan(request, reporter.say), workers=workers, reporter=reporter, command=command)
    return _lead(job, request, workers, reporter, command) if job.rank == 0 else _follow(job, request, workers)


def _refuse_workers(job: MpiJob, workers: int | None) -> None:
    if workers not in (None, 1):
        raise ValueError(f"workers: each of the {job.size} ranks is one; leave workers out, and start more ranks")


def _lead(job: MpiJob, request: Request, workers: int | None, reporter: Reporter, command: str) -> SliceResult:
    with signals.interruptible(), act_as_mpi_root(job, signals.post, reporter.warn) as root:
        _refuse_workers(job, workers)
        plan = make_plan(request, reporter.say, place=job.local_rank)
        if plan.device.type == "cpu" and cores() > 2 * job.local_size:
            reporter.say(
                f"{job.local_size} ranks of one thread each where there are {cores()} cores: start more of them"
            )
        root.broadcast(Opening(_stripped(request), plan.dtype))
        outcome = run(plan, reporter=reporter, command=command, company=Company(root, reporter))
        root.broadcast("done")
    job.broadcast(outcome.surface)
    return outcome


def _follow(job: MpiJob, request: Request, workers: int | None) -> SliceResult:
    with act_as_mpi_worker(job) as member:
        _refuse_workers(job, workers)
        retain_freed_memory()
        problem = request.problem if isinstance(request.problem, Problem) else resolve(request.problem, request.data)
        opening = member.receive()
        _refuse_other_call(request, opening.request)
        own = replace(request, problem=problem, dtype=opening.dtype, output=None, default_output=False)
        plan = make_plan(own, lambda _line: None, place=job.local_rank)
        _serve(member, plan)
    return SliceResult(job.broadcast(None), None, 0, 0.0, 0.0)


def _serve(member: MpiWorker, plan: Plan) -> None:
    with borrowed(plan.problem.model, plan.device), ExitStack() as stack:
        member.report(credentials(plan, _centre(plan)))
        early = prepared(plan)
        settled: Settled = member.receive()
        plan = replace(plan, axes=settled.axes, dtype=settled.dtype, engine=settled.engine, subset=settled.subset)
        stack.enter_context(allow_tf32(plan.dtype, plan.device))
        member.process_chunks(
            PointEvaluator(plan, early.evaluator if early is not None and early.engine == plan.engine else None)
        )
        member.receive()  # that all is done


def _centre(plan: Plan) -> Mapping[str, float]:
    return (
        Evaluator(plan.context(evaluate.default_dtype(plan.problem.model), whole=True), EngineConfig()).centre().first
    )


def _stripped(request: Request) -> Request:
    """Return a request without what can't be sent: a problem's live objects."""
    return replace(request, problem="")


def _refuse_other_call(own: Request, of_rank_0: Request) -> None:
    mine, theirs = _options(own), _options(of_rank_0)
    for name, value in mine.items():
        if value != theirs[name]:
            raise ProblemError(f"{name} is {value} here, {theirs[name]} on rank 0; all ranks must make the same call")


def _options(request: Request) -> dict[str, str]:
    """Return what must be the same on all ranks, in words."""
    given = {f.name: getattr(request, f.name) for f in fields(Request) if f.name not in _OWN}
    given |= asdict(given.pop("random"))
    given["axes"] = " ".join(map(str, request.axes or ()))
    return {name: str(value) for name, value in given.items()}


def credentials(plan: Plan, centre: Mapping[str, float]) -> Credentials:
    """Return what a rank has built."""
    identity = plan.identity
    norms = (random.length(d.tensors[name]) for d in plan.directions for name in sorted(d.tensors))
    return Credentials(
        {key: str(identity.get(key, "none")) for key in _SHARED}, tuple(d.record.sha256 for d in plan.directions),
        tuple(norms), dict(centre),
    )  # fmt: skip


class Company:
    """The ranks that a run is done with."""

    def __init__(self, root: MpiRoot, reporter: Reporter) -> None:
        self.root, self._reporter = root, reporter

    def meet(self, plan: Plan, centre: Mapping[str, float]) -> str:
        """Compare what all ranks have built, and return a note for the file where that differs within rounding.

        Raises:
            ProblemError: a rank has other weights, data or code.
        """
        mine, answers = credentials(plan, centre), self.root.gather_reports()
        differing = [name for name, theirs in answers if not _same(name, mine, theirs)]
        self._reporter.say(f"{self.root.size} ranks, all with the same weights, data and directions")
        if not differing:
            return ""
        self._reporter.warn(f"{len(differing)} ranks, such as {differing[0]}: {_DIFFERENT_CPUS}")
        return _DIFFERENT_CPUS

    def settle(self, plan: Plan) -> None:
        """Tell the ranks what was chosen."""
        assert plan.engine is not None
        self.root.broadcast(Settled(plan.axes, plan.dtype, plan.engine, plan.subset))


def _same(name: str, mine: Credentials, theirs: Credentials) -> bool:
    """Return whether a rank has the very bits of this one; refuse where they differ by more than rounding."""
    for key, word in mine.shared.items():
        if theirs.shared[key] != word:
            raise ProblemError(
                f"{name} has other {_SHARED[key]} than rank 0 ({theirs.shared[key][:12]}, not {word[:12]}); all ranks "
                "must read the same"
            )
    for metric, value in mine.centre.items():
        other = theirs.centre.get(metric, math.nan)
        if not _close([value], [other]):
            raise ProblemError(f"{name} has {metric} {other:.9g} at the centre, rank 0 {value:.9g}: not the same code")
    if not _close(mine.norms, theirs.norms):
        raise ProblemError(f"{name} makes other directions than rank 0: not the same versions of surfaceviz and numpy")
    return mine.directions == theirs.directions and same_values(mine.centre, theirs.centre)


def _close(a: Sequence[float], b: Sequence[float]) -> bool:
    return len(a) == len(b) and bool(np.allclose(a, b, rtol=ROUNDING, atol=1e-7, equal_nan=True))
