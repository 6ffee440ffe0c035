"""Baseline: closed forms, and Hessians by differences of gradients of v g / ||v|| written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dense
import numpy as np
import oracles
import pytest
import torch
import wrong_derivatives
from torch import nn
from torch.nn.utils import parametrizations

import surfaceviz
from surfaceviz import store
from surfaceviz.errors import ProblemError
from surfaceviz.problem.problem import Problem
from surfaceviz.records.words.describe_spectrum import describe_spectrum

pytestmark = pytest.mark.usefixtures("one_thread")

WRONG = r"derivatives of the loss are wrong: .*; the cause is the loss, in SquaredError\.backward"
CHECKED = "checked against differences on 4 samples, in float64"


def _custom() -> Problem:
    return Problem(nn.Linear(3, 4), wrong_derivatives.data(), wrong_derivatives.SquaredError.apply)


def _plain() -> Problem:
    return Problem(nn.Linear(3, 4), wrong_derivatives.data(), "mse")


def _forces() -> Problem:
    return Problem(wrong_derivatives.Potential(kept=True), wrong_derivatives.data(), "mse")


def _quiet(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return call(*args, reporter=oracles.Recorder(), **options)


def _along(kind: str, problem: Problem) -> Any:
    return oracles.run_slice(problem, [(-1, 1, 3)], along=kind)


def _map(problem: Problem) -> Any:
    oracles.run_slice(problem, [(-1, 1, 3)], output="m.h5", overwrite=True)
    return _quiet(surfaceviz.hessian_map, "m.h5", (3,), problem=problem, workers=1)


RUNS: dict[str, Callable[[Problem], Any]] = {
    "hessian": lambda problem: _quiet(surfaceviz.hessian, problem),
    "ggn": lambda problem: _quiet(surfaceviz.hessian, problem, operator="ggn"),
    "map": _map,
    "sharpness": lambda problem: _quiet(surfaceviz.sharpness, problem, starts=1, iterations=1, rescale=False),
    "along hessian": lambda problem: _along("hessian", problem),
}


def _run(run: str, problem: Problem) -> Any:
    return RUNS[run](problem) if run in RUNS else _along(run.removeprefix("along "), problem)


@pytest.mark.parametrize("run", RUNS)
def test_every_run_that_differentiates_twice_refuses_a_wrong_hessian(run: str) -> None:
    with pytest.raises(ProblemError, match=WRONG):
        RUNS[run](_custom())


@pytest.mark.parametrize("kind", ["gradient", "ascent"])
def test_directions_along_a_right_gradient_need_no_hessian(kind: str) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        custom = _custom()
        torch.manual_seed(0)
        plain = _plain()
    mine, other = (_along(kind, problem) for problem in (custom, plain))
    np.testing.assert_allclose(mine.values["train_loss"], other.values["train_loss"], rtol=1e-6)
    assert mine.directions[0].derivatives == CHECKED


@pytest.mark.parametrize("run", [*RUNS, "along gradient", "along ascent"])
def test_every_run_that_differentiates_refuses_a_wrong_gradient(run: str) -> None:
    with pytest.raises(ProblemError, match=r"its slope along a random direction is .*Potential .*create_graph=True"):
        _run(run, _forces())


def test_the_result_of_the_check_is_stored_and_printed() -> None:
    problem = _plain()
    oracles.run_slice(problem, [(-1, 1, 3)], output="a.h5")
    recorder = oracles.Recorder()
    spectrum = surfaceviz.hessian("a.h5", problem=problem, reporter=recorder)
    found = _quiet(surfaceviz.hessian_map, "a.h5", (3,), problem=problem, workers=1)
    assert f"derivatives: {CHECKED}" in recorder.said
    assert ("derivatives", CHECKED) in describe_spectrum(spectrum)
    assert found.provenance["derivatives"] == CHECKED
    (stored,) = store.read("a.h5").spectra
    assert stored.derivatives == CHECKED
    sharp = _quiet(surfaceviz.sharpness, _plain(), starts=1, iterations=1, rescale=False)
    assert sharp.to_json()["derivatives"] == CHECKED


def _old(layer: nn.Module, dim: int) -> nn.Module:
    with pytest.warns(FutureWarning, match="weight_norm"):
        made: nn.Module = nn.utils.weight_norm(layer, dim=dim)
    return made


@pytest.mark.parametrize("dim", [0, 1, -1])
@pytest.mark.parametrize("norm", [_old, parametrizations.weight_norm])
def test_hessians_of_weight_norm_are_those_of_v_g_over_norm_v(norm: Callable[..., nn.Module], dim: int) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = nn.Sequential(norm(nn.Linear(3, 4), dim=dim), nn.Tanh(), norm(nn.Linear(4, 2), dim=dim)).double()
    x, y = (part.double() for part in wrong_derivatives.data())
    bench = dense.Bench(Problem(model, (x, y[:, :2]), "mse"))
    shapes = dict(zip(bench.layout.names, bench.layout.shapes, strict=True))

    def loss(vector: torch.Tensor) -> torch.Tensor:
        parts = dict(zip(shapes, bench.layout.split(vector), strict=True))
        out = x
        for layer in ("0", "2"):
            mine = {n.removeprefix(f"{layer}."): part for n, part in parts.items() if n.startswith(f"{layer}.")}
            g, v = (
                mine[next(n for n in mine if n.endswith(ends))] for ends in (("original0", "_g"), ("original1", "_v"))
            )
            axes = (0, 1) if dim < 0 else (1 - dim,)
            weight = v * g / v.square().sum(axes, keepdim=dim >= 0).sqrt()
            out = out @ weight.T + mine["bias"]
            out = out.tanh() if layer == "0" else out
        return ((out - y[:, :2]) ** 2).mean()

    def gradient(vector: torch.Tensor) -> torch.Tensor:
        leaf = vector.clone().requires_grad_()
        return torch.autograd.grad(loss(leaf), leaf)[0]

    matrix, h = bench.matrix(), 1e-4
    e = torch.eye(len(matrix), dtype=torch.float64) * h
    theta = bench.point.theta
    rows = [
        (8 * (gradient(theta + s) - gradient(theta - s)) - (gradient(theta + 2 * s) - gradient(theta - 2 * s)))
        / (12 * h)
        for s in e
    ]
    np.testing.assert_allclose(matrix, torch.stack(rows).numpy(), rtol=1e-7, atol=1e-8)


def test_the_trace_of_a_weight_normalised_network_is_that_of_differences() -> None:
    x = torch.randn(50, 4, generator=torch.Generator().manual_seed(1))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        norm = parametrizations.weight_norm
        net = nn.Sequential(norm(nn.Linear(4, 4)), nn.Tanh(), norm(nn.Linear(4, 2)))
    problem = Problem(net, (x, (x[:, 0] * x[:, 1] > 0).long()), "cross_entropy")
    found = _quiet(surfaceviz.hessian, problem, density=True, dtype="float64")
    assert found.trace == pytest.approx(-0.413933, abs=1e-6)
    assert found.eigenvalues[[0, -1]] == pytest.approx([-0.657351, 0.755805], abs=1e-6)
