"""A pool of local processes, one for each core or device."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from typing import Any, Generic

from surfaceviz.errors import SurfacevizError, WorkerError
from surfaceviz.execute.resources import retain_freed_memory
from surfaceviz.execute.tasks import ChunkT, FunctionFactory, ResultT, TaskResult, WorkerSpec, picklable_error

_ATTEMPTS = 2  # a chunk whose worker dies is tried once more


@dataclass(slots=True, kw_only=True)
class _WorkerProcess:
    number: int
    process: BaseProcess
    pipe: Connection
    index: int | None = None  # of the chunk that it works on


class ProcessPool(Generic[ChunkT, ResultT]):
    """Worker processes, each with a pipe of its own; a worker gets a chunk when it becomes free."""

    def __init__(
        self, make: FunctionFactory[ChunkT, ResultT], workers: WorkerSpec, *, attempts: int = _ATTEMPTS
    ) -> None:
        self._make, self._attempts = make, attempts
        self._context: BaseContext = multiprocessing.get_context(workers.method)
        self._chunks: list[ChunkT] = []
        self._unassigned: list[int] = []
        self._deaths: Counter[int] = Counter()
        self._workers: list[_WorkerProcess] = []
        try:
            for number in range(workers.count):
                self._workers.append(self._start(number))
        except BaseException:
            self.end()
            raise

    def map_unordered(self, chunks: Sequence[ChunkT]) -> Iterator[TaskResult[ChunkT, ResultT]]:
        """Yield each chunk with its result, in order of completion."""
        self._chunks, left = list(chunks), len(chunks)
        self._unassigned, self._deaths = list(range(left))[::-1], Counter()
        for worker in self._workers:
            self._send_next(worker)
        while left:
            ready = wait([w.pipe for w in self._workers if w.index is not None])
            for worker in [w for w in self._workers if w.pipe in ready]:
                done = self._receive(worker)
                if done is not None:
                    left -= 1
                    yield done

    def map_workers(self, message: ChunkT) -> list[ResultT]:
        """Return the answer of every worker to a message, in the order of the workers."""
        done = self.map_unordered([message] * len(self._workers))  # each gets one before any is free for a second
        return [each.result for each in sorted(done, key=lambda each: each.worker)]

    def end(self) -> None:
        """Kill the workers, whatever they are doing."""
        for worker in self._workers:
            worker.process.kill()  # all their results have been received
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    def _start(self, number: int) -> _WorkerProcess:
        pipe, far_end = self._context.Pipe()
        process = self._context.Process(  # type: ignore[attr-defined]
            target=_worker_main, args=(self._make, number, far_end), name=f"surfaceviz-{number}", daemon=True
        )
        with warnings.catch_warnings():
            # Python 3.12 warns about a fork in a process with threads; a worker uses neither them nor their locks.
            warnings.simplefilter("ignore", DeprecationWarning)
            process.start()
        far_end.close()  # so that the pipe of a dead worker ends
        return _WorkerProcess(number=number, process=process, pipe=pipe)

    def _send_next(self, worker: _WorkerProcess) -> None:
        worker.index = self._unassigned.pop() if self._unassigned else None
        if worker.index is not None:
            try:
                worker.pipe.send(self._chunks[worker.index])
            except (BrokenPipeError, ConnectionResetError):
                self._replace(worker)

    def _receive(self, worker: _WorkerProcess) -> TaskResult[ChunkT, ResultT] | None:
        assert worker.index is not None
        try:
            result, error = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._replace(worker)
            return None
        if error is not None:
            raise error
        done: TaskResult[ChunkT, ResultT] = TaskResult(self._chunks[worker.index], result, worker.number)
        self._send_next(worker)
        return done

    def _replace(self, worker: _WorkerProcess) -> None:
        """Replace a dead worker by a new process, and send it the same chunk.

        Raises:
            WorkerError: the chunk has had all its attempts.
        """
        worker.process.join()
        code, index = worker.process.exitcode or 0, worker.index
        assert index is not None
        self._deaths[index] += 1
        if self._deaths[index] >= self._attempts:
            repeated = ", twice on the same points" if self._attempts > 1 else ""
            raise WorkerError(
                f"worker {worker.number} {_exit_reason(code)}{repeated}; try fewer --workers (memory), or --workers 1 "
                "to see the error"
            )
        self._unassigned.append(index)
        worker.pipe.close()
        fresh = self._start(worker.number)
        worker.process, worker.pipe = fresh.process, fresh.pipe
        self._send_next(worker)


def _exit_reason(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name
    return f"was killed by {name}" + (" (out of memory?)" if name == "SIGKILL" else "")


def _worker_main(make: FunctionFactory[Any, Any], number: int, pipe: Connection) -> None:
    """Build the function and answer each chunk with (result, None) or (None, error), until the pipe ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()
    retain_freed_memory()
    function = None
    while True:
        try:
            chunk = pipe.recv()
        except (EOFError, ConnectionResetError):
            return
        answer: tuple[Any, SurfacevizError | None]
        try:
            function = function or make(number)
            answer = (function(chunk), None)
        except BaseException as error:  # noqa: BLE001  the parent gets every error
            answer = (None, picklable_error(error, "a worker"))
        pipe.send(answer)


def _die_with_parent() -> None:
    """Kill this process when its parent has ended, for whatever reason."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
