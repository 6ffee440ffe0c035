"""Coverage of the grid: all points, one shard of them, or as many as a tolerance needs."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_EVALUATED_SHARE = 0.15  # expected share of evaluated points in a refinement; ours
_USUAL_TOLERANCE = 0.05  # the tolerance for choices in a run without one; ours


@dataclass(frozen=True, slots=True)
class Shard:
    """Part ``number`` of ``count`` parts of the grid, counted from 1.

    >>> Shard.parse("2/8")
    Shard(number=2, count=8)
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"shard: expected I/N with I from 1 to N, got {self}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, given: str) -> Shard:
        """Return the part that ``"I/N"`` names."""
        number, _, count = given.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise ValueError(f"shard: expected I/N, such as 2/8 for the second of eight parts, got {given!r}")
        return cls(int(number), int(count))


@dataclass(frozen=True, slots=True)
class Coverage:
    """Which points of the grid are evaluated.

    Attributes:
        tolerance: relative error up to which points may be interpolated; None evaluates every point.
        shard: the part of the grid that this run evaluates; None for all of it.
        level: loss above which nothing is resolved; None for that of a guess, or ten times the centre's.
    """

    tolerance: float | None = None
    shard: Shard | None = None
    level: float | None = None

    def __post_init__(self) -> None:
        """Check the tolerance and the level; a tolerance is not combined with a shard."""
        if self.level is not None and not isfinite(self.level):
            raise ValueError(f"level: expected a loss, got {self.level:g}")
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise ValueError(f"tol must lie between 0 and 1 (0.05 is five per cent), got {self.tolerance:g}")
        if self.tolerance is not None and self.shard is not None:
            raise ValueError(
                "shard and tol exclude each other: each round of a refinement needs all points; use mpirun"
            )

    @property
    def complete(self) -> bool:
        """Whether no point is interpolated."""
        return self.tolerance is None

    @property
    def error(self) -> float:
        """The relative error that a result may have: the tolerance, or its usual value."""
        return self.tolerance or _USUAL_TOLERANCE

    def expected_points(self, points: int) -> float:
        """Return the expected number of evaluated points in a grid of ``points``."""
        return float(points) if self.complete else points * _EVALUATED_SHARE

    def points(self, counts: list[int], rays: int = 1) -> NDArray[np.intp]:
        """Return the flat indices of the points to evaluate, coarse lattices first; every N-th one for a shard.

        Rays come one after another, so that a process holds one direction at a time.
        """
        import numpy as np  # noqa: PLC0415  --help must stay fast

        from surfaceviz.records import coarse_first  # noqa: PLC0415  imports numpy; --help must stay fast

        order = coarse_first(counts)
        order = (order + len(order) * np.arange(rays)[:, None]).ravel()
        return order if self.shard is None else order[order % self.shard.count == self.shard.number - 1]
