"""Baseline: dense Hessians by differences, and first derivatives by torch, at weights moved by hand."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import dense
import numpy as np
import oracles
import pytest
import torch
from torch import nn

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.directions import from_loss
from surfaceviz.errors import DirectionError
from surfaceviz.problem.problem import Problem

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL = [(-0.004, 0.004, 5), (-0.004, 0.004, 5)]


def _flat(path: str, k: int, problem: Problem) -> oracles.Array:
    arrays = store.read_directions(path)[k]
    names = sorted(name for name, _ in problem.model.named_parameters())
    sizes = {name: parameter.numel() for name, parameter in problem.model.named_parameters()}
    return np.concatenate([arrays[name].reshape(-1) if name in arrays else np.zeros(sizes[name]) for name in names])


@pytest.mark.parametrize(("along", "which"), [("hessian", (-1, -2)), ("extremes", (-1, 0))])
@pytest.mark.parametrize("name", ["mlp", "convolutional"])
def test_eigenvectors_are_the_dense_hessians_and_a_unit_is_a_distance(
    along: str, which: tuple[int, int], name: str
) -> None:
    problem = dense.named_problem(name)
    matrix = dense.dense_hessian(problem, dense.loss_of(problem))
    values, vectors = np.linalg.eigh(matrix)
    surface = oracles.run_slice(problem, SMALL, along=along, output="a.h5")
    z, h = surface.values["train_loss"], 0.002
    for k, i in enumerate(which):
        d = _flat("a.h5", k, problem)
        assert np.linalg.norm(d) == pytest.approx(1, rel=1e-12)
        assert abs(d @ vectors[:, i]) == pytest.approx(1, abs=1e-5)
        assert d[np.abs(d).argmax()] > 0
        line = z[:, 2] if k == 0 else z[2, :]
        second = (line[3] - 2 * line[2] + line[1]) / h**2
        assert second == pytest.approx(values[i], abs=1e-4 * np.abs(values).max())
        assert surface.directions[k].kind == "eigenvector"
        assert surface.directions[k].eigenvalue == pytest.approx(values[i], rel=1e-4)
        assert f"eigenvalue {values[i]:.4g}"[:13] in (surface.directions[k].source or "")


def test_the_gradient_leads_uphill_at_its_norm() -> None:
    problem = dense.named_problem("mlp")
    gradient, theta = dense.gradient_at(problem, dense.loss_of(problem))
    g = gradient(theta)
    surface = oracles.run_slice(problem, SMALL, along="gradient", output="a.h5")
    np.testing.assert_allclose(_flat("a.h5", 0, problem), g / np.linalg.norm(g), atol=1e-12)
    z = surface.values["train_loss"]
    assert (z[3, 2] - z[1, 2]) / 0.004 == pytest.approx(np.linalg.norm(g), rel=1e-4)
    assert surface.directions[1].kind == "random"


def test_an_ascent_ends_higher_than_the_gradient_at_its_radius() -> None:
    problem = dense.named_problem("mlp")
    axis = [(0, 0.5, 2)]
    up = oracles.run_slice(problem, axis, along="gradient").values["train_loss"][1]
    found = oracles.run_slice(problem, axis, along="ascent", radius=0.5)
    assert found.values["train_loss"][1] > up
    assert found.directions[0].source == f"loss {found.values['train_loss'][1]:.6g} at distance 0.5"


def test_a_minimum_has_no_way_up() -> None:
    model, x, _ = oracles.regression()
    problem = Problem(model, (x, model(x).detach()), "mse")
    with pytest.raises(DirectionError, match="the gradient is 0 and has no direction; take --along hessian"):
        oracles.run_slice(problem, [(-1, 1, 3)], along="gradient")


def test_parameters_that_are_frozen_stay_still() -> None:
    problem = dense.named_problem("mlp")
    oracles.run_slice(problem, [(-1, 1, 3)], along="hessian", only=["0"], output="a.h5")
    assert set(store.read_directions("a.h5")[0]) == {"0.weight", "0.bias"}
    whole = dense.Bench(problem)
    where = [i for name in ("0.bias", "0.weight") for i in range(*whole.layout.slices()[name].indices(83))]
    block = whole.matrix()[np.ix_(where, where)]
    source = store.read("a.h5").directions[0].source or ""
    assert float(source.split()[1].rstrip(",")) == pytest.approx(np.linalg.eigvalsh(block)[-1], rel=1e-4)


def test_a_run_goes_on_with_the_directions_of_its_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    oracles.write_factory(tmp_path, "\nimport dense\ndef mlp():\n    return dense.named_problem('mlp')\n")
    command = ["slice", "mine.py:mlp", "--along=extremes", "--axis=-1:1:5", "--axis=-1:1:3", "--quiet", "--no-plot"]
    assert cli.run([*command, "-o", "a.h5"]) == 0
    whole = store.read("a.h5")
    origin = whole.origin.copy()
    origin[1] = 0
    store.write(Path("a.h5"), replace(whole, origin=origin), store.read_directions("a.h5"))
    monkeypatch.setattr(from_loss, "extreme_eigenvectors", None)  # would be called
    assert cli.run([*command, "-o", "a.h5"]) == 0
    np.testing.assert_array_equal(store.read("a.h5").values["train_loss"], whole.values["train_loss"])
    assert cli.run(["hessian", "a.h5", "--quiet"]) == 0
    (found,) = store.read("a.h5").spectra
    assert found.along is not None
    np.testing.assert_allclose(np.diag(found.along), [found.lambda_max, found.lambda_min], rtol=1e-3, atol=1e-3)
    assert abs(found.along[0, 1]) < 1e-3 * found.norm


@pytest.mark.parametrize(
    ("more", "line"),
    [
        (
            {"along": "sideways"},
            "along: expected one of hessian, extremes, gradient, ascent, labels, or an entry of a parameter",
        ),
        ({"along": "hessian", "orthogonal": True}, "got orthogonal; directions along the loss have no such option"),
        ({"along": "gradient", "radius": 0.1}, "got radius with along gradient, which has none"),
        ({"along": "hessian:3"}, "along: expected hessian, got hessian:3"),
        ({"along": "ascent", "radius": 0.0}, "radius: expected a positive distance, got 0"),
    ],
)
def test_what_cannot_be_is_said(more: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        oracles.run_slice(dense.named_problem("mlp"), SMALL, **more)


@pytest.mark.parametrize(("along", "expected"), [("hessian", [2.0, 1.0]), ("extremes", [2.0, -3.0])])
def test_a_matrix_that_is_known_as_a_whole_gives_two_directions(along: str, expected: list[float]) -> None:
    class Point(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.x = nn.Parameter(torch.zeros(3, dtype=torch.float64))

        def forward(self) -> torch.Tensor:
            return (self.x.square() * torch.tensor([1.0, -3.0, 2.0])).sum() / 2

    with pytest.warns(UserWarning, match="lie lower") if along == "extremes" else nullcontext():
        surface = surfaceviz.slice(surfaceviz.Problem(Point()), [(-1, 1, 3), (-1, 1, 5)], along=along)
    assert [direction.eigenvalue for direction in surface.directions] == pytest.approx(expected)
