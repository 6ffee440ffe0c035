"""One `map_unordered`: a serial loop, or local processes. It knows no loss."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, Generic, TypeVar

from surfaceviz.errors import SurfacevizError, WorkerError

ChunkT = TypeVar("ChunkT")
ResultT = TypeVar("ResultT")
Make = Callable[[], Callable[[ChunkT], ResultT]]

_LIVES = 2  # a chunk whose worker dies is given once more


@dataclass(frozen=True, slots=True)
class Workers:
    """Where the work is done.

    Attributes:
        count: processes; 1 means this one.
        method: how they start: ``fork`` takes over all that this one holds, at no cost in time or memory;
            ``spawn`` builds everything anew.
    """

    count: int = 1
    method: str = "spawn"


@dataclass(frozen=True, slots=True)
class Done(Generic[ChunkT, ResultT]):
    """A chunk, its result, and the number of the worker that made it."""

    chunk: ChunkT
    result: ResultT
    worker: int


Run = Callable[[Sequence[ChunkT]], Iterator[Done[ChunkT, ResultT]]]


def keep_memory() -> None:
    """Let this process keep what it frees from now on, where the C library is glibc; it stays so.

    By default large blocks go back to the system as they are freed, and the next ones come as zeroed pages, one
    fault each, which convolutions with megabytes of output spend much of their time on.
    """
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    libc.malloc_trim(0)  # what was freed before goes back
    libc.mallopt(mmap_threshold, 1 << 30)
    libc.mallopt(trim_threshold, (1 << 31) - 1)
    libc.mallopt(top_pad, 64 << 20)


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def can_fork() -> bool:
    """Return whether a process can be copied with all it holds: on Linux; macOS's libraries don't bear it."""
    return "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"


@contextmanager
def map_unordered(make: Make[ChunkT, ResultT], workers: Workers) -> Iterator[Run[ChunkT, ResultT]]:
    """Give, for a ``with`` block, a function that yields each of some chunks with its result, in the order done.

    It may be called again with more chunks, as results tell what to do next. Workers start with the block,
    before the caller starts threads, which a fork would not carry over; they end with it at once, whatever
    they do.

    Args:
        make: builds the function, once in each worker; picklable for ``spawn``.
        workers: where.

    Raises:
        WorkerError: a worker died twice over one chunk, or raised an error that is not ours;
            a `SurfacevizError` arrives as it was.
    """
    if workers.count <= 1:
        function = make()
        yield lambda chunks: (Done(chunk, function(chunk), 0) for chunk in chunks)
        return
    pool = _Pool(make, workers)
    try:
        yield pool.run
    finally:
        pool.end()


@dataclass(slots=True)
class _Worker:
    number: int
    process: BaseProcess
    pipe: Connection
    index: int | None = None  # of the chunk in work


class _Pool(Generic[ChunkT, ResultT]):
    """Worker processes, each with a pipe of its own; a chunk is handed out as one gets free."""

    def __init__(self, make: Make[ChunkT, ResultT], workers: Workers) -> None:
        self._make = make
        self._context: BaseContext = multiprocessing.get_context(workers.method)
        self._chunks: list[ChunkT] = []
        self._waiting: list[int] = []
        self._deaths: Counter[int] = Counter()
        self._workers: list[_Worker] = []
        try:
            for number in range(workers.count):
                self._workers.append(self._start(number))
        except BaseException:
            self.end()
            raise

    def run(self, chunks: Sequence[ChunkT]) -> Iterator[Done[ChunkT, ResultT]]:
        self._chunks, left = list(chunks), len(chunks)
        self._waiting, self._deaths = list(range(left))[::-1], Counter()
        for worker in self._workers:
            self._give(worker)
        while left:
            ready = wait([w.pipe for w in self._workers if w.index is not None])
            for worker in [w for w in self._workers if w.pipe in ready]:
                done = self._receive(worker)
                if done is not None:
                    left -= 1
                    yield done

    def end(self) -> None:
        for worker in self._workers:
            worker.process.kill()  # they hold nothing that is not ours already
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    def _start(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(  # type: ignore[attr-defined]
            target=_work, args=(self._make, theirs), name=f"surfaceviz-{number}", daemon=True
        )
        with warnings.catch_warnings():
            # Python 3.12 warns of forking beside threads; a worker touches neither theirs nor their locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        theirs.close()  # so that a dead worker's pipe ends
        return _Worker(number, process, ours)

    def _give(self, worker: _Worker) -> None:
        worker.index = self._waiting.pop() if self._waiting else None
        if worker.index is not None:
            try:
                worker.pipe.send(self._chunks[worker.index])
            except (BrokenPipeError, ConnectionResetError):
                self._replace(worker)

    def _receive(self, worker: _Worker) -> Done[ChunkT, ResultT] | None:
        assert worker.index is not None
        try:
            result, error = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._replace(worker)
            return None
        if error is not None:
            raise error
        done: Done[ChunkT, ResultT] = Done(self._chunks[worker.index], result, worker.number)
        self._give(worker)
        return done

    def _replace(self, worker: _Worker) -> None:
        """Start another in a dead worker's place and give it the chunk once more."""
        worker.process.join()
        code, index = worker.process.exitcode or 0, worker.index
        assert index is not None
        self._deaths[index] += 1
        if self._deaths[index] >= _LIVES:
            raise WorkerError(
                f"worker {worker.number} {_last_words(code)}, twice over the same points; try fewer --workers "
                "(memory), or --workers 1 to see it happen"
            )
        self._waiting.append(index)
        worker.pipe.close()
        fresh = self._start(worker.number)
        worker.process, worker.pipe = fresh.process, fresh.pipe
        self._give(worker)


def _last_words(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _work(make: Make[Any, Any], pipe: Connection) -> None:
    """Build the function and answer each chunk by (result, None) or (None, error), until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_follow_parent, daemon=True).start()
    keep_memory()
    function = None
    while True:
        try:
            chunk = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        answer: tuple[Any, SurfacevizError | None]
        try:
            function = function or make()
            answer = (function(chunk), None)
        except Exception as error:  # noqa: BLE001  whatever it is, the parent shall know
            answer = (None, _portable(error))
        pipe.send(answer)


def _portable(error: Exception) -> SurfacevizError:
    """Return an error that survives pickling, with the worker's traceback as a note."""
    ours = error if isinstance(error, SurfacevizError) else WorkerError(f"{type(error).__name__}: {error}")
    portable = type(ours)(str(ours))
    portable.add_note("in a worker:\n" + "".join(traceback.format_exception(error)))
    return portable


def _follow_parent() -> None:
    """End this process when its parent is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
