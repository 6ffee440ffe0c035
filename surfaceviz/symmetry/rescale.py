"""Rescalings of the weights that keep the network's function, each verified on the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.symmetry.layer_pairs import (
    Layer,
    LayerPair,
    adjacent_pairs,
    batch_normalised_layers,
    constant_factors,
    drawn_factors,
    last_scale,
    layers_in_order,
    scale_before_norm,
)

KINDS = ("layer", "neuron", "batch norm", "logits")

_FACTOR = 4.0  # factor of layers and batch norms, largest factor of neurons; Dinh et al. leave it open; ours
_TIMES = 2.0  # factor of logits; ours
SAME = 1e-9  # of the largest output: a smaller error counts as the same function

_NO_OUTPUTS = "the problem is given by measure=, so that there are no outputs to compare"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescaling:
    """Weights that give the same function, or the reason why there are none.

    Attributes:
        kind: one of `KINDS`.
        words: a description of the rescaling, or the reason why it is not possible.
        theta: the new weights and buffers; None if not possible here.
        deviation: error of the outputs on all samples, relative to the largest; NaN if not possible.
    """

    kind: str
    words: str
    theta: Theta | None = None
    deviation: float = float("nan")


def rescalings(objective: Objective, theta: Theta, *, seed: int) -> Iterator[Rescaling]:
    """Yield the rescalings of each kind.

    ``layer``: W1, b1 times 4 and W2 over 4, for layers joined by positively homogeneous operations (ReLU, pooling,
    flatten); a batch norm between them is scaled instead of W1, b1. ``neuron``: the same with one factor for each
    output channel, log-uniform in [1/4, 4]. ``batch norm``: W, b and running mean times 4, and the running variance
    such that var + eps grows by 16. ``logits``: the last layer times 2, which keeps predictions, but not the loss.

    Candidates are successive layers in the order of execution. A candidate is accepted if the outputs stay the same
    within 1e-9 of the largest; the architecture is not inspected. For ``layer`` each layer is in at most one pair,
    because factors would cancel. Each candidate costs two passes over one batch, each kind two passes over all.

    Source: Dinh et al., arXiv 1703.04933, section 3 (layer, neuron); Li et al., arXiv 1712.09913, section 4 (batch
    norm).
    """
    if not objective.problem.has_loss:
        yield from (Rescaling(kind=kind, words=_NO_OUTPUTS) for kind in KINDS)
        return
    layers = layers_in_order(objective, theta)
    trial = _Trial(objective, theta)
    generator = torch.Generator().manual_seed(seed)
    yield _paired(trial, "layer", adjacent_pairs(layers), lambda pair: constant_factors(pair.source, _FACTOR))
    yield _paired(
        trial, "neuron", adjacent_pairs(layers), lambda pair: drawn_factors(pair.source, generator, largest=_FACTOR)
    )
    yield _normed(trial, layers)
    yield _logits(objective, theta, layers)


class _Trial:
    """Applies changes one after another and keeps those that preserve the outputs on a batch."""

    def __init__(self, objective: Objective, theta: Theta) -> None:
        self.objective, self.theta = objective, theta
        self._first_batch = objective.first_batch()

    def kept(self, changes: Iterable[tuple[list[int], Callable[[Theta], Theta]]]) -> tuple[Theta, int, float | None]:
        """Return the weights after all accepted changes, their number, and the smallest error of a rejected one.

        A change that leaves all weights equal (because they are 0) is none; if there is no other, the error is None.

        Args:
            changes: the modules that each change needs exclusively, and its function.
        """
        theta, count, taken = self.theta, 0, set[int]()
        nearest: float | None = None
        for modules, change in changes:
            if taken & set(modules):
                continue
            changed = change(theta)
            if all(torch.equal(changed[name], tensor) for name, tensor in theta.items()):
                continue
            error = self._first_batch.deviation(self.theta, changed)
            if error < SAME:
                theta, count = changed, count + 1
                taken |= set(modules)
            else:
                nearest = error if nearest is None else min(nearest, error)
        return theta, count, nearest

    def verified(self, kind: str, theta: Theta, words: str) -> Rescaling:
        """Return the rescaling if the outputs on all samples are the same."""
        off = self.objective.deviation(self.theta, theta)
        if not off < SAME:
            return Rescaling(kind=kind, words=f"on all samples the outputs change, by {off:.1g} of the largest")
        return Rescaling(kind=kind, words=words, theta=theta, deviation=off)


def _paired(trial: _Trial, kind: str, found: list[LayerPair], factors: Callable[[LayerPair], Tensor]) -> Rescaling:
    if not found:
        return Rescaling(kind=kind, words="there are no two layers whose channels could be scaled against one another")

    def change(pair: LayerPair) -> Callable[[Theta], Theta]:
        c = factors(pair)
        return lambda theta: pair.second.divide_inputs(pair.source.scale_outputs(theta, c), c)

    def alone(pair: LayerPair) -> list[int]:
        return [id(pair.first.module), id(pair.second.module)] if kind == "layer" else []

    theta, count, nearest = trial.kept((alone(pair), change(pair)) for pair in found)
    if not count:
        return Rescaling(kind=kind, words=_refusal(f"no pair of {_all(found)} layers keeps the outputs", nearest))
    by = f"{_FACTOR:g}" if kind == "layer" else f"factors in [1/{_FACTOR:g}, {_FACTOR:g}], one a channel"
    return trial.verified(
        kind, theta, f"{_pairs(count)} of layers, the first times {by}, the second divided by it: the same outputs"
    )


def _refusal(words: str, nearest: float | None) -> str:
    if nearest is None:
        return "all weights that could be scaled are 0"
    return f"{words}; the nearest is off by {nearest:.1g}"


def _all(found: list[LayerPair]) -> str:
    return "successive" if len(found) == 1 else f"{len(found)} successive"


def _pairs(count: int) -> str:
    return f"{count} pair{'s' if count > 1 else ''}"


def _normed(trial: _Trial, layers: list[Layer]) -> Rescaling:
    found = batch_normalised_layers(layers)
    if not found:
        return Rescaling(
            kind="batch norm", words="no batch norm with running statistics follows a layer of as many channels"
        )
    changes = (([id(a.module), id(b.module)], _grown(a, b)) for a, b in found)
    theta, count, nearest = trial.kept(changes)
    if not count:
        return Rescaling(kind="batch norm", words=_refusal(f"none of {len(found)} keeps the outputs", nearest))
    words = (
        f"{count} layer{'s' if count > 1 else ''} before batch norms times {_FACTOR:g}, running statistics "
        "to match: the same outputs"
    )
    return trial.verified("batch norm", theta, words)


def _grown(layer: Layer, norm: Layer) -> Callable[[Theta], Theta]:
    """Return the change that scales a layer up and its batch norm statistics to match."""
    return lambda theta: scale_before_norm(theta, layer, norm, constant_factors(layer, _FACTOR))


def _logits(objective: Objective, theta: Theta, layers: list[Layer]) -> Rescaling:
    if objective.problem.classes(objective.split) is None:
        return Rescaling(kind="logits", words="the targets are no class numbers")
    if not any("weight" in layer.names for layer in layers):
        return Rescaling(kind="logits", words="there is no last layer")
    last = last_scale(layers)
    made = last.scale_outputs(theta, constant_factors(last, _TIMES))
    off = objective.deviation(theta, made, _TIMES)
    if all(torch.equal(made[name], tensor) for name, tensor in theta.items()):
        return Rescaling(kind="logits", words="the last layer is 0")
    if not off < SAME:
        return Rescaling(kind="logits", words=f"the last layer's scale is not the outputs'; they are off by {off:.1g}")
    words = f"the last layer times {_TIMES:g}: outputs times {_TIMES:g}, the same predictions, another loss"
    return Rescaling(kind="logits", words=words, theta=made, deviation=off)
