"""How far the Lanczos method from a random start may miss the ends of a spectrum."""

from __future__ import annotations

import math


def missed_fraction(degree: int, dimension: int, chance: float, random_part: float = 1.0) -> float:
    """Return e such that an end of the spectrum is missed by more than e of its width with probability <= ``chance``.

    Let b be the component of the unit start vector along the eigenvector of the end, and k the dimension of its Krylov
    space. The extreme Ritz value misses the end by more than e of the width only if
    |b| < sech((2k - 1) artanh sqrt(e)); the polynomial U_2(k-1) of Chebyshev proves it. A random direction has
    P(|b| < t) <= t sqrt(2 P / pi). A fixed vector added to a random one makes a small |b| less likely.

    Source: Kuczynski & Wozniakowski, SIAM J. Matrix Anal. Appl. 13 (1992), theorem 4.2, whose bound
    1.648 sqrt(P) exp(-sqrt(e) (2k - 1)) this sharpens; the fixed part is ours.

    Args:
        degree: k: the products with vectors of the one chain, before any restart. Products of other chains of a block
            do not count.
        dimension: P.
        chance: the probability.
        random_part: norm of the random part of the start vector over the norm of the whole.

    >>> round(missed_fraction(30, 4000, 0.005), 4)
    0.0277
    """
    smallest = smallest_component(dimension, chance, random_part)
    if not smallest > 0 or degree < 1:
        return 1.0
    return math.tanh(math.acosh(1 / min(smallest, 1.0)) / (2 * degree - 1)) ** 2


def smallest_component(dimension: int, chance: float, random_part: float = 1.0) -> float:
    """Return b such that a unit start vector's component along a given unit vector is smaller with <= ``chance``."""
    return chance * random_part / math.sqrt(2 * dimension / math.pi)


def missed_by_exhausted(error: float, dimension: int, chance: float, random_part: float = 1.0) -> float:
    """Return how far outside the Ritz values of an exhausted Krylov space an eigenvalue may lie.

    Where A V = V T + E with ||E|| <= ``error`` and u is a unit eigenvector of eigenvalue x, u'V (x - T) = u'E. As V
    holds the start vector, whose component along u is b, x lies within ``error`` / |b| of an eigenvalue of T. So an
    eigenvalue of which the start vector holds little is lost in the rounding. Source: ours.
    """
    smallest = smallest_component(dimension, chance, random_part)
    return error / min(smallest, 1.0) if smallest > 0 else math.inf


def missed_distance(fraction: float, width: float) -> float:
    """Return the distance that ``fraction`` means, from the width between the Ritz values of both ends.

    The true width is at most this width over 1 - 2 ``fraction``; infinite if the fraction is a half or more.
    """
    return fraction * width / (1 - 2 * fraction) if fraction < 0.5 else math.inf  # noqa: PLR2004  of the true width
