"""Functions whose derivatives are checked: a loss on a few samples, or any function of tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any, Protocol

import torch
from torch import Tensor

from surfaceviz.curvature.products.double_backward import twice_differentiable
from surfaceviz.curvature.products.hvp import BatchGraph, graph_builder, summed_gradient
from surfaceviz.problem.estimates import sum_and_weight
from surfaceviz.problem.functional import State, loss_sums, outputs
from surfaceviz.problem.problem import Problem

Tensors = Sequence[Tensor]

_NOISE = 1e-3  # of the size of a tensor: the distance of the checked point, off exact kinks and critical points; ours


class CheckedFunction(Protocol):
    """A scalar function near a point.

    Attributes:
        point: the tensors at the point.
    """

    point: list[Tensor]

    @property
    def slope(self) -> list[Tensor]:
        """The gradient at the point, as the run computes it."""

    def value(self, step: Tensors | None = None) -> float:
        """Return the value at the point plus a step; a forward pass only."""

    def gradient(self, step: Tensors) -> list[Tensor]:
        """Return the gradient at the point plus a step."""

    def product(self, vector: Tensors) -> list[Tensor]:
        """Return the matrix of second derivatives times a vector, as the run computes it."""


class LossFunction:
    """The summed loss of a batch near given weights, differentiated as by `graph_builder`.

    Args:
        problem: its model is borrowed.
        state: the model's own names -> weights and buffers.
        names: of the parameters.
        batch: the samples, in the dtype of the weights.
        operator: ``hessian`` or ``ggn``.
        noise: whether the point is a small random step away from the weights.
    """

    def __init__(
        self, problem: Problem, state: State, names: Sequence[str], batch: Any, *, operator: str, noise: bool
    ) -> None:
        self.problem, self.names, self.batch = problem, list(names), batch
        point = [state[name].detach().clone() for name in names]
        if noise:
            point = moved(point, random_tensors(point, seed=2), _NOISE)
        self.point = point
        self._state = {name: tensor.detach() for name, tensor in state.items()}
        self._operator = operator

    @cached_property
    def _graph(self) -> BatchGraph:
        return graph_builder(self.problem, self._operator)(self.state(), self.names, self.batch)

    @property
    def slope(self) -> list[Tensor]:
        """The gradient at the point; the first use builds the graph, which raises where that is impossible."""
        return self._graph.gradient

    def state(self, step: Tensors | None = None) -> dict[str, Tensor]:
        """Return the state at the point plus a step; buffers are copies, because a model may write to them."""
        known = set(self.names)
        there = self.point if step is None else moved(self.point, step)
        kept = {name: tensor.clone() for name, tensor in self._state.items() if name not in known}
        return kept | dict(zip(self.names, there, strict=True))

    def value(self, step: Tensors | None = None) -> float:
        """Return the loss without a graph; autograd stays enabled, because a model may differentiate inside."""
        with torch.enable_grad():
            return float(loss_sums(self.problem)(self.state(step), self.batch)[0].detach())

    def outputs(self, step: Tensors | None = None) -> Tensor:
        """Return the model's outputs at the point plus a step, without a graph."""
        self.problem.draws.reseed()
        with torch.enable_grad():
            found: Tensor = outputs(self.problem)(self.state(step), self.batch)
        return found.detach()

    def output_gradient(self, given: Tensor) -> Tensor:
        """Return the gradient of the summed loss by the outputs."""
        leaf = given.clone().requires_grad_()
        with torch.enable_grad():
            total = sum_and_weight(self.problem.measure_outputs_loss(leaf, self.problem.targets(self.batch)))[0]
        return torch.autograd.grad(total, leaf)[0]

    def gradient(self, step: Tensors) -> list[Tensor]:
        """Return the gradient at the point plus a step."""
        return summed_gradient(self.problem, self.state(step), self.names, self.batch)[2]

    def product(self, vector: Tensors) -> list[Tensor]:
        """Return the matrix times a vector."""
        return [part.detach() for part in self._graph.product(vector)]


class TensorFunction:
    """A function of tensors that gives a scalar tensor, differentiated by autograd."""

    def __init__(self, function: Callable[[list[Tensor]], Tensor], point: Tensors) -> None:
        self._function = function
        self.point = [tensor.detach().clone() for tensor in point]
        self._leaves = [tensor.clone().requires_grad_() for tensor in self.point]
        self.total = self._at(self._leaves)
        self._slope = torch.autograd.grad(
            self.total, self._leaves, create_graph=True, materialize_grads=True, allow_unused=True
        )

    @property
    def slope(self) -> list[Tensor]:
        """The gradient at the point."""
        return [part.detach() for part in self._slope]

    def _at(self, tensors: list[Tensor]) -> Tensor:
        with torch.enable_grad(), twice_differentiable():
            return self._function(tensors)

    def value(self, step: Tensors | None = None) -> float:
        """Return the value without a graph."""
        there = self.point if step is None else moved(self.point, step)
        return float(self._at([tensor.clone() for tensor in there]).detach())

    def gradient(self, step: Tensors) -> list[Tensor]:
        """Return the gradient at the point plus a step."""
        there = [tensor.requires_grad_() for tensor in moved(self.point, step)]
        return list(torch.autograd.grad(self._at(there), there, materialize_grads=True, allow_unused=True))

    def product(self, vector: Tensors) -> list[Tensor]:
        """Return the Hessian times a vector."""
        pairs = [(s, v) for s, v in zip(self._slope, vector, strict=True) if s.requires_grad]
        if not pairs:
            return [torch.zeros_like(tensor) for tensor in self.point]
        slopes, vectors = zip(*pairs, strict=True)
        return list(
            torch.autograd.grad(
                slopes, self._leaves, vectors, retain_graph=True, materialize_grads=True, allow_unused=True
            )
        )


def moved(point: Tensors, step: Tensors, times: float = 1.0) -> list[Tensor]:
    """Return the point plus a multiple of a step."""
    return [tensor + times * part for tensor, part in zip(point, step, strict=True)]


def scales(tensors: Tensors) -> list[float]:
    """Return the size of each tensor: its root mean square, or that of all where it is 0, or 1."""
    squares = [float(tensor.square().sum()) for tensor in tensors]
    count = sum(tensor.numel() for tensor in tensors)
    common = math.sqrt(sum(squares) / count) if count and sum(squares) > 0 else 1.0
    return [
        math.sqrt(square / tensor.numel()) if square else common
        for square, tensor in zip(squares, tensors, strict=True)
    ]


def random_tensors(tensors: Tensors, *, seed: int) -> list[Tensor]:
    """Return normal random tensors of the sizes of the given ones."""
    generator = torch.Generator().manual_seed(seed)
    return [
        size * torch.randn(tensor.shape, generator=generator, dtype=torch.float64).to(tensor)
        for size, tensor in zip(scales(tensors), tensors, strict=True)
    ]


def free_entries(problem: Problem, names: Sequence[str], point: Tensors) -> list[Tensor]:
    """Return factors of the parameters, 0 on the padding rows of embeddings, which have no gradient by definition."""
    factors = [torch.ones_like(tensor) for tensor in point]
    own = dict(problem.model.named_parameters(remove_duplicate=False))
    positions = {id(own[name]): i for i, name in enumerate(names) if name in own}
    for module in problem.model.modules():
        if isinstance(module, torch.nn.Embedding | torch.nn.EmbeddingBag) and module.padding_idx is not None:
            position = positions.get(id(module.weight))
            if position is not None:
                factors[position][module.padding_idx] = 0.0
    for position, name in enumerate(names):
        if name in problem.forward_pass.padding_rows:  # of functional.embedding
            factors[position][problem.forward_pass.padding_rows[name]] = 0.0
    return factors
