"""Decimation of large grids and long trajectories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import Slice

_SIDE = 150  # points along an axis of a surface: more than a panel has pixels to tell apart; ours
_LINE = 2000  # points of a curve, or of a path; ours


@dataclass(frozen=True, slots=True)
class Decimated:
    """The shown points of a grid.

    Attributes:
        kept: indices along each axis, ascending.
        words: a note on the omitted points; empty where all are shown.
    """

    kept: tuple[NDArray[np.intp], ...]
    words: str

    def of(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return the shown part of an array over the grid."""
        return array[np.ix_(*self.kept)]


def decimate(surface: Slice) -> Decimated:
    """Return the shown points of a grid: every k-th, the ends, the centre and the lowest loss of the first split."""
    most = _LINE if surface.ndim == 1 else _SIDE
    steps = [-(-len(axis) // most) for axis in surface.axes]
    lowest = _lowest(surface)
    kept = tuple(
        every_kth(len(axis), step, (int(np.argmin(np.abs(axis))), i))
        for axis, step, i in zip(surface.axes, steps, lowest, strict=True)
    )
    if max(steps) == 1:
        return Decimated(kept, "")
    whole, shown = (" x ".join(map(str, sizes)) for sizes in (surface.shape, map(len, kept)))
    rate = " by ".join("every one" if step == 1 else f"every {ordinal(step)}" for step in dict.fromkeys(steps))
    more = "the ends, the centre and the lowest loss" + ("" if surface.ndim == 1 else ", each with its row and column")
    return Decimated(kept, f"{whole} points; the page shows {shown}: {rate}, and {more}")


def every_kth(count: int, step: int, also: tuple[int, ...] = ()) -> NDArray[np.intp]:
    """Return every ``step``-th index of ``count``, the last one, and ``also``."""
    return np.unique(np.concatenate([np.arange(0, count, step), [count - 1], also])).astype(np.intp)


def _lowest(surface: Slice) -> tuple[int, ...]:
    """Return the indices of the lowest finite loss; of the first point where there is none."""
    loss = next((array for name, array in surface.values.items() if name.endswith("loss")), None)
    if loss is None or not np.isfinite(loss).any():
        return (0,) * surface.ndim
    return tuple(int(i) for i in np.unravel_index(np.nanargmin(np.where(np.isfinite(loss), loss, np.nan)), loss.shape))


def decimate_path(count: int) -> NDArray[np.intp]:
    """Return the indices of the shown iterates of a path."""
    return every_kth(count, -(-count // _LINE))


def ordinal(n: int) -> str:
    """Return a number's ordinal.

    >>> [ordinal(n) for n in (2, 3, 7, 11, 21, 112)]
    ['2nd', '3rd', '7th', '11th', '21st', '112th']
    """
    teen = n % 100 in (11, 12, 13)
    return f"{n}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(n % 10, 'th')}"
