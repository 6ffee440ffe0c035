"""The graph of one batch: what is multiplied by vectors again and again."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

import torch
from torch import Tensor

from surfaceviz.curvature.double_backward import twice_differentiable
from surfaceviz.errors import MemoryShortError, ProblemError, SurfacevizError, is_out_of_memory, user_code_location
from surfaceviz.problem.functional import State, loss_sums, outputs, sum_and_weight
from surfaceviz.problem.problem import Problem

OPERATORS = ("hessian", "ggn")
_NO_CHECKPOINTS = (
    "activation checkpointing can't be differentiated twice with other weights: switch it off in the model"
)


class Graph(Protocol):
    """A batch's loss with its first derivatives, and products with the matrix of its second.

    Attributes:
        loss: the sum over the batch.
        weight: what sums are divided by, summed over the batch.
        gradient: of the sum, one tensor for each parameter.
    """

    loss: float
    weight: float
    gradient: list[Tensor]

    def product(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """Return the matrix of the sum times a vector, tensor by tensor."""


class Held:
    """Counts the bytes of the storages that a graph saves, but for those of some tensors that are there anyway."""

    def __init__(self, there: Iterable[Tensor]) -> None:
        self._there = {tensor.untyped_storage().data_ptr() for tensor in there}
        self._storages: dict[int, int] = {}

    def note(self, tensor: Tensor) -> Tensor:
        """Take a tensor that is saved."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self._there:
            self._storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    @property
    def bytes(self) -> int:
        """The bytes so far."""
        return sum(self._storages.values())

    def hooks(self) -> AbstractContextManager[Any]:
        """Return what counts during a ``with`` block."""
        return torch.autograd.graph.saved_tensors_hooks(self.note, lambda tensor: tensor)


Build = Callable[..., Graph]  # (state, own names of the parameters, batch[, what counts the bytes that are held])


def builder(problem: Problem, operator: str) -> Build:
    """Return what builds graphs of a problem's batches.

    Raises:
        ProblemError: a Gauss-Newton matrix of a problem that has no outputs, but a ``measure``.
    """
    if operator == "ggn" and not problem.has_loss:
        raise ProblemError(
            "operator ggn: the problem is given by measure=, so that there are no outputs to linearise; give model and "
            "loss, or take the hessian"
        )
    made: Any = _Hessian if operator == "hessian" else _GaussNewton

    def build(state: State, names: Sequence[str], batch: Any, held: Held | None = None) -> Graph:
        leaves = [state[name].detach().clone().requires_grad_() for name in names]
        swapped = {**{k: t.detach() for k, t in state.items()}, **dict(zip(names, leaves, strict=True))}
        # Checkpointing runs the model again when it is differentiated, with whatever weights it has by then.
        saving = torch.autograd.graph.disable_saved_tensors_hooks(_NO_CHECKPOINTS) if held is None else held.hooks()
        with torch.enable_grad(), _told(), twice_differentiable(), saving:
            graph: Graph = made(problem, swapped, leaves, batch)
        return graph

    return build


class _Hessian:
    """By a second backward pass through a gradient whose graph is kept. Source: Pearlmutter, Neural Comp. 6 (1994)."""

    def __init__(self, problem: Problem, state: State, leaves: Sequence[Tensor], batch: Any) -> None:
        total, self.weight = loss_sums(problem)(state, batch)
        self.loss = float(total.detach())
        self._leaves = leaves
        slopes = _gradients(total, leaves)
        self.gradient = [slope.detach() for slope in slopes]
        self._bent = [i for i, slope in enumerate(slopes) if slope.requires_grad]  # linear parts have no second
        self._slopes = [slopes[i] for i in self._bent]

    def product(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """Return H v."""
        return _backward(self._slopes, self._leaves, [vector[i] for i in self._bent])


class _GaussNewton:
    """G v = J' (d2l/df2) J v. Source: Schraudolph, Neural Comp. 14 (2002); J v by differentiating J'u in u."""

    def __init__(self, problem: Problem, state: State, leaves: Sequence[Tensor], batch: Any) -> None:
        self._leaves = leaves
        self._outputs = outputs(problem)(state, batch)
        if not isinstance(self._outputs, Tensor):
            raise ProblemError(f"operator ggn: the model gives {type(self._outputs).__name__}, expected one tensor")
        self._at = self._outputs.detach().requires_grad_()
        total, self.weight = sum_and_weight(problem.measure_outputs_loss(self._at, problem.targets(batch)))
        self.loss = float(total.detach())
        (self._slope,) = _gradients(total, [self._at])
        self.gradient = _backward([self._outputs], leaves, [self._slope.detach()])
        self._dual = torch.zeros_like(self._outputs, requires_grad=True)
        self._pulled = torch.autograd.grad(
            self._outputs, leaves, self._dual, create_graph=True, materialize_grads=True
        )  # J'u

    def product(self, vector: Sequence[Tensor]) -> list[Tensor]:
        """Return G v."""
        pairs = [(p, v) for p, v in zip(self._pulled, vector, strict=True) if p.requires_grad]
        (forward,) = _backward([p for p, _ in pairs], [self._dual], [v for _, v in pairs])
        if not self._slope.requires_grad:
            return [torch.zeros_like(leaf) for leaf in self._leaves]
        (curved,) = _backward([self._slope], [self._at], [forward])
        return _backward([self._outputs], self._leaves, [curved])


def _gradients(total: Tensor, leaves: Sequence[Tensor]) -> list[Tensor]:
    """Return gradients with their graph; zeros where a leaf has no part in the total."""
    if not total.requires_grad:
        raise ProblemError("the loss does not depend on the parameters in a way that can be differentiated")
    _refuse_once(total)
    return list(torch.autograd.grad(total, leaves, create_graph=True, materialize_grads=True))


def _refuse_once(total: Tensor) -> None:
    """Refuse functions that forbid a second derivative: torch forgets their curvature where the slope is constant."""
    waiting, seen = [total.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
        function = getattr(node, "_forward_cls", None)
        if getattr(function, "__name__", "") == "CheckpointFunction":
            raise ProblemError(_NO_CHECKPOINTS)
        backward = getattr(function, "backward", None)
        wrapper = getattr(backward, "__code__", None)  # the decorator's own
        if hasattr(backward, "__wrapped__") and wrapper and "once_differentiable" in wrapper.co_qualname:
            name = getattr(function, "__name__", "a function")
            raise ProblemError(
                f"the loss is not twice differentiable: {name}.backward is marked @once_differentiable; write it with "
                "other operations"
            )


def _backward(values: Sequence[Tensor], leaves: Sequence[Tensor], vector: Sequence[Tensor]) -> list[Tensor]:
    """Return the pulled-back vector, zeros where a leaf has no part; the graph is kept."""
    if not values:
        return [torch.zeros_like(leaf) for leaf in leaves]
    with _told():
        return list(
            torch.autograd.grad(
                list(values), list(leaves), list(vector), retain_graph=True, materialize_grads=True, allow_unused=True
            )
        )


class _told:  # noqa: N801  a context manager reads as a verb here
    """Turn what differentiating raises into a line that names the operator."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _traceback: object) -> None:
        if error is None or isinstance(error, SurfacevizError) or not isinstance(error, Exception):
            return
        if is_out_of_memory(error):
            raise MemoryShortError(f"a batch took more memory than there is: {error}") from error
        message = str(error).strip()
        if message == _NO_CHECKPOINTS:
            raise ProblemError(message) from error
        named = re.search(r"derivative for '?([\w:]+)'? is not implemented", message)
        once = "once_differentiable" in message
        if named or once:
            what = named.group(1) if named else "a @once_differentiable function"
            raise ProblemError(
                f"the loss is not twice differentiable: {what} has no second derivative{user_code_location(error)}; "
                "write it with other operations"
            ) from error
        raise ProblemError(
            f"differentiating twice raised {type(error).__name__}: {message}{user_code_location(error)}"
        ) from error
