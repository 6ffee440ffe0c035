"""Baselines: closed forms, scipy's minimisers on numpy functions, the models' own outputs in float64."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from itertools import pairwise
from typing import TypeVar

import numpy as np
import oracles
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import Tensor, nn

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.pipeline.hessian.points import targets_of
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.problem.problem import Problem
from surfaceviz.symmetry import gauged_model, to_gauge
from surfaceviz.zoo.networks import ResNet, batch_norm_cnn

_Model = TypeVar("_Model", bound=nn.Module)
ROUNDING = 1e-9  # relative: what the gauge itself promises


def _mlp(seed: int = 0, sizes: tuple[int, ...] = (5, 7, 6, 3)) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).double()


def _normed(sizes: tuple[int, ...] = (5, 7, 6, 3)) -> nn.Sequential:
    torch.manual_seed(1)
    a, b, c, d = sizes
    model = nn.Sequential(
        nn.Linear(a, b), nn.BatchNorm1d(b), nn.ReLU(), nn.Linear(b, c), nn.BatchNorm1d(c), nn.ReLU(), nn.Linear(c, d)
    )
    return _warm(model.double(), torch.randn(64, a, dtype=torch.float64))


def _warm(model: _Model, x: Tensor) -> _Model:
    """Give the batch norms statistics, gains and biases that differ from channel to channel."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 2)
            nn.init.normal_(module.bias)
    model.train()
    for _ in range(5):
        model(x)
    return model.eval()


def _problem(model: nn.Module, x: Tensor) -> Problem:
    """Return a problem whose labels are drawn from the model's own classes, at temperature 1 / 4."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        y = torch.multinomial((4 * model(x)).softmax(1), 1, generator=generator)[:, 0]
    return Problem(model, {"train": (x[::2], y[::2]), "test": (x[1::2], y[1::2])}, "cross_entropy")


def _objectives(problem: Problem) -> tuple[Objective, Objective, Theta]:
    """Return the objectives of both splits, and the weights."""
    targets = targets_of(HessianRequest.of(problem, dtype="float64"), lambda _line: None, 0)
    objective = Objective(
        problem=problem, split=targets.split, layout=targets.layout, filters=targets.filters,
        own_names=targets.own_names, device=torch.device("cpu"), batch=32,
    )  # fmt: skip
    test = problem.load("test").mapped(lambda tree: problem.cast(tree, torch.float64, objective.device))
    return objective, replace(objective, split=test), targets.points[0].make()


def _inputs(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


@torch.no_grad()
def _assert_outputs_stay(model: nn.Module, theta: Theta, x: Tensor) -> None:
    before, after = model(x), gauged_model(model, theta)(x)
    assert float((after - before).abs().max()) < ROUNDING * float(before.abs().max())


def test_one_hidden_layer_is_balanced_in_closed_form() -> None:
    model, x = _mlp(sizes=(5, 7, 3)), _inputs(40, 5)
    objective, _, theta = _objectives(_problem(model, x))
    found = to_gauge(objective, theta)
    w, b, v = (theta[name].numpy() for name in ("0.weight", "0.bias", "2.weight"))
    c = np.sqrt(np.linalg.norm(v, axis=0) / np.linalg.norm(np.column_stack([w, b]), axis=1))
    assert found.theta is not None
    np.testing.assert_allclose(found.theta["0.weight"], c[:, None] * w, rtol=1e-9)
    np.testing.assert_allclose(found.theta["0.bias"], c * b, rtol=1e-9)
    np.testing.assert_allclose(found.theta["2.weight"], v / c, rtol=1e-9)
    assert (found.balanced, found.normed, found.left, found.temperature, found.reason) == (7, 0, (), None, "")


def test_all_units_of_a_deep_network_are_balanced_and_its_outputs_stay() -> None:
    model, x = _mlp(), _inputs(40, 5)
    objective, _, theta = _objectives(_problem(model, x))
    found = to_gauge(objective, theta)
    assert found.theta is not None
    norms = {name: tensor.numpy() for name, tensor in found.theta.items()}
    for first, second in (("0", "2"), ("2", "4")):
        inward = np.linalg.norm(np.column_stack([norms[f"{first}.weight"], norms[f"{first}.bias"]]), axis=1)
        np.testing.assert_allclose(inward, np.linalg.norm(norms[f"{second}.weight"], axis=0), rtol=1e-8)
    _assert_outputs_stay(model, found.theta, x)


def _rescaled(theta: Theta, pairs: tuple[tuple[str, str], ...]) -> dict[str, Tensor]:
    """Return MLP weights with one factor for each hidden unit, by hand."""
    generator = torch.Generator().manual_seed(9)
    made = {name: tensor.clone() for name, tensor in theta.items()}
    for first, second in pairs:
        c = torch.empty(len(made[f"{first}.bias"]), dtype=torch.float64).uniform_(0.1, 10, generator=generator)
        made[f"{first}.weight"] *= c[:, None]
        made[f"{first}.bias"] *= c
        made[f"{second}.weight"] /= c
    return made


def test_rescaled_networks_meet_in_one_gauge() -> None:
    objective, _, theta = _objectives(_problem(_mlp(), _inputs(40, 5)))
    one, two = to_gauge(objective, theta), to_gauge(objective, _rescaled(theta, (("0", "2"), ("2", "4"))))
    assert one.theta is not None
    assert two.theta is not None
    for name, tensor in one.theta.items():
        np.testing.assert_allclose(two.theta[name], tensor, rtol=1e-8, atol=1e-12)


def test_filters_before_a_batch_norm_have_norm_1_and_their_scale_is_forgotten() -> None:
    model, x = _normed(), _inputs(40, 5)
    objective, _, theta = _objectives(_problem(model, x))
    grown = dict(theta)
    for layer, norm, c in (("0", "1", 3.0), ("3", "4", 0.2)):
        for name in (f"{layer}.weight", f"{layer}.bias", f"{norm}.running_mean"):
            grown[name] = theta[name] * c
        grown[f"{norm}.running_var"] = c**2 * (theta[f"{norm}.running_var"] + 1e-5) - 1e-5
    one, two = to_gauge(objective, theta), to_gauge(objective, grown)
    assert one.theta is not None
    assert two.theta is not None
    assert (one.balanced, one.normed, one.left) == (13, 13, ())
    for layer in ("0", "3"):
        np.testing.assert_allclose(torch.linalg.vector_norm(one.theta[f"{layer}.weight"], dim=1), 1.0, rtol=1e-9)
    for norm, after in (("1", "3"), ("4", "6")):
        gain = torch.hypot(one.theta[f"{norm}.weight"], one.theta[f"{norm}.bias"])
        np.testing.assert_allclose(gain, torch.linalg.vector_norm(one.theta[f"{after}.weight"], dim=0), rtol=1e-8)
    for name, tensor in one.theta.items():
        np.testing.assert_allclose(two.theta[name], tensor, rtol=1e-7, atol=1e-11)
    _assert_outputs_stay(model, one.theta, x)


def test_a_variance_of_0_stays_a_variance() -> None:
    model, x = _normed(), _inputs(40, 5)
    with torch.no_grad():
        norm = model[1]
        assert isinstance(norm, nn.BatchNorm1d)
        assert norm.running_var is not None
        norm.running_var[0] = 0.0
        model[0].weight[0] *= 50 / torch.linalg.vector_norm(model[0].weight[0])  # type: ignore[operator,index]
    objective, _, theta = _objectives(_problem(model, x))
    found = to_gauge(objective, theta)
    assert found.theta is not None
    assert float(found.theta["1.running_var"].min()) >= 0
    assert float(torch.linalg.vector_norm(found.theta["0.weight"][0])) == pytest.approx(50)


def test_a_cnn_is_balanced_across_pooling_and_flatten() -> None:
    torch.manual_seed(2)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3, groups=2), nn.ReLU(), nn.Flatten(),
        nn.Linear(24, 3),
    ).double()  # fmt: skip
    x = _inputs(20, 1, 10, 10)
    objective, _, theta = _objectives(_problem(model, x))
    found = to_gauge(objective, theta)
    assert found.theta is not None
    assert (found.balanced, found.left) == (10, ())
    w = {name: tensor.numpy() for name, tensor in found.theta.items()}
    inward = np.sqrt(np.sum(w["3.weight"] ** 2, (1, 2, 3)) + w["3.bias"] ** 2)
    outward = np.sqrt(np.sum(w["6.weight"].reshape(3, 6, 4) ** 2, (0, 2)))
    np.testing.assert_allclose(inward, outward, rtol=1e-8)
    inward = np.sqrt(np.sum(w["0.weight"] ** 2, (1, 2, 3)) + w["0.bias"] ** 2)
    outward = np.sqrt(np.sum(w["3.weight"].reshape(2, 3, 2, 9) ** 2, (1, 3))).ravel()
    np.testing.assert_allclose(inward, outward, rtol=1e-8)


@pytest.mark.slow
@pytest.mark.parametrize("skip", [True, False])
def test_a_residual_stream_is_left_and_said(skip: bool) -> None:
    torch.manual_seed(3)
    model = ResNet(1, channels=1, classes=3, skip=skip, width=4).double()
    x = _inputs(16, 1, 8, 8)
    _warm(model, x)
    objective, _, theta = _objectives(_problem(model, x))
    found = to_gauge(objective, theta)
    assert found.theta is not None
    assert found.normed == sum(m.num_features for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    stream = {n for n, m in model.named_modules() if isinstance(m, nn.Conv2d) and n.rsplit(".", 1)[-1] == "conv2"}
    assert set(found.left) == ({"conv"} | stream if skip else set())
    _assert_outputs_stay(model, found.theta, x)


def test_a_plain_cnn_with_batch_norm_is_balanced_whole() -> None:
    torch.manual_seed(4)
    model = batch_norm_cnn(channels=1, classes=3, width=4).double()
    x = _inputs(16, 1, 8, 8)
    _warm(model, x)
    objective, _, theta = _objectives(_problem(model, x))
    found = to_gauge(objective, theta)
    assert found.theta is not None
    assert found.left == ()
    assert found.deviation < ROUNDING


def test_the_temperature_is_that_of_a_scalar_minimiser() -> None:
    model, x = _mlp(), _inputs(40, 5)
    objective, held_out, theta = _objectives(_problem(model, x))
    found = to_gauge(objective, theta, held_out=held_out)
    logits, labels = model(x[1::2]).detach().numpy(), held_out.problem.targets(held_out.split.rows).numpy()

    def loss(s: float) -> float:
        z = math.exp(s) * logits
        return float(np.mean(np.log(np.exp(z).sum(1)) - z[np.arange(len(z)), labels]))

    exact = minimize_scalar(loss, bounds=(-4, 4), method="bounded", options={"xatol": 1e-9}).x
    assert found.temperature == pytest.approx(math.exp(-exact), rel=1e-6)
    assert found.theta is not None
    assert found.temperature is not None
    after = gauged_model(model, found.theta)(x)
    torch.testing.assert_close(after, model(x) / found.temperature, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("c", [1e-3, 3, 1e3])
def test_networks_that_differ_by_a_temperature_meet_in_one_gauge(c: float) -> None:
    objective, held_out, theta = _objectives(_problem(_mlp(), _inputs(40, 5)))
    louder = {**theta, "4.weight": c * theta["4.weight"], "4.bias": c * theta["4.bias"]}
    one, two = (to_gauge(objective, each, held_out=held_out) for each in (theta, louder))
    assert one.theta is not None
    assert two.theta is not None
    for name, tensor in one.theta.items():
        np.testing.assert_allclose(two.theta[name], tensor, rtol=1e-8, atol=1e-11)


def test_logits_that_only_gain_by_growing_have_no_temperature() -> None:
    model = nn.Sequential(nn.Linear(1, 2, bias=False)).double()
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0], [-1.0]]))  # type: ignore[operator]
    x = torch.tensor([[1.0], [-1.0], [2.0], [-2.0]], dtype=torch.float64)
    y = torch.tensor([0, 1, 0, 1])
    objective, held_out, theta = _objectives(Problem(model, {"train": (x, y), "test": (x, y)}, "cross_entropy"))
    found = to_gauge(objective, theta, held_out=held_out)
    assert found.temperature is None
    assert found.reason == (
        "no temperature: the held-out loss still falls where the logits are a million times as large or as small"
    )


def test_regression_has_no_temperature() -> None:
    model, x, y = oracles.regression(20, 3, 2)
    objective, held_out, theta = _objectives(Problem(model, {"train": (x, y), "test": (x, y)}, "mse"))
    found = to_gauge(objective, theta, held_out=held_out)
    assert (found.temperature, found.reason) == (None, "no temperature: the targets are not class numbers")


def test_smooth_activations_leave_their_layers_unbalanced() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 3)).double()
    objective, _, theta = _objectives(_problem(model, _inputs(40, 5)))
    found = to_gauge(objective, theta)
    assert (found.balanced, found.left) == (4, ("0",))


def test_a_problem_without_outputs_is_not_brought_to_the_gauge() -> None:
    def measure(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, tuple[Tensor, float]]:
        return {"loss": (model(batch[0]).square().sum(), float(len(batch[0])))}

    x = _inputs(8, 5)
    source = {"train": (x, x), "test": (x, x)}
    objective, _, theta = _objectives(Problem(_mlp(), source, measure=measure))
    found = to_gauge(objective, theta)
    assert found.theta is None
    assert found.reason == (
        "not brought to the gauge: the problem is given by measure=, so that there are no outputs to compare"
    )


def test_the_users_model_stays_as_it_is() -> None:
    model, x = _normed(), _inputs(40, 5)
    objective, held_out, theta = _objectives(_problem(model, x))
    before = copy.deepcopy(model.state_dict())
    found = to_gauge(objective, theta, held_out=held_out)
    assert found.theta is not None
    gauged_model(model, found.theta)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
