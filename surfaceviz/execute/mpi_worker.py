"""The side of every other rank of an MPI job: it does what rank 0 hands out."""

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
from surfaceviz.execute.tasks import ChunkT, Function, ResultT, portable

_PAUSES = 0.0001, 0.005  # seconds between two looks at the mail
_LOST = 120.0  # seconds without a word from rank 0, which says one every ten
_ROUND = 0.5  # seconds between two looks at what signals there were
_RANK_0_FIRST = 2.0  # seconds that rank 0 has to stop all for a signal that every rank was sent
_PATIENCE = 10.0  # seconds that rank 0 may take to end the job after a signal


class Dismissed(WorkerError):  # noqa: N818  no error of its own
    """Rank 0 has stopped, and so does this rank."""


class MpiWorker:
    """This rank's mail with rank 0."""

    def __init__(self, job: MpiJob) -> None:
        self._job = job
        self._told: deque[Any] = deque()
        self._chunks: deque[tuple[int, Any]] = deque()
        self._heard = False  # whether rank 0 has begun this call
        self.signalled: tuple[int, float] | None = None  # which, and when

    def _heed_signal(self) -> None:
        """Fail of a signal that was meant for this rank alone: rank 0 has not stopped for it."""
        if self.signalled is not None and time.monotonic() - self.signalled[1] > _RANK_0_FIRST:
            signum, self.signalled = self.signalled[0], None
            raise WorkerError(f"it was ended by {signal.Signals(signum).name}")

    def report(self, message: Any) -> None:
        """Send rank 0 a message, for `Crew.hear`."""
        self._send("report", (self._job.host, message))

    def hear(self) -> Any:
        """Return the next message that rank 0 told everybody.

        Raises:
            Dismissed: rank 0 has stopped.
        """
        while not self._told:
            self._expect()
        return self._told.popleft()

    def serve(self, function: Function[ChunkT, ResultT]) -> None:
        """Answer chunks until rank 0 tells something else, which `hear` then returns.

        Raises:
            Dismissed: rank 0 has stopped.
        """
        self._send("ready")
        while not self._told:
            if not self._chunks:
                self._expect()
                continue
            self._heed_signal()
            index, chunk = self._chunks.popleft()
            self._send("done", (index, function(chunk)))

    def answer(self, function: Function[Any, Any], kinds: tuple[type, ...]) -> Any:
        """Answer messages of some kinds, for `Crew.each`; return the first that is none of them.

        Raises:
            Dismissed: rank 0 has stopped.
        """
        while isinstance(message := self.hear(), kinds):
            self._heed_signal()
            self.report(function(message))
        return message

    def fail(self, error: BaseException) -> None:
        """Send rank 0 what went wrong, and wait for the end."""
        told = portable(error, f"rank {self._job.rank} on {self._job.host}")
        self._send("failed", (self._job.host, told))
        try:
            while self._next():
                pass
        except Dismissed:
            return
        self._job.stuck = True

    def _send(self, kind: str, content: Any = None) -> None:
        self._job.send(0, kind, content)
        _poll(lambda: self._job.progress() or None, time.monotonic() + _LOST)

    def _expect(self) -> None:
        """Take one message.

        Raises:
            WorkerError: none comes.
        """
        if not self._next():
            raise WorkerError(f"rank 0 has not been heard of for {_LOST:g} s")

    def _next(self) -> bool:
        """Return whether a message was there, or came in the time in which rank 0 says at least that it is alive."""
        patience = _LOST if self._heard else float("inf")  # before, it may be about work of its own
        deadline, message = time.monotonic() + patience, None
        while message is None and time.monotonic() < deadline:
            self._heed_signal()
            message = _poll(self._job.receive, min(deadline, time.monotonic() + _ROUND))
        if message is None:
            return False
        self._heard = True
        _, kind, content = message
        if kind == "stop":
            self._send("gone")
            raise Dismissed(f"rank 0 has stopped: {content}")
        if kind == "chunk":
            self._chunks.append(content)
        elif kind == "told":
            self._told.append(content)
        return True


def _poll(look: Callable[[], Any], deadline: float) -> Any:
    """Return what ``look`` finds; looking all the time would take a core from those who work."""
    pause = _PAUSES[0]
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(1.5 * pause, _PAUSES[1])
    return found


@contextmanager
def following(job: MpiJob) -> Iterator[MpiWorker]:
    """Follow rank 0 for a ``with`` block; an exception that leaves it is rank 0's to tell, and ends the job.

    SIGINT and SIGTERM, which launchers send to all ranks, are left to rank 0, which saves first; this rank
    ends by itself where nothing comes of it.
    """
    job.begin()
    member = MpiWorker(job)
    with _patient(member):
        try:
            yield member
        except Dismissed:
            raise
        except BaseException as error:
            member.fail(error)
            raise


@contextmanager
def _patient(member: MpiWorker) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    timers: list[threading.Timer] = []

    def wait_for_the_end(signum: int, _frame: object) -> None:
        timer = threading.Timer(_PATIENCE, os._exit, (128 + signum,))
        timer.daemon = True
        timer.start()
        member.signalled = signum, time.monotonic()
        timers.append(timer)

    previous = {signum: signal.signal(signum, wait_for_the_end) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
        for timer in timers:
            timer.cancel()
