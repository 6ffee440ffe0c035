"""The number of draws at which an undecided difference would be decided."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtr, stdtrit

from surfaceviz.records import Difference, FloatArray

CHANCE = 0.9  # of deciding each difference; at least 70% of verdicts are then decided, see bench_verdicts.py; ours
_MOST = 2.0**14  # times the present number; ours
_STEP = 1.05  # between the numbers that are tried; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A decision.

    Attributes:
        level: of the tests.
        correction: factor of p-values, by Holm's method.
        margin: differences within it count as equivalent; None if they are not.
        chance: probability of a decision.
    """

    level: float = 0.05
    correction: float = 1.0
    margin: float | None = None
    chance: float = CHANCE


def draws_needed(difference: Difference, goal: Goal) -> int | None:
    """Return the number of draws at which a difference is decided with the goal's chance; None if there is none.

    The present draws are kept and f - 1 times as many are added. With a flat prior, the estimate d_f after that is
    d + s sqrt(1 - 1 / f) T, d and s the present estimate and standard error, T Student's. A decision is a
    significant difference, or one that lies within the margin by two one-sided tests. Only the first unit grows: the
    errors of the others stay.

    Source: predictive power with a flat prior, Spiegelhalter, Freedman & Blackburn (1986), Control. Clin. Trials 7.
    """
    if not difference.is_known or not difference.counts:
        return None
    factors = _STEP ** np.arange(1, math.log(_MOST) / math.log(_STEP))
    enough = np.flatnonzero(chance_of_decision(difference, factors, goal) >= goal.chance)
    return math.ceil(float(factors[enough[0]]) * max(difference.counts[0])) if len(enough) else None


def chance_of_decision(difference: Difference, factors: FloatArray, goal: Goal) -> FloatArray:
    """Return the predictive probability of a decision with each of ``factors`` (F,) times as many draws, (F,)."""
    at, freedom = difference.estimate, difference.freedom
    grows, stays = difference.stderrs[0], math.hypot(0.0, *difference.stderrs[1:])
    spread: FloatArray = grows * np.sqrt(1 - 1 / factors)  # of the future estimate around the present one
    error: FloatArray = np.hypot(grows / np.sqrt(factors), stays)
    later = freedom * factors
    outside: FloatArray = -stdtrit(later, goal.level / goal.correction / 2) * error

    def below(end: FloatArray) -> FloatArray:
        """Return the probability that the future estimate lies below ``end`` (F,)."""
        return np.asarray(stdtr(freedom, (end - at) / spread), dtype=np.float64)

    chance: FloatArray = below(-outside) + 1 - below(outside)
    if goal.margin is not None:
        inside = np.minimum(goal.margin + stdtrit(later, goal.level) * error, outside)  # beyond it is counted already
        chance = chance + np.where(inside > 0, below(inside) - below(-inside), 0.0)
    return chance
