"""A run of all ranks of an MPI job: every rank makes the same call, rank 0 decides, writes and talks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, fields, replace

import numpy as np

from surfaceviz import directions, evaluate, interrupt
from surfaceviz.errors import ProblemError
from surfaceviz.evaluate import Evaluator, How, tensor_float
from surfaceviz.execute import Crew, Job, Member, cores, following, joined, keep_memory, leading
from surfaceviz.functional import borrowed
from surfaceviz.grid import Axis
from surfaceviz.listener import Listener, Quiet
from surfaceviz.pipeline.identity import ROUNDING, same_values
from surfaceviz.pipeline.plan import Plan, make_plan
from surfaceviz.pipeline.points import Points
from surfaceviz.pipeline.request import Request
from surfaceviz.pipeline.resolve import resolve
from surfaceviz.pipeline.run import Outcome, run
from surfaceviz.pipeline.settle import prepared
from surfaceviz.problem import Problem

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
    how: How
    subset: int | None


def cut(
    request: Request, *, workers: int | None = None, listener: Listener | None = None, command: str = ""
) -> Outcome:
    """Plan and run a request: in this process and local ones, or, under an MPI launcher, with all ranks.

    Then it is a collective call, and each rank returns the whole slice; only rank 0 writes and reports.

    Raises:
        ValueError: an option that can't be.
        SurfacevizError: whatever goes wrong; on other ranks than the one where it did, `Dismissed`, or on
            rank 0 with the rank's name.
        Interrupted: as of `run`.
    """
    listener = listener or Quiet()
    job = joined(listener.warn)
    if job is None:
        return run(make_plan(request, listener.say), workers=workers, listener=listener, command=command)
    return _lead(job, request, workers, listener, command) if job.rank == 0 else _follow(job, request, workers)


def _refuse_workers(job: Job, workers: int | None) -> None:
    if workers not in (None, 1):
        raise ValueError(f"workers: each of the {job.size} ranks is one; leave workers out, and start more ranks")


def _lead(job: Job, request: Request, workers: int | None, listener: Listener, command: str) -> Outcome:
    with interrupt.interruptible(), leading(job, interrupt.post, listener.warn) as crew:
        _refuse_workers(job, workers)
        plan = make_plan(request, listener.say, place=job.local_rank)
        if plan.device.type == "cpu" and cores() > 2 * job.local_size:
            listener.say(
                f"{job.local_size} ranks of one thread each where there are {cores()} cores: start more of them"
            )
        crew.tell(Opening(_stripped(request), plan.dtype))
        outcome = run(plan, listener=listener, command=command, company=Company(crew, listener))
        crew.tell("done")
    job.shared(outcome.surface)
    return outcome


def _follow(job: Job, request: Request, workers: int | None) -> Outcome:
    with following(job) as member:
        _refuse_workers(job, workers)
        keep_memory()
        problem = request.problem if isinstance(request.problem, Problem) else resolve(request.problem, request.data)
        opening = member.hear()
        _refuse_other_call(request, opening.request)
        own = replace(request, problem=problem, dtype=opening.dtype, output=None, default_output=False)
        plan = make_plan(own, lambda _line: None, place=job.local_rank)
        _serve(member, plan)
    return Outcome(job.shared(None), None, 0, 0.0, 0.0)


def _serve(member: Member, plan: Plan) -> None:
    with borrowed(plan.problem.model, plan.device), ExitStack() as stack:
        member.report(credentials(plan, _centre(plan)))
        early = prepared(plan)
        settled: Settled = member.hear()
        plan = replace(plan, axes=settled.axes, dtype=settled.dtype, how=settled.how, subset=settled.subset)
        stack.enter_context(tensor_float(plan.dtype, plan.device))
        member.serve(Points(plan, early.evaluator if early is not None and early.how == plan.how else None))
        member.hear()  # that all is done


def _centre(plan: Plan) -> Mapping[str, float]:
    return Evaluator(plan.world(evaluate.default_dtype(plan.problem.model), whole=True), How()).centre().first


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
    norms = (directions.length(d.tensors[name]) for d in plan.directions for name in sorted(d.tensors))
    return Credentials(
        {key: str(identity.get(key, "none")) for key in _SHARED}, tuple(d.record.sha256 for d in plan.directions),
        tuple(norms), dict(centre),
    )  # fmt: skip


class Company:
    """The ranks that a run is done with."""

    def __init__(self, crew: Crew, listener: Listener) -> None:
        self.crew, self._listener = crew, listener

    def meet(self, plan: Plan, centre: Mapping[str, float]) -> str:
        """Compare what all ranks have built, and return a note for the file where that differs within rounding.

        Raises:
            ProblemError: a rank has other weights, data or code.
        """
        mine, answers = credentials(plan, centre), self.crew.hear()
        differing = [name for name, theirs in answers if not _same(name, mine, theirs)]
        self._listener.say(f"{self.crew.size} ranks, all with the same weights, data and directions")
        if not differing:
            return ""
        self._listener.warn(f"{len(differing)} ranks, such as {differing[0]}: {_DIFFERENT_CPUS}")
        return _DIFFERENT_CPUS

    def settle(self, plan: Plan) -> None:
        """Tell the ranks what was chosen."""
        assert plan.how is not None
        self.crew.tell(Settled(plan.axes, plan.dtype, plan.how, plan.subset))


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
