"""Local processes, one for each core or device."""

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
from surfaceviz.execute.resources import keep_memory
from surfaceviz.execute.tasks import ChunkT, Make, ResultT, TaskResult, WorkerSpec, portable

_LIVES = 2  # a chunk whose worker dies is given once more


@dataclass(slots=True)
class _Worker:
    number: int
    process: BaseProcess
    pipe: Connection
    index: int | None = None  # of the chunk in work


class Pool(Generic[ChunkT, ResultT]):
    """Worker processes, each with a pipe of its own; a chunk is handed out as one gets free."""

    def __init__(self, make: Make[ChunkT, ResultT], workers: WorkerSpec, *, lives: int = _LIVES) -> None:
        self._make, self._lives = make, lives
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

    def run(self, chunks: Sequence[ChunkT]) -> Iterator[TaskResult[ChunkT, ResultT]]:
        """Yield each chunk with its result as it is done."""
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

    def each(self, message: ChunkT) -> list[ResultT]:
        """Return every worker's answer to a message, in their order."""
        done = self.run([message] * len(self._workers))  # each gets one before any is free for a second
        return [each.result for each in sorted(done, key=lambda each: each.worker)]

    def end(self) -> None:
        """Kill the workers, whatever they do."""
        for worker in self._workers:
            worker.process.kill()  # they hold nothing that is not ours already
        for worker in self._workers:
            worker.process.join()
            worker.pipe.close()
        self._workers.clear()

    def _start(self, number: int) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(  # type: ignore[attr-defined]
            target=_work, args=(self._make, number, theirs), name=f"surfaceviz-{number}", daemon=True
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

    def _receive(self, worker: _Worker) -> TaskResult[ChunkT, ResultT] | None:
        assert worker.index is not None
        try:
            result, error = worker.pipe.recv()
        except (EOFError, ConnectionResetError):
            self._replace(worker)
            return None
        if error is not None:
            raise error
        done: TaskResult[ChunkT, ResultT] = TaskResult(self._chunks[worker.index], result, worker.number)
        self._give(worker)
        return done

    def _replace(self, worker: _Worker) -> None:
        """Start another in a dead worker's place and give it the chunk once more."""
        worker.process.join()
        code, index = worker.process.exitcode or 0, worker.index
        assert index is not None
        self._deaths[index] += 1
        if self._deaths[index] >= self._lives:
            often = ", twice over the same points" if self._lives > 1 else ""
            raise WorkerError(
                f"worker {worker.number} {_last_words(code)}{often}; try fewer --workers (memory), or --workers 1 to "
                "see it happen"
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


def _work(make: Make[Any, Any], number: int, pipe: Connection) -> None:
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
            function = function or make(number)
            answer = (function(chunk), None)
        except Exception as error:  # noqa: BLE001  whatever it is, the parent shall know
            answer = (None, portable(error, "a worker"))
        pipe.send(answer)


def _follow_parent() -> None:
    """End this process when its parent is gone, however it went."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os.kill(os.getpid(), signal.SIGKILL)
