"""Baseline: assignments worked out by hand; the clock is a number that the test sets."""

from __future__ import annotations

from surfaceviz.execute.chunk_scheduler import LATE_RANK_SECONDS, ChunkScheduler


class Clock:
    """A clock that stands still until it is set."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def _scheduler(size: int, count: int, *, ready: int) -> tuple[ChunkScheduler, Clock]:
    """Return a scheduler with ``count`` chunks, of which ranks 1 to ``ready`` are ready."""
    clock = Clock()
    scheduler = ChunkScheduler(size, clock)
    scheduler.load(count)
    for rank in range(1, ready + 1):
        scheduler.add_rank(rank)
    return scheduler, clock


def test_one_chunk_is_reserved_for_each_late_rank() -> None:
    scheduler, clock = _scheduler(3, 2, ready=1)
    assert scheduler.assign() == [(1, 0)]
    scheduler.mark_done(1, 0)
    clock.now += LATE_RANK_SECONDS
    assert scheduler.assign() == []  # chunk 1 is reserved for rank 2 or rank 0
    scheduler.add_rank(2)
    assert scheduler.assign() == [(2, 1)]


def test_a_rank_that_is_too_late_loses_its_chunk() -> None:
    scheduler, clock = _scheduler(3, 2, ready=1)
    scheduler.assign()
    scheduler.mark_done(1, 0)
    clock.now += LATE_RANK_SECONDS + 1e-6
    assert scheduler.assign() == [(1, 1)]


def test_the_wait_for_late_ranks_starts_with_the_first_chunks_only() -> None:
    scheduler, clock = _scheduler(3, 1, ready=1)
    scheduler.assign()
    scheduler.mark_done(1, 0)
    clock.now += LATE_RANK_SECONDS + 1e-6
    scheduler.load(1)
    assert scheduler.assign() == [(1, 0)]


def test_fewer_chunks_than_ranks_are_assigned_at_once() -> None:
    for count in (1, 2, 3):
        scheduler, _ = _scheduler(5, count, ready=4)
        assert scheduler.assign() == [(rank, rank - 1) for rank in range(1, count + 1)]


def test_ranks_hold_a_second_chunk_only_while_many_are_left() -> None:
    scheduler, _ = _scheduler(3, 8, ready=2)
    assert scheduler.take(0) == 0
    assert scheduler.assign() == [(1, 1), (2, 2), (1, 3), (2, 4)]
    assert scheduler.busy_ranks == [1, 2]
    scheduler.mark_done(1, 1)
    assert scheduler.assign() == []  # three chunks are left for three ranks
    scheduler.mark_done(1, 3)
    assert scheduler.assign() == [(1, 5)]
