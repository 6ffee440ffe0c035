"""Baseline: the quadratic L0 + g.s + s'Hs/2 of linear regression, in numpy float64."""

from __future__ import annotations

import numpy as np
import oracles
import pytest

from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice


def _expected(surface: Slice, quadratic: oracles.Quadratic, steps: list[oracles.Array]) -> oracles.Array:
    expected = np.empty(surface.shape)
    for index in np.ndindex(surface.shape):
        s = sum((axis[i] * d for axis, i, d in zip(surface.axes, index, steps, strict=True)), np.zeros(1))
        expected[index] = quadratic.at(np.asarray(s))
    return expected


@pytest.mark.parametrize("axes", [[(-1, 1, 5)], [(-1, 2, 4)], [(-1, 1, 3), (0, 2, 5)], [(-3, 0, 4), (-1, 1, 4)]])
@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("ignore", ["biasbn", "none"])
def test_slice_of_linear_regression_is_its_quadratic(
    axes: list[tuple[float, float, int]], workers: int, ignore: str
) -> None:
    model, x, y = oracles.regression()
    quadratic = oracles.Quadratic(model, x, y)
    made = oracles.make_directions(model, count=len(axes), ignore=ignore)
    problem = Problem(model, (x, y), "mse")
    surface = oracles.run_slice(problem, axes, ignore=ignore, batch_size=10, workers=workers)
    steps = [quadratic.flat(direction.tensors) for direction in made]
    np.testing.assert_allclose(surface.values["train_loss"], _expected(surface, quadratic, steps), rtol=1e-10)
    assert surface.centre["train_loss"] == pytest.approx(quadratic.loss0, rel=1e-12)
    assert all(np.ptp(step) > 0 for step in steps)


def test_axes_are_in_ij_order() -> None:
    model, x, y = oracles.regression()
    surface = oracles.run_slice(Problem(model, (x, y), "mse"), [(-1, 1, 3), (0, 2, 5)])
    assert surface.values["train_loss"].shape == (3, 5)
    assert surface.axes[1].tolist() == [0, 0.5, 1, 1.5, 2]
    line = oracles.run_slice(Problem(model, (x, y), "mse"), [(-1, 1, 3)])
    np.testing.assert_array_equal(surface.values["train_loss"][:, 0], line.values["train_loss"])


@pytest.mark.parametrize("rise", [False, True])
def test_standard_errors_are_those_of_samples(rise: bool) -> None:
    model, x, y = oracles.regression(outputs=1)
    (direction,) = oracles.make_directions(model, count=1)
    surface = oracles.run_slice(Problem(model, (x, y), "mse"), [(-1, 1, 3)], batch_size=8)
    weight = model.weight.detach()

    def each(alpha: float) -> oracles.Array:
        moved = weight + alpha * direction.tensors["weight"]
        return ((x @ moved.T + model.bias.detach() - y) ** 2).numpy()[:, 0]

    sample = each(1.0) - (each(0.0) if rise else 0.0)
    got = (surface.rise_stderr if rise else surface.stderr)["train_loss"][2]
    assert got == pytest.approx(np.std(sample, ddof=1) / np.sqrt(len(sample)), rel=1e-9)
