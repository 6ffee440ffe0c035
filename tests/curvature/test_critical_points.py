"""Baseline: points whose kind is known by hand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import oracles
import pytest
import torch
from torch import Tensor, nn

import surfaceviz
from surfaceviz.curvature import PointEvidence, classify_point
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Spectrum, describe_spectrum


class Function(nn.Module):
    """A function of two numbers, which are its parameters."""

    def __init__(self, of: Callable[[Tensor, Tensor], Tensor], at: tuple[float, float] = (0.0, 0.0)) -> None:
        super().__init__()
        self.z = nn.Parameter(torch.tensor(at, dtype=torch.float64))
        self._of = of

    def forward(self, ones: Tensor) -> Tensor:
        return self._of(self.z[0], self.z[1]) * ones


def _spectrum(of: Callable[[Tensor, Tensor], Tensor], at: tuple[float, float] = (0.0, 0.0)) -> Spectrum:
    ones = torch.ones(3, dtype=torch.float64)
    return surfaceviz.hessian(Problem(Function(of, at), (ones, ones), lambda y, _: y))


@pytest.mark.parametrize(
    ("of", "values", "kind", "reason"),
    [
        (lambda x, y: 5 * x**2 - y**2, [-2, 10], "saddle", "1 is negative, 1 positive"),
        (lambda x, y: 5 * x**2 + y**2, [2, 10], "local minimum", "of 2 eigenvalues 2 are positive"),
        (lambda x, y: -5 * x**2 - y**2, [-10, -2], "local maximum", "2 are negative"),
        (
            lambda x, y: x**3 - 3 * x * y**2,
            [0, 0],
            "inconclusive",
            "2 are 0: along the zeros higher derivatives decide",
        ),
        (lambda x, y: x**2 + y**4, [0, 2], "inconclusive", "1 is 0, 1 positive: along the zeros higher"),
        (lambda x, y: x**2 - y**4, [0, 2], "inconclusive", "1 is 0, 1 positive"),
        (lambda x, y: x * 0 + y * 0, [0, 0], "inconclusive", "2 are 0"),
    ],
)
def test_points_of_two_numbers_are_called_what_they_are(
    of: Callable[[Tensor, Tensor], Tensor], values: list[float], kind: str, reason: str
) -> None:
    found = _spectrum(of)
    np.testing.assert_allclose(found.eigenvalues, values, atol=1e-12)
    assert found.kind == kind
    assert reason in found.reason
    assert found.whole


def test_a_slope_makes_it_no_critical_point_whatever_the_curvature() -> None:
    found = _spectrum(lambda x, y: 5 * x**2 + y**2 + 0.25 * x)
    assert found.gradient_norm == pytest.approx(0.25)
    assert found.kind == "not a critical point"
    assert found.reason == (
        "the gradient has norm 0.25; the minimum of the quadratic model lies 0.025 away; "
        "of 2 eigenvalues 2 are positive"
    )


def _evidence(
    values: list[float],
    *,
    complete: bool = False,
    gradient: float = 0.0,
    operator: str = "hessian",
    rounding: float = 0.0,
    residual: float = 0.0,
) -> PointEvidence:
    """Return evidence whose gradient lies along the first eigenvector."""
    array, slopes = np.array(values), np.zeros(len(values))
    slopes[0] = gradient
    return PointEvidence(
        gradient_norm=gradient, rounding=rounding, theta_norm=10.0, slopes=slopes, eigenvalues=array,
        residuals=np.full(len(values), residual), norm=float(np.abs(array).max()), complete=complete, products=40,
        operator=operator,
    )  # fmt: skip


def test_part_of_a_spectrum_proves_a_saddle_and_never_a_minimum() -> None:
    assert classify_point(_evidence([-1.0, 5.0]))[0] == "saddle"
    kind, reason = classify_point(_evidence([0.5, 5.0]))
    assert kind == "inconclusive"
    assert reason == (
        "the gradient is 0; no negative curvature was found in 40 products, which does not prove that there is none"
    )
    assert classify_point(_evidence([-1e-14, 5.0]))[0] == "inconclusive"  # rounding of ||H||
    assert classify_point(_evidence([-1e-7, 5.0]))[0] == "saddle"
    assert classify_point(_evidence([-5.0, -1.0]))[0] == "inconclusive"


def test_zeros_beside_both_signs_make_a_degenerate_saddle() -> None:
    assert classify_point(_evidence([-1.0, 0.0, 5.0], complete=True))[0] == "degenerate saddle"


def test_an_eigenvalue_within_its_residual_has_no_sign() -> None:
    assert classify_point(_evidence([1e-7, 5.0], complete=True, residual=1e-8))[0] == "local minimum"
    kind, reason = classify_point(_evidence([1e-7, 5.0], complete=True, residual=2e-7))
    assert kind == "inconclusive"
    assert reason == (
        "the gradient is 0; of 2 eigenvalues 1 is 0, 1 positive: along the zeros higher derivatives decide, across "
        "them it is a minimum"
    )


@pytest.mark.parametrize("curvature", [1e-9, 1.0, 1e9])
def test_newtons_step_bounds_the_gradient(curvature: float) -> None:
    """||theta|| is 10, so that a step of 1e-5 is allowed."""
    values = [curvature, 1e6 * curvature]
    near = classify_point(_evidence(values, complete=True, gradient=0.9e-5 * curvature))
    assert near[0] == "local minimum"
    assert "the critical point lies 9e-06 away by Newton's step" in near[1]
    far = classify_point(_evidence(values, complete=True, gradient=1.1e-5 * curvature))
    assert far[0] == "not a critical point"
    assert "the minimum of the quadratic model lies 1.1e-05 away" in far[1]
    assert classify_point(_evidence(values, complete=True, gradient=float("nan")))[0] == "not a critical point"


def test_a_slope_that_rounding_hides_leaves_a_small_curvature_open() -> None:
    kind, reason = classify_point(_evidence([1e-6, 1.0], complete=True, gradient=1e-9, rounding=1e-8))
    assert kind == "inconclusive"
    assert "of 2 eigenvalues 1 is 0, 1 positive, 1 of them too small beside the rounding of the gradient" in reason


def test_a_slope_along_a_zero_is_no_critical_point() -> None:
    kind, reason = classify_point(_evidence([0.0, 1.0], complete=True, gradient=1e-7))
    assert kind == "not a critical point"
    assert "the gradient has norm 1e-07, of which 1e-07 along 1 direction without curvature" in reason


def test_a_gauss_newton_matrix_proves_nothing() -> None:
    kind, reason = classify_point(_evidence([1.0, 5.0], complete=True, operator="ggn"))
    assert kind == "inconclusive"
    assert "a Gauss-Newton matrix does not tell what kind a point is: take the hessian" in reason


@pytest.mark.parametrize("scale", [1e-20, 1e-8, 1.0, 1e8])
def test_the_size_of_the_loss_does_not_decide(scale: float) -> None:
    assert _spectrum(lambda x, y: scale * (5 * x**2 + y**2)).kind == "local minimum"
    assert _spectrum(lambda x, y: scale * (5 * x**2 + y**2) + 1e3).kind == "local minimum"
    found = _spectrum(lambda x, y: scale * (5 * x**2 + y**2 + x))
    assert found.kind == "not a critical point"
    assert "the minimum of the quadratic model lies 0.1 away" in found.reason


@pytest.mark.parametrize(
    ("off", "kind", "words"),
    [
        (1e-4, "not a critical point", "the minimum of the quadratic model lies 0.0001 away"),
        (1e-8, "local minimum", "the critical point lies 1e-08 away by Newton's step"),
        (1e-10, "local minimum", "the critical point lies 1e-10 away by Newton's step"),
        (1e-13, "local minimum", "the critical point lies 1e-13 away by Newton's step"),
        (0.0, "local minimum", "the gradient is 0;"),
    ],
)
def test_a_minimum_without_loss_is_judged_by_newtons_step(off: float, kind: str, words: str) -> None:
    found = _spectrum(lambda x, y: (x - 1) ** 2 + (y - 1) ** 2, (1 + off, 1.0))
    assert found.kind == kind
    assert words in found.reason


def test_some_of_the_parameters_prove_no_kind() -> None:
    ones = torch.ones(3, dtype=torch.float64)

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x, self.y = (nn.Parameter(torch.zeros((), dtype=torch.float64)) for _ in range(2))

        def forward(self, given: Tensor) -> Tensor:
            return (5 * self.x**2 - self.y**2) * given

    problem = Problem(Two(), (ones, ones), lambda y, _: y)
    assert surfaceviz.hessian(problem).kind == "saddle"
    part = surfaceviz.hessian(problem, parameters="x")
    assert part.kind == "inconclusive"
    assert part.reason.startswith("over the parameters x alone the gradient is 0; of 1 eigenvalues 1 is positive")


def test_frozen_parameters_are_not_in_the_matrix() -> None:
    model = Function(lambda x, y: x * x + y * y)
    model.register_parameter("frozen", nn.Parameter(torch.zeros(5, dtype=torch.float64), requires_grad=False))
    ones = torch.ones(3, dtype=torch.float64)
    assert surfaceviz.hessian(Problem(model, (ones, ones), lambda y, _: y)).dimension == 2


def test_a_trained_network_is_no_critical_point() -> None:
    found = surfaceviz.hessian(oracles.net_problem(), reporter=oracles.Recorder())
    assert found.kind == "not a critical point"
    rows = dict(describe_spectrum(found))
    assert rows["kind"] == found.kind
    assert "H over 483 parameters (all), train loss of 50 samples" in rows["matrix"]
