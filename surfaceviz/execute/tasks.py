"""Types of the work that is distributed: chunks, functions of workers, results."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from surfaceviz.errors import SurfacevizError, WorkerError, user_code_location

if TYPE_CHECKING:
    from surfaceviz.execute.mpi_root import MpiRoot

ChunkT = TypeVar("ChunkT")
ResultT = TypeVar("ResultT")
ChunkFunction = Callable[[ChunkT], ResultT]
FunctionFactory = Callable[[int], ChunkFunction[ChunkT, ResultT]]  # number of the worker -> its function


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """Number and kind of the workers.

    Attributes:
        count: number of processes; 1 means this process.
        method: how they start. ``fork`` shares all that this process holds, at no cost in time or memory;
            ``spawn`` rebuilds everything; ``mpi`` means that a launcher has started them.
        root: the other ranks of the MPI job, for ``mpi``.
    """

    count: int = 1
    method: str = "spawn"
    root: MpiRoot | None = None


@dataclass(frozen=True, slots=True)
class TaskResult(Generic[ChunkT, ResultT]):
    """A chunk, its result, and the number of the worker that computed it."""

    chunk: ChunkT
    result: ResultT
    worker: int


RunChunks = Callable[[Sequence[ChunkT]], Iterator[TaskResult[ChunkT, ResultT]]]


def picklable_error(error: BaseException, place: str) -> SurfacevizError:
    """Return an error that can be pickled, with the traceback as a note.

    Args:
        error: the exception that was raised.
        place: name of the worker, for the note.
    """
    kind = type(error) if isinstance(error, SurfacevizError) else WorkerError
    message = (
        str(error)
        if isinstance(error, SurfacevizError)
        else f"{type(error).__name__}: {error}{user_code_location(error)}"
    )
    picklable = kind(message)
    picklable.add_note(f"in {place}:\n" + "".join(traceback.format_exception(error)))
    return picklable
