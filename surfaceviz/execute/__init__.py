"""One `map_unordered`: a serial loop, local processes, or the ranks of an MPI job. It knows no loss."""

from surfaceviz.execute.crew import Crew, leading
from surfaceviz.execute.job import Job, joined, launched, leave, silent_code
from surfaceviz.execute.machine import available_memory, can_fork, cores, keep_memory
from surfaceviz.execute.mapping import map_each, map_unordered
from surfaceviz.execute.member import Dismissed, Member, following
from surfaceviz.execute.work import Done, Make, Run, Workers

__all__ = [
    "Crew", "Dismissed", "Done", "Job", "Make", "Member", "Run", "Workers", "available_memory", "can_fork",
    "cores", "following", "joined", "keep_memory", "launched", "leading", "leave", "map_each", "map_unordered",
    "silent_code",
]  # fmt: skip
