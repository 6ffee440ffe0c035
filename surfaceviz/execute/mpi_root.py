"""Rank 0 of an MPI job, which assigns chunks to all ranks and works on some itself."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from surfaceviz.errors import Interrupted, SurfacevizError, WorkerError
from surfaceviz.execute.chunk_scheduler import ChunkScheduler
from surfaceviz.execute.mpi_job import MpiJob
from surfaceviz.execute.tasks import ChunkFunction, ChunkT, ResultT, TaskResult

# Ours, measured by scripts/bench_scaling.py. All in seconds.
_POLL_INTERVALS = 0.0002, 0.005  # between two checks for messages: just after one, and at most
_FLUSH_WAIT = 60.0  # for the last messages of a job without an error
_STOP_WAIT = 3.0  # for ranks to confirm that they stop; then they count as unresponsive
_WARN_AFTER = 30.0  # of silence, before the user is warned; each further warning after twice the time
_OWN_ERROR_FIRST = 3.0  # for this process to raise an error that all ranks raise, before `gather_reports`
_ALIVE_INTERVAL = 10.0  # between two messages to every rank; a rank without messages ends

Alarm = Callable[[Callable[[], None]], None]
Warn = Callable[[str], None]


class MpiWorkerFailed(BaseException):
    """Another rank has failed. It is not an `Exception`, so that no other code handles it."""


class MpiRoot:
    """Rank 0's view of the other ranks of a job.

    One thread sends and receives all messages, so that the other ranks get chunks while this process computes.

    Args:
        job: job in which this process is rank 0.
        alarm: called in that thread when a rank has failed, with a function that raises `MpiWorkerFailed` in the main
            thread. `gather_reports` and `map_unordered` raise the error of the failed rank directly.
        warn: called with a line about ranks that are waited for.

    Attributes:
        failure: error of another rank.
    """

    def __init__(self, job: MpiJob, alarm: Alarm, warn: Warn) -> None:
        self._job, self._alarm, self._warn = job, alarm, warn
        self._others = range(1, job.size)
        self._changed = threading.Condition()  # guards all attributes below
        self._outbox: deque[tuple[int, str, Any]] = deque()
        self._reports: dict[int, tuple[str, Any]] = {}  # rank -> host, content
        self._hosts: dict[int, str] = {}
        self._chunks: Sequence[Any] = ()
        self._scheduler = ChunkScheduler(job.size)
        self._results: deque[tuple[int, int, Any]] = deque()  # chunk, rank, result
        self.failure: SurfacevizError | None = None
        # Whether the alarm is raised at once: before `gather_reports`, an error of this process comes first.
        self._alarm_at_once = False
        self._alarm_time = float("inf")
        self._failure_raised = False
        self._stopped: set[int] = set()
        self._ended = False
        self._thread = threading.Thread(target=self._exchange_messages, name="surfaceviz-mpi-root", daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """The number of ranks, this one included."""
        return self._job.size

    def broadcast(self, message: Any) -> None:
        """Send a message to every other rank, which gets it from `MpiWorker.receive`."""
        with self._changed:
            self._outbox += [(rank, "message", message) for rank in self._others]

    def gather_reports(self) -> list[tuple[str, Any]]:
        """Wait for one report of each other rank; return (name of the rank, report) in the order of the ranks.

        Raises:
            SurfacevizError: a rank has failed; the message names it.
        """
        with self._changed:
            self._alarm_at_once = True
            while len(self._reports) < len(self._others):
                self._wait(lambda: [r for r in self._others if r not in self._reports], "has not answered yet")
            reports = [(self._name(rank), self._reports[rank][1]) for rank in self._others]
            self._reports = {}
        return reports

    def map_unordered(
        self, chunks: Sequence[ChunkT], function: ChunkFunction[ChunkT, ResultT]
    ) -> Iterator[TaskResult[ChunkT, ResultT]]:
        """Yield each chunk with its result, computed by any rank, in order of completion."""
        with self._changed:
            self._chunks = chunks
            self._scheduler.load(len(chunks))
        left = len(chunks)
        while left:
            with self._changed:
                arrived, self._results = self._results, deque()
                self._raise_failure()
                own = self._scheduler.take(0) if not arrived else None
                if not arrived and own is None:
                    self._wait(lambda: self._scheduler.busy_ranks, "is still computing its points")
            for index, rank, result in arrived:
                left -= 1
                yield TaskResult(chunks[index], result, rank)
            if own is not None:
                result = function(chunks[own])
                left -= 1
                yield TaskResult(chunks[own], result, 0)

    def map_workers(self, message: ChunkT, function: ChunkFunction[ChunkT, ResultT]) -> list[ResultT]:
        """Return the answer of every rank to a message, in the order of the ranks; this process answers first."""
        self.broadcast(message)
        own = function(message)
        return [own, *(answer for _, answer in self.gather_reports())]

    def _wait(self, missing: Callable[[], list[int]], doing: str) -> None:
        """Wait for a message; warn of a missing rank when that takes long."""
        begun, patience = time.monotonic(), _WARN_AFTER
        while not self._changed.wait(0.1):
            if self.failure is not None or self._results or self._scheduler.may_take(0):
                break
            if time.monotonic() - begun > patience and (ranks := missing()):
                patience *= 2
                self._warn(f"waiting for {self._name(ranks[0])}, which {doing}")
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self.failure is not None:
            self._failure_raised = True
            raise self.failure

    def _raise_worker_failed(self) -> None:
        if not self._failure_raised:
            raise MpiWorkerFailed

    def _name(self, rank: int) -> str:
        return f"rank {rank}" + (f" on {self._hosts[rank]}" if rank in self._hosts else "")

    def end(self, error: BaseException | None) -> None:
        """Let the ranks end; with an error, stop them.

        After a signal there is no time to wait for them; the waiting is then left to `MpiJob.finish_call`.
        """
        self._failure_raised = True
        if error is not None:
            with self._changed:
                self._outbox = deque((rank, "stop", str(error)) for rank in self._others)
        if isinstance(error, Interrupted):
            self._job.finish_call = self._finish
        else:
            self._finish(stopping=error is not None)

    def _finish(self, *, stopping: bool = True) -> None:
        """Wait for stopping ranks to confirm; mark the job as unresponsive where one does not."""
        self._job.finish_call = None
        deadline = time.monotonic() + _STOP_WAIT
        with self._changed:
            while stopping and len(self._stopped) < len(self._others) and time.monotonic() < deadline:
                self._changed.wait(0.05)
            self._job.unresponsive |= stopping and len(self._stopped) < len(self._others)
        self._ended = True
        self._thread.join(_STOP_WAIT if stopping else _FLUSH_WAIT)
        self._job.unresponsive |= self._thread.is_alive()

    def _exchange_messages(self) -> None:
        try:
            interval, alive_sent = _POLL_INTERVALS[0], time.monotonic()
            while not (self._ended and not self._outbox and (self._job.progress() or self._job.unresponsive)):
                if time.monotonic() - alive_sent > _ALIVE_INTERVAL:
                    alive_sent = time.monotonic()
                    for rank in self._others:
                        self._job.send(rank, "alive")
                active = self._receive() | self._send()
                if time.monotonic() > self._alarm_time:
                    self._alarm_time = float("inf")
                    self._alarm(self._raise_worker_failed)
                interval = _POLL_INTERVALS[0] if active else min(2 * interval, _POLL_INTERVALS[1])
                time.sleep(interval)
        except Exception as error:  # noqa: BLE001  an error of the MPI library, which the main thread raises
            self._fail(WorkerError(f"the MPI job has broken down: {type(error).__name__}: {error}"))
            self._job.unresponsive = True
            self._alarm(self._raise_worker_failed)

    def _send(self) -> bool:
        with self._changed:
            self._assign_chunks()
            messages, self._outbox = self._outbox, deque()
        for rank, kind, content in messages:
            self._job.send(rank, kind, content)
        self._job.progress()
        return bool(messages)

    def _assign_chunks(self) -> None:
        self._outbox += [(rank, "chunk", (index, self._chunks[index])) for rank, index in self._scheduler.assign()]

    def _receive(self) -> bool:
        received = False
        while (message := self._job.receive()) is not None:
            received = True
            with self._changed:
                self._handle(*message)
                self._assign_chunks()
                self._changed.notify_all()
        return received

    def _handle(self, rank: int, kind: str, content: Any) -> None:
        if kind == "report":
            self._hosts[rank], _ = self._reports[rank] = content
        elif kind == "ready":
            self._scheduler.add_rank(rank)
        elif kind == "done":
            index, result = content
            self._scheduler.mark_done(rank, index)
            self._results.append((index, rank, result))
        elif kind == "stopped":
            self._stopped.add(rank)
        elif kind == "failed":
            self._hosts[rank], error = content
            named = type(error)(f"{self._name(rank)}: {error}")
            for note in getattr(error, "__notes__", ()):
                named.add_note(note)
            self._fail(named)

    def _fail(self, error: SurfacevizError) -> None:
        if self.failure is None:
            self.failure = error
            self._alarm_time = time.monotonic() + (0.0 if self._alarm_at_once else _OWN_ERROR_FIRST)


@contextmanager
def act_as_mpi_root(job: MpiJob, alarm: Alarm, warn: Warn) -> Iterator[MpiRoot]:
    """Act as rank 0 for a ``with`` block; an exception that leaves the block stops the other ranks too.

    Every rank makes one collective call at a time: rank 0 enters this block, and every other rank enters
    `act_as_mpi_worker`.

    Args:
        job: job in which this process is rank 0.
        alarm: interrupts the main thread with a function that raises, such as `signals.post`.
        warn: called with a line about ranks that are waited for.

    Raises:
        SurfacevizError: another rank has failed; the message names it.
    """
    job.begin_call()
    root = MpiRoot(job, alarm, warn)
    try:
        yield root
    except MpiWorkerFailed:
        assert root.failure is not None
        root.end(root.failure)
        raise root.failure from None
    except BaseException as error:
        root.end(error)
        raise
    root.end(None)
