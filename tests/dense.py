"""Dense Hessians in float64 by differences of first derivatives, and the small networks that they are of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import oracles
import torch
from torch import Tensor, nn
from torch.func import functional_call

from surfaceviz.curvature import (
    Operator,
    ParameterLayout,
    SampleShare,
    ShardedHvp,
    SpectrumPoint,
    filter_numbers,
    filter_scales,
    parameter_layout,
)
from surfaceviz.problem import checkpoints
from surfaceviz.problem.parameters import filters_of, named_tensors
from surfaceviz.problem.problem import Problem

Array = oracles.Array

_H = 1e-3  # of a difference of fourth order: its error is about 1e-12 times fifth derivatives


def gradient_at(problem: Problem, loss: Callable[[nn.Module], Tensor]) -> tuple[Callable[[Array], Array], Array]:
    """Return the gradient of a loss as a function of the parameters in a row, by canonical name, and where they are."""
    model = problem.model.eval()
    named = {name: each for name, each in named_tensors(model).items() if each.is_parameter}
    shapes = {name: each.tensor.shape for name, each in named.items()}
    theta = torch.cat([each.tensor.detach().reshape(-1) for each in named.values()]).double().numpy()

    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self) -> Tensor:
            return loss(self.model)

    whole = Whole()

    def gradient(at: Array) -> Array:
        vector = torch.tensor(at, requires_grad=True)
        parts = vector.split([math.prod(shape) for shape in shapes.values()])
        state = {
            f"model.{named[name].own_name}": part.view(shape)
            for (name, shape), part in zip(shapes.items(), parts, strict=True)
        }
        (slope,) = torch.autograd.grad(functional_call(whole, state, ()), vector)
        return np.asarray(slope.numpy())

    return gradient, theta


def dense_hessian(problem: Problem, loss: Callable[[nn.Module], Tensor]) -> Array:
    """Return the Hessian by differences of first derivatives, of fourth order, made symmetric."""
    gradient, theta = gradient_at(problem, loss)
    rows = []
    for i in range(len(theta)):
        step = np.zeros(len(theta))
        step[i] = _H
        near = gradient(theta + step) - gradient(theta - step)
        far = gradient(theta + 2 * step) - gradient(theta - 2 * step)
        rows.append((8 * near - far) / (12 * _H))
    matrix = np.stack(rows)
    return np.asarray((matrix + matrix.T) / 2)


class Bench:
    """An operator on a problem's own weights, in float64, with the point where spectra are computed.

    Args:
        shares: number of processes that share the samples.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        operator: str = "hessian",
        parameters: str = "all",
        batch: int | None = None,
        shares: int = 1,
        memory: int = 2**30,
    ) -> None:
        problem.model.eval()
        state = checkpoints.read_state(problem.model)
        theta = {name: t.double() if t.is_floating_point() else t for name, t in state.items()}
        filters = filters_of(problem.model, problem.rules)
        own_names = {name: named.own_name for name, named in named_tensors(problem.model).items()}
        split = problem.load("train").mapped(lambda tree: problem.cast(tree, torch.float64, torch.device("cpu")))
        self.layout: ParameterLayout = parameter_layout(theta, filters, list(filters), parameters)
        self.sums = [
            ShardedHvp(
                problem, SampleShare(k, shares).of(split), self.layout, own_names=own_names,
                states=lambda _number: {own_names[name]: tensor for name, tensor in theta.items()},
                operator=operator, memory=memory, batch=batch,
            )
            for k in range(shares)
        ]  # fmt: skip
        self.operator = Operator(self._each, self.layout, torch.float64)
        flat = self.layout.of(theta)
        self.point = SpectrumPoint(
            number=0, all_parameters=True, theta=flat,
            filter_scales=filter_scales(theta, filters, self.layout),
            filter_numbers=filter_numbers(theta, filters, self.layout), directions=None, fields={"place": ()},
        )  # fmt: skip

    def _each(self, message: Any) -> list[Any]:
        return [sums(message) for sums in self.sums]

    def matrix(self) -> Array:
        """Return the operator's matrix, product by product."""
        self.operator.set_point(0)
        return np.asarray(self.operator(torch.eye(self.layout.dimension, dtype=torch.float64)).numpy())


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return make().double().eval()


def classes(samples: int, count: int, *shape: int) -> tuple[Tensor, Tensor]:
    """Return random inputs of a shape in float64 and class numbers below ``count``."""
    generator = torch.Generator().manual_seed(7)
    x = torch.randn(samples, *shape, generator=generator, dtype=torch.float64)
    return x, torch.randint(count, (samples,), generator=generator)


class Tied(nn.Module):
    """An autoencoder whose second layer is the transpose of the first."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(5, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = nn.Parameter(torch.randn(4, 4))
        self.third = nn.Linear(4, 4)
        self.third.weight = self.second.weight
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(torch.tanh(self.third(torch.tanh(self.second(torch.tanh(self.first(x)))))))
        return y


class Transformer(nn.Module):
    """Two layers of attention over six tokens, the mean classified."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.1, activation="gelu", batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.layers(x).mean(1))
        return y


def _convolutional() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=False), nn.BatchNorm2d(3), nn.Tanh(), nn.Conv2d(3, 2, 2),
        nn.BatchNorm2d(2, affine=False), nn.Softplus(), nn.Flatten(), nn.Linear(8, 3), nn.BatchNorm1d(3),
    )  # fmt: skip
    model.train()
    for _ in range(3):
        model(torch.randn(16, 1, 5, 5) + 1)
    return model


def named_problem(name: str, samples: int = 23) -> Problem:
    """Return a small problem: mlp, convolutional, tied or transformer."""
    make: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
        "mlp": (lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5), nn.GELU(), nn.Linear(5, 3)), (4,)),
        "convolutional": (_convolutional, (1, 5, 5)),
        "tied": (Tied, (5,)),
        "transformer": (Transformer, (6, 4)),
    }
    model, shape = make[name]
    return Problem(_seeded(model), classes(samples, 3, *shape), "cross_entropy", name=name)


def loss_of(problem: Problem) -> Callable[[nn.Module], Tensor]:
    """Return torch's own cross-entropy on one batch of the whole split."""
    x, y = problem.sources["train"]
    return lambda model: nn.functional.cross_entropy(model(x), y)
