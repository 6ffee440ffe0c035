"""Baseline: closed forms of linear regression, and dense Hessians by differences of first derivatives, in float64."""

from __future__ import annotations

from functools import cache
from typing import Any

import dense
import numpy as np
import oracles
import pytest
import torch
from torch import nn

from surfaceviz.curvature import SpectrumSpec, spectrum
from surfaceviz.curvature.density import quadrature, rademacher
from surfaceviz.problem.problem import Problem
from surfaceviz.records import describe_spectrum

pytestmark = pytest.mark.usefixtures("one_thread")

WORLDS = ("mlp", "convolutional", "tied", "transformer")


@cache
def _known(name: str) -> tuple[Problem, oracles.Array]:
    problem = dense.named_problem(name)
    return problem, dense.dense_hessian(problem, dense.loss_of(problem))


def test_linear_regression_has_the_eigenvalues_of_its_design() -> None:
    model, x, y = oracles.regression(samples=37, inputs=5, outputs=3)
    bench = dense.Bench(Problem(model, (x, y), "mse"), batch=10)
    found, _ = spectrum(bench.operator, bench.point, SpectrumSpec())
    expected = np.linalg.eigvalsh(oracles.Quadratic(model, x, y).hessian)  # (2 / (N k)) X'X, k outputs
    assert found.whole
    np.testing.assert_allclose(found.eigenvalues, expected, rtol=0, atol=1e-8 * expected[-1])
    gradient = oracles.Quadratic(model, x, y).gradient
    assert found.gradient_norm == pytest.approx(np.linalg.norm(gradient), rel=1e-12)
    assert found.kind == "not a critical point"


def test_copies_of_an_eigenvalue_come_with_a_block() -> None:
    model, x, y = oracles.regression(samples=150, inputs=100, outputs=3)  # each eigenvalue three times, of 303
    bench = dense.Bench(Problem(model, (x, y), "mse"))
    found, _ = spectrum(bench.operator, bench.point, SpectrumSpec(top=6, bottom=3, block=3, rtol=1e-6))
    assert not found.whole
    expected = np.linalg.eigvalsh(oracles.Quadratic(model, x, y).hessian)
    np.testing.assert_allclose(found.eigenvalues[3:], expected[-6:], rtol=0, atol=1e-8 * expected[-1])
    np.testing.assert_allclose(found.eigenvalues[:3], expected[:3], rtol=0, atol=1e-8 * expected[-1])


@pytest.mark.parametrize("name", WORLDS)
def test_both_ends_of_a_networks_spectrum_are_those_of_the_dense_hessian(name: str) -> None:
    problem, matrix = _known(name)
    bench = dense.Bench(problem)
    found, vectors = spectrum(bench.operator, bench.point, SpectrumSpec(top=5, bottom=3, rtol=1e-8))
    expected = np.linalg.eigvalsh(matrix)
    norm = np.abs(expected).max()
    assert not found.whole
    assert found.converged.all()
    np.testing.assert_allclose(found.eigenvalues, np.r_[expected[:3], expected[-5:]], rtol=0, atol=1e-6 * norm)
    for value, residual, vector in zip(found.eigenvalues, found.residuals, vectors.vectors.numpy(), strict=True):
        true = np.linalg.norm(matrix @ vector - value * vector)
        assert true == pytest.approx(residual, abs=1e-6 * norm)


@pytest.mark.parametrize("name", WORLDS)
@pytest.mark.parametrize(("batch", "shares"), [(3, 1), (7, 1), (100, 1), (5, 2)])
def test_products_are_the_same_for_any_batches_and_shares(name: str, batch: int, shares: int) -> None:
    problem, matrix = _known(name)
    got = dense.Bench(problem, batch=batch, shares=shares).matrix()
    np.testing.assert_allclose(got, matrix, rtol=0, atol=1e-6 * np.abs(np.linalg.eigvalsh(matrix)).max())


def test_batches_of_one_are_no_exception() -> None:
    problem, matrix = _known("mlp")
    got = dense.Bench(problem, batch=1, shares=3).matrix()
    np.testing.assert_allclose(got, matrix, rtol=0, atol=1e-6 * np.abs(np.linalg.eigvalsh(matrix)).max())


def test_graphs_that_are_not_kept_give_the_same_products() -> None:
    problem, matrix = _known("mlp")
    kept, short = dense.Bench(problem, batch=5), dense.Bench(problem, batch=5, memory=2**30)
    short.operator.set_point(0)
    short.sums[0]._memory = int(3.5 * short.sums[0]._bytes)  # room for two graphs of five, beside one in work
    got = short.matrix()
    assert (len(short.sums[0]._kept), len(short.sums[0]._rebuilt)) == (2, 3)
    np.testing.assert_array_equal(got, kept.matrix())
    np.testing.assert_allclose(got, matrix, rtol=0, atol=1e-6 * np.abs(matrix).max())


@pytest.mark.slow
def test_the_traces_interval_covers_the_dense_trace_in_at_least_88_of_100_seeds() -> None:
    problem, matrix = _known("mlp")
    bench, covered = dense.Bench(problem), 0
    for seed in range(100):
        found, _ = spectrum(bench.operator, bench.point, SpectrumSpec(trace=True, probes=10, seed=seed, rtol=1e-2))
        assert found.trace is not None
        assert found.trace_stderr is not None
        covered += abs(found.trace - np.trace(matrix)) <= 2.262 * found.trace_stderr  # Student, 9 degrees, 95%
    assert covered >= 88


def _effective_rank(matrix: oracles.Array) -> float:
    return float(np.trace(matrix) ** 2 / np.sum(matrix**2))


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"probes": 10}, {"probes": 10, "density": True, "steps": 5, "memory": 2**17}])
def test_the_effective_ranks_interval_covers_the_dense_one_in_at_least_88_of_100_seeds(options: Any) -> None:
    problem, matrix = _known("mlp")
    bench, covered = dense.Bench(problem), 0
    for seed in range(100):
        found, _ = spectrum(bench.operator, bench.point, SpectrumSpec(trace=True, seed=seed, rtol=1e-2, **options))
        assert found.effective_rank is not None
        assert found.effective_rank_stderr is not None
        covered += abs(found.effective_rank - _effective_rank(matrix)) <= 2.262 * found.effective_rank_stderr
    assert covered >= 88


def test_the_effective_rank_is_exact_when_all_eigenvectors_are_known() -> None:
    model, x, y = oracles.regression(samples=37, inputs=5, outputs=3)
    bench = dense.Bench(Problem(model, (x, y), "mse"))
    found, _ = spectrum(bench.operator, bench.point, SpectrumSpec(trace=True, probes=3))
    assert found.effective_rank == pytest.approx(_effective_rank(oracles.Quadratic(model, x, y).hessian), rel=1e-9)
    assert found.effective_rank_stderr == pytest.approx(0, abs=1e-9)
    assert any(label == "rank" for label, _ in describe_spectrum(found))


def test_a_spectrum_without_probes_has_no_effective_rank() -> None:
    bench = dense.Bench(_known("mlp")[0])
    found, _ = spectrum(bench.operator, bench.point, SpectrumSpec())
    assert found.effective_rank is None
    assert not any(label == "rank" for label, _ in describe_spectrum(found))


def test_layers_have_the_traces_and_top_eigenvalues_of_their_blocks() -> None:
    problem, matrix = _known("mlp")
    bench = dense.Bench(problem)
    found, _ = spectrum(bench.operator, bench.point, SpectrumSpec(by_layer=True, probes=400, rtol=1e-8))
    layers = found.layers
    assert layers is not None
    for i, where in enumerate(bench.layout.slices().values()):
        block = matrix[where, where]
        assert layers.top[i] == pytest.approx(np.linalg.eigvalsh(block)[-1], abs=1e-6 * found.norm)
        assert abs(layers.trace[i] - np.trace(block)) < 4 * layers.trace_stderr[i]
    assert layers.sizes.sum() == found.dimension


@pytest.mark.parametrize("name", WORLDS)
def test_the_densitys_moments_are_those_of_the_dense_hessian(name: str) -> None:
    problem, matrix = _known(name)
    bench, probes = dense.Bench(problem), 30
    found, _ = spectrum(bench.operator, bench.point, SpectrumSpec(density=True, probes=probes, steps=12, memory=2**17))
    density = found.density
    assert density is not None
    assert density.nodes.shape == (probes, 12)  # the memory does not hold the whole matrix
    np.testing.assert_allclose(density.weights.sum(1), 1, rtol=1e-12)
    power = np.eye(len(matrix))
    for order in range(5):
        each = (density.weights * density.nodes**order).sum(1)  # z' H^order z / P for each probe
        expected = np.trace(power) / len(matrix)
        error = max(each.std(ddof=1) / np.sqrt(probes), 1e-9 * found.norm**order)
        assert abs(each.mean() - expected) < 4 * error, order
        power = power @ matrix


def test_quadrature_is_exact_for_a_probes_own_moments() -> None:
    _, matrix = _known("mlp")
    probes = rademacher(3, len(matrix), torch.Generator().manual_seed(1), torch.float64)
    steps = 8
    rules = quadrature(lambda rows: rows @ torch.from_numpy(matrix), probes, steps)
    norm = np.abs(np.linalg.eigvalsh(matrix)).max()
    for z, nodes, weights in zip(probes.numpy(), rules.nodes.numpy(), rules.weights.numpy(), strict=True):
        moment = z
        for order in range(2 * steps):  # a Gauss rule is exact up to degree 2 steps - 1
            expected = z @ moment / (z @ z)
            assert (weights * nodes**order).sum() == pytest.approx(expected, abs=1e-9 * norm**order)
            moment = matrix @ moment


def test_a_share_of_negative_eigenvalues_is_counted_from_all_of_them() -> None:
    problem, matrix = _known("tied")
    bench = dense.Bench(problem)
    found, _ = spectrum(bench.operator, bench.point, SpectrumSpec(density=True, probes=40, steps=len(matrix)))
    values = np.linalg.eigvalsh(matrix)
    true = np.mean(values < -1e-6 * np.abs(values).max())
    assert found.negative_share == true
    assert found.negative_share_stderr == 0
    assert found.density is not None
    np.testing.assert_allclose(found.density.nodes[0], values, rtol=0, atol=1e-6 * np.abs(values).max())


def test_weights_alone_are_the_block_of_the_weights() -> None:
    problem, matrix = _known("mlp")
    whole, weights = dense.Bench(problem), dense.Bench(problem, parameters="weights")
    kept = [
        i for name, where in whole.layout.slices().items() if "weight" in name for i in range(where.start, where.stop)
    ]
    assert weights.layout.names == ("0.weight", "2.weight", "4.weight")
    np.testing.assert_allclose(weights.matrix(), matrix[np.ix_(kept, kept)], rtol=0, atol=1e-6 * np.abs(matrix).max())


def test_the_curvature_expected_of_a_random_direction_is_what_many_show() -> None:
    problem, matrix = _known("convolutional")
    bench = dense.Bench(problem)
    found, _ = spectrum(bench.operator, bench.point, SpectrumSpec(trace=True, probes=200))
    seen = []
    for seed in range(400):
        (direction,) = oracles.make_directions(problem.model, count=1, seed=seed)
        parts = [
            direction.tensors.get(n, torch.zeros(s))
            for n, s in zip(bench.layout.names, bench.layout.shapes, strict=True)
        ]
        d = torch.cat([part.reshape(-1).double() for part in parts]).numpy()
        seen.append(d @ matrix @ d)
    error = np.std(seen, ddof=1) / 20
    assert found.expected is not None
    assert found.expected_stderr is not None
    assert abs(found.expected - np.mean(seen)) < 4 * np.hypot(error, found.expected_stderr)
    d2 = bench.point.filter_scales.numpy() ** 2
    assert abs(found.expected - d2 @ np.diag(matrix)) < 4 * found.expected_stderr


def test_a_loss_with_class_weights_and_ignored_targets_is_averaged_as_torch_does() -> None:
    x, y = dense.classes(23, 3, 4)
    y[::4] = -100
    model = dense.named_problem("mlp").model
    loss = nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0, 0.2], dtype=torch.float64), label_smoothing=0.1)
    problem = Problem(model, (x, y), loss)
    matrix = dense.dense_hessian(problem, lambda net: loss(net(x), y))
    got = dense.Bench(problem, batch=4).matrix()
    np.testing.assert_allclose(got, matrix, rtol=0, atol=1e-6 * np.abs(np.linalg.eigvalsh(matrix)).max())


def test_a_measure_of_ones_own_is_differentiated_twice_through_its_own_autograd() -> None:
    x, _ = dense.classes(9, 3, 4)

    def slope_penalty(model: nn.Module, batch: tuple[torch.Tensor]) -> dict[str, tuple[torch.Tensor, int]]:
        points = batch[0].detach().requires_grad_()
        (slope,) = torch.autograd.grad(model(points).sum(), points, create_graph=True)
        return {"loss": (slope.square().sum(), len(points))}

    problem = Problem(dense.named_problem("mlp").model, [(x[:5],), (x[5:],)], measure=slope_penalty)

    def loss(model: nn.Module) -> torch.Tensor:
        return slope_penalty(model, (x,))["loss"][0] / len(x)

    matrix = dense.dense_hessian(problem, loss)
    got = dense.Bench(problem).matrix()
    np.testing.assert_allclose(got, matrix, rtol=0, atol=1e-6 * np.abs(np.linalg.eigvalsh(matrix)).max())
