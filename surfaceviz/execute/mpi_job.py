"""This process among the ranks of an MPI job: noticing the launcher, joining, messages, leaving."""

from __future__ import annotations

import atexit
import os
import socket
import sys
import time
import warnings
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from surfaceviz.errors import WorkerError

# By the variables of a process: the launchers' own first, as under Slurm they start their daemons by srun.
_LAUNCHERS = (
    ("Open MPI's mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("mpiexec", "PMI_SIZE", "PMI_RANK"),
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
# Seconds.
_UNJOINED_WAIT = 3.0  # that rank 0 has to tell of what went wrong before MPI was started
_HEAD_START = 1.0  # by which rank 0 ends before the others, for its exit code to be the job's
_LAST_WAIT = 10.0  # for all ranks to come to their end, after a failure
_TELL_AFTER = 30.0  # of waiting for others
_BETWEEN = 0.005  # two looks at who has


@dataclass(frozen=True, slots=True)
class Launched:
    """What a launcher says of this process."""

    by: str
    variable: str
    rank: int
    size: int


def launched() -> Launched | None:
    """Return this process's place among several that a launcher started; None where it is alone.

    Reads the environment alone; no MPI library is loaded.
    """
    for by, size, rank in _LAUNCHERS:
        if size in os.environ:
            count = int(os.environ[size])
            return Launched(by, size, int(os.environ.get(rank, "0")), count) if count > 1 else None
    return None


@dataclass(slots=True)
class MpiJob:
    """The ranks of an MPI job, and this one's place.

    Attributes:
        rank: of this process; rank 0 leads.
        size: how many there are.
        host: of this process.
        local_rank: among those of this node.
        local_size: how many there are on this node.
        stuck: whether a rank did not answer in time at the end of the last call.
        lingers: whether this rank leaves the end to rank 0.
    """

    rank: int
    size: int
    host: str
    local_rank: int
    local_size: int
    comm: Any
    stuck: bool = False
    lingers: bool = False
    session: int = 0  # collective calls so far, which messages are told apart by
    parting: Callable[[], None] | None = None  # what is left to be waited for of the last call
    _unsent: list[Any] = field(default_factory=list)
    _early: deque[tuple[int, int, str, Any]] = field(default_factory=deque)  # of calls that have not begun here

    def begin(self) -> None:
        """Begin the next collective call."""
        if self.parting is not None:
            self.parting()
        self.stuck = False
        self.session += 1

    def send(self, rank: int, kind: str, content: Any = None) -> None:
        """Start sending; `progress` sees it through."""
        self._unsent.append(self.comm.isend((self.session, kind, content), dest=rank))

    def receive(self) -> tuple[int, str, Any] | None:
        """Return (rank, kind, content) of a message of this call that is there; None where there is none."""
        from mpi4py import MPI  # noqa: PLC0415

        status = MPI.Status()
        while self.comm.iprobe(source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=status):
            session, kind, content = self.comm.recv(source=status.source, tag=status.tag)
            if session >= self.session:
                self._early.append((session, status.source, kind, content))
        for i, (session, *message) in enumerate(self._early):
            if session == self.session:
                del self._early[i]
                return tuple(message)
        return None

    def shared(self, content: Any) -> Any:
        """Return rank 0's content on all ranks; collective."""
        return self.comm.bcast(content, root=0)

    def progress(self) -> bool:
        """Return whether all that was sent has left."""
        self._unsent = [request for request in self._unsent if not request.test()[0]]
        return not self._unsent


class _State:
    job: MpiJob | None = None


def joined(warn: Callable[[str], None]) -> MpiJob | None:
    """Return the MPI job that this process belongs to; None where no launcher started several.

    The first call is collective, and starts MPI; ``warn`` is told where the others are long in coming.

    Raises:
        WorkerError: there is no MPI library, or another one than the launcher's: processes that are each alone,
            and would all write one file.
    """
    place = launched()
    if place is None:
        return None
    if _State.job is None:
        _State.job = _join(place, warn)
        atexit.register(leave)
    return _State.job


def _join(place: Launched, warn: Callable[[str], None]) -> MpiJob:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of mpi4py, on launchers of another MPI: we say it ourselves
            from mpi4py import MPI  # noqa: PLC0415
    except (ImportError, RuntimeError) as error:
        raise WorkerError(
            f"{place.by} started {place.size} processes, but mpi4py finds no MPI library "
            f"({str(error).splitlines()[0]}); load the module of that MPI, or set MPI4PY_LIBMPI to its libmpi.so"
        ) from error
    world = MPI.COMM_WORLD
    library = " ".join(MPI.Get_library_version().split()[:4]).split(",")[0]
    if world.size != place.size:
        raise WorkerError(
            f"{place.by} started {place.size} processes, but mpi4py's {library} sees {world.size}: they are of "
            "different MPIs, and each process would do everything; use the mpirun of that MPI, or set MPI4PY_LIBMPI "
            f"to the launcher's libmpi.so (or unset {place.variable} for a process on its own)"
        )
    if MPI.Query_thread() < MPI.THREAD_SERIALIZED:
        raise WorkerError(f"{library} was started without threads (MPI_THREAD_SERIALIZED), which rank 0 needs")
    comm, request = world.Idup()
    told = time.monotonic()
    while not request.Test():
        time.sleep(_BETWEEN)
        if time.monotonic() - told > _TELL_AFTER:
            told = float("inf")
            warn(f"rank {world.rank} waits for the others: this is a collective call, which all {world.size} must make")
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    return MpiJob(comm.rank, comm.size, socket.gethostname(), node.rank, node.size, comm)


def silent_code() -> int | None:
    """Return the exit code of a rank that leaves the telling to rank 0; None where rank 0 does not, and it must tell.

    A launcher ends all at the first code that is not 0: rank 0's shall be that one, once it has told. (MPICH's
    then kills the rest, and mixes that into the job's code.)
    """
    job = _State.job
    if job is None:
        time.sleep(_UNJOINED_WAIT)
        return None
    job.lingers = not job.stuck
    return None if job.stuck else 0


def leave(code: int = 1) -> bool:
    """End MPI before this process ends, and return whether there was a job to be ended.

    Once, where it is called again as Python ends. After a failure, a job of which a rank does not come to its end is
    aborted, with ``code``, or 1 where that is 0.
    """
    job, _State.job = _State.job, None
    if job is None:
        return False
    from mpi4py import MPI  # noqa: PLC0415

    if job.parting is not None:
        job.parting()
    failing = job.stuck or hasattr(sys, "last_type")  # by an exception that nobody has caught
    # Where all goes well the others may be about work of their own, for as long as they like.
    deadline = time.monotonic() + (_LAST_WAIT if failing else float("inf"))
    ends = job.comm.Ibarrier()  # MPI.Finalize would wait as well, and keep a core busy
    while not ends.Test():
        if time.monotonic() > deadline:
            MPI.COMM_WORLD.Abort(code or 1)
        time.sleep(_BETWEEN)
    MPI.Finalize()
    if job.lingers:
        time.sleep(_HEAD_START)
    return True
