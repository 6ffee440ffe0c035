"""The autograd graph of one batch, for repeated Hessian-vector products."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from surfaceviz.curvature.products.double_backward import twice_differentiable
from surfaceviz.errors import (
    MemoryShortError,
    ProblemError,
    SurfacevizError,
    hints_of,
    is_out_of_memory,
    user_code_location,
)
from surfaceviz.problem.estimates import sum_and_weight
from surfaceviz.problem.forward.forward_writes import BufferKeeper
from surfaceviz.problem.functional import State, loss_sums, outputs
from surfaceviz.problem.problem import Problem

OPERATORS = ("hessian", "ggn")
_NO_CHECKPOINTS = (
    "activation checkpointing can't be differentiated twice with other weights; switch it off in the model"
)


class BatchGraph(Protocol):
    """The loss of a batch, its gradient, and products with its matrix of second derivatives.

    Attributes:
        loss: the loss summed over the batch.
        weight: the divisor of the mean loss, summed over the batch.
        gradient: the gradient of the summed loss, one tensor for each parameter.
    """

    loss: float
    weight: float
    gradient: list[Tensor]

    def product(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """Return the matrix of the summed loss times a vector, tensor by tensor."""


class SavedTensorBytes:
    """Counts the bytes of the storages that a graph saves; excludes the storages of some existing tensors."""

    def __init__(self, existing: Iterable[Tensor]) -> None:
        self._existing = {tensor.untyped_storage().data_ptr() for tensor in existing}
        self._storages: dict[int, int] = {}

    def add(self, tensor: Tensor) -> Tensor:
        """Count a saved tensor and return it unchanged."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._existing:
            self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def bytes(self) -> int:
        """The number of bytes counted so far."""
        return sum(self._storages.values())

    def hooks(self) -> AbstractContextManager[Any]:
        """Return a context manager that counts the tensors saved in its ``with`` block."""
        return torch.autograd.graph.saved_tensors_hooks(self.add, lambda tensor: tensor)


GraphBuilder = Callable[..., BatchGraph]  # (state, the model's names of the parameters, batch[, byte counter])


def graph_builder(problem: Problem, operator: str) -> GraphBuilder:
    """Return a function that builds the graph of a batch.

    Raises:
        ProblemError: the operator is ``ggn`` and the problem has a ``measure`` instead of outputs.
    """
    if operator == "ggn" and not problem.has_loss:
        raise ProblemError(
            "operator ggn: the problem is given by measure=, so that there are no outputs to linearise; give model and "
            "loss, or use the hessian"
        )
    graph_class: Any = _HessianGraph if operator == "hessian" else _GaussNewtonGraph

    def build(state: State, names: Sequence[str], batch: Any, counter: SavedTensorBytes | None = None) -> BatchGraph:
        leaves = [state[name].detach().clone().requires_grad_() for name in names]
        swapped = {**{k: t.detach() for k, t in state.items()}, **dict(zip(names, leaves, strict=True))}
        # Activation checkpointing would run the model again in the backward pass, with weights that may have changed.
        saving = (
            torch.autograd.graph.disable_saved_tensors_hooks(_NO_CHECKPOINTS) if counter is None else counter.hooks()
        )
        with torch.enable_grad(), _translate_errors(), twice_differentiable(), saving:
            if operator == "hessian":  # of the mean loss over draws
                graph: BatchGraph = graph_class(problem, swapped, leaves, batch)
                return graph
            graphs = [graph_class(problem, swapped, leaves, batch) for _ in problem.draws.each()]
        return graphs[0] if len(graphs) == 1 else _MeanGraph(graphs)

    return build


def summed_gradient(
    problem: Problem, state: State, names: Sequence[str], batch: Any
) -> tuple[float, float, list[Tensor]]:
    """Return loss and weight summed over a batch, and the gradient of that loss; without a graph for products."""
    leaves = [state[name].detach().clone().requires_grad_() for name in names]
    swapped = {**{k: t.detach() for k, t in state.items()}, **dict(zip(names, leaves, strict=True))}
    with torch.enable_grad(), _translate_errors(), twice_differentiable():
        total, weight = loss_sums(problem)(swapped, batch)
        gradient = torch.autograd.grad(total, leaves, materialize_grads=True, allow_unused=True)
    return float(total.detach()), weight, list(gradient)


class _HessianGraph:
    """H v by a second backward pass through the gradient. Source: Pearlmutter, Neural Comp. 6 (1994)."""

    def __init__(self, problem: Problem, state: State, leaves: Sequence[Tensor], batch: Any) -> None:
        total, self.weight = loss_sums(problem)(state, batch)
        self.loss = float(total.detach())
        self._leaves = leaves
        gradients = _gradients(total, leaves)
        self.gradient = [g.detach() for g in gradients]
        # A gradient that is constant in the parameters has no second derivative.
        self._differentiable = [i for i, g in enumerate(gradients) if g.requires_grad]
        self._gradients = [gradients[i] for i in self._differentiable]

    def product(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """Return H v."""
        return _backward(self._gradients, self._leaves, [vector[i] for i in self._differentiable])


class _GaussNewtonGraph:
    """G v = J' (d2l/df2) J v. Source: Schraudolph, Neural Comp. 14 (2002); J v by differentiating J'u in u."""

    def __init__(self, problem: Problem, state: State, leaves: Sequence[Tensor], batch: Any) -> None:
        self._leaves = leaves
        fresh = BufferKeeper(problem).fresh(state)
        problem.draws.reseed()
        self._outputs = outputs(problem)(fresh, batch)
        if not isinstance(self._outputs, Tensor):
            raise ProblemError(f"operator ggn: the model gives {type(self._outputs).__name__}, expected one tensor")
        self._output_leaf = self._outputs.detach().requires_grad_()
        total, self.weight = sum_and_weight(problem.measure_outputs_loss(self._output_leaf, problem.targets(batch)))
        self.loss = float(total.detach())
        (self._output_gradient,) = _gradients(total, [self._output_leaf])
        self.gradient = _backward([self._outputs], leaves, [self._output_gradient.detach()])
        self._dual = torch.zeros_like(self._outputs, requires_grad=True)
        self._pulled_back = torch.autograd.grad(
            self._outputs, leaves, self._dual, create_graph=True, materialize_grads=True
        )  # J'u

    def product(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """Return G v."""
        pairs = [(p, v) for p, v in zip(self._pulled_back, vector, strict=True) if p.requires_grad]
        (tangent,) = _backward([p for p, _ in pairs], [self._dual], [v for _, v in pairs])
        if not self._output_gradient.requires_grad:
            return [torch.zeros_like(leaf) for leaf in self._leaves]
        (curved,) = _backward([self._output_gradient], [self._output_leaf], [tangent])
        return _backward([self._outputs], self._leaves, [curved])


class _MeanGraph:
    """The mean of graphs, one for each draw of random numbers."""

    def __init__(self, graphs: Sequence[BatchGraph]) -> None:
        self._graphs = graphs
        self.loss, self.weight = (sum(x) / len(graphs) for x in ([g.loss for g in graphs], [g.weight for g in graphs]))
        self.gradient = _mean([graph.gradient for graph in graphs])

    def product(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """Return the mean matrix times a vector."""
        return _mean([graph.product(vector) for graph in self._graphs])


def _mean(found: Sequence[list[Tensor]]) -> list[Tensor]:
    return [torch.stack(parts).mean(0) for parts in zip(*found, strict=True)]


def _gradients(total: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """Return gradients with their graph; zeros where the total does not depend on a leaf."""
    if not total.requires_grad:
        raise ProblemError("the loss does not depend on the parameters in a way that can be differentiated")
    _refuse_once_differentiable(total)
    return list(torch.autograd.grad(total, leaves, create_graph=True, materialize_grads=True))


def graph_nodes(total: Tensor) -> Iterator[Any]:
    """Yield the nodes of a tensor's graph, each once."""
    pending, seen = [total.grad_fn], set()
    while pending:
        node = pending.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        yield node
        pending += [successor for successor, _ in node.next_functions]


def _refuse_once_differentiable(total: Tensor) -> None:
    """Raise for functions that forbid a second derivative: torch drops their curvature if the gradient is constant."""
    for node in graph_nodes(total):
        function = getattr(node, "_forward_cls", None)
        if getattr(function, "__name__", "") == "CheckpointFunction":
            raise ProblemError(_NO_CHECKPOINTS)
        backward = getattr(function, "backward", None)
        wrapper = getattr(backward, "__code__", None)  # of the decorator
        if hasattr(backward, "__wrapped__") and wrapper and "once_differentiable" in wrapper.co_qualname:
            name = getattr(function, "__name__", "a function")
            raise ProblemError(
                f"the loss is not twice differentiable: {name}.backward is marked @once_differentiable; write it with "
                "other operations"
            )


def _backward(values: Sequence[Tensor], leaves: Sequence[Tensor], vector: Sequence[Tensor]) -> list[Tensor]:
    """Return the vector-Jacobian product, zeros where the values do not depend on a leaf; the graph is kept."""
    if not values:
        return [torch.zeros_like(leaf) for leaf in leaves]
    with _translate_errors():
        return list(
            torch.autograd.grad(
                list(values), list(leaves), list(vector), retain_graph=True, materialize_grads=True, allow_unused=True
            )
        )


class _translate_errors:  # noqa: N801  a context manager reads as a verb here
    """Translate errors of autograd into one line that names the operator."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None or isinstance(error, SurfacevizError) or not isinstance(error, Exception):
            return
        if is_out_of_memory(error):
            raise MemoryShortError(f"a batch needs more memory than is available: {error}") from error
        message = str(error).strip()
        if message == _NO_CHECKPOINTS:
            raise ProblemError(message) from error
        named = re.search(r"derivative for '?([\w:]+)'? is not implemented", message)
        once = "once_differentiable" in message
        if named or once:
            what = named.group(1) if named else "a @once_differentiable function"
            raise ProblemError(
                f"the loss is not twice differentiable: {what} has no second derivative"
                f"{user_code_location(error)}; write it "
                "with other operations"
            ) from error
        line = f"differentiating twice raised {type(error).__name__}: {message}{user_code_location(error)}"
        raise ProblemError("; ".join([line, *hints_of(error)])) from error
