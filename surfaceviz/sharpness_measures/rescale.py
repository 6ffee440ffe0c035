"""Reparametrisations that leave the function as it is, each verified on the data."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from surfaceviz.sharpness_measures.layer_pairs import Layer, Pair, chain, constant, last_scale, normed, pairs
from surfaceviz.sharpness_measures.objective import Objective, Theta

KINDS = ("layer", "neuron", "batch norm", "logits")

_FACTOR = 4.0  # of layers and batch norms, and at most of neurons: Dinh et al. leave it open; ours
_TIMES = 2.0  # of logits; ours
_SAME = 1e-9  # of the largest output: what is nearer is the same function

_NO_OUTPUTS = "the problem is given by measure=, so that there are no outputs to compare"


@dataclass(frozen=True, slots=True)
class Rescaling:
    """Weights that give the same function, or why there are none.

    Attributes:
        kind: one of `KINDS`.
        words: what was done, or why it is not possible.
        theta: the new weights and buffers; None where it is not possible here.
        deviation: of the outputs on all samples, relative to the largest; NaN likewise.
    """

    kind: str
    words: str
    theta: Theta | None = None
    deviation: float = float("nan")


def rescalings(objective: Objective, theta: Theta, *, seed: int) -> Iterator[Rescaling]:
    """Yield the rescalings of each kind.

    ``layer``: W1, b1 times 4 and W2 over 4, for layers joined by what is positively homogeneous (ReLU, pooling,
    flatten); a batch norm's weight and bias stand for W1, b1 where one comes between. ``neuron``: likewise with a
    factor for each output channel, log-uniform in [1/4, 4]. ``batch norm``: W, b and running mean times 4, the
    running variance such that var + eps grows by 16. ``logits``: the last layer times 2, which keeps predictions, but
    not the loss.

    Candidates are layers next to one another in the order in which they run; what is taken are those after which the
    outputs are the same within 1e-9 of the largest: the architecture is not looked at, only what the network gives. For
    ``layer`` each is in one pair at the most, as factors would cancel. Each candidate takes two passes over one batch,
    each kind two over all.

    Source: Dinh et al., arXiv 1703.04933, section 3 (layer, neuron); Li et al., arXiv 1712.09913, section 4 (batch
    norm).
    """
    if not objective.problem.has_loss:
        yield from (Rescaling(kind, _NO_OUTPUTS) for kind in KINDS)
        return
    layers = chain(objective, theta)
    trial = _Trial(objective, theta)
    generator = torch.Generator().manual_seed(seed)
    yield _paired(trial, "layer", pairs(layers), lambda pair: constant(pair.source, _FACTOR))
    yield _paired(trial, "neuron", pairs(layers), lambda pair: _drawn(pair.source, generator))
    yield _normed(trial, layers)
    yield _logits(objective, theta, layers)


class _Trial:
    """Makes changes one after another, of which those stay that leave the outputs on a batch as they are."""

    def __init__(self, objective: Objective, theta: Theta) -> None:
        self.objective, self.theta = objective, theta
        self._head = objective.head()

    def kept(self, changes: Iterable[tuple[list[int], Callable[[Theta], Theta]]]) -> tuple[Theta, int, float]:
        """Return the weights after all changes that can be, their number, and how near a refused one came.

        Weights that are 0 can't be changed so.

        Args:
            changes: which modules each takes for itself alone, and what it does.
        """
        theta, count, nearest = self.theta, 0, float("inf")
        taken: set[int] = set()
        for modules, change in changes:
            if taken & set(modules):
                continue
            made = change(theta)
            off = self._head.deviation(self.theta, made)
            if off < _SAME and any(not torch.equal(made[name], tensor) for name, tensor in theta.items()):
                theta, count = made, count + 1
                taken |= set(modules)
            else:
                nearest = min(nearest, off)
        return theta, count, nearest

    def verified(self, kind: str, theta: Theta, words: str) -> Rescaling:
        """Return the rescaling if the outputs on all samples are the same."""
        off = self.objective.deviation(self.theta, theta)
        if not off < _SAME:
            return Rescaling(kind, f"on all samples the outputs change, by {off:.1g} of the largest")
        return Rescaling(kind, words, theta, off)


def _paired(trial: _Trial, kind: str, found: list[Pair], factors: Callable[[Pair], Tensor]) -> Rescaling:
    if not found:
        return Rescaling(kind, "there are no two layers whose channels could be scaled against one another")

    def change(pair: Pair) -> Callable[[Theta], Theta]:
        c = factors(pair)
        return lambda theta: pair.second.inwards(pair.source.outwards(theta, c), c)

    def alone(pair: Pair) -> list[int]:
        return [id(pair.first.module), id(pair.second.module)] if kind == "layer" else []

    theta, count, nearest = trial.kept((alone(pair), change(pair)) for pair in found)
    if not count:
        return Rescaling(
            kind, f"no pair of {_all(found)} layers keeps the outputs; the nearest is off by {nearest:.1g}"
        )
    by = f"{_FACTOR:g}" if kind == "layer" else f"factors in [1/{_FACTOR:g}, {_FACTOR:g}], one a channel"
    return trial.verified(
        kind, theta, f"{_pairs(count)} of layers, the first times {by}, the second divided by it: the same outputs"
    )


def _all(found: list[Pair]) -> str:
    return "successive" if len(found) == 1 else f"{len(found)} successive"


def _pairs(count: int) -> str:
    return f"{count} pair{'s' if count > 1 else ''}"


def _drawn(layer: Layer, generator: torch.Generator) -> Tensor:
    """Return a factor for each output channel, log-uniform in [1/4, 4]."""
    return _FACTOR ** (2 * torch.rand(layer.outputs, generator=generator, dtype=torch.float64) - 1)


def _normed(trial: _Trial, layers: list[Layer]) -> Rescaling:
    found = normed(layers)
    if not found:
        return Rescaling("batch norm", "no batch norm with running statistics follows a layer")
    changes = (([id(a.module), id(b.module)], _grown(a, b)) for a, b in found)
    theta, count, nearest = trial.kept(changes)
    if not count:
        return Rescaling("batch norm", f"none of {len(found)} keeps the outputs; the nearest is off by {nearest:.1g}")
    words = (
        f"{count} layer{'s' if count > 1 else ''} before batch norms times {_FACTOR:g}, running statistics "
        "to match: the same outputs"
    )
    return trial.verified("batch norm", theta, words)


def _grown(layer: Layer, norm: Layer) -> Callable[[Theta], Theta]:
    """Return what makes a layer larger and has its batch norm undo it."""
    assert isinstance(norm.module, _BatchNorm)
    eps, mean, variance = norm.module.eps, norm.names["running_mean"], norm.names["running_var"]

    def change(theta: Theta) -> Theta:
        statistics = {mean: theta[mean] * _FACTOR, variance: _FACTOR**2 * (theta[variance] + eps) - eps}
        return {**layer.outwards(theta, constant(layer, _FACTOR)), **statistics}

    return change


def _logits(objective: Objective, theta: Theta, layers: list[Layer]) -> Rescaling:
    if objective.problem.classes(objective.split) is None:
        return Rescaling("logits", "the targets are no class numbers")
    if not any("weight" in layer.names for layer in layers):
        return Rescaling("logits", "there is no last layer")
    last = last_scale(layers)
    made = last.outwards(theta, constant(last, _TIMES))
    off = objective.deviation(theta, made, _TIMES)
    if all(torch.equal(made[name], tensor) for name, tensor in theta.items()):
        return Rescaling("logits", "the last layer is 0")
    if not off < _SAME:
        return Rescaling("logits", f"the last layer's scale is not the outputs'; they are off by {off:.1g}")
    words = f"the last layer times {_TIMES:g}: outputs times {_TIMES:g}, the same predictions, another loss"
    return Rescaling("logits", words, made, off)
