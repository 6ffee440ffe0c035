"""Axes: equally spaced coordinates along directions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from surfaceviz.records import FloatArray

# A coordinate below this fraction of the range counts as 0.
_ZERO = 1e-12
_MAX_POINTS = 100_000  # points on an axis; more are assumed to be a typing error


@dataclass(frozen=True, slots=True)
class Axis:
    """Equally spaced coordinates from ``minimum`` to ``maximum``, both included.

    Raises:
        ValueError: fewer than 2 points, an empty or a non-finite range.
    """

    minimum: float
    maximum: float
    count: int
    has_range = True

    def __post_init__(self) -> None:
        if self.count < 2:  # noqa: PLR2004
            raise ValueError(f"axis {self}: NUM is {self.count}, expected at least 2 points")
        if self.count > _MAX_POINTS:
            raise ValueError(f"axis {self}: NUM is {self.count}, expected at most {_MAX_POINTS} points")
        if not (math.isfinite(self.minimum) and math.isfinite(self.maximum)):
            raise ValueError(f"axis {self}: the range must be finite")
        if self.minimum >= self.maximum:
            raise ValueError(f"axis {self}: MIN must be below MAX")

    def __str__(self) -> str:
        # exact, as this text identifies runs
        return ":".join([*(repr(x).removesuffix(".0") for x in (self.minimum, self.maximum)), str(self.count)])

    @classmethod
    def parse(cls, given: str | Sequence[float]) -> Axis:
        """Return the axis that ``"MIN:MAX:NUM"`` or ``(MIN, MAX, NUM)`` means.

        >>> Axis.parse("-1:1:25")
        Axis(minimum=-1.0, maximum=1.0, count=25)
        """
        try:
            minimum, maximum, count = given.split(":") if isinstance(given, str) else given
            low, high, number = float(minimum), float(maximum), float(count)
        except (TypeError, ValueError):
            raise ValueError(f"axis {given!r}: expected MIN:MAX:NUM, such as -1:1:25") from None
        if not number.is_integer():
            raise ValueError(f"axis {given!r}: NUM is {count}, expected a whole number")
        return cls(low, high, int(number))

    def with_range(self, reach: float) -> Axis:  # noqa: ARG002  the interface of `AutoAxis`
        """Return the axis itself, which has a range."""
        return self

    def coordinates(self) -> FloatArray:
        """Return the coordinates, shape (count,); a coordinate at 0 is exactly 0.

        >>> Axis(-0.3, 0.3, 3).coordinates().tolist()
        [-0.3, 0.0, 0.3]
        """
        import numpy as np  # noqa: PLC0415  --help must stay fast

        x = np.linspace(self.minimum, self.maximum, self.count)
        x[np.abs(x) < _ZERO * (self.maximum - self.minimum)] = 0.0
        return x


@dataclass(frozen=True, slots=True)
class AutoAxis:
    """``count`` equally spaced coordinates over a symmetric range that is determined later."""

    count: int
    has_range = False

    def __post_init__(self) -> None:
        Axis(-1.0, 1.0, self.count)  # checks the count

    def __str__(self) -> str:
        return f"auto:{self.count}"

    def with_range(self, reach: float) -> Axis:
        """Return the axis from -reach to reach."""
        return Axis(-reach, reach, self.count)


def parse_axis(given: str | Sequence[float]) -> Axis | AutoAxis:
    """Return the axis that ``"MIN:MAX:NUM"``, ``"auto:NUM"`` or ``(MIN, MAX, NUM)`` means.

    >>> parse_axis("auto:25")
    AutoAxis(count=25)
    """
    if not (isinstance(given, str) and given.startswith("auto")):
        return Axis.parse(given)
    word, _, count = given.partition(":")
    if word != "auto" or not count.isdecimal():
        raise ValueError(f"axis {given!r}: expected auto:NUM, such as auto:51")
    return AutoAxis(int(count))


def axes_around(points: Sequence[tuple[float, ...]], counts: Sequence[int], *, margin: float) -> list[Axis]:
    """Return axes that contain the origin and ``points``, with a margin as a fraction of their extent."""
    axes = []
    for k, count in enumerate(counts):
        along = [0.0, *(p[k] for p in points)]
        pad = margin * (max(along) - min(along))
        # Rounded, so that rounding errors of the points do not change the axis.
        axes.append(Axis(float(f"{min(along) - pad:.4g}"), float(f"{max(along) + pad:.4g}"), count))
    return axes


Axes: TypeAlias = tuple[Axis | AutoAxis, ...]
