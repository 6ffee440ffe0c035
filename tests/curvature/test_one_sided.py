"""Baseline: functions of some numbers whose kind at a point is known by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import surfaceviz
from surfaceviz.errors import ProblemError
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Spectrum

Of = Callable[[Tensor], Tensor]
TARGETS = torch.randn(40, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
INPUTS = torch.randn(40, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
FITTED = torch.linalg.lstsq(INPUTS, TARGETS[:, None]).solution[:, 0]


class _Function(nn.Module):
    def __init__(self, of: Of, at: list[float]) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(at, dtype=torch.float64))
        self._of = of

    def forward(self, ones: Tensor) -> Tensor:
        return self._of(self.w) * ones


def _spectrum(of: Of, at: list[float], **options: Any) -> Spectrum:
    ones = torch.ones(2, dtype=torch.float64)
    return surfaceviz.hessian(
        Problem(_Function(of, at), (ones, ones), lambda y, _: y), reporter=oracles.Recorder(), **options
    )


def _turned(*eigenvalues: float) -> Tensor:
    random = torch.randn(len(eigenvalues), len(eigenvalues), generator=torch.Generator().manual_seed(2)).double()
    q, _ = torch.linalg.qr(random)
    turned: Tensor = q @ torch.diag(torch.tensor(eigenvalues, dtype=torch.float64)) @ q.T
    return turned


ILL = _turned(*np.logspace(-8, 0, 5))
SADDLE = _turned(-1e-3, 1, 2, 3, 4)
SMOOTH: dict[str, tuple[Of, list[float], str]] = {
    "bowl": (lambda w: w.square().sum(), [0, 0], "local minimum"),
    "condition number 1e8": (lambda w: w @ ILL @ w, [0] * 5, "local minimum"),
    "condition number 1e8, shifted": (lambda w: (w - 2) @ ILL @ (w - 2) + 5, [2] * 5, "local minimum"),
    "condition number 1e12": (lambda w: w[0] ** 2 + 1e-12 * w[1] ** 2, [0, 0], "local minimum"),
    "hyperbolic cosine": (lambda w: torch.cosh(w).sum(), [0, 0], "local minimum"),
    "narrow hyperbolic cosine": (lambda w: torch.cosh(1e4 * w[0]) + w[1] ** 2, [0, 0], "local minimum"),
    "narrow well": (lambda w: 1 - torch.exp(-1e6 * w[0] ** 2) + w[1] ** 2, [0, 0], "local minimum"),
    "Rosenbrock": (lambda w: (1 - w[0]) ** 2 + 100 * (w[1] - w[0] ** 2) ** 2, [1, 1], "local minimum"),
    "Himmelblau": (
        lambda w: (w[0] ** 2 + w[1] - 11) ** 2 + (w[0] + w[1] ** 2 - 7) ** 2, [3, 2], "local minimum",
    ),
    "strong third derivative": (lambda w: w[0] ** 2 + 100 * w[0] ** 3 + w[1] ** 2, [0, 0], "local minimum"),
    "least squares": (lambda w: (INPUTS @ w - TARGETS).square().mean(), FITTED.tolist(), "local minimum"),
    "least squares, large": (
        lambda w: (INPUTS @ w - 1e3 * TARGETS).square().mean(), (1e3 * FITTED).tolist(), "local minimum",
    ),
    "root": (lambda w: torch.sqrt(1 + w.square().sum()), [0, 0], "local minimum"),
    "norm away from 0": (lambda w: (w.norm() - 1) ** 2 + w[1] ** 2, [1, 0], "local minimum"),
    "kink 1e-3 away": (
        lambda w: w.square().sum() + 1e-3 * (w[0] - 1e-3).abs() + 1e-3 * w[0], [0, 0], "local minimum",
    ),
    "Huber's loss inside": (lambda w: functional.huber_loss(w, torch.zeros_like(w)), [0, 0], "local minimum"),
    "cosine": (lambda w: torch.cos(w).sum(), [0, 0], "local maximum"),
    "product": (lambda w: w[0] * w[1], [0, 0], "saddle"),
    "weak saddle": (lambda w: w @ SADDLE @ w, [0] * 5, "saddle"),
    "monkey saddle": (lambda w: w[0] ** 3 - 3 * w[0] * w[1] ** 2, [0, 0], "inconclusive"),
    "quartic": (lambda w: w.pow(4).sum(), [0, 0], "inconclusive"),
    "flat": (lambda w: w[0] ** 2 + 0 * w[1], [0, 0], "inconclusive"),
    "cubic along a flat direction": (lambda w: w[0] ** 2 + w[1] ** 3, [0, 0], "inconclusive"),
    "slope that only far higher derivatives end": (
        lambda w: w[0] ** 2 + 1e-6 * (0.95 * w[1] + 1.1 * w[1] ** 2 + 0.5 * w[1] ** 3), [0, 0], "not a critical point",
    ),
    "the same, turned": (
        lambda w: (w[0] + w[1]) ** 2
        + 1e-6 * (0.95 * (w[1] - w[0]) + 1.1 * (w[1] - w[0]) ** 2 + 0.5 * (w[1] - w[0]) ** 3),
        [0, 0], "not a critical point",
    ),
    "the same, below the rounding of the gradient": (
        lambda w: w[0] ** 2 + 1e-17 * (0.95 * w[1] + 1.1 * w[1] ** 2 + 0.5 * w[1] ** 3), [0, 0], "inconclusive",
    ),
    "quadratic model that holds nowhere near Newton's step": (
        lambda w: w[0] ** 2 + 1e-3 * (1e-7 * w[1] + 0.5 * w[1] ** 2 + 1e8 * w[1] ** 3 / 3), [0, 0], "inconclusive",
    ),
    "exponential": (lambda w: w[0] ** 2 + 1e-9 * torch.exp(w[1]), [0, 0], "not a critical point"),
}  # fmt: skip


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_points_are_called_what_they_are(name: str) -> None:
    of, at, kind = SMOOTH[name]
    found = _spectrum(of, at)
    assert (found.kind, found.notes) == (kind, ()), found.reason


def _branch(w: Tensor) -> Tensor:
    return w[0] ** 2 - (w[0] if float(w[0].detach()) > 0 else -w[0])


def _curved_branch(w: Tensor) -> Tensor:
    return w[0] ** 2 / 2 - (0 * w[0] if float(w[0].detach()) > 0 else 2 * w[0] ** 2)


class _RoundStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        return gradient


def _round(x: Tensor) -> Tensor:
    rounded: Tensor = _RoundStraightThrough.apply(x)  # type: ignore[no-untyped-call]
    return rounded


# A function, the point, the operator that the reason names ('' if none shows it).
KINKS: dict[str, tuple[Of, list[float], str]] = {
    "x^2 - |x|": (lambda w: w[0] ** 2 - w[0].abs(), [0], "abs"),
    "-x^2 + |x|": (lambda w: -(w[0] ** 2) + w[0].abs(), [0], "abs"),
    "|x - y|": (lambda w: w.square().sum() - (w[0] - w[1]).abs(), [0, 0], "abs"),
    "relu": (lambda w: w.square().sum() - torch.relu(w[0]), [0, 0], "relu"),
    "relu squared": (lambda w: w.square().sum() - 3 * torch.relu(w[0]) ** 2, [0, 0], "relu"),
    "leaky relu": (lambda w: w[0] ** 2 + functional.leaky_relu(w[0]) - 0.01 * w[0], [0], "leaky_relu"),
    "prelu": (lambda w: w[0] ** 2 + functional.prelu(w, torch.full_like(w, 0.2)).sum() - 0.2 * w[0], [0], "prelu"),
    "clamp": (lambda w: w[0] ** 2 - w[0].clamp(0, 1), [0], "clamp"),
    "hardtanh": (lambda w: (w[0] - 1) ** 2 - functional.hardtanh(w[0]), [1], "hardtanh"),
    "hardswish": (lambda w: (w[0] - 3) ** 2 + functional.hardswish(w[0]) - w[0], [3], "hardswish"),
    "hinge": (lambda w: functional.relu(1 - w[0]) + (w[0] - 1) ** 2, [1], "relu"),
    "L1 loss": (lambda w: functional.l1_loss(w, torch.ones_like(w)) + (w - 1).square().sum(), [1, 1], "abs"),
    "maximum, a slope on both sides": (lambda w: torch.maximum(2 * w[0], -w[0]), [0], "maximum"),
    "where": (lambda w: w[0] ** 2 - torch.where(w[0] > 0, w[0], 0 * w[0]), [0], "gt"),
    "mask": (lambda w: w[0] ** 2 - w[0] * (w[0] > 0), [0], "gt"),
    "mask of two": (lambda w: w.square().sum() - (w[0] - w[1]) * (w[0] >= w[1]), [0, 0], "ge"),
    "tie of a maximum": (lambda w: w.square().sum() - w.max() + w.mean(), [0, 0], "max"),
    "tie of the largest": (lambda w: w.square().sum() - w.topk(1).values.sum() + w.mean(), [0, 0], "topk"),
    "tie of a sort": (lambda w: w.square().sum() - w.sort().values[-1] + w.mean(), [0, 0], "sort"),
    "tie of a pool": (
        lambda w: w.square().sum() - functional.max_pool1d(w[None, None], 2).sum() + w.mean(), [0, 0], "max_pool2d",
    ),
    "ELU": (lambda w: w[0] ** 2 / 2 + 2 * (w[0] - functional.elu(w[0])), [0], "elu"),
    "CELU": (lambda w: w.square().sum() - 3 * (functional.celu(w[0], 0.5) - w[0]), [0, 0], "celu"),
    "Huber's loss": (
        lambda w: functional.huber_loss(w[0], 0 * w[0]) - w[0] + w[1] ** 2, [1, 0], "huber_loss",
    ),
    "smooth L1 loss": (
        lambda w: functional.smooth_l1_loss(w[0], 0 * w[0], beta=2.0) - w[0] + w[1] ** 2, [2, 0], "smooth_l1_loss",
    ),
    "round": (lambda w: (w[0] - 0.5) ** 2 + 0.1 * w[0].round(), [0.5], "round"),
    "floor": (lambda w: w[0] ** 2 + 0.1 * w[0].floor(), [0], "floor"),
    "sign": (lambda w: w[0] ** 2 + 0.1 * w[0].sign(), [0], "sign"),
    "remainder": (lambda w: w[0] ** 2 + 0.1 * w[0].remainder(1) - 0.1 * w[0], [0], "remainder"),
    "fmod, a slope on both sides": (lambda w: (w[0] - 1) ** 2 + 0.1 * w[0].fmod(1), [1], "fmod"),
    "branch in Python": (_branch, [0], ""),
    "branch in Python, of the curvature": (_curved_branch, [0], ""),
}  # fmt: skip


def test_a_gradient_that_is_not_that_of_the_loss_is_refused() -> None:
    with pytest.raises(ProblemError, match=r"its slope .*, in _RoundStraightThrough\.backward"):
        _spectrum(lambda w: w.square().sum() + 0.1 * (_round(w[0]) - w[0]), [0, 0])


@pytest.mark.parametrize("name", KINKS)
def test_a_kink_or_jump_at_the_point_leaves_no_verdict(name: str) -> None:
    of, at, operator = KINKS[name]
    found = _spectrum(of, at)
    assert found.kind == "not smooth here"
    assert "as one-sided differences show" in found.reason
    if operator:
        assert f" of {operator} at a kink or tie exactly: " in found.reason
        assert found.notes == (f"there may be no Hessian in the strict sense: {found.reason.partition(': ')[0]}",)


@pytest.mark.parametrize(
    "of",
    [
        lambda w: w.square().sum() + torch.relu(w[0]) ** 3,
        lambda w: w.square().sum() + 1e-9 * w[0].abs(),
        lambda w: w[0] ** 2 / 2 + 0.01 * (w[0] - functional.elu(w[0])) + w[1] ** 2,
    ],
)
def test_an_operator_at_its_kink_leaves_no_verdict_where_differences_show_nothing(of: Of) -> None:
    found = _spectrum(of, [0, 0])
    assert found.kind == "inconclusive"
    assert "at a kink or tie exactly, where second derivatives may jump; otherwise: the gradient is 0" in found.reason


@pytest.mark.parametrize("distance", [1e-2, 1e-4])
def test_a_kink_that_is_not_at_the_point_leaves_the_verdict(distance: float) -> None:
    """A rectifier whose input is `distance` away from its kink; the verdict tells how far it was confirmed."""
    found = _spectrum(lambda w: w.square().sum() - 10 * torch.relu(w[0] - distance), [0, 0])
    assert found.kind == "local minimum"
    assert float(found.reason.rpartition(" ")[2]) <= distance


@pytest.mark.parametrize("normalised", [False, True])
def test_scaled_coordinates_give_the_same_kind(normalised: bool) -> None:
    class Matrix(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64))
            self.kinked = False

        def forward(self, ones: Tensor) -> Tensor:
            w = self.weight - torch.tensor([[1.0, 2.0], [3.0, 4.0]], dtype=torch.float64)
            sign = float(w[0, 0].detach().sign()) if self.kinked else 0.0
            return (w.square().sum() + w[0, 0] * w[0, 1] - sign * w[0, 0]) * ones

    model, ones = Matrix(), torch.ones(2, dtype=torch.float64)
    problem = Problem(model, (ones, ones), lambda y, _: y)
    assert surfaceviz.hessian(problem, normalised=normalised, reporter=oracles.Recorder()).kind == "local minimum"
    model.kinked = True
    assert surfaceviz.hessian(problem, normalised=normalised, reporter=oracles.Recorder()).kind == "not smooth here"


def test_the_fitted_linear_model_is_a_minimum_in_single_precision() -> None:
    model = nn.Linear(3, 1, bias=False)
    with torch.no_grad():
        model.weight[:] = FITTED.float()
    problem = Problem(model, (INPUTS.float(), TARGETS[:, None].float()), functional.mse_loss)
    for dtype in ("float32", "float64"):
        found = surfaceviz.hessian(problem, dtype=dtype)
        assert found.kind == "local minimum", found.reason


def test_a_rectifier_network_away_from_its_kinks_is_a_minimum_of_its_last_layer() -> None:
    """The rectifiers' inputs are constants of the parameters: a regression on random features."""
    generator = torch.Generator().manual_seed(3)
    first = torch.randn(3, 6, generator=generator, dtype=torch.float64)
    features = torch.relu(INPUTS @ first)
    best = torch.linalg.lstsq(features, TARGETS[:, None]).solution

    class Network(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Parameter(best.clone())

        def forward(self, x: Tensor) -> Tensor:
            return torch.relu(x @ first) @ self.last

    problem = Problem(Network(), (INPUTS, TARGETS[:, None]), functional.mse_loss)
    assert surfaceviz.hessian(problem).kind == "local minimum"
