"""Baseline: the same model without folding, by torch's own batch norm, and dense Hessians by differences."""

from __future__ import annotations

import dense
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz.curvature.products.double_backward import twice_differentiable
from surfaceviz.problem.problem import Problem

pytestmark = pytest.mark.usefixtures("one_thread")


class Odd(nn.Module):
    """A convolution and a batch norm with something in between that a careless folding would forget."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding="same" if way == "same" else 1, bias=way != "biasless")
        self.bn = nn.BatchNorm2d(3, affine=way != "plain", track_running_stats=way != "coupled")
        self.up = nn.ConvTranspose2d(1, 3, 3, padding=1)
        self.head = nn.Linear(3, 3)
        self.way = way

    def forward(self, x: Tensor) -> Tensor:
        y = self.up(x) if self.way == "transposed" else self.conv(x)
        if self.way == "in place":
            y.mul_(2.0)
        if self.way == "used twice":
            z: Tensor = self.head((self.bn(y) + y).tanh().mean((2, 3)))
            return z
        if self.way == "another in between":
            other = self.conv(-x)
            return self._end(self.bn(y) + other)
        if self.way == "function":
            mean, variance = self.bn.running_mean, self.bn.running_var
            return self._end(functional.batch_norm(y, mean, variance, self.bn.weight, self.bn.bias, False, 0.1, 1e-3))
        if self.way == "batch statistics":
            return self._end(functional.batch_norm(y, None, None, self.bn.weight, self.bn.bias, True))
        return self._end(self.bn(y))

    def _end(self, y: Tensor) -> Tensor:
        z: Tensor = self.head(y.tanh().mean((2, 3)))
        return z


WAYS = (
    "plain", "biasless", "same", "coupled", "transposed", "in place", "used twice", "another in between", "function",
    "batch statistics",
)  # fmt: skip


def _model(way: str) -> Odd:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        model = Odd(way).double()
        model.train()
        for _ in range(3):
            model(torch.randn(9, 1, 4, 4).double() * 2 + 1)
    return model.eval()


@pytest.mark.parametrize("way", WAYS)
def test_folding_is_the_same_function_with_the_same_second_derivatives(way: str) -> None:
    model, (x, y) = _model(way), dense.classes(11, 3, 1, 4, 4)
    with twice_differentiable():
        folded = model(x)
    torch.testing.assert_close(folded, model(x), rtol=1e-12, atol=1e-12)
    problem = Problem(model, (x, y), "cross_entropy")
    matrix = dense.dense_hessian(problem, dense.loss_of(problem))
    got = dense.Bench(problem, batch=11).matrix()
    np.testing.assert_allclose(got, matrix, rtol=0, atol=1e-6 * np.abs(np.linalg.eigvalsh(matrix)).max())


def test_folding_shrinks_the_graph() -> None:
    model, (x, _) = _model("biasless"), dense.classes(11, 3, 1, 4, 4)

    def names(outputs: Tensor) -> set[str]:
        found, waiting = set(), [outputs.grad_fn]
        while waiting:
            node = waiting.pop()
            if node is not None:
                found.add(type(node).__name__)
                waiting += [following for following, _ in node.next_functions]
        return found

    assert "NativeBatchNormBackward0" in names(model(x))
    with twice_differentiable():
        assert "NativeBatchNormBackward0" not in names(model(x))
