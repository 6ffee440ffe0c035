"""Baseline: H = G + R with R from second differences of the outputs' slopes, and rescalings done by hand."""

from __future__ import annotations

import copy

import dense
import numpy as np
import oracles
import pytest
import torch
from torch import Tensor, nn

from surfaceviz.curvature import SpectrumSpec, spectrum
from surfaceviz.errors import ProblemError
from surfaceviz.problem.problem import Problem

pytestmark = pytest.mark.usefixtures("one_thread")


def _residual_part(problem: Problem) -> oracles.Array:
    """Return R = sum over samples and outputs of (dl/df) d2f: the Hessian of f weighted by slopes held still."""
    x, y = problem.sources["train"]
    with torch.no_grad():
        slopes = (torch.softmax(problem.model(x), 1) - nn.functional.one_hot(y, 3)) / len(x)  # of the mean, by hand
    return dense.dense_hessian(problem, lambda model: (model(x) * slopes).sum())


def _by_hand(problem: Problem) -> oracles.Array:
    """Return sum over samples of J' (diag(p) - p p') J / N, J the outputs' first derivatives."""
    x, y = problem.sources["train"]
    parameters = [p for _, p in sorted(problem.model.named_parameters(), key=lambda item: item[0])]
    given = problem.model(x)
    slopes = [torch.autograd.grad(entry, parameters, retain_graph=True) for entry in given.flatten()]
    rows = torch.stack([torch.cat([part.flatten() for part in each]) for each in slopes]).view(*given.shape, -1)
    with torch.no_grad():
        p = torch.softmax(problem.model(x), 1)
    bend = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    return np.asarray(torch.einsum("nkp,nkl,nlq->pq", rows, bend, rows).numpy() / len(y))


@pytest.mark.parametrize("name", ["mlp", "convolutional", "tied", "transformer"])
def test_the_hessian_is_gauss_newton_plus_the_outputs_own_curvature(name: str) -> None:
    problem = dense.named_problem(name)
    hessian, ggn = dense.Bench(problem).matrix(), dense.Bench(problem, operator="ggn", batch=10).matrix()
    norm = np.abs(np.linalg.eigvalsh(hessian)).max()
    np.testing.assert_allclose(hessian, ggn + _residual_part(problem), rtol=0, atol=1e-8 * norm)
    assert np.linalg.eigvalsh(ggn).min() > -1e-12 * norm
    assert np.abs(hessian - ggn).max() > 1e-3 * norm  # so that they are told apart


def test_gauss_newton_has_the_rank_that_samples_and_classes_allow() -> None:
    problem = dense.named_problem("transformer", samples=11)
    bench = dense.Bench(problem, operator="ggn")
    most = 11 * (3 - 1)
    assert bench.layout.dimension > most
    values = np.linalg.eigvalsh(_by_hand(problem))
    assert 0 < (values > 1e-12 * values[-1]).sum() <= most
    found, _ = spectrum(bench.operator, bench.point, SpectrumSpec(top=most + 4, bottom=1, rtol=1e-6, operator="ggn"))
    np.testing.assert_allclose(found.eigenvalues[-most:], values[-most:], rtol=0, atol=1e-8 * values[-1])
    assert np.abs(found.eigenvalues[:5]).max() < 1e-10 * values[-1]
    assert found.kind == "not a critical point"


def test_of_a_linear_model_both_are_one() -> None:
    model, x, y = oracles.regression()
    problem = Problem(model, (x, y), "mse")
    exact = oracles.Quadratic(model, x, y).hessian
    values = np.linalg.eigvalsh(exact)
    for operator in ("hessian", "ggn"):
        got = np.linalg.eigvalsh(dense.Bench(problem, operator=operator).matrix())
        np.testing.assert_allclose(got, values, rtol=1e-12)


def test_a_linear_loss_has_no_gauss_newton_part() -> None:
    x, y = dense.classes(7, 3, 4)
    problem = Problem(dense.named_problem("mlp").model, (x, y), lambda outputs, _: outputs.sum(1))
    assert not dense.Bench(problem, operator="ggn").matrix().any()
    assert dense.Bench(problem).matrix().any()


def test_gauss_newton_needs_outputs() -> None:
    problem = Problem(nn.Linear(1, 1), [(torch.ones(2, 1),)], measure=lambda model, b: {"loss": (model(b[0]).sum(), 2)})
    with pytest.raises(
        ProblemError, match="operator ggn: the problem is given by measure=, so that there are no outputs"
    ):
        dense.Bench(problem, operator="ggn")


def _relu_net() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU(), nn.Linear(5, 3)).double()


def _dense(net: nn.Sequential, data: tuple[Tensor, Tensor]) -> oracles.Array:
    """Return the Hessian by torch's forward-over-reverse mode, parameters in the order of their names."""
    names = sorted(name for name, _ in net.named_parameters())
    theta = torch.cat([net.get_parameter(name).detach().reshape(-1) for name in names])

    def loss(vector: Tensor) -> Tensor:
        parts = vector.split([net.get_parameter(name).numel() for name in names])
        state = {n: part.view_as(net.get_parameter(n)) for n, part in zip(names, parts, strict=True)}
        return nn.functional.cross_entropy(torch.func.functional_call(net, state, (data[0],)), data[1])

    return np.asarray(torch.func.hessian(loss)(theta).numpy())


def _rescaled(net: nn.Sequential, a: float) -> nn.Sequential:
    other = copy.deepcopy(net)
    with torch.no_grad():
        for i, factor in ((0, a), (2, 1 / a)):
            other.get_parameter(f"{i}.weight").mul_(factor)
        other.get_parameter("0.bias").mul_(a)
    return other


@pytest.mark.parametrize("a", [10.0, 0.02])
def test_a_layerwise_rescaling_moves_lambda_max_as_d_h_d_predicts_and_leaves_the_normalised_alone(a: float) -> None:
    data = dense.classes(23, 3, 4)
    net, other = _relu_net(), _rescaled(_relu_net(), a)
    torch.testing.assert_close(net(data[0]), other(data[0]), rtol=1e-12, atol=1e-12)
    before, after = (dense.Bench(Problem(model, data, "cross_entropy")) for model in (net, other))
    # The old parameters are D times the new: (W1, b1) by 1/a, W2 by a.
    scale = torch.ones(before.layout.dimension, dtype=torch.float64)
    where = before.layout.slices()
    for name, factor in (("0.weight", 1 / a), ("0.bias", 1 / a), ("2.weight", a)):
        scale[where[name]] = factor
    d = scale.numpy()
    predicted = np.linalg.eigvalsh(_dense(net, data) * d[:, None] * d)[-1]
    found = {
        (which, normalised): spectrum(
            bench.operator, bench.point, SpectrumSpec(top=3, bottom=1, normalised=normalised, rtol=1e-9)
        )[0]
        for which, bench in (("before", before), ("after", after))
        for normalised in (False, True)
    }
    assert found["after", False].lambda_max == pytest.approx(predicted, rel=1e-8)
    assert not 0.5 < found["after", False].lambda_max / found["before", False].lambda_max < 2
    norm = found["before", True].norm
    np.testing.assert_allclose(
        found["after", True].eigenvalues, found["before", True].eigenvalues, rtol=0, atol=1e-8 * norm
    )


def test_the_normalised_matrix_is_d_h_d() -> None:
    problem = dense.named_problem("convolutional")
    bench = dense.Bench(problem)
    by_hand = []
    for name, tensor in sorted(problem.model.named_parameters()):
        if tensor.ndim < 2:  # gains and biases
            by_hand.append(torch.zeros(tensor.numel()))
            continue
        rows: Tensor = tensor.detach().flatten(1)
        by_hand.append((rows.norm(dim=1, keepdim=True) / rows.shape[1] ** 0.5).expand_as(rows).reshape(-1))
        assert name in bench.layout.names
    d = torch.cat(by_hand).double().numpy()
    matrix = dense.dense_hessian(problem, dense.loss_of(problem)) * d[:, None] * d
    found, _ = spectrum(
        bench.operator, bench.point, SpectrumSpec(top=3, bottom=2, normalised=True, rtol=1e-9, trace=True)
    )
    expected = np.linalg.eigvalsh(matrix)
    np.testing.assert_allclose(found.eigenvalues, np.r_[expected[:2], expected[-3:]], rtol=0, atol=1e-7 * expected[-1])
    assert found.trace is not None
    assert found.trace_stderr is not None
    assert abs(found.trace - np.trace(matrix)) < 4 * found.trace_stderr
    assert found.symbol == "DHD"
