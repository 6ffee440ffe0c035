"""Baseline: functions whose derivatives are known to be right or wrong; the checks' own differences in float64."""

from __future__ import annotations

import re
from typing import Any

import pytest
import random_networks
import torch
import wrong_derivatives
from torch import Tensor, nn

from surfaceviz.curvature import check_derivatives
from surfaceviz.curvature.derivative_check.branches import Branches
from surfaceviz.curvature.derivative_check.compare import compare
from surfaceviz.curvature.derivative_check.functions import TensorFunction
from surfaceviz.errors import ProblemError
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.parameters import named_tensors
from surfaceviz.problem.problem import Problem

pytestmark = pytest.mark.usefixtures("one_thread")


def _check(problem: Problem, **options: Any) -> str:
    named = named_tensors(problem.model)
    cpu = torch.device("cpu")
    split = problem.load("train").mapped(lambda tree: problem.cast(tree, torch.float32, cpu))
    state = {each.own_name: each.tensor.detach() for each in named.values()}
    names = [each.own_name for each in named.values() if each.is_parameter]
    with borrowed(problem.model, cpu):
        return str(check_derivatives(problem, split, state, names, **options))


@pytest.mark.parametrize("name", wrong_derivatives.SECOND)
def test_wrong_second_derivatives_are_refused_by_name(name: str) -> None:
    make, words = wrong_derivatives.SECOND[name]
    with pytest.raises(ProblemError, match=rf"derivatives of the loss are wrong: .*{words}; write it"):
        _check(make())
    assert _check(make(), order=1).startswith("checked against differences")  # the gradient is right


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("name", wrong_derivatives.FIRST)
def test_wrong_gradients_are_refused_by_name(name: str, order: int) -> None:
    make, words = wrong_derivatives.FIRST[name]
    with pytest.raises(ProblemError, match=rf"derivatives of the loss are wrong: .*{words}"):
        _check(make(), order=order)


def test_wrong_gauss_newton_products_are_refused_by_name() -> None:
    make, words = wrong_derivatives.SECOND["a loss that saves an intermediate"]
    with pytest.raises(ProblemError, match=rf"v'Gv is .* by differences of outputs, .* by autograd; .*{words}"):
        _check(make(), operator="ggn")


def test_forces_that_are_always_differentiable_pass() -> None:
    problem = Problem(wrong_derivatives.Potential(always=True), wrong_derivatives.data(), "mse")
    assert _check(problem) == "checked against differences on 4 samples, in float64"


def test_a_model_that_can_only_run_in_float32_is_checked_there() -> None:
    narrow = wrong_derivatives.Calls(lambda x: x.float() @ torch.ones(5, 5))
    assert _check(wrong_derivatives.around(narrow)) == "checked against differences on 4 samples, in float32"


def test_a_kink_at_every_step_is_not_checked_and_does_not_stop() -> None:
    stairs = wrong_derivatives.Calls(lambda x: x + 1e-13 * torch.floor(1e12 * x))
    said = _check(wrong_derivatives.around(stairs))
    assert re.fullmatch(r"not checked: \d+ entries of floor change sides at every step tried", said)


def test_rounding_is_not_taken_for_a_wrong_derivative() -> None:
    def noisy(x: Tensor) -> Tensor:
        y: Tensor = (x * 3 / 7 - x / 7 * 3) * 1e12 + x
        return y.relu()

    assert "checked" in _check(wrong_derivatives.around(wrong_derivatives.Calls(noisy)))


@pytest.mark.parametrize("margin", [20.0, 40.0, 100.0, 475.0, 800.0])
def test_a_saturated_softmax_is_not_taken_for_a_wrong_derivative(margin: float) -> None:
    """Beyond a margin of 37 the loss is 0 in float64, its gradient exp(-margin); beyond 354 squares underflow."""
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[margin], [0.0]]))
    x, y = torch.linspace(1, 1.01, 4).reshape(4, 1), torch.zeros(4, dtype=torch.long)
    assert "checked" in _check(Problem(model.double(), (x.double(), y), "cross_entropy"))


@pytest.mark.parametrize("width", [3e-9, 1e-8, 3e-8])
def test_curvature_narrower_than_the_steps_is_not_taken_for_a_wrong_derivative(width: float) -> None:
    """f(x) = s^2 log cosh((x - 1) / s) has f'' = 1 at 1, and differences of gradients of s / h at steps h >> s."""

    def valley(tensors: list[Tensor]) -> Tensor:
        z = (tensors[0] - 1) / width
        return width**2 * (z + nn.functional.softplus(-2 * z)).sum() + tensors[0].sum()

    function = TensorFunction(valley, [torch.ones(3, dtype=torch.float64)])
    assert compare(function).agrees is None


class Counted(nn.Module):
    """A model whose output depends on how often it was called."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return the layer's output times a changing factor."""
        self.calls += 1
        out: Tensor = self.layer(x) * (1 + 0.1 * (self.calls * 7 % 5))
        return out


def test_a_loss_that_is_no_function_of_the_weights_is_not_checked() -> None:
    assert _check(Problem(Counted(), wrong_derivatives.data(), "mse")).startswith("not checked: ")


def test_complex_weights_are_not_checked() -> None:
    model = nn.Linear(3, 4)
    model.phase = nn.Parameter(torch.ones(2, dtype=torch.complex64))
    named = named_tensors(model)
    problem = Problem(model, wrong_derivatives.data(), "mse")
    state = {each.own_name: each.tensor.detach() for each in named.values()}
    found = check_derivatives(problem, problem.load("train"), state, list(state))
    assert str(found) == "not checked: complex weights"


@pytest.mark.parametrize("operator", ["hessian", "ggn"])
@pytest.mark.parametrize("seed", range(8))
def test_random_networks_pass(seed: int, operator: str) -> None:
    assert (
        _check(random_networks.random_problem(seed), operator=operator)
        == "checked against differences on 10 samples, in float64"
    )


@pytest.mark.long
@pytest.mark.parametrize("seed", range(8, 60))
def test_more_random_networks_pass(seed: int) -> None:
    assert _check(random_networks.random_problem(seed)) == "checked against differences on 10 samples, in float64"


@pytest.mark.parametrize(
    ("function", "moved"),
    [
        (lambda x: x.relu(), {"relu": 1}),
        (lambda x: nn.functional.max_pool2d(x.view(1, 1, 2, 2), 2), {}),
        (lambda x: nn.functional.max_pool2d((x * torch.tensor([1.0, 0, 0, 4])).view(1, 1, 2, 2), 2),
         {"max_pool2d_with_indices": 1}),
        (lambda x: (x > 0) * x, {"gt": 1}),
        (lambda x: x.clamp(-1, 0.0), {"clamp": 1}),
        (lambda x: x.round(), {}),
        (lambda x: (1e3 * x + 0.3).floor(), {"floor": 4}),
        (lambda x: x.sort().values, {}),
        (lambda x: (x * torch.tensor([1.0, 0, 0, 4])).sort().values, {"sort": 2}),
        (lambda x: (x * torch.tensor([1.0, 0, 0, 4])).amax(), {"amax": 2}),
        (lambda x: x.tanh(), {}),
    ],
)  # fmt: skip
def test_branches_tell_what_changes_sides(function: Any, moved: dict[str, int]) -> None:
    x = torch.tensor([1.0015, -0.0005, -0.5, 0.25])
    for step, expected in ((0.0, {}), (0.001, moved)):
        with Branches() as here:
            function(x)
        with Branches(here.found) as there:
            function(x + step)
        assert {name: count for name, count in there.crossed.items() if count} == expected
