"""The rescaling that balances every hidden unit and gives filters before a batch norm the norm 1."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.symmetry.layer_pairs import Layer, LayerPair, drawn_factors, scale_before_norm
from surfaceviz.symmetry.rescale import SAME

_SWEEPS = 5000  # ours
_TOLERANCE = 1e-11  # of a factor's logarithm, at which the sweeps end; ours
_TRIAL = 4.0  # largest factor of the trial rescalings; ours
_SAMPLES = 16  # of the trial rescalings; all samples follow at the end; ours

NormedLayer = tuple[Layer, Layer]  # a layer and the batch norm that follows it
_Place = TypeVar("_Place", LayerPair, NormedLayer)


def keeping_pairs(objective: Objective, theta: Theta, pairs: Sequence[LayerPair]) -> list[LayerPair]:
    """Return the pairs whose channels can be scaled against one another; see `_Trials` for the costs."""

    def change(theta: Theta, pair: LayerPair, c: Tensor) -> Theta:
        return pair.second.divide_inputs(pair.source.scale_outputs(theta, c), c)

    return _Trials(objective, theta).keeping(pairs, lambda pair: pair.source, change)


def keeping_norms(objective: Objective, theta: Theta, places: Sequence[NormedLayer]) -> list[NormedLayer]:
    """Return the layers before a batch norm whose filters can be scaled; see `_Trials` for the costs."""

    def change(theta: Theta, place: NormedLayer, c: Tensor) -> Theta:
        return scale_before_norm(theta, *place, c)

    return _Trials(objective, theta).keeping(places, operator.itemgetter(0), change)


class _Trials:
    """Rescalings by random factors, judged by the outputs on a few samples.

    Many places are tried together. If the outputs change, each half is tried alone. So a network costs from one pass
    over the few samples, where all places keep the outputs, to two passes for each place.
    """

    def __init__(self, objective: Objective, theta: Theta) -> None:
        self._batch, self._theta = objective.chunks(_SAMPLES)[0], theta
        self._outputs = self._batch.outputs(theta)
        self._generator = torch.Generator().manual_seed(0)

    def keeping(
        self, places: Sequence[_Place], layer_of: Callable[[_Place], Layer], change: Callable[..., Theta]
    ) -> list[_Place]:
        """Return the places where a random rescaling changes weights, but not the outputs."""
        factors = [drawn_factors(layer_of(place), self._generator, largest=_TRIAL) for place in places]
        tried = [
            (place, c) for place, c in zip(places, factors, strict=True) if self._changes(change(self._theta, place, c))
        ]
        return [place for place, _ in self._accepted(tried, change)]

    def _accepted(self, tried: Sequence[tuple[Any, Tensor]], change: Callable[..., Theta]) -> list[tuple[Any, Tensor]]:
        changed = self._theta
        for place, c in tried:
            changed = change(changed, place, c)
        if self._keeps(changed):
            return list(tried)
        half = len(tried) // 2
        return [*self._accepted(tried[:half], change), *self._accepted(tried[half:], change)] if half else []

    def _changes(self, changed: Theta) -> bool:
        return any(not torch.equal(changed[name], tensor) for name, tensor in self._theta.items())

    def _keeps(self, changed: Theta) -> bool:
        if changed is self._theta:
            return True
        pairs = zip(self._outputs, self._batch.outputs(changed), strict=True)
        return all(float((after - before).abs().max()) <= SAME * float(before.abs().max()) for before, after in pairs)


def balance(theta: Theta, pairs: list[LayerPair], norms: list[NormedLayer]) -> Theta:
    r"""Return the weights in which both norms of every hidden unit are equal and filters before a norm have norm 1.

    A unit i of a pair is scaled by c_i = sqrt(out_i / in_i), in_i the norm of its incoming weights and bias (or of its
    batch norm's gain and bias), out_i that of its outgoing weights; a filter by 1 / ||w_i||. These are exact coordinate
    steps on a convex function of the logarithms of the factors: the sum of all squared norms, minus 2 log ||w_i|| for
    each filter before a norm. So the sweeps end at its one minimum, wherever they begin. Units with a norm of 0 stay as
    they are. A filter with a running variance near 0 is scaled so far that the variance becomes 0, not negative.

    Source: for pairs, Du, Hu & Lee, arXiv 1806.00900 (balanced norms are kept by gradient flow); path-SGD, arXiv
    1506.02617, has the same invariance. The joint minimum is ours.
    """
    for _ in range(_SWEEPS):
        largest = 0.0
        for pair in pairs:
            c = _balancing(theta, pair)
            theta = pair.second.divide_inputs(pair.source.scale_outputs(theta, c), c)
            largest = max(largest, float(c.log().abs().max()))
        for layer, norm in norms:
            c = _normalising(theta, layer, norm)
            theta = scale_before_norm(theta, layer, norm, c)
            largest = max(largest, float(c.log().abs().max()))
        if largest < _TOLERANCE:
            break
    return theta


def _balancing(theta: Theta, pair: LayerPair) -> Tensor:
    """Return the factor of each channel, (C,) float64; 1 where a norm is 0."""
    inward = pair.source.output_squares(theta)
    outward = pair.second.input_squares(theta, len(inward))
    c = (outward / inward) ** 0.25
    return torch.where((inward > 0) & (outward > 0), c, torch.ones_like(c))


def _normalising(theta: Theta, layer: Layer, norm: Layer) -> Tensor:
    """Return the factor of each filter, (C,) float64; 1 where its norm is 0."""
    assert isinstance(norm.module, _BatchNorm)
    weight = {key: name for key, name in layer.names.items() if key == "weight"}
    squares = Layer(layer.module, weight).output_squares(theta)
    variance = theta[norm.names["running_var"]].double() + norm.module.eps
    c = torch.maximum(squares.rsqrt(), (norm.module.eps / variance).sqrt())
    return torch.where(squares > 0, c, torch.ones_like(c))
