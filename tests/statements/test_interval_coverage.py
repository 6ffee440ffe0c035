"""Baseline: closed forms of quadratics and of a known population, over 200 seeds or samples.

Each count lies in the two-sided 99.9% band of its binomial distribution. Other intervals have such tests elsewhere: the
bracket of the negative share in `curvature/test_negative_share.py`, ``beyond`` and the completeness of a list in
`curvature/test_random_starts.py`, the effective rank in `curvature/test_hessian_oracle.py`, the measures of sharpness
in `sharpness/test_coverage.py`, audits in `refine/test_refined_surfaces.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import oracles
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

import surfaceviz
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Spectrum

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("one_thread")]

SEEDS, CONFIDENCE = 200, 0.95
SAMPLES, INPUTS, NOISE = 400, 5, 0.7  # of each sample of the population
_HALF = (1 + CONFIDENCE) / 2


def _in_band(count: int) -> bool:
    low, high = (float(stats.binom.ppf(q, SEEDS, CONFIDENCE)) for q in (0.0005, 0.9995))
    return bool(low <= count <= high)


class Rotated(nn.Module):
    """The loss w'Aw / 2 for any input, A = Q diag(d) Q'; w is a Linear's weight, so that its rows are filters."""

    def __init__(self, matrix: Tensor, rows: int) -> None:
        super().__init__()
        self.matrix = matrix
        self.layer = nn.Linear(len(matrix) // rows, rows, bias=False).double()

    def forward(self, x: Tensor) -> Tensor:
        w = self.layer.weight.reshape(-1)
        return (0.5 * w @ self.matrix @ w).expand(len(x))


def _rotated() -> tuple[Problem, np.ndarray[Any, np.dtype[np.float64]], oracles.Array]:
    """Return a problem of 120 parameters in 6 filters with its matrix, and ||w_i||^2 / n_i of each entry."""
    generator = torch.Generator().manual_seed(0)
    basis, _ = torch.linalg.qr(torch.randn(120, 120, generator=generator, dtype=torch.float64))
    values = torch.cat([torch.linspace(-0.5, 1, 110), torch.tensor([2.0] * 5 + [3, 5, 8, 13, 21])]).double()
    matrix = basis @ torch.diag(values) @ basis.T
    model = Rotated(matrix, 6)
    with torch.no_grad():
        model.layer.weight.copy_(torch.randn(6, 20, generator=generator) * torch.arange(1, 7)[:, None])
    data = (torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64))
    squares = model.layer.weight.detach().square().mean(1, keepdim=True).expand(6, 20).reshape(-1)
    return Problem(model, data, lambda outputs, _: outputs), matrix.numpy(), squares.numpy()


@pytest.mark.parametrize(("probes", "deflated"), [(3, 1), (10, 6)])
def test_intervals_of_the_trace_and_the_expected_curvature_cover_in_the_binomials_band(
    probes: int, deflated: int
) -> None:
    problem, matrix, squares = _rotated()
    covered = {"trace": 0, "expected": 0}
    true = {"trace": np.trace(matrix), "expected": squares @ np.diag(matrix)}
    for seed in range(SEEDS):
        found = surfaceviz.hessian(
            problem, trace=True, probes=probes, seed=seed, top=deflated, bottom=0, workers=1,
            reporter=oracles.Recorder(),
        )  # fmt: skip
        for name in covered:
            value, stderr = getattr(found, name), getattr(found, f"{name}_stderr")
            covered[name] += abs(value - true[name]) <= stats.t.ppf(_HALF, probes - 1) * stderr
    assert all(map(_in_band, covered.values())), covered


def _population(inputs: int) -> tuple[Problem, oracles.Array, oracles.Array]:
    """Return a problem whose splits are samples of a population y = x'best + noise, the weights, and the best ones."""
    rng = np.random.default_rng(3)
    weights, best = rng.normal(size=inputs), rng.normal(size=inputs)
    model = nn.Linear(inputs, 1, bias=False).double()
    with torch.no_grad():
        model.weight[0] = torch.from_numpy(weights)
    data = {}
    for k in range(SEEDS):
        x = rng.normal(size=(SAMPLES, inputs))
        y = x @ best + NOISE * rng.normal(size=SAMPLES)
        data[f"sample{k}"] = (torch.from_numpy(x), torch.from_numpy(y[:, None]))
    return Problem(model, data, "mse"), weights, best


def test_standard_errors_of_a_slice_cover_the_populations_loss_and_rise_in_the_binomials_band() -> None:
    """E (x'w - y)^2 = |w - best|^2 + sigma^2; the rise is that of |w - best|^2."""
    problem, weights, best = _population(INPUTS)
    (direction,) = oracles.make_directions(problem.model, count=1)
    step = direction.tensors["weight"][0].double().numpy()
    surface = oracles.run_slice(problem, [(-0.5, 1, 4)], workers=1, engine="eager")
    factor = stats.norm.ppf(_HALF)
    square = float(np.square(weights - best).sum())
    for index, alpha in enumerate(surface.axes[0]):
        here = float(np.square(weights + alpha * step - best).sum())
        covered = covered_rise = 0
        for k in range(SEEDS):
            name = f"sample{k}_loss"
            value = surface.values[name][index]
            covered += abs(value - here - NOISE**2) <= factor * surface.stderr[name][index]
            rise = value - surface.centre[name]
            covered_rise += abs(rise - (here - square)) <= factor * surface.rise_stderr[name][index] + 1e-12
        assert _in_band(covered), (alpha, covered)
        assert covered_rise == SEEDS if abs(alpha) < 1e-12 else _in_band(covered_rise), (alpha, covered_rise)


def _spectra(inputs: int) -> tuple[list[Spectrum], oracles.Array]:
    """Return spectra of all samples, and the gradient of the population's loss, 2 (w - best)."""
    problem, weights, best = _population(inputs)
    quiet: dict[str, Any] = {"workers": 1, "reporter": oracles.Recorder(), "top": 1, "bottom": 0}
    found = [surfaceviz.hessian(problem, split=f"sample{k}", **quiet) for k in range(SEEDS)]
    return found, 2 * (weights - best)


def test_the_standard_error_of_one_slope_covers_the_populations_in_the_binomials_band() -> None:
    """With one parameter |g - E g| <= t stderr, Student's t of 15 degrees: 16 groups; g has the population's sign."""
    found, slope = _spectra(1)
    assert {each.gradient_groups for each in found} == {16}
    factor = stats.t.ppf(_HALF, 15)
    covered = [abs(each.gradient_norm - abs(slope[0])) <= factor * (each.gradient_stderr or 0) for each in found]
    assert _in_band(sum(covered)), sum(covered)


def test_the_square_of_a_gradients_standard_error_is_its_mean_squared_distance_from_the_populations() -> None:
    problem, weights, best = _population(INPUTS)
    found, slope = _spectra(INPUTS)
    far = []
    for k, each in enumerate(found):
        x, y = (part.numpy() for part in problem.sources[f"sample{k}"])
        gradient = 2 * x.T @ (x @ weights - y[:, 0]) / SAMPLES
        assert each.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-10)
        assert each.gradient_stderr is not None
        far.append(float(np.square(gradient - slope).sum()) - each.gradient_stderr**2)
    assert best.shape == slope.shape
    z = np.mean(far) / (np.std(far, ddof=1) / np.sqrt(SEEDS))
    assert abs(z) < stats.norm.ppf(0.9995), z
