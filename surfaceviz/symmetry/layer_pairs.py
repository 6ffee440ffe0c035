"""The layers of a network in the order of execution, and factors on their channels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.problem.parameters import named_tensors

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)
_LAYERS = (nn.Linear, *_CONVOLUTIONS)


@dataclass(frozen=True, slots=True)
class Layer:
    """A linear or convolutional layer or a batch norm.

    Attributes:
        module: the module.
        names: ``weight``, ``bias``, ``running_mean``, ... -> canonical names, for the tensors that exist.
    """

    module: nn.Module
    names: Mapping[str, str]

    @property
    def is_norm(self) -> bool:
        """Whether it is a batch norm."""
        return isinstance(self.module, _BatchNorm)

    @property
    def outputs(self) -> int:
        """The number of output channels."""
        m = self.module
        if isinstance(m, _CONVOLUTIONS):
            return m.out_channels
        return m.out_features if isinstance(m, nn.Linear) else m.num_features  # type: ignore[return-value]

    def accepts(self, channels: int) -> bool:
        """Return whether the input can have this number of channels (flattened ones, for a linear layer)."""
        m = self.module
        if isinstance(m, _CONVOLUTIONS):
            return m.in_channels == channels
        return isinstance(m, nn.Linear) and m.in_features % channels == 0

    def scale_outputs(self, theta: Theta, factors: Tensor) -> Theta:
        """Return the weights with this layer's output channels multiplied by ``factors`` (C,)."""
        scaled_theta, m = dict(theta), self.module
        c = factors.to(theta[self.names["weight"]])
        w = theta[self.names["weight"]]
        if isinstance(m, _TRANSPOSED):  # (in, out / groups, ...), with groups along the inputs
            g = m.groups
            scaled = w.reshape(g, w.shape[0] // g, w.shape[1], -1) * c.view(g, 1, -1, 1)
        else:
            scaled = w.reshape(len(c), -1) * c[:, None]
        scaled_theta[self.names["weight"]] = scaled.reshape(w.shape)
        if "bias" in self.names:
            scaled_theta[self.names["bias"]] = theta[self.names["bias"]] * c
        return scaled_theta

    def divide_inputs(self, theta: Theta, factors: Tensor) -> Theta:
        """Return the weights with this layer's inputs divided by ``factors`` (C,), channel by channel."""
        m, w = self.module, theta[self.names["weight"]]
        c = factors.to(w)
        if isinstance(m, _TRANSPOSED):
            scaled = w.reshape(len(c), -1) / c[:, None]
        elif isinstance(m, nn.Linear):  # flattened channels are contiguous blocks
            scaled = w.reshape(w.shape[0], len(c), -1) / c[:, None]
        else:
            assert isinstance(m, _CONVOLUTIONS)
            g = m.groups
            scaled = w.reshape(g, w.shape[0] // g, w.shape[1], -1) / c.view(g, 1, -1, 1)
        return {**theta, self.names["weight"]: scaled.reshape(w.shape)}

    def output_squares(self, theta: Theta) -> Tensor:
        """Return the squared norm of each output channel's weights and bias, (C,)."""
        m, w = self.module, theta[self.names["weight"]].double()
        if isinstance(m, _TRANSPOSED):
            g = m.groups
            squares = w.reshape(g, w.shape[0] // g, w.shape[1], -1).square().sum((1, 3)).flatten()
        else:
            squares = w.reshape(w.shape[0], -1).square().sum(1)
        return squares + theta[self.names["bias"]].double().square() if "bias" in self.names else squares

    def input_squares(self, theta: Theta, channels: int) -> Tensor:
        """Return the squared norm of the weights on each of ``channels`` input channels, (C,)."""
        m, w = self.module, theta[self.names["weight"]].double()
        if isinstance(m, _TRANSPOSED):
            return w.reshape(channels, -1).square().sum(1)
        if isinstance(m, nn.Linear):
            return w.reshape(w.shape[0], channels, -1).square().sum((0, 2))
        assert isinstance(m, _CONVOLUTIONS)
        g = m.groups
        return w.reshape(g, w.shape[0] // g, w.shape[1], -1).square().sum((1, 3)).flatten()


@dataclass(frozen=True, slots=True)
class LayerPair:
    """Two successive layers, and the layer that scales the outputs of the first: itself, or its batch norm."""

    first: Layer
    source: Layer
    second: Layer


def layers_in_order(objective: Objective, theta: Theta) -> list[Layer]:
    """Return the layers and batch norms in the order of their first execution; costs one pass over a batch.

    Layers whose weights are computed from other parameters (as by weight norm) are excluded.
    """
    executed: list[nn.Module] = []
    names = {id(named.tensor): name for name, named in named_tensors(objective.problem.model).items()}
    layers = {id(m): Layer(m, _names(m, names)) for m in objective.problem.model.modules()}
    with _recording_execution(objective.problem.model, executed):
        objective.first_batch().outputs(theta)
    return [
        layer for layer in (layers[id(m)] for m in dict.fromkeys(executed)) if layer.is_norm or "weight" in layer.names
    ]


def _names(module: nn.Module, names: Mapping[int, str]) -> dict[str, str]:
    own = {**module._parameters, **module._buffers}  # noqa: SLF001  torch's own registries
    return {key: names[id(tensor)] for key, tensor in own.items() if tensor is not None}


@contextmanager
def _recording_execution(model: nn.Module, executed: list[nn.Module]) -> Iterator[None]:
    """Append the layers and batch norms that run in a ``with`` block to ``executed``."""

    def record(module: nn.Module, _inputs: object, _output: object) -> None:
        executed.append(module)

    hooks = [m.register_forward_hook(record) for m in model.modules() if isinstance(m, (*_LAYERS, _BatchNorm))]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def adjacent_pairs(layers: list[Layer]) -> list[LayerPair]:
    """Return the pairs of successive layers whose output and input channels can match."""
    found = []
    places = [i for i, layer in enumerate(layers) if not layer.is_norm]
    for i, j in pairwise(places):
        pair = LayerPair(first=layers[i], source=last_scale(layers[i:j]), second=layers[j])
        if pair.second.accepts(pair.source.outputs):
            found.append(pair)
    return found


def last_scale(layers: list[Layer]) -> Layer:
    """Return the last layer with a weight, which scales the output of all."""
    return next(layer for layer in reversed(layers) if "weight" in layer.names)


def scale_before_norm(theta: Theta, layer: Layer, norm: Layer, factors: Tensor) -> Theta:
    """Return the weights with a layer's output channels times ``factors`` (C,), and running statistics to match.

    The mean is multiplied by the factor c; the variance v becomes c^2 (v + eps) - eps.
    """
    assert isinstance(norm.module, _BatchNorm)
    eps, mean, variance = norm.module.eps, norm.names["running_mean"], norm.names["running_var"]
    c = factors.to(theta[mean])
    scaled = c.square() * (theta[variance] + eps) - eps
    rounding = 4 * torch.finfo(scaled.dtype).eps * eps
    scaled = torch.where(scaled.abs() <= rounding, 0.0, scaled)  # a variance of 0 would else be rounded below it
    statistics = {mean: theta[mean] * c, variance: scaled}
    return {**layer.scale_outputs(theta, factors), **statistics}


def batch_normalised_layers(layers: list[Layer]) -> list[tuple[Layer, Layer]]:
    """Return the pairs of a layer and the batch norm of its channels, with running statistics, that follows it."""
    pairs = [(a, b) for a, b in pairwise(layers) if not a.is_norm and b.is_norm and "running_var" in b.names]
    return [(a, b) for a, b in pairs if a.outputs == b.outputs]  # outputs may be reshaped in between


def drawn_factors(layer: Layer, generator: torch.Generator, *, largest: float) -> Tensor:
    """Return a factor for each output channel, log-uniform in [1 / largest, largest], (C,)."""
    return largest ** (2 * torch.rand(layer.outputs, generator=generator, dtype=torch.float64) - 1)


def constant_factors(layer: Layer, factor: float) -> Tensor:
    """Return one factor for all output channels, (C,)."""
    return torch.full((layer.outputs,), factor, dtype=torch.float64)
