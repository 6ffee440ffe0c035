"""Baseline: weights moved in place in a copy, differences of losses for gradients, of gradients for products.

A scan over all layers and losses of torch.nn, in float64.
"""

from __future__ import annotations

from collections.abc import Callable

import dense
import oracles
import pytest
import torch
import torch_nn
from torch import Tensor, nn

from surfaceviz.curvature import check_derivatives
from surfaceviz.errors import ProblemError
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.parameters import named_tensors
from surfaceviz.problem.problem import Problem

pytestmark = [pytest.mark.usefixtures("one_thread"), pytest.mark.long]

_H = 1e-6
REFUSED = {
    "CTCLoss": "_ctc_loss_backward", "CrossMapLRN2d": r"module layer \(CrossMapLRN2d\)",
    **dict.fromkeys(("MultiMarginLoss", "MultiMarginLoss squared"), "multi_margin_loss_backward"),
    "MultiLabelMarginLoss": "multilabel_margin_loss_backward",
}  # fmt: skip
"""Layers and losses without a second derivative, and the name that the message gives."""


def _check(problem: Problem) -> str:
    named = named_tensors(problem.model)
    split = problem.load("train")
    state = {each.own_name: each.tensor.detach() for each in named.values()}
    names = [each.own_name for each in named.values() if each.is_parameter]
    with borrowed(problem.model, torch.device("cpu")):
        return str(check_derivatives(problem, split, state, names))


@pytest.mark.parametrize("name", [*torch_nn.LAYERS, *torch_nn.LOSSES])
def test_values_gradients_and_products_are_those_of_moved_weights(name: str) -> None:
    problem = torch_nn.problem_of(name)
    at, model = torch_nn.moved_loss(problem)
    theta = torch_nn.theta_of(model)
    (direction,) = oracles.make_directions(problem.model, count=1, ignore="none")
    step = torch_nn.flat(direction.tensors, model)
    surface = oracles.run_slice(problem, [(-0.3, 0.3, 3)], ignore="none", dtype="float64")
    for alpha, value in zip((-0.3, 0.0, 0.3), surface.values["train_loss"], strict=True):
        assert value == pytest.approx(float(at(theta + alpha * step).detach()), rel=1e-9)
    slopes = []
    for i in range(len(theta)):
        e = torch.zeros_like(theta)
        e[i] = _H
        slopes.append(float((at(theta + e) - at(theta - e)).detach()) / (2 * _H))
    bench = dense.Bench(problem)
    assert list(bench.layout.names) == sorted(dict(model.named_parameters()))
    if name in REFUSED:
        with pytest.raises(ProblemError, match=REFUSED[name]):
            _checked_product(problem, bench, theta)
        return
    here = bench.operator.set_point(0)
    size = float(here.gradient.abs().max())
    torch.testing.assert_close(here.gradient, torch.tensor(slopes, dtype=torch.float64), rtol=1e-5, atol=1e-7 * size)
    v = torch.randn(2, len(theta), generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    expected = torch.stack([(_gradient(at, model, theta + _H * row) - _gradient(at, model, theta - _H * row)) / (2 * _H)
                            for row in v])  # fmt: skip
    products = bench.operator(v)
    torch.testing.assert_close(products, expected, rtol=1e-5, atol=1e-6 * float(expected.abs().max() + size))
    assert _check(problem).startswith("checked")


def _checked_product(problem: Problem, bench: dense.Bench, vector: Tensor) -> Tensor:
    """Return the product after the check, as a run does."""
    _check(problem)
    bench.operator.set_point(0)
    return bench.operator(vector[None])


def _gradient(at: Callable[[Tensor], Tensor], model: nn.Module, theta: Tensor) -> Tensor:
    parameters = [p for _, p in sorted(model.named_parameters())]
    parts = torch.autograd.grad(at(theta), parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([part.reshape(-1) for part in parts])


def test_no_layer_or_loss_of_torch_is_left_out() -> None:
    there = {n for n in dir(nn) if isinstance(getattr(nn, n), type) and issubclass(getattr(nn, n), nn.Module)}
    covered = {name.split(" ")[0] for name in (*torch_nn.LAYERS, *torch_nn.LOSSES)}
    assert there - covered - torch_nn.LEFT_OUT == set()
