"""Functions that distribute work over a serial loop, local processes or MPI ranks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from surfaceviz.execute.process_pool import ProcessPool
from surfaceviz.execute.tasks import ChunkT, FunctionFactory, ResultT, RunChunks, TaskResult, WorkerSpec

AskWorkers = Callable[[ChunkT], Sequence[ResultT]]  # message -> the answer of each worker


@contextmanager
def map_unordered(make: FunctionFactory[ChunkT, ResultT], workers: WorkerSpec) -> Iterator[RunChunks[ChunkT, ResultT]]:
    """Provide, for a ``with`` block, a function that yields each chunk with its result, in order of completion.

    The function may be called again with more chunks, for example when results decide what to compute next. Local
    workers start with the block, before the caller starts threads, which do not survive a fork. The end of the block
    kills them at once. The ranks of an MPI job have functions of their own (`MpiWorker.process_chunks`); this process
    works too.

    Args:
        make: builds the function from the number of a worker, once in each worker; picklable for ``spawn``.
        workers: number and kind of the workers.

    Raises:
        WorkerError: a worker died twice on one chunk, or raised an error that is not a `SurfacevizError`.
        SurfacevizError: a worker raised it; it arrives with its class and message.
    """
    if workers.root is not None:
        root, function = workers.root, make(0)
        yield lambda chunks: root.map_unordered(chunks, function)
    elif workers.count <= 1:
        function = make(0)
        yield lambda chunks: (TaskResult(chunk, function(chunk), 0) for chunk in chunks)
    else:
        pool = ProcessPool(make, workers)
        try:
            yield pool.map_unordered
        finally:
            pool.end()


@contextmanager
def map_workers(make: FunctionFactory[ChunkT, ResultT], workers: WorkerSpec) -> Iterator[AskWorkers[ChunkT, ResultT]]:
    """Provide, for a ``with`` block, a function that sends one message to every worker and returns all answers.

    The answers come in the order of the workers, so that a sum over them has the same bits each time. A worker keeps
    its state from one message to the next. Use it where each worker does its own share, such as sums over data.

    Args:
        make: builds the function from the number of a worker, once in each worker; picklable for ``spawn``.
        workers: number and kind; the ranks of an MPI job have functions of their own (`MpiWorker.answer_messages`).

    Raises:
        WorkerError: a worker died, and its state with it, or raised an error that is not a `SurfacevizError`.
        SurfacevizError: a worker raised it; it arrives with its class and message.
    """
    if workers.root is not None:
        root, function = workers.root, make(0)
        yield lambda message: root.map_workers(message, function)
    elif workers.count <= 1:
        function = make(0)
        yield lambda message: [function(message)]
    else:
        pool = ProcessPool(make, workers, attempts=1)
        try:
            yield pool.map_workers
        finally:
            pool.end()
