"""Random directions as slices have them: how much the loss rises along them, and how far it takes to rise."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import brentq
from torch import Tensor

from surfaceviz.directions.normalise import noise
from surfaceviz.directions.random import Regenerated
from surfaceviz.directions.specs import Random
from surfaceviz.sharpness_measures.measurements import Figure, mean_of, median_of
from surfaceviz.sharpness_measures.objective import Objective, Theta
from surfaceviz.signals import raise_if_interrupted

_DIRECTIONS = 10  # of the width; ours
_PAIRS = 10  # +-d of the rise, twenty draws; ours
_FIRST, _LEAST = 10, -40  # widths between 2^-40 and 2^10; ours
_RANGE = 1e-2, 1e2  # times the level: a rise beyond counts as the end, also one that is infinite or not a number
_CLOSE = 1e-5  # of log2 t


def expected_rise(objective: Objective, theta: Theta, *, sigma: float = 0.1, pairs: int = _PAIRS, seed: int) -> Figure:
    """Return E[L(w + sigma D z)] - L(w) for standard normal z, D = ||w_i|| / sqrt(n_i) on each filter.

    To second order it is sigma^2 / 2 tr DHD. Draws come in pairs +-z, so that odd orders cancel; a pair's mean is one
    sample of the standard error. Costs 2 ``pairs`` + 1 passes.

    Source: the expected sharpness of Neyshabur et al., arXiv 1706.08947, section 2.2, with the noise scaled to filters
    as slices scale it (Li et al., arXiv 1712.09913); sigma = 0.1 is ours.
    """
    x, scales, here = objective.layout.of(theta), objective.scales(theta), objective.loss(theta)
    means = []
    for k in range(pairs):
        step = sigma * (scales * _noise(objective, seed, _DIRECTIONS + k)).to(x)
        raise_if_interrupted()
        ends = [objective.loss(objective.at(theta, x + sign * step)) for sign in (1, -1)]
        means.append(sum(ends) / 2 - here)
    return mean_of(np.array(means))


def _noise(objective: Objective, seed: int, axis: int) -> Tensor:
    """Return the noise that a slice's axis of that number has, (P,) float64."""
    pairs = zip(objective.layout.names, objective.layout.shapes, strict=True)
    return objective.layout.flat([noise(seed, axis, name, shape).double() for name, shape in pairs])


def width(objective: Objective, theta: Theta, *, rise: float = 0.1, directions: int = _DIRECTIONS, seed: int) -> Figure:
    """Return how far it takes the loss to rise, in the unit of a slice's axis: the median over directions and signs.

    That is t such that L(w + t d) - L(w) = ``rise``, d filter-normalised, the first two those of a slice of that seed.

    t is bracketed by halving or doubling from the one before, and found in log t by Brent's method, a bisection that
    interpolates. Where the loss has not risen up to t = 1024, t is infinite. Costs about 6 passes a direction and sign.

    Source: the half-width of a slice (Li et al., arXiv 1712.09913, section 5) as a number; ours.
    """
    x, here = objective.layout.of(theta), objective.loss(theta)
    found = np.empty((directions, 2))
    last = 1.0
    for k in range(directions):
        d = _direction(objective, theta, seed, k).to(x)
        for i, sign in enumerate((1, -1)):

            def risen(t: float, d: Tensor = sign * d) -> float:
                raise_if_interrupted()
                return objective.loss(objective.at(theta, x + t * d)) - here

            found[k, i] = distance(risen, rise, last)
            last = found[k, i] if math.isfinite(found[k, i]) else last
    never = int(np.isinf(found).sum())
    note = f"not up to {2**_FIRST} along {never} of {found.size} directions and signs" if never else ""
    return median_of(found, note)


def _direction(objective: Objective, theta: Theta, seed: int, axis: int) -> Tensor:
    """Return the filter-normalised direction of a slice's axis of that number, (P,) float64."""
    layout = objective.layout
    weights = {name: theta[name].cpu() for name in layout.names}
    held = Regenerated(weights, objective.filters, layout.names, Random(seed=seed), axis, hold=True).held
    return layout.flat([held.get(name, torch.zeros_like(weights[name])) for name in layout.names])


def distance(risen: Callable[[float], float], level: float, start: float = 1.0) -> float:
    """Return t > 0 with ``risen``(t) = ``level``; infinite where it is not reached up to 1024.

    The bracket [t, 2t] is the first that is come upon from ``start``, down or up.

    >>> round(distance(lambda t: 3 * t**2, 0.12), 6)
    0.2
    """
    known: dict[float, float] = {}

    def gap(s: float) -> float:
        if s not in known:
            ratio = risen(2.0**s) / level
            known[s] = math.log(min(max(ratio, _RANGE[0]), _RANGE[1]) if math.isfinite(ratio) else _RANGE[1])
        return known[s]

    low = math.floor(math.log2(start))
    while gap(low) >= 0:
        low -= 1
        if low < _LEAST:
            return 0.0
    while gap(low + 1) < 0:
        low += 1
        if low >= _FIRST:
            return math.inf
    return float(2.0 ** brentq(gap, low, low + 1, xtol=_CLOSE))
