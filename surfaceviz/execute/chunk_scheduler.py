"""The rule that assigns chunks to ranks, without any messages."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

# Ours, measured by scripts/bench_scaling.py.
_PREFETCH = 2  # chunks that a rank holds, so that it never waits for the next one
LATE_RANK_SECONDS = 5.0  # for which one chunk is reserved for each rank that has not had any


class ChunkScheduler:
    """Assigns chunks to ranks as the ranks become free.

    Each rank gets one chunk before any rank gets a second, so that all ranks work. A late rank is waited for at most
    `LATE_RANK_SECONDS`. While many chunks are left, each rank other than 0 holds one in advance. The last chunks are
    assigned one at a time, so that all ranks end together.

    Args:
        size: number of ranks, rank 0 included.
        clock: returns the current time in seconds.
    """

    def __init__(self, size: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._size, self._clock = size, clock
        self._unassigned: deque[int] = deque()
        self._held: dict[int, list[int]] = {}  # rank that is ready -> its chunks
        self._served: set[int] = set()  # ranks that have had a chunk
        self._started: float | None = None

    @property
    def busy_ranks(self) -> list[int]:
        """The ranks that hold chunks."""
        return [rank for rank, held in self._held.items() if held]

    def load(self, count: int) -> None:
        """Start on the next set of chunks, numbered 0 to ``count`` - 1."""
        self._unassigned = deque(range(count))
        self._started = self._clock() if self._started is None else self._started

    def add_rank(self, rank: int) -> None:
        """Add a rank that is ready for chunks."""
        self._held[rank] = []

    def mark_done(self, rank: int, chunk: int) -> None:
        """Record that a rank has finished a chunk."""
        self._held[rank].remove(chunk)

    def may_take(self, rank: int) -> bool:
        """Return whether there is a chunk for a rank, not counting the chunks that are reserved for late ranks."""
        overdue = self._started is None or self._clock() - self._started > LATE_RANK_SECONDS
        reserved = 0 if rank not in self._served or overdue else self._size - len(self._served)
        return len(self._unassigned) > reserved

    def take(self, rank: int) -> int | None:
        """Return a chunk for a rank; None where there is none for it."""
        if not self.may_take(rank):
            return None
        self._served.add(rank)
        return self._unassigned.popleft()

    def assign(self) -> list[tuple[int, int]]:
        """Return the (rank, chunk) pairs to send now."""
        assigned = []
        for depth in range(1, _PREFETCH + 1):
            for rank, held in self._held.items():
                if len(held) < depth and (depth == 1 or len(self._unassigned) > self._size):
                    chunk = self.take(rank)
                    if chunk is not None:
                        held.append(chunk)
                        assigned.append((rank, chunk))
        return assigned
