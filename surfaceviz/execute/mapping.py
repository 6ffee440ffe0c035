"""The one way to share work out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from surfaceviz.execute.process_pool import Pool
from surfaceviz.execute.tasks import ChunkT, Make, ResultT, Run, TaskResult, WorkerSpec

Each = Callable[[ChunkT], Sequence[ResultT]]


@contextmanager
def map_unordered(make: Make[ChunkT, ResultT], workers: WorkerSpec) -> Iterator[Run[ChunkT, ResultT]]:
    """Give, for a ``with`` block, a function that yields each of some chunks with its result, in the order done.

    It may be called again with more chunks, as results tell what to do next. Local workers start with the block,
    before the caller starts threads, which a fork would not carry over; they end with it at once, whatever
    they do. The ranks of an MPI job have functions of their own (`Member.serve`); this process works beside them.

    Args:
        make: builds the function from a worker's number, once in each worker; picklable for ``spawn``.
        workers: where.

    Raises:
        WorkerError: a worker died twice over one chunk, or raised an error that is not ours;
            a `SurfacevizError` arrives as it was.
    """
    if workers.root is not None:
        root, function = workers.root, make(0)
        yield lambda chunks: root.run(chunks, function)
    elif workers.count <= 1:
        function = make(0)
        yield lambda chunks: (TaskResult(chunk, function(chunk), 0) for chunk in chunks)
    else:
        pool = Pool(make, workers)
        try:
            yield pool.run
        finally:
            pool.end()


@contextmanager
def map_each(make: Make[ChunkT, ResultT], workers: WorkerSpec) -> Iterator[Each[ChunkT, ResultT]]:
    """Give, for a ``with`` block, a function that has every worker answer one message, and returns the answers.

    They come in the order of the workers, so that a sum over them is the same bits each time. A worker keeps what it
    has from one message to the next: for work of which each does its own share, such as sums over data.

    Args:
        make: builds the function from a worker's number, once in each worker; picklable for ``spawn``.
        workers: where; the ranks of an MPI job have functions of their own (`Member.answer`).

    Raises:
        WorkerError: a worker died, with what it had, or raised an error that is not ours; a `SurfacevizError` arrives
            as it was.
    """
    if workers.root is not None:
        root, function = workers.root, make(0)
        yield lambda message: root.each(message, function)
    elif workers.count <= 1:
        function = make(0)
        yield lambda message: [function(message)]
    else:
        pool = Pool(make, workers, lives=1)
        try:
            yield pool.each
        finally:
            pool.end()
