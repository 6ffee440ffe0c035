"""Baseline: closed forms of linear regression in numpy, per-sample gradients and dense Hessians."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import surfaceviz
from surfaceviz import store
from surfaceviz.curvature import sampling_error
from surfaceviz.curvature.sampling_error import GroupGradient
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Spectrum, describe_spectrum

N, P = 300, 5
GENERATOR = np.random.default_rng(0)
X, NOISE, THETA = GENERATOR.normal(size=(N, P)), GENERATOR.normal(size=N), GENERATOR.normal(size=P)
Y = X @ np.arange(P) + NOISE
PER_SAMPLE = 2 * (X @ THETA - Y)[:, None] * X  # gradients of (x'theta - y)^2, (N, P)
GRADIENT, HESSIAN = PER_SAMPLE.mean(0), 2 * X.T @ X / N
STDERR = np.sqrt(PER_SAMPLE.var(0, ddof=1).sum() / N)


def _groups(number: int, seed: int) -> list[GroupGradient]:
    order = np.random.default_rng(seed).permutation(N)
    return [
        GroupGradient(torch.from_numpy(PER_SAMPLE[part].sum(0)), float(len(part)), len(part))
        for part in np.array_split(order, number)
    ]


def _spectrum(count: int = N, **options: object) -> Spectrum:
    model = nn.Linear(P, 1, bias=False).double()
    with torch.no_grad():
        model.weight[0] = torch.from_numpy(THETA)
    data = (torch.from_numpy(X[:count]), torch.from_numpy(Y[:count, None]))
    return surfaceviz.hessian(Problem(model, data, functional.mse_loss), **options)  # type: ignore[arg-type]


def test_single_samples_give_the_usual_standard_error() -> None:
    found = sampling_error(_groups(N, 0))
    assert found is not None
    assert found.stderr == pytest.approx(STDERR, rel=1e-12)
    assert found.terms == pytest.approx(np.linalg.norm(PER_SAMPLE, axis=1).mean(), rel=1e-12)
    np.testing.assert_allclose(found.gradient.numpy(), GRADIENT, rtol=1e-12)


@pytest.mark.parametrize("number", [7, 16])
def test_random_groups_are_unbiased(number: int) -> None:
    found = [sampling_error(_groups(number, seed)) for seed in range(300)]
    squares = np.array([each.stderr**2 for each in found if each is not None])
    assert len(squares) == 300
    z = (squares.mean() - STDERR**2) / (squares.std(ddof=1) / np.sqrt(300))
    assert abs(z) < 4


def test_weights_give_the_error_of_a_ratio() -> None:
    """The gradient sum_n w_n g_n / sum_n w_n; residuals are w_n (g_n - g)."""
    weights = GENERATOR.uniform(0.5, 2, N)
    rows = zip(PER_SAMPLE * weights[:, None], weights, strict=True)
    found = sampling_error(GroupGradient(torch.from_numpy(g), float(w), 1) for g, w in rows)
    mean = np.average(PER_SAMPLE, axis=0, weights=weights)
    residuals = weights[:, None] * (PER_SAMPLE - mean)
    expected = np.sqrt(N / (N - 1) * np.square(residuals).sum()) / weights.sum()
    assert found is not None
    assert found.stderr == pytest.approx(expected, rel=1e-10)


def test_one_group_has_no_error() -> None:
    assert sampling_error(_groups(1, 0)) is None
    assert sampling_error([]) is None


def test_few_samples_are_taken_one_by_one() -> None:
    found = _spectrum(12)
    rows = PER_SAMPLE[:12]
    assert found.gradient_groups == 12
    assert found.gradient_stderr == pytest.approx(np.sqrt(rows.var(0, ddof=1).sum() / 12), rel=1e-9)
    text = [words for _, words in describe_spectrum(found)]
    assert any(f"standard error over samples {found.gradient_stderr:.2g}, from each sample: the norm is" in w
               for w in text)  # fmt: skip


def test_the_gradient_is_set_beside_its_error_and_the_curvature() -> None:
    found = _spectrum()
    assert found.gradient_groups == 16
    assert found.gradient_stderr == pytest.approx(STDERR, rel=0.5)  # 16 groups; 5 directions
    assert found.gradient_norm == pytest.approx(np.linalg.norm(GRADIENT), rel=1e-10)
    decrement = GRADIENT @ np.linalg.solve(HESSIAN, GRADIENT)
    assert found.newton_decrement == pytest.approx(decrement, rel=1e-9)
    assert found.newton_pairs == P
    assert found.newton_left_out == pytest.approx(0, abs=1e-6)
    assert found.gradient_curvature == pytest.approx(GRADIENT @ HESSIAN @ GRADIENT / (GRADIENT @ GRADIENT), rel=1e-9)
    text = dict(describe_spectrum(found))
    assert text["newton"] == (
        f"decrement g'H^-1 g {decrement:.3g}, {decrement / found.loss:.2g} of the loss; on 5 positive eigenvalues, "
        "0% of the gradient's norm left out"
    )


def test_what_the_eigenpairs_leave_out_is_told() -> None:
    x = GENERATOR.normal(size=(N, 80)) * np.linspace(0.1, 3, 80)
    y, hessian = GENERATOR.normal(size=N), 2 * x.T @ x / N
    gradient = 2 * x.T @ (x @ np.ones(80) - y) / N
    values, vectors = np.linalg.eigh(hessian)
    slopes = vectors.T @ gradient
    model = nn.Linear(80, 1, bias=False).double()
    nn.init.ones_(model.weight)
    problem = Problem(model, (torch.from_numpy(x), torch.from_numpy(y[:, None])), functional.mse_loss)
    found = surfaceviz.hessian(problem, top=2, bottom=0, rtol=1e-8)
    assert found.newton_pairs == 2
    assert found.newton_decrement == pytest.approx((slopes[-2:] ** 2 / values[-2:]).sum(), rel=1e-6)
    assert found.newton_left_out == pytest.approx(np.linalg.norm(slopes[:-2]) / np.linalg.norm(slopes), rel=1e-6)


def test_scaled_coordinates_have_the_same_decrement() -> None:
    """D H D and D g of D = ||theta|| / sqrt(P), one filter."""
    plain, scaled = _spectrum(), _spectrum(normalised=True)
    assert scaled.newton_decrement == pytest.approx(plain.newton_decrement, rel=1e-9)
    assert scaled.gradient_curvature == pytest.approx(plain.gradient_curvature, rel=1e-9)


def test_a_loss_that_is_no_mean_over_samples_has_no_sampling_error() -> None:
    model = nn.Linear(P, 1, bias=False).double()
    data = (torch.from_numpy(X), torch.from_numpy(Y[:, None]))

    def worst(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return (outputs - targets).square().mean().sqrt()  # of a batch

    found = surfaceviz.hessian(Problem(model, data, worst), batch_size=N)
    assert found.gradient_stderr is None
    assert found.newton_decrement is not None


def test_the_file_keeps_what_is_known_of_the_gradient(tmp_path: object) -> None:
    path = f"{tmp_path}/a.h5"
    found = _spectrum(output=path)
    (kept,) = store.read_curvature(path).spectra
    for name in ("stderr", "groups", "curvature"):
        assert getattr(kept, f"gradient_{name}") == getattr(found, f"gradient_{name}") is not None
    for name in ("decrement", "pairs", "left_out"):
        assert getattr(kept, f"newton_{name}") == getattr(found, f"newton_{name}") is not None
