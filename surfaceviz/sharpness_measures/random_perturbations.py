"""Rise of the loss under random filter-normalised perturbations, and the distance to a given rise."""

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
from surfaceviz.sharpness_measures.measurements import Measurement, mean_of, median_of
from surfaceviz.sharpness_measures.objective import Objective, Theta
from surfaceviz.signals import raise_if_interrupted

_DIRECTIONS = 10  # directions of the width; ours
_PAIRS = 10  # pairs +-z of the rise, twenty draws; ours
_FIRST, _LEAST = 10, -40  # widths between 2^-40 and 2^10; ours
_RANGE = 1e-2, 1e2  # times the level: rises are clipped to this range, infinite and NaN ones to its end
_CLOSE = 1e-5  # tolerance of log2 t


def expected_rise(
    objective: Objective, theta: Theta, *, sigma: float = 0.1, pairs: int = _PAIRS, seed: int
) -> Measurement:
    """Return E[L(w + sigma D z)] - L(w) for standard normal z, D = ||w_i|| / sqrt(n_i) on each filter.

    To second order it is sigma^2 / 2 tr DHD. Draws come in pairs +-z, so that odd orders cancel; a pair's mean is one
    sample of the standard error. Costs 2 ``pairs`` + 1 passes.

    Source: the expected sharpness of Neyshabur et al., arXiv 1706.08947, section 2.2, with the noise scaled to filters
    as for slices (Li et al., arXiv 1712.09913); sigma = 0.1 is ours.
    """
    x, scales, here = objective.layout.of(theta), objective.scales(theta), objective.loss(theta)
    means = []
    for k in range(pairs):
        step = sigma * (scales * _noise(objective, seed, _DIRECTIONS + k)).to(x)
        raise_if_interrupted()
        ends = [objective.loss(objective.with_parameters(theta, x + sign * step)) for sign in (1, -1)]
        means.append(sum(ends) / 2 - here)
    return mean_of(np.array(means))


def _noise(objective: Objective, seed: int, axis: int) -> Tensor:
    """Return the noise of a slice's axis with that number, (P,) float64."""
    pairs = zip(objective.layout.names, objective.layout.shapes, strict=True)
    return objective.layout.flat([noise(seed, axis, name, shape).double() for name, shape in pairs])


def width(
    objective: Objective, theta: Theta, *, rise: float = 0.1, directions: int = _DIRECTIONS, seed: int
) -> Measurement:
    """Return the distance at which the loss has risen by ``rise``, the median over directions and signs.

    The distance t solves L(w + t d) - L(w) = ``rise`` for a filter-normalised d, and so has the unit of a slice's axes.
    The first two directions are those of a slice with the same seed.

    Halving or doubling the previous t gives a bracket; Brent's method then solves for log t. If the loss has not risen
    up to t = 1024, t is infinite. Costs about 6 passes for each direction and sign.

    Source: the half-width of a slice (Li et al., arXiv 1712.09913, section 5) as a number; ours.
    """
    x, here = objective.layout.of(theta), objective.loss(theta)
    distances = np.empty((directions, 2))
    last = 1.0
    for k in range(directions):
        d = _direction(objective, theta, seed, k).to(x)
        for i, sign in enumerate((1, -1)):

            def rise_at(t: float, d: Tensor = sign * d) -> float:
                raise_if_interrupted()
                return objective.loss(objective.with_parameters(theta, x + t * d)) - here

            distances[k, i] = distance(rise_at, rise, last)
            last = distances[k, i] if math.isfinite(distances[k, i]) else last
    never = int(np.isinf(distances).sum())
    note = f"not up to {2**_FIRST} along {never} of {distances.size} directions and signs" if never else ""
    return median_of(distances, note)


def _direction(objective: Objective, theta: Theta, seed: int, axis: int) -> Tensor:
    """Return the filter-normalised direction of a slice's axis of that number, (P,) float64."""
    layout = objective.layout
    weights = {name: theta[name].cpu() for name in layout.names}
    held = Regenerated(weights, objective.filters, layout.names, Random(seed=seed), axis=axis, hold=True).held
    return layout.flat([held.get(name, torch.zeros_like(weights[name])) for name in layout.names])


def distance(rise_at: Callable[[float], float], level: float, start: float = 1.0) -> float:
    """Return t > 0 with ``rise_at``(t) = ``level``; infinite if the level is not reached up to 1024.

    The bracket [t, 2t] is the nearest one to ``start``, downwards or upwards.

    >>> round(distance(lambda t: 3 * t**2, 0.12), 6)
    0.2
    """
    known: dict[float, float] = {}

    def gap(s: float) -> float:
        if s not in known:
            ratio = rise_at(2.0**s) / level
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
