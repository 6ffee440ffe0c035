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
from surfaceviz.execute.job import Job
from surfaceviz.execute.work import ChunkT, Function, ResultT, portable

_PAUSES = 0.0001, 0.005  # seconds between two looks at the mail
_LOST = 120.0  # seconds without a word from rank 0, which says one every ten
_PATIENCE = 10.0  # seconds that rank 0 may take to end the job after a signal or a failure here


class Dismissed(WorkerError):  # noqa: N818  no error of its own
    """Rank 0 has stopped, and so does this rank."""


class Member:
    """This rank's mail with rank 0."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._told: deque[Any] = deque()
        self._chunks: deque[tuple[int, Any]] = deque()

    def report(self, message: Any) -> None:
        """Send rank 0 a message, for `Crew.hear`."""
        self._send("report", (self._job.host, message))

    def hear(self) -> Any:
        """Return the next message that rank 0 told everybody.

        Raises:
            Dismissed: rank 0 has stopped.
        """
        while not self._told:
            self._next()
        return self._told.popleft()

    def serve(self, function: Function[ChunkT, ResultT]) -> None:
        """Answer chunks until rank 0 tells something else, which `hear` then returns.

        Raises:
            Dismissed: rank 0 has stopped.
        """
        self._send("ready")
        while not self._told:
            if not self._chunks:
                self._next()
                continue
            index, chunk = self._chunks.popleft()
            self._send("done", (index, function(chunk)))

    def fail(self, error: BaseException) -> None:
        """Send rank 0 what went wrong, and wait for the end."""
        deadline = time.monotonic() + _PATIENCE
        told = portable(error, f"rank {self._job.rank} on {self._job.host}")
        self._send("failed", (self._job.host, told), deadline)
        try:
            while time.monotonic() < deadline:
                self._next(deadline)
        except Dismissed:
            return
        self._job.stuck = True

    def _send(self, kind: str, content: Any = None, deadline: float | None = None) -> None:
        self._job.send(0, kind, content)
        _poll(lambda: self._job.progress() or None, deadline or time.monotonic() + _LOST)

    def _next(self, deadline: float | None = None) -> None:
        """Take one message, where there is one until the deadline; without, rank 0 must be there."""
        message = _poll(self._job.receive, deadline or time.monotonic() + _LOST)
        if message is None and deadline is None:
            raise WorkerError(f"rank 0 has not been heard of for {_LOST:g} s")
        if message is None:
            return
        _, kind, content = message
        if kind == "stop":
            self._send("gone")
            raise Dismissed(f"rank 0 has stopped: {content}")
        if kind == "chunk":
            self._chunks.append(content)
        elif kind == "told":
            self._told.append(content)


def _poll(look: Callable[[], Any], deadline: float) -> Any:
    """Return what ``look`` finds; looking all the time would take a core from those who work."""
    pause = _PAUSES[0]
    while (found := look()) is None and time.monotonic() < deadline:
        time.sleep(pause)
        pause = min(1.5 * pause, _PAUSES[1])
    return found


@contextmanager
def following(job: Job) -> Iterator[Member]:
    """Follow rank 0 for a ``with`` block; an exception that leaves it is rank 0's to tell, and ends the job.

    SIGINT and SIGTERM, which launchers send to all ranks, are left to rank 0, which saves first; this rank
    ends by itself where nothing comes of it.
    """
    job.begin()
    member = Member(job)
    with _patient():
        try:
            yield member
        except Dismissed:
            raise
        except BaseException as error:
            member.fail(error)
            raise


@contextmanager
def _patient() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def wait_for_the_end(signum: int, _frame: object) -> None:
        timer = threading.Timer(_PATIENCE, os._exit, (128 + signum,))
        timer.daemon = True
        timer.start()

    previous = {signum: signal.signal(signum, wait_for_the_end) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)
