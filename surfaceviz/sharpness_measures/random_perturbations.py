"""Rise of the loss under random filter-normalised perturbations, and the distance to a given rise."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from surfaceviz.curvature import ParameterLayout
from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.directions.normalise import noise
from surfaceviz.directions.random import Regenerated
from surfaceviz.directions.specs import Random
from surfaceviz.sharpness_measures.crossing import REACH, Crossing, first_crossing
from surfaceviz.sharpness_measures.measurements import Measurement, mean_of, median_of
from surfaceviz.signals import raise_if_interrupted

_DIRECTIONS = 10  # directions of the width; ours
_PAIRS = 10  # pairs +-z of the rise, twenty draws; ours

Value = TypeVar("Value", float, Tensor)


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

    def loss(vector: Tensor) -> float:
        return objective.loss(objective.with_parameters(theta, vector))

    means = []
    for k in range(pairs):
        raise_if_interrupted()
        noise_vector = filter_noise(objective.layout, scales, seed=seed, axis=_DIRECTIONS + k)
        means.append(antithetic_rise(loss, x, sigma * noise_vector.to(x), here))
    bad = sum(not math.isfinite(mean) for mean in means)
    return mean_of(np.array(means), f"the loss is not finite at {bad} of {pairs} pairs of draws" if bad else "")


def antithetic_rise(loss: Callable[[Tensor], Value], x: Tensor, step: Tensor, here: float) -> Value:
    """Return the mean rise of both ends of a step, (L(x + step) + L(x - step)) / 2 - L(x).

    Args:
        loss: the loss of weights (P,), or of several, (K, P) -> (K,).
        x: the weights, (P,).
        step: a step (P,), or several, (K, P).
        here: the loss at ``x``.
    """
    return (loss(x + step) + loss(x - step)) / 2 - here


def filter_noise(layout: ParameterLayout, scales: Tensor, *, seed: int, axis: int) -> Tensor:
    """Return D z, the noise of a slice's axis with that number, scaled to filters; (P,) float64.

    Args:
        layout: the parameters.
        scales: the diagonal of D, (P,).
        seed: seed of the noise.
        axis: number of the axis.
    """
    pairs = zip(layout.names, layout.shapes, strict=True)
    return scales * layout.flat([noise(seed, axis, name, shape).double() for name, shape in pairs])


def width(
    objective: Objective, theta: Theta, *, rise: float = 0.1, directions: int = _DIRECTIONS, seed: int
) -> Measurement:
    """Return the distance at which the loss has first risen by ``rise``, the median over directions and signs.

    The distance t is the first solution of L(w + t d) - L(w) = ``rise`` for a filter-normalised d, and so has the unit
    of a slice's axes. `first_crossing` tells how closely is looked; if the loss has not risen up to t = 1024, t is
    infinite. The first two directions are those of a slice with the same seed.

    Costs about 7 passes for each direction and sign, and 65 more that only look for an earlier crossing, in float32
    where it is close enough.

    Source: the half-width of a slice (Li et al., arXiv 1712.09913, section 5) as a number; ours.
    """
    x, quick = objective.layout.of(theta), objective.in_float32(theta)
    found: list[Crossing] = []
    last = 1.0
    for k in range(directions):
        d = _direction(objective, theta, seed, k).to(x)
        for step in (d, -d):
            rough = None if quick is objective else _rise_along(quick, theta, step)
            found.append(first_crossing(_rise_along(objective, theta, step), rise, last, rough))
            last = found[-1].distance if 0 < found[-1].distance < math.inf else last
    return median_of(np.array([each.distance for each in found]).reshape(-1, 2), _remarks(found), reach=REACH)


def _rise_along(objective: Objective, theta: Theta, step: Tensor) -> Callable[[float], float]:
    """Return the function t -> L(w + t step) - L(w) for a step (P,)."""
    x, here = objective.layout.of(theta), objective.loss(theta)
    return lambda t: objective.loss(objective.with_parameters(theta, x + t * step)) - here


def _remarks(found: Sequence[Crossing]) -> str:
    """Return remarks on the crossings, each with the number of directions that it concerns."""
    seen = {
        f"over {REACH:g}": sum(math.isinf(each.distance) for each in found),
        "below 2^-40": sum(each.distance == 0 for each in found),
        "the loss falls below the rise again further out": sum(each.returns for each in found),
        "the loss is not finite within 9% beyond": sum(not each.finite for each in found),
    }
    return "; ".join(f"{words}: {count} of {len(found)} directions and signs" for words, count in seen.items() if count)


def _direction(objective: Objective, theta: Theta, seed: int, axis: int) -> Tensor:
    """Return the filter-normalised direction of a slice's axis of that number, (P,) float64."""
    layout = objective.layout
    weights = {name: theta[name].cpu() for name in layout.names}
    held = Regenerated(weights, objective.filters, layout.names, Random(seed=seed), axis=axis, hold=True).held
    return layout.flat([held.get(name, torch.zeros_like(weights[name])) for name in layout.names])
