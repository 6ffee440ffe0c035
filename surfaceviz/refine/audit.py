"""Audits: the error of the interpolated points, estimated at fresh random ones."""

from __future__ import annotations

import numpy as np
from scipy.stats import beta, hypergeom

from surfaceviz.records import CLAIMED_SHARE, Audit, FloatArray
from surfaceviz.refine.interpolant import IntArray

# The errors of all audits of a run add up to this, whenever it stops: audit j = 1, 2, ... takes 0.05 / 2^j.
_ALPHA = 0.05
# An audit is as large as it must be to pass with one point over (54 points at first). With two allowed it takes 70
# and passes more often, with none 36 and less often; at a true share of 1-2% one costs the fewest points on average.
_ALLOWED = (1, 0)


def significance(number: int) -> float:
    """Return the error allowed to audit ``number`` = 1, 2, ...: 0.05 / 2^number."""
    return float(_ALPHA * 0.5**number)


def assess(errors: FloatArray, left: int, *, tolerance: float, number: int) -> Audit:
    """Return the audit ``number`` from the largest error of each point taken, (n,), when ``left`` stay interpolated."""
    over, alpha = int(np.count_nonzero(errors > tolerance)), significance(number)
    bound = upper_bound(over, len(errors), left, alpha)
    return Audit(
        tolerance=tolerance,
        count=len(errors),
        over=over,
        share_upper95=bound,
        worst=float(errors.max(initial=0.0)),
        confidence=1.0 - alpha,
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
    if left == 0:
        return 0.0
    endless = 1.0 if over >= count else float(beta.ppf(1 - alpha, over + 1, count - over))
    low, high = over, over + left  # K lies in low .. high
    while low < high:
        middle = (low + high + 1) // 2
        possible = hypergeom.cdf(over, count + left, middle, count) > alpha
        low, high = (middle, high) if possible else (low, middle - 1)
    return max(endless, (low - over) / left)


def size(left: int, number: int) -> int:
    """Return how many of ``left`` interpolated points audit ``number`` takes; all where more than half would be needed.

    >>> size(2000, 1), size(50, 1)
    (54, 50)
    """
    alpha = significance(number)
    for allowed in _ALLOWED:
        count = _smallest(allowed, left, alpha)
        if count is not None:
            return count
    return left


def _smallest(allowed: int, left: int, alpha: float) -> int | None:
    """Return the fewest points that pass with ``allowed`` over; None where that's more than half of ``left``."""
    low, high = allowed + 1, left // 2
    if high < low or upper_bound(allowed, high, left - high, alpha) > CLAIMED_SHARE:
        return None
    while low < high:
        middle = (low + high) // 2
        enough = upper_bound(allowed, middle, left - middle, alpha) <= CLAIMED_SHARE
        low, high = (low, middle) if enough else (middle + 1, high)
    return low


def draw(among: IntArray, *, seed: int, number: int) -> IntArray:
    """Return the points of audit ``number``, sorted; they depend on nothing but the arguments."""
    # Raw bits of a counter-based generator: the same in every version of numpy.
    bits = np.random.Philox(key=np.array([seed, number], np.uint64)).random_raw(len(among))
    return np.sort(among[np.argsort(bits, kind="stable")[: size(len(among), number)]])
