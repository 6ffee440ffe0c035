"""Problems whose derivatives torch gets wrong without a word, by their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import surfaceviz
from surfaceviz.problem.problem import Problem


class SquaredError(torch.autograd.Function):
    """A mean squared error whose backward uses an intermediate of the forward."""

    @staticmethod
    def forward(ctx: Any, out: Tensor, y: Tensor) -> Tensor:
        """Return the mean squared error."""
        difference = out - y
        ctx.save_for_backward(difference)
        return difference.pow(2).mean()

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """Return the gradient; its own gradient by the outputs is lost."""
        (difference,) = ctx.saved_tensors
        return g * 2 * difference / difference.numel(), None


class Swish(torch.autograd.Function):
    """A swish that saves its sigmoid, so that half of its second derivative is lost."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return x sigmoid(x)."""
        s = x.sigmoid()
        ctx.save_for_backward(x, s)
        return x * s

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """Return s + x s (1 - s)."""
        x, s = ctx.saved_tensors
        return g * (s + x * s * (1 - s))


class Reversed(torch.autograd.Function):
    """The identity with the negative gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        """Return x."""
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        """Return the negative gradient."""
        return -g


class Calls(nn.Module):
    """A function as a module."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        """Return the function's value."""
        return self.function(x)


class Potential(nn.Module):
    """Energies and forces of a potential; differentiable forces in training mode only, or always."""

    def __init__(self, *, always: bool = False, forces_only: bool = False, kept: bool = False) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, 1))
        self.always, self.forces_only, self.kept = always, forces_only, kept

    def forward(self, x: Tensor) -> Tensor:
        """Return energies and forces, (n, 4)."""
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            energy = self.net(x)
            graph = self.always or self.training
            (slope,) = torch.autograd.grad(energy.sum(), x, retain_graph=self.kept or graph, create_graph=graph)
        return -slope if self.forces_only else torch.cat([energy, -slope], 1)


def _detached(x: Tensor) -> Tensor:
    return x * x.detach().sigmoid()


def _rounded(x: Tensor) -> Tensor:
    return x + (x.round() - x).detach()


def _unseen(x: Tensor) -> Tensor:
    with torch.no_grad():
        scale = x.square().mean(1, keepdim=True)
    return x / (1 + scale)


def data(samples: int = 40) -> tuple[Tensor, Tensor]:
    """Return random inputs (n, 3) and targets (n, 4)."""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(samples, 3, generator=generator), torch.randn(samples, 4, generator=generator)


def around(layer: nn.Module) -> Problem:
    """Return a problem with a layer between two linear ones."""
    return Problem(nn.Sequential(nn.Linear(3, 5), nn.Sequential(layer, nn.Tanh()), nn.Linear(5, 4)), data(), "mse")


_squared_error: Callable[[Tensor, Tensor], Tensor] = SquaredError.apply


def _by_measure() -> Problem:
    def measure(model: nn.Module, batch: Any) -> Any:
        x, y = batch
        return {"loss": (_squared_error(model(x), y) * len(x), len(x))}

    x, y = data()
    return Problem(nn.Linear(3, 4), list(zip(x.split(10), y.split(10), strict=True)), measure=measure)


def _hooked() -> Problem:
    layer = nn.Linear(5, 5)

    def halve(_module: nn.Module, into: Any, _out: Any) -> Any:
        return tuple(None if g is None else 0.5 * g for g in into)

    layer.register_full_backward_hook(halve)
    return around(layer)


SECOND: dict[str, tuple[Callable[[], Problem], str]] = {
    "a loss that saves an intermediate": (
        lambda: Problem(nn.Linear(3, 4), data(), SquaredError.apply), r"the loss, in SquaredError\.backward",
    ),
    "a layer that saves an intermediate": (
        lambda: around(Calls(Swish.apply)), r"module 1\.0 \(Calls\), in Swish\.backward"
    ),
    "a measure that saves an intermediate": (_by_measure, r"SquaredError\.backward"),
}  # fmt: skip
"""Right gradients with wrong second derivatives, and what the message names."""

FIRST: dict[str, tuple[Callable[[], Problem], str]] = {
    "a detached factor": (lambda: around(Calls(_detached)), r"module 1\.0 \(Calls\)"),
    "a straight-through estimator": (lambda: around(Calls(_rounded)), r"module 1\.0 \(Calls\)"),
    "a part without gradients": (lambda: around(Calls(_unseen)), r"module 1\.0 \(Calls\)"),
    "a reversed gradient": (lambda: around(Calls(Reversed.apply)), r"module 1\.0 \(Calls\), in Reversed\.backward"),
    "a hook that halves gradients": (_hooked, r"module 1\.0 \(Linear\), in a backward hook"),
    "forces in training mode only": (
        lambda: Problem(Potential(), data(), "mse"), r"Potential .*create_graph=True",
    ),
    "forces in training mode only, with a kept graph": (
        lambda: Problem(Potential(kept=True), data(), "mse"), r"Potential .*create_graph=True",
    ),
    "nothing but forces in training mode only": (
        lambda: Problem(Potential(forces_only=True), (data()[0], data()[1][:, :3]), "mse"),
        r"Potential .*create_graph=True",
    ),
}  # fmt: skip
"""Wrong gradients, and what the message names."""

assert surfaceviz.Problem is Problem
