"""The temperature of a classifier, fitted on held-out data and moved into the last layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.optimize import brentq

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.symmetry.layer_pairs import Layer, constant_factors, last_scale
from surfaceviz.symmetry.rescale import SAME

_REACH = 2.0**20  # largest factor of the logits, and one over the smallest; ours
_TOLERANCE = 1e-12  # of the factor's logarithm

NO_CLASSES = "no temperature: the targets are not class numbers"
NO_LAST = "no temperature: there is no last layer with a weight"
NOT_BOUNDED = "no temperature: the held-out loss still falls where the logits are a million times as large or as small"
NOT_LAST = "no temperature: the last layer's scale is not that of the outputs"


def best_scale(objective: Objective, theta: Theta) -> float | None:
    """Return the factor of the outputs that minimises the mean loss; None if there is none in [2^-20, 2^20].

    The root of dL / d log(beta) is found by Brent's method; the cross-entropy is convex in beta. Costs one pass.

    Source: Guo et al., arXiv 1706.04599, section 4.2, with beta = 1 / T.
    """
    loss = objective.loss_of_outputs_times(theta)

    def slope(s: float) -> float:
        at = torch.tensor(s, dtype=torch.float64, device=objective.device, requires_grad=True)
        with torch.enable_grad():
            (found,) = torch.autograd.grad(loss(at.exp()), at)
        return float(found)

    end = math.log(_REACH)
    return math.exp(brentq(slope, -end, end, xtol=_TOLERANCE)) if slope(-end) < 0 < slope(end) else None


@dataclass(frozen=True, slots=True)
class Tempered:
    """Weights whose logits were divided by a temperature."""

    theta: Theta
    temperature: float


def at_temperature_one(objective: Objective, theta: Theta, layers: list[Layer], held_out: Objective) -> Tempered | str:
    """Return the weights with the best scale of the logits in the last layer, or the reason why there are none.

    Args:
        objective: all samples on which the outputs are compared.
        theta: the weights and buffers.
        layers: in the order of execution.
        held_out: the samples on which the temperature is fitted.
    """
    if held_out.problem.classes(held_out.split) is None:
        return NO_CLASSES
    if not any("weight" in layer.names for layer in layers):
        return NO_LAST
    beta = best_scale(held_out, theta)
    if beta is None:
        return NOT_BOUNDED
    last = last_scale(layers)
    made = last.scale_outputs(theta, constant_factors(last, beta))
    return Tempered(made, 1 / beta) if objective.deviation(theta, made, beta) < SAME else NOT_LAST
