"""The first distance along a line at which the loss has risen by a given amount."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy.optimize import brentq

from surfaceviz.signals import raise_if_interrupted

REACH = 1024.0  # the longest distance; ours
STEPS = 8  # distances an octave that are looked at, 9% apart; ours
OCTAVES = 8  # they begin at 1/256 of the crossing; ours
_BEYOND = 4, 8, 16  # steps beyond the crossing at which the loss is looked at, for whether it falls again; ours
_LAST, _LEAST = 10 * STEPS, -40 * STEPS  # 2^10 and 2^-40 in steps
_RANGE = 1e-2, 1e2  # times the level: rises are clipped to this range, infinite and NaN ones to its end
_TOLERANCE = 1e-5  # of log2 t
_MARGIN = 0.1  # of the level: a quick rise this near to the level, or above it, is evaluated again exactly; ours
_OFF = 0.02  # of the level: a larger error of a quick rise below twice the level makes all evaluations exact; ours

Rise = Callable[[float], float]  # t > 0 -> L(w + t d) - L(w)


@dataclass(frozen=True, slots=True)
class Crossing:
    """The first distance at which the rise reaches the level, as far as was looked.

    Attributes:
        distance: the distance; infinite if the level is not reached up to 1024, 0 if it is exceeded down to 2^-40.
        returns: whether the rise was seen below the level again further out.
        finite: whether the loss is finite just beyond it.
    """

    distance: float
    returns: bool = False
    finite: bool = True


class _Line:
    """The rise along a line at the distances 2^(i / 8), with all evaluations kept."""

    def __init__(self, rise_at: Rise, level: float, quick: Rise | None) -> None:
        self._rise_at, self._level, self._quick = rise_at, level, quick
        self._exact: dict[float, float] = {}
        self._low: set[float] = set()  # those that a quick evaluation showed to be below

    def rise(self, s: float) -> float:
        """Return the rise at 2^s over the level."""
        if s not in self._exact:
            raise_if_interrupted()
            self._exact[s] = self._rise_at(2.0**s) / self._level
        return self._exact[s]

    def gap(self, s: float) -> float:
        """Return the logarithm of the clipped rise over the level, which is monotone in the rise."""
        ratio = self.rise(s)
        return math.log(min(max(ratio, _RANGE[0]), _RANGE[1]) if math.isfinite(ratio) else _RANGE[1])

    def crossed(self, i: int, *, quickly: bool = False) -> bool:
        """Return whether the rise at 2^(i / 8) reaches the level or is not finite."""
        s = i / STEPS
        if quickly and s not in self._exact and self._low_quickly(s):
            return False
        return self.gap(s) >= 0

    def _low_quickly(self, s: float) -> bool:
        """Return whether a quick evaluation shows a rise that is clearly below the level."""
        if s not in self._low and self._quick is not None and self._quick(2.0**s) / self._level < 1 - _MARGIN:
            self._low.add(s)
        return s in self._low

    def check_quick(self) -> None:
        """Give up quick evaluations if they are off where both are known and the rise is small."""
        for s, ratio in self._exact.items():
            if self._quick is not None and ratio < 2:  # noqa: PLR2004
                off = abs(self._quick(2.0**s) / self._level - ratio)
                self._quick = self._quick if off < _OFF else None

    def use_exact(self) -> None:
        """Forget quick evaluations and make no more."""
        self._quick, self._low = None, set()

    def returns(self, s: float) -> bool:
        """Return whether a rise below the level is known beyond 2^s."""
        return any(at > s for at in self._low) or any(at > s and self.gap(at) < 0 for at in self._exact)


def first_crossing(rise_at: Rise, level: float, start: float = 1.0, quick: Rise | None = None) -> Crossing:
    """Return the first t > 0 with ``rise_at``(t) = ``level``.

    Doubling or halving ``start`` brackets a crossing T. Then all distances 2^(i / 8) up to T are looked at, from the
    smaller of T and 1 over 256 on, from small to large; if one is above the level, it takes the place of T, and the
    distances below it are looked at. Brent's method solves for log t in the first interval. So a hump that is narrower
    than 9% of its distance may be missed, and one nearer than 1/256 of T. Costs about 70 evaluations.

    Args:
        rise_at: the rise at a distance; not finite counts as above the level.
        level: the rise that is looked for.
        start: a guess of the distance.
        quick: a cheaper approximation, which only tells distances that are clearly below the level; it is compared
            with ``rise_at`` first.

    >>> round(first_crossing(lambda t: 3 * t**2, 0.12).distance, 6)
    0.2
    >>> round(first_crossing(lambda t: 0.15 * (0.1 < t < 0.12) + t, 0.12).distance, 6)  # a step is reached from below
    0.1
    """
    line = _Line(rise_at, level, quick)
    high = _bracket(line, STEPS * math.floor(math.log2(start)))
    line.check_quick()
    found = _first(line, high)
    if found is None:
        return Crossing(math.inf)
    if found <= _LEAST:
        return Crossing(0.0)
    s = float(brentq(line.gap, (found - 1) / STEPS, found / STEPS, xtol=_TOLERANCE))
    for beyond in _BEYOND:
        line.crossed(min(found + beyond, _LAST), quickly=True)
    return Crossing(2.0**s, returns=line.returns(s), finite=math.isfinite(line.rise(found / STEPS)))


def _first(line: _Line, high: int | None) -> int | None:
    """Return the first index above the level, with the one before it below; None if none is."""
    end, found = _LAST + 1 if high is None else high, high
    while True:
        first = max(min(end, 0) - OCTAVES * STEPS, _LEAST)
        earlier = next((i for i in range(first, end) if line.crossed(i, quickly=True)), None)
        if earlier is not None:
            end = found = earlier
        elif found is None or found <= _LEAST or not line.crossed(found - 1):
            return found
        else:  # a quick rise was off
            line.use_exact()


def _bracket(line: _Line, i: int) -> int | None:
    """Return an index above the level, with the octave below under it; None if none is known up to 1024."""
    i = min(max(i, _LEAST), _LAST - STEPS)
    while line.crossed(i):
        if i <= _LEAST:
            return _LEAST
        i -= STEPS
    while not line.crossed(i + STEPS):
        i += STEPS
        if i >= _LAST:
            return None
    return i + STEPS
