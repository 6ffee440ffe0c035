"""The local minima of a slice, with the passes between them, as a frozen numpy record."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records.arrays import FloatArray


class MinimumKind(IntEnum):
    """Whether a minimum counts, or why it does not."""

    LOWEST = 0
    COUNTS = 1
    WITHIN_ERROR = 2
    BORDER = 3
    ONE_DIAGONAL = 4
    ONE_RESOLUTION = 5
    NO_PASS = 6


_WORDS = {
    MinimumKind.LOWEST: "lowest",
    MinimumKind.COUNTS: "yes",
    MinimumKind.WITHIN_ERROR: "no: within its error",
    MinimumKind.BORDER: "no: on the border",
    MinimumKind.ONE_DIAGONAL: "no: not with the other diagonal of the cells",
    MinimumKind.ONE_RESOLUTION: "no: not on every second point",
    MinimumKind.NO_PASS: "no: cut off by points without a value",
}
_OWN_BASIN = (MinimumKind.LOWEST, MinimumKind.COUNTS, MinimumKind.BORDER, MinimumKind.NO_PASS)
HEAD = ("minimum", "place", "loss", "pass", "persistence", "basin", "counts")


@dataclass(frozen=True, slots=True, kw_only=True)
class Minima:
    """The most persistent minima of a slice's loss: the lowest first, then by falling persistence on the grid.

    Attributes:
        place: coordinates of each minimum, (k, ndim).
        loss: its value on the grid, (k,).
        pass_place: coordinates of the lowest point at which its basin meets that of a lower minimum, (k, ndim); NaN
            where it meets none.
        pass_loss: the value there, (k,).
        parent: number, from 0 on, of the minimum that lives on at the pass; -1 where there is none, (k,).
        basin: share of the slice's area from which steepest descent on the grid ends in it, (k,). The basins of minima
            that do not count belong to the minimum that lives on at their pass as well.
        persistence: loss at the pass less that at the minimum, both evaluated again, (k,); NaN where there is no pass.
        persistence_stderr: its standard error over paired samples, (k,).
        verdict: codes of `MinimumKind`, (k,).
        count: the number m of all minima, also those that are not listed.
        threshold: z(1 - 0.05 / m): the standard errors that a persistence must exceed.
        samples: number of samples on which the pairs were evaluated again.
        held_out: whether these samples were not among those that the slice was computed on.
        loss_name: ``<split>_loss``.
        dtype: in which the pairs were evaluated.
    """

    place: FloatArray
    loss: FloatArray
    pass_place: FloatArray
    pass_loss: FloatArray
    parent: NDArray[np.int64]
    basin: FloatArray
    persistence: FloatArray
    persistence_stderr: FloatArray
    verdict: NDArray[np.uint8]
    count: int
    threshold: float
    samples: int
    held_out: bool
    loss_name: str
    dtype: str

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def counted(self) -> NDArray[np.bool_]:
        """Which minima count, next to the lowest, (k,)."""
        found: NDArray[np.bool_] = self.verdict == MinimumKind.COUNTS
        return found

    def heir(self, number: int) -> int:
        """Return the minimum whose basin holds that of another one, which does not count; itself where it does."""
        while self.verdict[number] not in _OWN_BASIN:
            number = int(self.parent[number])
        return number


def minima_rows(minima: Minima) -> list[tuple[str, ...]]:
    """Return the cells of a table of minima, below `HEAD`."""
    return [_row(minima, number) for number in range(len(minima))]


def minima_table(minima: Minima, *, rows: int) -> list[str]:
    """Return the lines of a table: all minima that count, and of the others the most persistent.

    Args:
        minima: the minima.
        rows: largest number of minima in the table that do not count.
    """
    others = np.flatnonzero(~minima.counted)[:rows]
    shown = np.union1d(np.flatnonzero(minima.counted), others)
    cells = [HEAD, *(_row(minima, int(k)) for k in shown)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(HEAD))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells]
    left = len(minima) - len(shown)
    return lines + [f"and {left} less persistent, which do not count"] * (left > 0)


def _row(minima: Minima, k: int) -> tuple[str, ...]:
    verdict, heir = MinimumKind(int(minima.verdict[k])), minima.heir(k)
    met = bool(np.isfinite(minima.pass_loss[k]))
    return (
        str(k + 1),
        _place(minima.place[k]),
        f"{minima.loss[k]:.5g}",
        f"{minima.pass_loss[k]:.5g} at {_place(minima.pass_place[k])}" if met else "none",
        f"{minima.persistence[k]:.3g} +- {minima.persistence_stderr[k]:.2g}" if met else "",
        f"{minima.basin[k]:.1%}" if heir == k else f"in {heir + 1}",
        _WORDS[verdict],
    )


def _place(point: FloatArray) -> str:
    return f"({', '.join(f'{x:.4g}' for x in point)})"


def minima_summary(minima: Minima) -> str:
    """Return the number of minima that count, and by which rule, in one line."""
    if not len(minima):
        return f"minima of {minima.loss_name}: none, as no point has a value"
    counted, more = int(minima.counted.sum()), minima.count - len(minima)
    which = (
        f"{minima.samples} samples that the slice was not computed on"
        if minima.held_out
        else f"the slice's own {minima.samples} samples, which also chose the pairs"
    )
    lowest = "the lowest (on the border)" if minima.verdict[0] == MinimumKind.BORDER else "the lowest"
    rest = f", the {more} least persistent not judged" if more > 0 else ""
    return (
        f"minima of {minima.loss_name}: {lowest} {f'and {counted} more' if counted else 'alone'}, of {minima.count} on "
        f"the grid{rest} (persistence above {minima.threshold:.2f} standard errors on {which}; with both diagonals of "
        "the cells, and on every second point)"
    )
