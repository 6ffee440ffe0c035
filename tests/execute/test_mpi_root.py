"""Baseline: the built-in map; the ranks are threads and their messages a queue, so that a test decides every order."""

from __future__ import annotations

import contextlib
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from surfaceviz import signals
from surfaceviz.errors import ProblemError
from surfaceviz.execute import (
    MpiJob,
    MpiRoot,
    MpiWorker,
    RootStoppedError,
    WorkerSpec,
    act_as_mpi_root,
    chunk_scheduler,
    map_unordered,
    mpi_root,
)

LONG = 60.0  # seconds after which a wait for another thread fails the test


class ThreadJob(MpiJob):
    """A rank whose messages go through memory."""

    def __init__(self, rank: int, size: int, queues: defaultdict[int, deque[Any]]) -> None:
        super().__init__(rank=rank, size=size, host=f"host{rank}", local_rank=rank, local_size=size, comm=None)
        self._queues = queues

    def send(self, rank: int, kind: str, content: Any = None) -> None:
        self._queues[rank].append((self.rank, kind, content))

    def receive(self) -> tuple[int, str, Any] | None:
        return self._queues[self.rank].popleft() if self._queues[self.rank] else None


class Rank(threading.Thread):
    """Computes chunks once ``started`` is set, and keeps how it ended."""

    def __init__(self, job: MpiJob, function: Callable[[int], int]) -> None:
        super().__init__(daemon=True)
        self.worker, self._function = MpiWorker(job), function
        self.started = threading.Event()
        self.started.set()
        self.message: Any = None
        self.error: BaseException | None = None
        self.count = 0

    def run(self) -> None:
        try:
            self.started.wait(LONG)
            self.worker.process_chunks(self._counted)
            self.message = self.worker.receive()
        except RootStoppedError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001  as `act_as_mpi_worker` does
            self.error = error
            self.worker.fail(error)

    def _counted(self, chunk: int) -> int:
        self.count += 1
        return self._function(chunk)


def _ignore(_line: str) -> None:
    """Drop a warning."""


@contextmanager
def _root(
    *functions: Callable[[int], int], late: int | None = None, warn: Callable[[str], None] = _ignore
) -> Iterator[tuple[MpiRoot, list[Rank]]]:
    """Lead threads that compute functions; rank ``late`` starts when the test sets its event."""
    queues: defaultdict[int, deque[Any]] = defaultdict(deque)
    size = len(functions) + 1
    ranks = [Rank(ThreadJob(i, size, queues), function) for i, function in enumerate(functions, start=1)]
    if late is not None:
        ranks[late - 1].started.clear()
    with (
        signals.interruptible(),
        act_as_mpi_root(ThreadJob(0, size, queues), signals.raise_in_main_thread, warn) as root,
    ):
        root._alarm_at_once = True  # as after `gather_reports`
        for rank in ranks:
            rank.start()
        yield root, ranks
        root.broadcast("end")
    for rank in ranks:
        rank.started.set()
        rank.join(LONG)


def _square(x: int) -> int:
    time.sleep(0.001)
    return x * x


def _run(root: MpiRoot, chunks: range, function: Callable[[int], int] = _square) -> dict[int, tuple[int, int]]:
    with map_unordered(lambda _number: function, WorkerSpec(root.size, "mpi", root)) as run:
        return {done.chunk: (done.result, done.worker) for done in run(chunks)}


def test_the_results_are_those_of_map_round_after_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_scheduler, "LATE_RANK_SECONDS", float("inf"))
    workers = set()
    with _root(_square, _square) as (root, ranks):
        for count in (40, 0, 1, 7, 200):
            done = _run(root, range(count))
            assert {x: result for x, (result, _) in done.items()} == {x: x * x for x in range(count)}
            workers |= {worker for _, worker in done.values()}
    assert workers == {0, 1, 2}
    assert [rank.message for rank in ranks] == ["end", "end"]


def test_a_chunk_is_kept_for_a_late_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_scheduler, "LATE_RANK_SECONDS", float("inf"))
    with (
        _root(_square, _square, late=2) as (root, ranks),
        map_unordered(lambda _number: _square, WorkerSpec(3, "mpi", root)) as run,
    ):
        results = run(range(30))
        workers = [next(results).worker for _ in range(29)]  # all chunks but the one that is kept
        ranks[1].started.set()
        assert set(workers) == {0, 1}
        assert next(results).worker == 2


def test_a_rank_that_is_too_late_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_scheduler, "LATE_RANK_SECONDS", -1.0)
    with _root(_square, _square, late=2) as (root, ranks):
        done = _run(root, range(30))
        assert len(done) == 30
        assert not ranks[1].started.is_set()
        assert {worker for _, worker in done.values()} <= {0, 1}


def test_fewer_chunks_than_ranks_are_all_done() -> None:
    with _root(*[_square] * 5) as (root, _):
        for count in (1, 3, 5):
            assert len(_run(root, range(count))) == count


def test_no_rank_takes_a_second_chunk_while_the_last_ones_are_assigned() -> None:
    """Four chunks that each wait for the other three end only on four ranks."""
    barrier = threading.Barrier(4)

    def meet(x: int) -> int:
        barrier.wait(LONG)
        return x

    with _root(meet, meet, meet) as (root, ranks):
        _run(root, range(4), meet)
        assert [rank.count for rank in ranks] == [1, 1, 1]


def _failing(x: int) -> int:
    if x >= 9:
        raise ProblemError("bad point")
    return _square(x)


def _idle(x: int) -> int:
    time.sleep(0.05)
    return x


def test_rank_0_raises_a_failure_with_the_name_of_its_rank_and_stops_the_others() -> None:
    with (
        pytest.raises(ProblemError, match="rank 1: bad point|rank 1 on host1: bad point") as caught,
        _root(_failing, _square) as (root, ranks),
    ):
        _run(root, range(10**6), _idle)
    assert "in _failing" in "".join(caught.value.__notes__)
    ranks[1].join(LONG)
    assert isinstance(ranks[1].error, RootStoppedError)


def test_a_failure_interrupts_a_long_point_of_rank_0() -> None:
    finished: list[int] = []

    def long(x: int) -> int:
        time.sleep(LONG)
        finished.append(x)
        return x

    with pytest.raises(ProblemError, match="rank 1 on host1: bad point"), _root(_failing) as (root, _):
        _run(root, range(10**6), long)
    assert finished == []


def test_code_that_swallows_every_exception_does_not_swallow_a_failure() -> None:
    def swallowing(x: int) -> int:
        for _ in range(100):
            with contextlib.suppress(BaseException):  # as code of users does
                time.sleep(0.01)
        return x

    with pytest.raises(ProblemError, match="rank 1 on host1: bad point"), _root(_failing) as (root, _):
        _run(root, range(10**6), swallowing)


def test_an_error_of_rank_0_stops_the_others() -> None:
    def broken(_x: int) -> int:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), _root(_square, _square) as (root, ranks):
        _run(root, range(100), broken)
    for rank in ranks:
        rank.join(LONG)
        assert str(rank.error) == "rank 0 has stopped: mine"


def test_the_user_is_warned_of_a_rank_that_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpi_root, "_WARN_AFTER", 0.0)
    warned = threading.Event()
    lines: list[str] = []

    def warn(line: str) -> None:
        lines.append(line)
        warned.set()

    def wait(x: int) -> int:
        warned.wait(LONG)
        return x

    with _root(wait, warn=warn) as (root, _):
        _run(root, range(2), lambda x: x)
    assert lines[0] == "waiting for rank 1, which is still computing its points"
