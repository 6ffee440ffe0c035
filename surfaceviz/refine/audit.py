"""Audits: the error of the interpolated points, estimated at fresh random ones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from surfaceviz.records import CLAIMED_SHARE, CLAIMED_SHARE_ABOVE, Audit, FloatArray
from surfaceviz.refine.interpolant import IntArray

# The errors of all audits of a run add up to this, whenever it stops: audit j = 1, 2, ... takes 0.05 / 2^j.
_ALPHA = 0.05
# An audit is as large as it must be to pass with one point over (54 points at first). With two allowed it takes 70
# and passes more often, with none 36 and less often; at a true share of 1-2% one costs the fewest points on average.
# Above the level, where an error is a low place that nobody saw, the same holds for another share (26 points).
_ALLOWED = (1, 0)
_CLAIMED = (CLAIMED_SHARE, CLAIMED_SHARE_ABOVE)
_SECOND_KIND = 2**32  # between the random keys of the two kinds of points


def significance(number: int) -> float:
    """Return the error allowed to audit ``number`` = 1, 2, ...: 0.05 / 2^number."""
    return float(_ALPHA * 0.5**number)


@dataclass(frozen=True, slots=True)
class AuditPoints:
    """The points of an audit.

    Attributes:
        below: flat indices drawn among the points whose interpolated loss is at most its level, sorted.
        above: likewise, among the others.
        left: how many of each kind stay interpolated.
    """

    below: IntArray
    above: IntArray
    left: tuple[int, int]

    @property
    def indices(self) -> IntArray:
        """All points, sorted."""
        return np.union1d(self.below, self.above)


NO_POINTS = AuditPoints(np.empty(0, np.intp), np.empty(0, np.intp), (0, 0))


def draw(below: IntArray, above: IntArray, *, seed: int, number: int) -> AuditPoints:
    """Return the points of audit ``number``; they depend on nothing but the arguments.

    Below the level an audit is of values; above it, of the statement that the loss is above. Each kind has its own
    points and its own bound, so that many easy points of one kind can't outvote the other.
    """
    alpha = significance(number)
    kinds = [
        _drawn(among, size(among.size, alpha, kind), (seed, number + kind * _SECOND_KIND))
        for kind, among in enumerate((below, above))
    ]
    return AuditPoints(kinds[0], kinds[1], (below.size - kinds[0].size, above.size - kinds[1].size))


def assess(points: AuditPoints, errors: FloatArray, *, tolerance: float, number: int) -> Audit:
    """Return the audit ``number`` from the largest error of each of its points, in the order of their indices, (n,)."""
    is_below = np.isin(points.indices, points.below)
    over = [int(np.count_nonzero(errors[kind] > tolerance)) for kind in (is_below, ~is_below)]
    counts, alpha = (points.below.size, points.above.size), significance(number)
    bounds = [upper_bound(*those, alpha) for those in zip(over, counts, points.left, strict=True)]
    return Audit(
        tolerance=tolerance,
        count=counts[0],
        over=over[0],
        share_upper95=bounds[0],
        worst=float(errors[is_below].max(initial=0.0)),
        confidence=1.0 - alpha,
        above_count=counts[1],
        above_over=over[1],
        above_share_upper95=bounds[1],
    )


def upper_bound(over: int, count: int, left: int, alpha: float) -> float:
    """Return the exact upper bound, at confidence 1 - alpha, on the share over the tolerance of the ``left`` points.

    The larger of two bounds. The first is that of Clopper and Pearson, the p with P(Binomial(count, p) <= over) =
    alpha. The second, for points drawn without replacement from a small grid, is (K - over) / ``left``, K the largest
    number with P(Hypergeometric(count + left, K, count) <= over) > alpha.

    Source: Clopper and Pearson, Biometrika 26 (1934) 404, for the first.

    >>> round(upper_bound(1, 60, 100_000, 0.025), 4)
    0.0894
    >>> upper_bound(0, 0, 0, 0.025)
    0.0
    """
    from scipy.stats import beta, hypergeom  # noqa: PLC0415  its import takes a second, which runs without audits save

    if left == 0:
        return 0.0
    endless = 1.0 if over >= count else float(beta.ppf(1 - alpha, over + 1, count - over))
    low, high = over, over + left  # K lies in low .. high
    while low < high:
        middle = (low + high + 1) // 2
        possible = hypergeom.cdf(over, count + left, middle, count) > alpha
        low, high = (middle, high) if possible else (low, middle - 1)
    return max(endless, (low - over) / left)


def size(left: int, alpha: float, kind: int = 0) -> int:
    """Return how many of ``left`` interpolated points an audit takes; all where more than half would be needed.

    Args:
        left: the number of points.
        alpha: the error allowed.
        kind: 0 for points below the level, 1 for those above.

    >>> size(2000, 0.025), size(50, 0.025), size(2000, 0.025, kind=1)
    (54, 50, 26)
    """
    for over in _ALLOWED:
        count = _smallest(over, left, alpha, _CLAIMED[kind])
        if count is not None:
            return count
    return left


def _smallest(allowed: int, left: int, alpha: float, claimed: float) -> int | None:
    """Return the fewest points that pass with ``allowed`` over; None where that's more than half of ``left``."""
    low, high = allowed + 1, left // 2
    if high < low or upper_bound(allowed, high, left - high, alpha) > claimed:
        return None
    while low < high:
        middle = (low + high) // 2
        enough = upper_bound(allowed, middle, left - middle, alpha) <= claimed
        low, high = (low, middle) if enough else (middle + 1, high)
    return low


def _drawn(among: IntArray, count: int, key: tuple[int, int]) -> IntArray:
    # Raw bits of a counter-based generator: the same in every version of numpy.
    bits = np.random.Philox(key=np.array(key, np.uint64)).random_raw(len(among))
    return np.sort(among[np.argsort(bits, kind="stable")[:count]])
