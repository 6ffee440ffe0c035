"""Baseline: closed forms of a quadratic in numpy, over 200 seeds; bands are those of the binomial distribution."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
from oracles import Array, Quadratic
from scipy.stats import binom, t
from test_worst_case import _objective

import surfaceviz
from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.problem.problem import Problem
from surfaceviz.sharpness_measures.measurements import Measurement, median_of
from surfaceviz.sharpness_measures.random_perturbations import expected_rise

SEEDS = 200


def _world() -> tuple[Objective, Theta, Quadratic, Array]:
    """Return a quadratic of 10 inputs and 6 outputs, and the diagonal of D: row norms over sqrt(n), 0 on biases."""
    model, x, y = oracles.regression(37, 10, 6)
    quadratic = Quadratic(model, x, y)
    rows = quadratic.theta.reshape(6, -1)
    scales = np.zeros_like(rows)
    scales[:, :-1] = np.linalg.norm(rows[:, :-1], axis=1, keepdims=True) / math.sqrt(rows.shape[1] - 1)
    return *_objective(Problem(model, (x, y), "mse")), quadratic, scales.reshape(-1)


def _assert_covers(found: list[Measurement], exact: float) -> None:
    """Check that one standard error and the 95% interval by Student's t cover as often as they should."""
    errors = np.array([each.value - exact for each in found]) / np.array([each.stderr for each in found])
    freedom = found[0].count - 1
    for factor in (1.0, float(t.ppf(0.975, freedom))):
        share = 1 - 2 * float(t.sf(factor, freedom))
        covered = int((np.abs(errors) < factor).sum())
        assert binom.ppf(1e-3, SEEDS, share) <= covered <= binom.ppf(1 - 1e-3, SEEDS, share), (factor, covered, share)


@pytest.mark.slow
def test_the_error_of_the_expected_rise_covers_half_the_trace_of_dhd() -> None:
    objective, theta, quadratic, scales = _world()
    found = [expected_rise(objective, theta, seed=seed) for seed in range(SEEDS)]
    _assert_covers(found, 0.01 / 2 * float(np.sum(scales**2 * np.diag(quadratic.hessian))))


@pytest.mark.long
def test_the_errors_of_traces_cover_those_of_the_quadratic() -> None:
    _, _, quadratic, scales = _world()
    model, x, y = oracles.regression(37, 10, 6)
    found = [
        surfaceviz.sharpness(Problem(model, (x, y), "mse"), rescale=False, seed=seed, starts=1, iterations=1)
        for seed in range(SEEDS)
    ]
    _assert_covers([each["trace"] for each in found], float(np.trace(quadratic.hessian)))
    normalised = float(np.sum(scales**2 * np.diag(quadratic.hessian)))
    _assert_covers([each["trace_normalised"] for each in found], normalised)


@pytest.mark.parametrize("slope", [0.0, 0.03, 1.0])
def test_the_error_of_the_width_covers_the_median_over_directions(slope: float) -> None:
    _, _, quadratic, scales = _world()
    generator, norms = np.random.default_rng(0), scales.reshape(6, -1)[:, :1] * math.sqrt(10)
    d = generator.standard_normal((20_000, 6, 11))
    d[..., -1] = 0
    d = (d * norms / np.linalg.norm(d, axis=2, keepdims=True)).reshape(len(d), -1)
    g, curvature = slope * (d @ quadratic.gradient), np.einsum("ki,ij,kj->k", d, quadratic.hessian, d)
    widths = np.stack([(-s + np.sqrt(s * s + 0.2 * curvature)) / curvature for s in (g, -g)], axis=1)
    found = [median_of(widths[10 * k : 10 * k + 10]) for k in range(SEEDS)]
    exact = float(np.median(widths))
    if slope == 0:
        _assert_covers(found, exact)
    else:  # the signs of a direction are not alike, and the error is said to be an upper estimate
        errors = np.array([abs(each.value - exact) for each in found]) / np.array([each.stderr for each in found])
        assert (errors < 1).sum() >= binom.ppf(1e-3, SEEDS, 1 - 2 * float(t.sf(1.0, 9)))
        assert (errors < t.ppf(0.975, 9)).sum() >= binom.ppf(1e-3, SEEDS, 0.95)
