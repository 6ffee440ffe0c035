"""Who gets which chunk: the rule, without the mail."""

from __future__ import annotations

import time
from collections import deque

# Ours, measured by scripts/bench_scaling.py.
_AHEAD = 2  # chunks that a rank holds, so that it never waits for the next
WAITS_FOR_ALL = 5.0  # seconds for which a chunk is kept for each rank that had none yet


class ChunkScheduler:
    """Hands chunks out to ranks as they get free.

    Each rank gets one before any gets a second, so that all work, but those that are late are waited for no longer
    than `WAITS_FOR_ALL`. While there are plenty, ranks other than 0 hold one in advance; the last ones are handed out
    singly, so that all end together.

    Args:
        size: the number of ranks, rank 0 included.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._waiting: deque[int] = deque()  # chunks that nobody has
        self._held: dict[int, list[int]] = {}  # rank that is ready -> the chunks it has
        self._served: set[int] = set()
        self._begun = 0.0

    @property
    def busy(self) -> list[int]:
        """The ranks that hold chunks."""
        return [rank for rank, held in self._held.items() if held]

    def load(self, count: int) -> None:
        """Begin with the next chunks, 0 to ``count`` - 1."""
        self._waiting = deque(range(count))
        self._begun = self._begun or time.monotonic()

    def join(self, rank: int) -> None:
        """Have a rank take part."""
        self._held[rank] = []

    def put_back(self, rank: int, chunk: int) -> None:
        """Note that a rank is done with a chunk."""
        self._held[rank].remove(chunk)

    def may_take(self, rank: int) -> bool:
        """Return whether there is a chunk for a rank, beside those that are kept for others."""
        late = rank not in self._served or time.monotonic() - self._begun > WAITS_FOR_ALL
        return len(self._waiting) > (0 if late else self._size - len(self._served))

    def take(self, rank: int) -> int | None:
        """Return a chunk for a rank; None where there is none for it."""
        if not self.may_take(rank):
            return None
        self._served.add(rank)
        return self._waiting.popleft()

    def due(self) -> list[tuple[int, int]]:
        """Return (rank, chunk) that are to be sent now."""
        due = []
        for depth in range(1, _AHEAD + 1):
            for rank, held in self._held.items():
                if len(held) < depth and (depth == 1 or len(self._waiting) > self._size):
                    chunk = self.take(rank)
                    if chunk is not None:
                        held.append(chunk)
                        due.append((rank, chunk))
        return due
