"""One `map_unordered` over a serial loop, local processes, or the ranks of an MPI job. It does not know losses."""

from surfaceviz.execute.launcher_watch import watch_launcher
from surfaceviz.execute.mapping import map_unordered, map_workers
from surfaceviz.execute.mpi_job import (
    MpiJob,
    MpiPlacement,
    join_mpi_job,
    leave_mpi_job,
    mpi_placement,
    mpi_versions,
    silent_exit_code,
)
from surfaceviz.execute.mpi_root import MpiRoot, act_as_mpi_root
from surfaceviz.execute.mpi_worker import MpiWorker, RootStoppedError, act_as_mpi_worker
from surfaceviz.execute.resources import available_memory, can_fork, cores, retain_freed_memory
from surfaceviz.execute.shared_memory import remove_dead_segments
from surfaceviz.execute.tasks import FunctionFactory, RunChunks, TaskResult, WorkerSpec

__all__ = [
    "FunctionFactory",
    "MpiJob",
    "MpiPlacement",
    "MpiRoot",
    "MpiWorker",
    "RootStoppedError",
    "RunChunks",
    "TaskResult",
    "WorkerSpec",
    "act_as_mpi_root",
    "act_as_mpi_worker",
    "available_memory",
    "can_fork",
    "cores",
    "join_mpi_job",
    "leave_mpi_job",
    "map_unordered",
    "map_workers",
    "mpi_placement",
    "mpi_versions",
    "remove_dead_segments",
    "retain_freed_memory",
    "silent_exit_code",
    "watch_launcher",
]  # fmt: skip
