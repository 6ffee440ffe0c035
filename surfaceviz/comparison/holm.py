"""Several measures at once: Holm's correction, and differences that too few draws can't prove."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import nctdtr, stdtrit

_REACH = 5.0  # standard deviations: a difference that must be larger than that is out of reach; ours
_POWER = 0.8  # chance at which a difference counts as found; Cohen (1988)
_PAIR = 2  # the smallest group that has a spread


def holm(p: Sequence[float]) -> list[float]:
    """Return p-values after Holm's step-down correction, in the given order.

    The k-th smallest of m is multiplied by m - k + 1, and is at least the one before. NaN stays NaN and does not count.

    Source: Holm (1979), Scand. J. Statist. 6, 65-70.

    >>> holm([0.01, 0.04, 0.03, math.nan])
    [0.03, 0.06, 0.06, nan]
    """
    given = np.asarray(p, dtype=np.float64)
    order = [int(i) for i in np.argsort(given, kind="stable") if not math.isnan(given[i])]
    found, largest = [math.nan] * len(given), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * float(given[i])))
        found[i] = largest
    return found


def detectable(first: int, second: int, *, level: float) -> float:
    """Return the difference between two groups that Welch's test finds with 80% chance, in standard deviations.

    Both groups have the same spread. It is infinite for a group of one.

    Args:
        first: trainings in the first group.
        second: trainings in the second group.
        level: of the two-sided test, after the correction: 0.05 / m for the smallest of m p-values.

    Source: the noncentral t distribution; 80% is Cohen's (1988).

    >>> round(detectable(5, 5, level=0.05), 2), detectable(1, 5, level=0.05)
    (2.02, inf)
    """
    if min(first, second) < _PAIR:
        return math.inf
    freedom, each = first + second - 2, math.sqrt(1 / first + 1 / second)
    critical = float(stdtrit(freedom, 1 - level / 2))
    low, high = 0.0, 10 * critical
    for _ in range(60):  # bisection of a monotone function
        middle = (low + high) / 2
        low, high = (low, middle) if 1 - nctdtr(freedom, middle, critical) >= _POWER else (middle, high)
    return high * each


def is_out_of_reach(first: int, second: int, *, family: int, level: float = 0.05) -> bool:
    """Return whether so few trainings can't prove a difference among ``family`` measures.

    That is so if the smallest of the p-values survives Holm's correction only where the groups differ by more than
    five standard deviations.

    Source: ours.

    >>> [is_out_of_reach(n, n, family=1) for n in (2, 3)], [is_out_of_reach(n, n, family=12) for n in (3, 5)]
    ([True, False], [True, False])
    """
    return detectable(first, second, level=level / family) > _REACH
