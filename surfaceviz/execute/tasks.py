"""What is shared out: chunks, the function of a worker, what comes back."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from surfaceviz.errors import SurfacevizError, WorkerError

if TYPE_CHECKING:
    from surfaceviz.execute.mpi_root import MpiRoot

ChunkT = TypeVar("ChunkT")
ResultT = TypeVar("ResultT")
Function = Callable[[ChunkT], ResultT]
Make = Callable[[int], Function[ChunkT, ResultT]]  # from the worker's number


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Where the work is done.

    Attributes:
        count: processes; 1 means this one.
        method: how they start: ``fork`` takes over all that this one holds, at no cost in time or memory;
            ``spawn`` builds everything anew; ``mpi``: they are there already.
        crew: the other ranks, for ``mpi``.
    """

    count: int = 1
    method: str = "spawn"
    root: MpiRoot | None = None


@dataclass(frozen=True, slots=True)
class TaskResult(Generic[ChunkT, ResultT]):
    """A chunk, its result, and the number of the worker that made it."""

    chunk: ChunkT
    result: ResultT
    worker: int


Run = Callable[[Sequence[ChunkT]], Iterator[TaskResult[ChunkT, ResultT]]]


def portable(error: BaseException, place: str) -> SurfacevizError:
    """Return an error that survives pickling, with its traceback as a note.

    Args:
        error: what was raised.
        place: the worker, as the note says it.
    """
    ours = error if isinstance(error, SurfacevizError) else WorkerError(f"{type(error).__name__}: {error}")
    alone = type(ours)(str(ours))
    alone.add_note(f"in {place}:\n" + "".join(traceback.format_exception(error)))
    return alone
