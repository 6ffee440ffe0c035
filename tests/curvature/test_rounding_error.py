"""Baseline: closed forms in float64: the second derivative of a logistic function, and of a quadratic form."""

from __future__ import annotations

import math
from typing import Any

import oracles
import pytest
import torch
from torch import Tensor, nn

import surfaceviz
from surfaceviz.curvature import LossGradient, Operator, ParameterLayout, rounding_error
from surfaceviz.problem.problem import Problem

SCALE, PLACE = 1e9, 20.0  # of the logistic function, whose float32 value is 1 there and whose slope is 0


class Saturated(nn.Module):
    """Loss ``SCALE sigmoid(PLACE + v) + w^2 / 2`` at v = w = 0."""

    def __init__(self, start: float = 0.0) -> None:
        super().__init__()
        self.start = start
        self.v, self.w = nn.Parameter(torch.full((1,), start)), nn.Parameter(torch.full((1,), start))

    def forward(self, x: Tensor) -> Tensor:
        return (SCALE * torch.sigmoid(PLACE - self.start + self.v) + self.w**2 / 2).expand(len(x), 1)


def _logistic_second_derivative() -> float:
    s = 1 / (1 + math.exp(-PLACE))
    return SCALE * s * (1 - s) * (1 - 2 * s)


def _mean(outputs: Tensor, _targets: Tensor) -> Tensor:
    return outputs.mean()


def _problem(start: float = 0.0) -> Problem:
    return Problem(Saturated(start), (torch.zeros(4, 1), torch.zeros(4, 1)), _mean)


def _spectrum(**options: Any) -> surfaceviz.Spectrum:
    return surfaceviz.hessian(_problem(), top=2, bottom=0, **options)


def test_an_eigenvalue_that_float32_loses_is_within_the_bound_and_said() -> None:
    exact = sorted([1.0, _logistic_second_derivative()])
    with pytest.warns(UserWarning, match="in float32 eigenvalues may be off by up to .* take --dtype float64"):
        narrow = _spectrum(dtype="float32")
    assert narrow.eigenvalues == pytest.approx([0, 1], abs=1e-6)
    assert narrow.float64_error is not None
    assert narrow.float64_error >= max(abs(narrow.eigenvalues - exact))
    assert narrow.float64_gradient_error == pytest.approx(-exact[0], rel=1e-2)  # s (1 - s), at 1 - 2 s = -1
    assert narrow.kind not in {"local minimum", "saddle", "degenerate saddle"}
    assert _spectrum(dtype="float64").eigenvalues == pytest.approx(exact, rel=1e-6)


def test_a_run_in_float64_is_not_checked() -> None:
    assert _spectrum(dtype="float64").float64_check is None


def test_an_ordinary_network_in_float32_is_checked_and_nothing_is_said(recwarn: pytest.WarningsRecorder) -> None:
    problem = Problem(oracles.net(), oracles.images(), "cross_entropy")
    narrow = surfaceviz.hessian(problem, top=3, dtype="float32")
    wide = surfaceviz.hessian(problem, top=3, dtype="float64")
    assert narrow.float64_check == "checked on all samples"
    assert narrow.float64_error is not None
    assert max(abs(narrow.eigenvalues - wide.eigenvalues)[-3:]) <= narrow.float64_error + 1e-3 * narrow.norm
    assert narrow.float64_error < 1e-4 * narrow.norm
    assert not [w for w in recwarn if "float32" in str(w.message)]


def test_a_map_in_float32_is_checked_and_warned_of() -> None:
    with pytest.warns(UserWarning, match="in float32"):
        surfaceviz.slice(_problem(1.0), [(-0.1, 0.1, 3)], output="s.h5", dtype="float32", ignore="none")
    with pytest.warns(UserWarning, match="the map's eigenvalues may be off by up to"):
        surfaceviz.hessian_map("s.h5", (3,), problem=_problem(1.0))
    stored = surfaceviz.read("s.h5").hessian_map
    assert stored is not None
    assert stored.provenance["float64_check"] == "checked on all samples at 3 points"
    assert float(stored.provenance["float64_error"]) >= abs(_logistic_second_derivative())


class _Fixed(Operator):
    """An operator of a matrix, with gradient 0."""

    def __init__(self, matrix: Tensor) -> None:
        super().__init__(lambda _message: [], ParameterLayout(("w",), (torch.Size((len(matrix),)),)), torch.float64)
        self._matrix = matrix

    def set_point(self, number: int) -> LossGradient:
        return LossGradient(float(number), torch.zeros(len(self._matrix), dtype=torch.float64))

    def __call__(self, rows: Tensor) -> Tensor:
        return rows @ self._matrix


@pytest.mark.parametrize("rank", [1, 40])
def test_the_bound_fails_for_at_most_one_seed_in_a_hundred(rank: int) -> None:
    """At a probability of 0.5%, more than 10 of 400 seeds fail with probability 1e-5."""
    generator = torch.Generator().manual_seed(1)
    factor = torch.randn((40, rank), generator=generator, dtype=torch.float64)
    difference = factor @ factor.T
    true = float(torch.linalg.matrix_norm(difference, 2))
    narrow, wide = _Fixed(torch.zeros(40, 40, dtype=torch.float64)), _Fixed(difference)
    bounds = [
        rounding_error(narrow, wide, 0, generator=torch.Generator().manual_seed(seed)).matrix for seed in range(400)
    ]
    assert sum(bound < true for bound in bounds) <= 10
