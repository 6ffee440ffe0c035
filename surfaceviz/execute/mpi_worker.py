"""A rank other than 0 of an MPI job, which computes what rank 0 assigns."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from surfaceviz.errors import WorkerError
from surfaceviz.execute.mpi_job import MpiJob
from surfaceviz.execute.tasks import ChunkFunction, ChunkT, ResultT, picklable_error

# Seconds.
_POLL_INTERVALS = 0.0001, 0.005  # between two checks for messages: at first, and at most
_ROOT_TIMEOUT = 120.0  # without a message from rank 0, which sends one every ten
_SIGNAL_INTERVAL = 0.5  # between two checks for signals
_ROOT_FIRST = 2.0  # for rank 0 to stop all ranks after a signal that every rank got
_EXIT_WAIT = 10.0  # for rank 0 to end the job after a signal


class RootStoppedError(WorkerError):
    """Rank 0 has stopped, so this rank stops too."""


class MpiWorker:
    """The connection of this rank to rank 0."""

    def __init__(self, job: MpiJob) -> None:
        self._job = job
        self._messages: deque[Any] = deque()
        self._chunks: deque[tuple[int, Any]] = deque()
        self._root_active = False  # whether rank 0 has begun this call
        self.signalled: tuple[int, float] | None = None  # number of a signal, and when it came

    def report(self, content: Any) -> None:
        """Send a report to rank 0, which gets it from `MpiRoot.gather_reports`."""
        self._send("report", (self._job.host, content))

    def receive(self) -> Any:
        """Return the next message of `MpiRoot.broadcast`; wait for it.

        Raises:
            RootStoppedError: rank 0 has stopped.
        """
        while not self._messages:
            self._require_message()
        return self._messages.popleft()

    def process_chunks(self, function: ChunkFunction[ChunkT, ResultT]) -> None:
        """Compute the chunks of `MpiRoot.map_unordered` until rank 0 broadcasts, which `receive` then returns.

        Raises:
            RootStoppedError: rank 0 has stopped.
        """
        self._send("ready")
        while not self._messages:
            if not self._chunks:
                self._require_message()
                continue
            self._raise_own_signal()
            index, chunk = self._chunks.popleft()
            self._send("done", (index, function(chunk)))

    def answer_messages(self, function: ChunkFunction[Any, Any], kinds: tuple[type, ...]) -> Any:
        """Answer the messages of `MpiRoot.map_workers`; return the first message of another type.

        Args:
            function: gives the answer to a message.
            kinds: types of the messages to answer.

        Raises:
            RootStoppedError: rank 0 has stopped.
        """
        while isinstance(message := self.receive(), kinds):
            self._raise_own_signal()
            self.report(function(message))
        return message

    def fail(self, error: BaseException) -> None:
        """Send an error to rank 0, and wait until it stops this rank."""
        sent = picklable_error(error, f"rank {self._job.rank} on {self._job.host}")
        self._send("failed", (self._job.host, sent))
        try:
            while self._handle_next():
                pass
        except RootStoppedError:
            return
        self._job.unresponsive = True

    def _raise_own_signal(self) -> None:
        """Raise an error for a signal that only this rank got: rank 0 has not stopped for it."""
        if self.signalled is not None and time.monotonic() - self.signalled[1] > _ROOT_FIRST:
            signum, self.signalled = self.signalled[0], None
            raise WorkerError(f"ended by {signal.Signals(signum).name}")

    def _send(self, kind: str, content: Any = None) -> None:
        self._job.send(0, kind, content)
        _poll(lambda: self._job.progress() or None, time.monotonic() + _ROOT_TIMEOUT)

    def _require_message(self) -> None:
        """Wait for one message and store its content.

        Raises:
            WorkerError: rank 0 has been silent for too long.
        """
        if not self._handle_next():
            raise WorkerError(f"rank 0 has been silent for {_ROOT_TIMEOUT:g} s")

    def _handle_next(self) -> bool:
        """Wait for one message and store its content; return False where rank 0 has been silent for too long."""
        # Before its first message, rank 0 may do work of its own for as long as it likes.
        patience = _ROOT_TIMEOUT if self._root_active else float("inf")
        deadline, message = time.monotonic() + patience, None
        while message is None and time.monotonic() < deadline:
            self._raise_own_signal()
            message = _poll(self._job.receive, min(deadline, time.monotonic() + _SIGNAL_INTERVAL))
        if message is None:
            return False
        self._root_active = True
        _, kind, content = message
        if kind == "stop":
            self._send("stopped")
            raise RootStoppedError(f"rank 0 has stopped: {content}")
        if kind == "chunk":
            self._chunks.append(content)
        elif kind == "message":
            self._messages.append(content)
        return True


def _poll(check: Callable[[], Any], deadline: float) -> Any:
    """Return the first result of ``check`` that is not None; sleep between calls, to leave the core to others."""
    interval = _POLL_INTERVALS[0]
    while (result := check()) is None and time.monotonic() < deadline:
        time.sleep(interval)
        interval = min(1.5 * interval, _POLL_INTERVALS[1])
    return result


@contextmanager
def act_as_mpi_worker(job: MpiJob) -> Iterator[MpiWorker]:
    """Act as a worker of rank 0 for a ``with`` block; an exception that leaves it is sent to rank 0 and ends the job.

    Launchers send SIGINT and SIGTERM to all ranks. Rank 0 handles them, because it saves the results first. This rank
    ends by itself when rank 0 does not stop it in time.

    Args:
        job: job in which this process is not rank 0.

    Raises:
        RootStoppedError: rank 0 has stopped.
    """
    job.begin_call()
    worker = MpiWorker(job)
    with _signals_left_to_root(worker):
        try:
            yield worker
        except RootStoppedError:
            raise
        except BaseException as error:
            worker.fail(error)
            raise


@contextmanager
def _signals_left_to_root(worker: MpiWorker) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    timers: list[threading.Timer] = []

    def exit_later(signum: int, _frame: object) -> None:
        timer = threading.Timer(_EXIT_WAIT, os._exit, (128 + signum,))
        timer.daemon = True
        timer.start()
        worker.signalled = signum, time.monotonic()
        timers.append(timer)

    previous = {signum: signal.signal(signum, exit_later) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
        for timer in timers:
            timer.cancel()
