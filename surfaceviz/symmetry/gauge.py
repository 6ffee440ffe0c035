"""One gauge for networks: rescalings that keep the function are used to bring the weights to a standard scale."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass, replace

import torch
from torch import nn

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.errors import error_context
from surfaceviz.problem.parameters import named_tensors
from surfaceviz.symmetry.balance import balance, keeping_norms, keeping_pairs
from surfaceviz.symmetry.layer_pairs import Layer, LayerPair, adjacent_pairs, batch_normalised_layers, layers_in_order
from surfaceviz.symmetry.rescale import SAME
from surfaceviz.symmetry.temperature import Tempered, at_temperature_one

NO_OUTPUTS = "not brought to the gauge: the problem is given by measure=, so that there are no outputs to compare"
NO_LAYERS = "not brought to the gauge: no linear layer and no convolution ran"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """Weights in the gauge, or the reason why there are none.

    Attributes:
        theta: weights and buffers; None if the network was not brought to the gauge.
        balanced: number of hidden units whose norms of in- and outgoing weights are equal.
        normed: number of filters before a batch norm that have norm 1.
        left: names of layers with outputs that no rescaling could balance, such as those of a residual stream.
        temperature: the number that the logits were divided by; None if it was not fitted.
        deviation: error of the outputs on all samples, relative to the largest.
        reason: one line that tells why there are no weights, or why there is no temperature; else empty.
    """

    theta: Theta | None = None
    balanced: int = 0
    normed: int = 0
    left: tuple[str, ...] = ()
    temperature: float | None = None
    deviation: float = math.nan
    reason: str = ""


def to_gauge(objective: Objective, theta: Theta, *, held_out: Objective | None = None) -> Gauge:
    """Return weights that give the same function up to the temperature, in the gauge.

    First the logits are divided by the temperature that fits the held-out data best. Then the norms of every hidden
    unit are balanced and filters before a batch norm get the norm 1, see `balance`. Candidates are successive layers in
    the order of execution; trial rescalings on a few samples tell which the function allows. The result is believed
    only if the outputs on all samples stay the same within 1e-9 of the largest. With batch norms, the running
    statistics move along; recalibrating them afterwards changes the outputs by the norm's eps.

    Costs four passes over all samples, one over the held-out ones, and at most four over 16 samples for each layer.

    Args:
        objective: the loss, in float64.
        theta: the weights and buffers in float64; not changed.
        held_out: the same problem on samples that the network was not trained on; None leaves the logits' scale.

    Source: rescalings that keep the function: Dinh et al., arXiv 1703.04933, section 3; Li et al., arXiv 1712.09913,
    section 4. Temperature: Guo et al., arXiv 1706.04599. This gauge is ours.
    """
    if not objective.problem.has_loss:
        return Gauge(reason=NO_OUTPUTS)
    layers = layers_in_order(objective, theta)
    if not any("weight" in layer.names for layer in layers):
        return Gauge(reason=NO_LAYERS)
    temperature, reason, scaled = None, "", theta
    if held_out is not None:
        tempered = at_temperature_one(objective, theta, layers, held_out)
        if isinstance(tempered, Tempered):
            scaled, temperature = tempered.theta, tempered.temperature
        else:
            reason = tempered
    return replace(_balanced(objective, scaled, layers, reason), temperature=temperature)


def _balanced(objective: Objective, theta: Theta, layers: list[Layer], reason: str) -> Gauge:
    candidates = adjacent_pairs(layers)
    pairs = keeping_pairs(objective, theta, candidates)
    norms = keeping_norms(objective, theta, batch_normalised_layers(layers))
    made = balance(theta, pairs, norms)
    deviation = objective.deviation(theta, made)
    if not deviation < SAME:
        return Gauge(
            deviation=deviation,
            reason=f"not brought to the gauge: the outputs change by {deviation:.1g} of the largest",
        )
    return Gauge(
        theta=made, balanced=sum(pair.source.outputs for pair in pairs), normed=sum(a.outputs for a, _ in norms),
        left=_left(layers, pairs), deviation=deviation, reason=reason,
    )  # fmt: skip


def _left(layers: list[Layer], pairs: list[LayerPair]) -> tuple[str, ...]:
    """Return the names of layers before the last one whose outputs were not balanced."""
    done = {id(pair.first.module) for pair in pairs}
    hidden = [layer for layer in layers if not layer.is_norm][:-1]
    return tuple(layer.names["weight"].removesuffix(".weight") for layer in hidden if id(layer.module) not in done)


def gauged_model(model: nn.Module, theta: Theta) -> nn.Module:
    """Return a copy of a model with other weights and buffers, in its own dtypes; the model itself is unchanged.

    Raises:
        ProblemError: the model can't be copied.
    """
    with error_context("copying the model"):
        made = copy.deepcopy(model)
    with torch.no_grad():
        for name, named in named_tensors(made).items():
            if name in theta:
                named.tensor.copy_(theta[name])
    return made
