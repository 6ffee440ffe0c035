"""Baseline: closed forms of test functions (Rosenbrock, Himmelblau), their Hessians by hand, and losses in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import surfaceviz
from surfaceviz import render, store
from surfaceviz.errors import DirectionError, ProblemError, StoreError
from surfaceviz.problem.problem import Problem

pytestmark = pytest.mark.filterwarnings("ignore:.* points lie lower than the centre")

AXES = [(-1.5, 0.5, 9), (-1, 2, 7)]
GRID = np.meshgrid(np.linspace(-1.5, 0.5, 9), np.linspace(-1, 2, 7), indexing="ij")


class Point(nn.Module):
    """Two numbers, and no forward."""

    def __init__(self, *start: float) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(start, dtype=torch.float64))


class Rosenbrock(nn.Module):
    """A forward without inputs, of two scalars."""

    def __init__(self, x: float = 1.0, y: float = 1.0) -> None:
        super().__init__()
        self.x, self.y = (nn.Parameter(torch.tensor(start, dtype=torch.float64)) for start in (x, y))

    def forward(self) -> Tensor:
        return _rosenbrock(self.x, self.y)  # type: ignore[no-any-return]


def _rosenbrock(x: Any, y: Any) -> Any:
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def _himmelblau(x: Any, y: Any) -> Any:
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


ROSENBROCKS = [
    (Problem(Point(1, 1), loss=lambda model: _rosenbrock(*model.p)), ["p[0]", "p[1]"]),
    (Problem(Rosenbrock()), ["x[0]", "y[0]"]),
    (Problem(Rosenbrock(), loss=lambda output: output), ["x[0]", "y[0]"]),
]


@pytest.mark.parametrize(("problem", "along"), ROSENBROCKS)
@pytest.mark.parametrize("engine", ["auto", "eager", "vmapped"])
def test_a_function_of_the_weights_has_its_values_along_coordinates(
    problem: Problem, along: list[str], engine: str
) -> None:
    surface = surfaceviz.slice(problem, AXES, along=along, engine=engine)
    exact = _rosenbrock(1 + GRID[0], 1 + GRID[1])
    np.testing.assert_allclose(surface.values["train_loss"], exact, rtol=1e-12, atol=1e-13)
    assert [direction.source for direction in surface.directions] == along
    assert surface.provenance["cosine"] == 0
    assert render.draw([surface]).axes[0].get_xlabel().endswith(f"(change of {along[0]})")


def test_one_entry_is_a_curve_and_lies_at_the_model() -> None:
    problem = Problem(Point(3, 2), loss=lambda model: _himmelblau(*model.p))
    curve = surfaceviz.slice(problem, [(-2, 2, 5)], along="p[-1]")
    assert curve.values["train_loss"] == pytest.approx(_himmelblau(3, 2 + np.linspace(-2, 2, 5)), abs=1e-12)


@pytest.mark.parametrize(("problem", "along"), ROSENBROCKS)
def test_the_hessian_of_a_function_is_the_closed_form(problem: Problem, along: list[str], tmp_path: Path) -> None:
    surfaceviz.slice(problem, AXES, along=along, output=tmp_path / "a.h5")
    found = surfaceviz.hessian(tmp_path / "a.h5", (-1.0, 0.5), problem=problem)
    x, y = 0.0, 1.5
    exact = np.array([[2 - 400 * (y - 3 * x**2), -400 * x], [-400 * x, 200]])
    assert found.along == pytest.approx(exact, rel=1e-9)
    assert found.eigenvalues == pytest.approx(np.linalg.eigvalsh(exact), rel=1e-6)


def test_a_stored_slice_along_coordinates_is_resumed_and_others_are_refused(tmp_path: Path) -> None:
    problem = ROSENBROCKS[0][0]
    surfaceviz.slice(problem, AXES, along=["p[0]", "p[1]"], output=tmp_path / "a.h5")
    assert surfaceviz.slice(problem, AXES, along=["p[0]", "p[1]"], output=tmp_path / "a.h5").complete
    with pytest.raises(StoreError, match=r"along is .*p\[0\].* there"):
        surfaceviz.slice(problem, AXES, along=["p[1]", "p[0]"], output=tmp_path / "a.h5")
    assert store.read(tmp_path / "a.h5").provenance["along"] == '["p[0]", "p[1]"]'


def test_an_entry_of_a_layer_moves_alone_also_where_weights_are_tied() -> None:
    first, last = nn.Linear(3, 3).double(), nn.Linear(3, 3).double()
    last.weight = first.weight
    model = nn.Sequential(first, last)
    x, y = (torch.randn(10, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
    surface = surfaceviz.slice(Problem(model, (x, y), "mse"), AXES, along=["1.weight[2,0]", "1.bias[1]"])
    w, b0, b1 = (t.detach().numpy() for t in (first.weight, first.bias, last.bias))
    for i, alpha in enumerate(surface.axes[0]):
        for j, beta in enumerate(surface.axes[1]):
            moved, bias = w.copy(), b1.copy()
            moved[2, 0] += alpha
            bias[1] += beta
            outputs = (x.numpy() @ moved.T + b0) @ moved.T + bias
            assert surface.values["train_loss"][i, j] == pytest.approx(((outputs - y.numpy()) ** 2).mean(), rel=1e-12)


@pytest.mark.parametrize(
    ("along", "error", "message"),
    [
        (["q[0]"], DirectionError, r"along q\[0\]: no parameter 'q'; the model has p"),
        (["p[2]"], DirectionError, r"has the shape \(2,\); expected p\[1\] or smaller indices"),
        (["p[0,0]"], DirectionError, r"has the shape \(2,\)"),
        (["p[0]", "p[-2]"], DirectionError, "both directions lie on one line .* name two different entries"),
        (["p"], ValueError, r"or an entry of a parameter such as weight\[0,1\]"),
        (["hessian", "p[0]"], ValueError, "hessian determines the directions"),
        (["p[0]"] * 3, ValueError, "1 or 2 axes, got 3 entries"),
        (["p[0]"], ValueError, "1 x along makes 1 axes; got 2 axes"),
    ],
)
def test_entries_that_are_none_are_refused(along: list[str], error: type[Exception], message: str) -> None:
    axes = AXES if "1 x" in message else None
    with pytest.raises(error, match=message):
        surfaceviz.slice(ROSENBROCKS[0][0], axes, along=along)


def test_an_entry_that_never_moves_is_refused() -> None:
    model = nn.Sequential(nn.Embedding(4, 2, padding_idx=0), nn.Linear(2, 2))
    problem = Problem(model, (torch.tensor([1, 2]), torch.zeros(2, 2)), "mse")
    with pytest.raises(DirectionError, match=r"along 0.weight\[0,1\]: this entry never moves"):
        surfaceviz.slice(problem, along=["0.weight[0,1]", "0.weight[1,1]"])


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (Point(1, 1), {}, "give loss= a function of the model, or a model whose forward takes no inputs"),
        (nn.Linear(1, 1), {}, "give loss= a function of the model"),
        (Point(1, 1), {"loss": "mse"}, "loss 'mse' compares outputs with targets; give data"),
        (Point(1, 1), {"loss": nn.MSELoss()}, r"loss MSELoss\(\) compares outputs with targets; give data"),
        (Rosenbrock(), {"metrics": {"m": lambda *_: 0}}, "metrics, forward and measure need data"),
    ],
)
def test_problems_without_data_and_without_a_function_are_refused(
    model: nn.Module, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        Problem(model, **options)


def test_a_function_that_gives_no_number_is_refused() -> None:
    with pytest.raises(ProblemError, match=r"the loss gave a tensor of shape \(2,\); expected one number"):
        surfaceviz.slice(Problem(Point(1, 1), loss=lambda model: model.p), [(-1, 1, 3)], along="p[0]")
