"""Baseline: the built-in map; the ranks are threads here, and their mail a queue, so that any order can be had."""

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
    Dismissed,
    MpiRoot,
    MpiWorker,
    WorkerSpec,
    chunk_scheduler,
    leading,
    map_unordered,
    mpi_root,
)
from surfaceviz.execute.mpi_job import MpiJob


class Threaded(MpiJob):
    """A rank whose mail goes through memory."""

    def __init__(self, rank: int, size: int, mail: defaultdict[int, deque[Any]]) -> None:
        super().__init__(rank, size, f"host{rank}", rank, size, None)
        self._mail = mail

    def send(self, rank: int, kind: str, content: Any = None) -> None:
        self._mail[rank].append((self.rank, kind, content))

    def receive(self) -> tuple[int, str, Any] | None:
        return self._mail[self.rank].popleft() if self._mail[self.rank] else None


class Rank(threading.Thread):
    """Serves a function; keeps how it ended."""

    def __init__(self, job: MpiJob, function: Callable[[int], int], delay: float = 0.0) -> None:
        super().__init__(daemon=True)
        self.member, self._function, self._delay = MpiWorker(job), function, delay
        self.told: Any = None
        self.error: BaseException | None = None
        self.count = 0

    def run(self) -> None:
        try:
            time.sleep(self._delay)
            self.member.serve(self._counted)
            self.told = self.member.hear()
        except Dismissed as error:
            self.error = error
        except Exception as error:  # noqa: BLE001  as `following` does
            self.error = error
            self.member.fail(error)

    def _counted(self, chunk: int) -> int:
        self.count += 1
        return self._function(chunk)


@contextmanager
def _root(*ranks: Callable[[int], int], delays: dict[int, float] | None = None) -> Iterator[tuple[MpiRoot, list[Rank]]]:
    """Lead threads that serve functions, each after a delay."""
    mail: defaultdict[int, deque[Any]] = defaultdict(deque)
    size = len(ranks) + 1
    threads = [Rank(Threaded(i + 1, size, mail), f, (delays or {}).get(i + 1, 0.0)) for i, f in enumerate(ranks)]
    with (
        signals.interruptible(),
        leading(Threaded(0, size, mail), signals.raise_in_main_thread, warnings.append) as led,
    ):
        led._armed = True  # as after `hear`
        for thread in threads:
            thread.start()
        yield led, threads
        led.tell("end")
    for thread in threads:
        thread.join(10)


warnings: list[str] = []


def _square(x: int) -> int:
    time.sleep(0.001)
    return x * x


def _run(led: MpiRoot, chunks: range, function: Callable[[int], int] = _square) -> dict[int, tuple[int, int]]:
    with map_unordered(lambda _number: function, WorkerSpec(led.size, "mpi", led)) as run:
        return {done.chunk: (done.result, done.worker) for done in run(chunks)}


def test_the_results_are_those_of_map_round_after_round() -> None:
    with _root(_square, _square) as (led, ranks):
        for count in (40, 0, 1, 7, 200):
            done = _run(led, range(count))
            assert {x: result for x, (result, _) in done.items()} == {x: x * x for x in range(count)}
        assert {worker for _, worker in done.values()} == {0, 1, 2}
    assert [rank.told for rank in ranks] == ["end", "end"]


def test_a_chunk_is_kept_for_a_rank_that_comes_late() -> None:
    with _root(_square, _square, delays={2: 0.5}) as (led, _):
        done = _run(led, range(30))
        assert {worker for _, worker in done.values()} == {0, 1, 2}


def test_a_rank_that_comes_too_late_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chunk_scheduler, "WAITS_FOR_ALL", 0.2)
    begun = time.monotonic()
    with _root(_square, _square, delays={2: 3.0}) as (led, _):
        done = _run(led, range(30))
        assert {worker for _, worker in done.values()} == {0, 1}
        assert time.monotonic() - begun < 2


def test_fewer_chunks_than_ranks_are_done_at_once() -> None:
    begun = time.monotonic()
    with _root(*[_square] * 5) as (led, _):
        for count in (1, 3, 5):
            assert len(_run(led, range(count))) == count
    assert time.monotonic() - begun < 3


def test_no_rank_takes_a_second_chunk_while_the_last_ones_are_handed_out() -> None:
    """Four slow chunks on four ranks take the time of one."""

    def slow(x: int) -> int:
        time.sleep(0.5)
        return x

    with _root(slow, slow, slow) as (led, ranks):
        _run(led, range(4), slow)
        assert [rank.count for rank in ranks] == [1, 1, 1]


def _failing(x: int) -> int:
    if x >= 9:
        raise ProblemError("bad point")
    return _square(x)


def _idle(x: int) -> int:
    time.sleep(0.05)
    return x


def test_a_failure_is_raised_by_rank_0_with_the_ranks_name_and_ends_the_others() -> None:
    with (
        pytest.raises(ProblemError, match="rank 1: bad point|rank 1 on host1: bad point") as caught,
        _root(_failing, _square) as (led, ranks),
    ):
        _run(led, range(10**6), _idle)
    assert "in _failing" in "".join(caught.value.__notes__)
    ranks[1].join(10)
    assert isinstance(ranks[1].error, Dismissed)


def test_a_failure_interrupts_a_long_point_of_rank_0() -> None:
    begun = time.monotonic()
    with pytest.raises(ProblemError, match="rank 1 on host1: bad point"), _root(_failing) as (led, _):
        _run(led, range(10**6), lambda _x: time.sleep(60) or 0)  # type: ignore[func-returns-value]
    assert time.monotonic() - begun < 10


def test_code_that_swallows_everything_does_not_swallow_a_failure() -> None:
    def deaf(x: int) -> int:
        for _ in range(100):
            with contextlib.suppress(BaseException):  # what users write
                time.sleep(0.01)
        return x

    with pytest.raises(ProblemError, match="rank 1 on host1: bad point"), _root(_failing) as (led, _):
        _run(led, range(10**6), deaf)


def test_an_error_of_rank_0_dismisses_the_others() -> None:
    def broken(_x: int) -> int:
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"), _root(_square, _square) as (led, ranks):
        _run(led, range(100), broken)
    for rank in ranks:
        rank.join(10)
        assert str(rank.error) == "rank 0 has stopped: mine"


def test_the_user_is_told_who_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpi_root, "_SILENCE", 0.2)
    warnings.clear()

    def slow(x: int) -> int:
        time.sleep(0.5)
        return x

    with _root(slow) as (led, _):
        _run(led, range(2), lambda x: x)
    assert warnings[0] == "waiting for rank 1, which is still at its points"
