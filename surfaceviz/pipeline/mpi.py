"""Collective jobs: rank 0 leads, the other ranks follow. Without an MPI launcher, there is only this process."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from surfaceviz import signals, start_folder
from surfaceviz.errors import ProblemError
from surfaceviz.execute import (
    MpiJob,
    MpiRoot,
    MpiWorker,
    WorkerSpec,
    act_as_mpi_root,
    act_as_mpi_worker,
    join_mpi_job,
    retain_freed_memory,
)
from surfaceviz.notebook import default_reporter
from surfaceviz.records.rounding import same_bits, within_rounding
from surfaceviz.reporting import QuietReporter, Reporter

_DIFFERENT_CPUS = "another kind of CPU than rank 0's: values agree within rounding"
_DONE = "done"


class Result(Protocol):
    """The result of a job, a dataclass."""

    @property
    def path(self) -> Any:
        """The file, on rank 0 only."""


ResultT = TypeVar("ResultT", bound=Result)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fingerprint:
    """The fingerprint of a rank's plan, which rank 0 compares with its own.

    Attributes:
        contents: name of each content that must be equal -> its fingerprint.
        directions: sha256 of each direction.
        norms: norms of the directions' tensors, which distinguish rounding from another direction.
        centre: values at theta.
    """

    contents: Mapping[str, str]
    directions: tuple[str, ...] = ()
    norms: tuple[float, ...] = ()
    centre: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """The processes of a job, as seen by rank 0.

    Attributes:
        reporter: receives progress and warnings.
        workers: requested number of local processes; None to choose.
        root: the connection to the other ranks; None without an MPI launcher.
        local_rank: number of this process on its node.
        on_node: ranks on this node, this one included.
    """

    reporter: Reporter = field(default_factory=QuietReporter)
    workers: int | None = None
    root: MpiRoot | None = None
    local_rank: int = 0
    on_node: int = 1

    @property
    def spec(self) -> WorkerSpec | None:
        """All ranks as workers; None without an MPI launcher."""
        return None if self.root is None else WorkerSpec(self.root.size, "mpi", self.root)

    def tell(self, message: Any) -> None:
        """Send a message to the other ranks, if there are any."""
        if self.root is not None:
            self.root.broadcast(message)

    def compare(self, mine: Fingerprint) -> str:
        """Compare the fingerprints of all ranks, and return a note for the file if they differ within rounding.

        Raises:
            ProblemError: a rank has other contents, directions or values.
        """
        if self.root is None:
            return ""
        differing = [name for name, theirs in self.root.gather_reports() if not _same_bits(name, mine, theirs)]
        self.reporter.say(f"{self.root.size} ranks, all with the same weights, data and directions")
        if not differing:
            return ""
        self.reporter.warn(f"{len(differing)} ranks, such as {differing[0]}: {_DIFFERENT_CPUS}")
        return _DIFFERENT_CPUS


def run_collective(
    lead: Callable[[Ranks], ResultT],
    follow: Callable[[MpiWorker, MpiJob], None],
    *,
    workers: int | None,
    reporter: Reporter | None,
) -> ResultT:
    """Run a job in this process and local ones or, under an MPI launcher, on all ranks.

    Under a launcher this is a collective call. Every rank returns the result; only rank 0 writes and reports.

    Args:
        lead: does the job, on rank 0 or in a single process.
        follow: executes the messages of rank 0 until the job is done; see `follow_orders`.
        workers: local processes; None to choose.
        reporter: receives progress and warnings; by default a bar in a notebook; else warnings go to `warnings`.

    Raises:
        ValueError: an option is invalid.
        SurfacevizError: the job fails; the message names the rank if it fails on another one.
        Interrupted: a signal arrived.
    """
    reporter = reporter or default_reporter()
    _check_workers(workers)
    with start_folder.fixed():
        return _run_collective(lead, follow, workers, reporter)


def _run_collective(
    lead: Callable[[Ranks], ResultT],
    follow: Callable[[MpiWorker, MpiJob], None],
    workers: int | None,
    reporter: Reporter,
) -> ResultT:
    job = join_mpi_job(reporter.warn)
    if job is None:
        with signals.interruptible():
            return lead(Ranks(reporter=reporter, workers=workers))
    if job.rank:
        with act_as_mpi_worker(job) as worker:
            _refuse_workers(job, workers)
            retain_freed_memory()
            follow(worker, job)
        result: ResultT = job.broadcast(None)
        return replace(result, path=None)  # type: ignore[type-var]
    with signals.interruptible(), act_as_mpi_root(job, signals.raise_in_main_thread, reporter.warn) as root:
        _refuse_workers(job, workers)
        result = lead(Ranks(reporter=reporter, root=root, local_rank=job.local_rank, on_node=job.local_size))
        root.broadcast(_DONE)
    job.broadcast(result)
    return result


def follow_orders(worker: MpiWorker, orders: Mapping[type, Callable[[Any], Any]]) -> None:
    """Execute the messages of rank 0 until the job is done.

    Args:
        worker: this rank.
        orders: type of a message -> its function, which may return the next message if it has already read it.
    """
    message = worker.receive()
    while message != _DONE:
        next_message = orders[type(message)](message)
        message = worker.receive() if next_message is None else next_message


def _check_workers(workers: int | None) -> None:
    if workers is not None and (not isinstance(workers, int) or workers < 1):
        raise ValueError(f"workers: expected a number of at least 1, or None to choose, got {workers!r}")


def _refuse_workers(job: MpiJob, workers: int | None) -> None:
    if workers not in (None, 1):
        raise ValueError(f"workers: each of the {job.size} ranks is one worker; leave out workers, or start more ranks")


def _same_bits(name: str, mine: Fingerprint, theirs: Fingerprint) -> bool:
    """Return whether a rank has the same bits as this one; refuse one that differs by more than rounding."""
    for what, own in mine.contents.items():
        other = theirs.contents.get(what, "none")
        if other != own:
            raise ProblemError(
                f"{name} has other {what} than rank 0 ({other[:12]}, not {own[:12]}); all ranks must make the same "
                "call and read the same files"
            )
    for metric, value in mine.centre.items():
        if not within_rounding({metric: value}, {metric: theirs.centre.get(metric, math.nan)}):
            other_value = theirs.centre.get(metric, math.nan)
            raise ProblemError(
                f"{name} has {metric} {other_value:.9g} at the centre, rank 0 {value:.9g}; run the same code "
                "on all ranks"
            )
    if not within_rounding({"norms": mine.norms}, {"norms": theirs.norms}):
        raise ProblemError(
            f"{name} makes other directions than rank 0; install the same versions of surfaceviz and numpy"
        )
    return mine.directions == theirs.directions and same_bits(mine.centre, theirs.centre)
