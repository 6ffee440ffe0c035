"""Rank 0's side of an MPI job: it hands out chunks, and works on some itself."""

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
from surfaceviz.execute.tasks import ChunkT, Function, ResultT, TaskResult

# Ours, measured by scripts/bench_scaling.py.
_PAUSES = 0.0002, 0.005  # seconds between two looks at the mail: just after some, and at most
_LAST_LETTERS = 60.0  # seconds that the last messages of a job that went well may take
_GRACE = 3.0  # seconds that ranks have to say goodbye before they count as stuck
_SILENCE = 30.0  # seconds without a word after which the user is told who is waited for, then twice as many
_OWN_FIRST = 3.0  # seconds that this process has to raise what all ranks do, before `hear`
_ALIVE = 10.0  # seconds between two words to every rank, which ends where none comes

Alarm = Callable[[Callable[[], None]], None]
Warn = Callable[[str], None]


class Summoned(BaseException):
    """Another rank has failed; no `Exception`, so that no code in between takes it for its own."""


class MpiRoot:
    """The other ranks of a job, as rank 0 sees them.

    One thread does all the talking, so that they are served while this process works.

    Args:
        job: of which this process is rank 0.
        alarm: called, in that thread, when a rank has failed, with what raises `Summoned` in the main thread; `hear`
            and `run` raise the failure itself.

    Attributes:
        failure: of another rank.
        warn: told of ranks that are waited for.
    """

    def __init__(self, job: MpiJob, alarm: Alarm, warn: Warn) -> None:
        self._job, self._alarm, self._warn = job, alarm, warn
        self._others = range(1, job.size)
        self._news = threading.Condition()  # guards all that follows
        self._outbox: deque[tuple[int, str, Any]] = deque()
        self._reports: dict[int, tuple[str, Any]] = {}  # rank -> host, content
        self._hosts: dict[int, str] = {}
        self._chunks: Sequence[Any] = ()
        self._handout = ChunkScheduler(job.size)
        self._results: deque[tuple[int, int, Any]] = deque()  # chunk, rank, result
        self.failure: SurfacevizError | None = None
        # Whether a failure elsewhere is news at once: before `hear`, what this process raises itself comes first.
        self._armed = False
        self._alarm_at = float("inf")
        self._heeded = False
        self._gone: set[int] = set()
        self._over = False
        self._thread = threading.Thread(target=self._talk, name="surfaceviz-crew", daemon=True)
        self._thread.start()

    @property
    def size(self) -> int:
        """The number of ranks, this one included."""
        return self._job.size

    def tell(self, message: Any) -> None:
        """Send a message to every rank."""
        with self._news:
            self._outbox += [(rank, "told", message) for rank in self._others]

    def hear(self) -> list[tuple[str, Any]]:
        """Return what each other rank reports, with its name, when all have.

        Raises:
            SurfacevizError: a rank has failed; it is named.
        """
        with self._news:
            self._armed = True
            while len(self._reports) < len(self._others):
                self._wait(lambda: [r for r in self._others if r not in self._reports], "has not answered yet")
            reports = [(self._name(rank), self._reports[rank][1]) for rank in self._others]
            self._reports = {}
        return reports

    def run(
        self, chunks: Sequence[ChunkT], function: Function[ChunkT, ResultT]
    ) -> Iterator[TaskResult[ChunkT, ResultT]]:
        """Yield each chunk with its result as it is done, by this process or another."""
        with self._news:
            self._chunks = chunks
            self._handout.load(len(chunks))
        left = len(chunks)
        while left:
            with self._news:
                arrived, self._results = self._results, deque()
                self._raise_failure()
                mine = self._handout.take(0) if not arrived else None
                if not arrived and mine is None:
                    self._wait(lambda: self._handout.busy, "is still at its points")
            for index, rank, result in arrived:
                left -= 1
                yield TaskResult(chunks[index], result, rank)
            if mine is not None:
                result = function(chunks[mine])
                left -= 1
                yield TaskResult(chunks[mine], result, 0)

    def each(self, message: ChunkT, function: Function[ChunkT, ResultT]) -> list[ResultT]:
        """Return the answer of every rank to a message, in their order, this process's own first."""
        self.tell(message)
        own = function(message)
        return [own, *(answer for _, answer in self.hear())]

    def _wait(self, missing: Callable[[], list[int]], what: str) -> None:
        """Wait for news; tell the user who is waited for where it takes long."""
        begun, patience = time.monotonic(), _SILENCE
        while not self._news.wait(0.1):
            if self.failure is not None or self._results or self._handout.may_take(0):
                break
            if time.monotonic() - begun > patience and (ranks := missing()):
                patience *= 2
                self._warn(f"waiting for {self._name(ranks[0])}, which {what}")
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self.failure is not None:
            self._heeded = True
            raise self.failure

    def _summon(self) -> None:
        if not self._heeded:
            raise Summoned

    def _name(self, rank: int) -> str:
        return f"rank {rank}" + (f" on {self._hosts[rank]}" if rank in self._hosts else "")

    def end(self, error: BaseException | None) -> None:
        """Let the ranks go; with an error, have them stop.

        After a signal there is no time to wait for them; what is left to wait for is then the job's `parting`.
        """
        self._heeded = True
        if error is not None:
            with self._news:
                self._outbox = deque((rank, "stop", str(error)) for rank in self._others)
        if isinstance(error, Interrupted):
            self._job.parting = self._part
        else:
            self._part(told=error is not None)

    def _part(self, *, told: bool = True) -> None:
        """Wait for the ranks' goodbyes where they were told to stop; mark the job as stuck where one does not."""
        self._job.parting = None
        deadline = time.monotonic() + _GRACE
        with self._news:
            while told and len(self._gone) < len(self._others) and time.monotonic() < deadline:
                self._news.wait(0.05)
            self._job.stuck |= told and len(self._gone) < len(self._others)
        self._over = True
        self._thread.join(_GRACE if told else _LAST_LETTERS)
        self._job.stuck |= self._thread.is_alive()

    def _talk(self) -> None:
        try:
            pause, told = _PAUSES[0], time.monotonic()
            while not (self._over and not self._outbox and (self._job.progress() or self._job.stuck)):
                if time.monotonic() - told > _ALIVE:
                    told = time.monotonic()
                    for rank in self._others:
                        self._job.send(rank, "alive")
                busy = self._receive() | self._send()
                if time.monotonic() > self._alarm_at:
                    self._alarm_at = float("inf")
                    self._alarm(self._summon)
                pause = _PAUSES[0] if busy else min(2 * pause, _PAUSES[1])
                time.sleep(pause)
        except Exception as error:  # noqa: BLE001  of the MPI library: the main thread raises it
            self._fail(WorkerError(f"the MPI job has come apart: {type(error).__name__}: {error}"))
            self._job.stuck = True
            self._alarm(self._summon)

    def _send(self) -> bool:
        with self._news:
            self._hand_out()
            letters, self._outbox = self._outbox, deque()
        for rank, kind, content in letters:
            self._job.send(rank, kind, content)
        self._job.progress()
        return bool(letters)

    def _hand_out(self) -> None:
        self._outbox += [(rank, "chunk", (index, self._chunks[index])) for rank, index in self._handout.due()]

    def _receive(self) -> bool:
        some = False
        while (message := self._job.receive()) is not None:
            some = True
            with self._news:
                self._enter(*message)
                self._hand_out()
                self._news.notify_all()
        return some

    def _enter(self, rank: int, kind: str, content: Any) -> None:
        if kind == "report":
            self._hosts[rank], _ = self._reports[rank] = content
        elif kind == "ready":
            self._handout.join(rank)
        elif kind == "done":
            index, result = content
            self._handout.put_back(rank, index)
            self._results.append((index, rank, result))
        elif kind == "gone":
            self._gone.add(rank)
        elif kind == "failed":
            self._hosts[rank], error = content
            named = type(error)(f"{self._name(rank)}: {error}")
            for note in getattr(error, "__notes__", ()):
                named.add_note(note)
            self._fail(named)

    def _fail(self, error: SurfacevizError) -> None:
        if self.failure is None:
            self.failure = error
            self._alarm_at = time.monotonic() + (0.0 if self._armed else _OWN_FIRST)


@contextmanager
def leading(job: MpiJob, alarm: Alarm, warn: Warn) -> Iterator[MpiRoot]:
    """Lead the other ranks for a ``with`` block; an exception that leaves it ends their part as well."""
    job.begin()
    root = MpiRoot(job, alarm, warn)
    try:
        yield root
    except Summoned:
        assert root.failure is not None
        root.end(root.failure)
        raise root.failure from None
    except BaseException as error:
        root.end(error)
        raise
    root.end(None)
