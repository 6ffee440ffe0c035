"""One `map_unordered`: a serial loop, local processes, or the ranks of an MPI job. It knows no loss."""

from surfaceviz.execute.mapping import map_each, map_unordered
from surfaceviz.execute.mpi_job import MpiJob, joined, launched, leave, silent_code
from surfaceviz.execute.mpi_root import MpiRoot, leading
from surfaceviz.execute.mpi_worker import Dismissed, MpiWorker, following
from surfaceviz.execute.resources import available_memory, can_fork, cores, keep_memory
from surfaceviz.execute.tasks import Make, Run, TaskResult, WorkerSpec

__all__ = [
    "Dismissed",
    "Make",
    "MpiJob",
    "MpiRoot",
    "MpiWorker",
    "Run",
    "TaskResult",
    "WorkerSpec",
    "available_memory",
    "can_fork",
    "cores",
    "following",
    "joined",
    "keep_memory",
    "launched",
    "leading",
    "leave",
    "map_each",
    "map_unordered",
    "silent_code",
]  # fmt: skip
