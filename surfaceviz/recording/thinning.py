"""The choice of the checkpoints that stay when space is short."""

from __future__ import annotations

from collections.abc import Sequence


def to_remove(steps: Sequence[int], sizes: Sequence[int], room: int) -> list[int]:
    """Return the steps to remove until the others fit.

    The step whose neighbours are closest together goes first, of several the earliest, so that the others stay evenly
    spread, up to a factor of two. The first and the last one stay; if they alone do not fit, the first one goes.

    >>> to_remove([0, 10, 20, 30, 40], [1] * 5, room=3)
    [10, 30]

    Args:
        steps: steps in ascending order; the last one is about to be written.
        sizes: their sizes in bytes.
        room: bytes for all of them.
    """
    kept, removed = list(zip(steps, sizes, strict=True)), []
    while sum(size for _, size in kept) > room and len(kept) > 1:
        inner = range(1, len(kept) - 1)
        index = min(inner, key=lambda i: kept[i + 1][0] - kept[i - 1][0], default=0)
        removed.append(kept.pop(index)[0])
    return removed
