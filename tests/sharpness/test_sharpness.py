"""Baselines: closed forms of quadratics in numpy; dense Hessians, rescaled by algebra; the models' own outputs."""

from __future__ import annotations

import copy
import csv
import json
import math
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from oracles import Array, Quadratic
from scipy.stats import binom
from torch import Tensor, nn
from torch.nn import functional

import surfaceviz
from surfaceviz import cli
from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.directions.normalise import noise
from surfaceviz.errors import Interrupted
from surfaceviz.pipeline.hessian.points import targets_of
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.sharpness import run as wiring
from surfaceviz.problem import checkpoints
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.problem import Problem
from surfaceviz.sharpness_measures import CAUTION, MEASURES, Sharpness
from surfaceviz.sharpness_measures.measurements import (
    Measurement,
    change_of,
    mean_of,
    mean_over,
    measurement_text,
    median_of,
)
from surfaceviz.sharpness_measures.random_perturbations import expected_rise, width
from surfaceviz.sharpness_measures.table import change_text
from surfaceviz.sharpness_measures.theta_curvature import theta_curvature
from surfaceviz.symmetry import Rescaling, rescalings

CPU = torch.device("cpu")

QUICK: Any = {"starts": 1, "iterations": 3}  # of the searches for a worst case, where they are not what is tested


def _objective(problem: Problem, batch: int = 128) -> tuple[Objective, Theta]:
    """Return the objective of a small problem, and its weights."""
    targets = targets_of(HessianRequest.of(problem, dtype="float64"), lambda _line: None, 0)
    objective = Objective(
        problem=problem, split=targets.split, layout=targets.layout, filters=targets.filters,
        own_names=targets.own_names, device=CPU, batch=batch,
    )  # fmt: skip
    return objective, targets.points[0].make()


def _quadratic(samples: int = 37, inputs: int = 2, outputs: int = 1) -> tuple[Objective, Theta, Quadratic]:
    model, x, y = oracles.regression(samples, inputs, outputs)
    return *_objective(Problem(model, (x, y), "mse")), Quadratic(model, x, y)


def _line(w: float, x: Sequence[float], at: float) -> tuple[Objective, Theta]:
    """Return the loss mean(x^2) (w - at)^2 of one weight."""
    model = nn.Linear(1, 1, bias=False).double()
    with torch.no_grad():
        model.weight.fill_(w)
    data = torch.tensor(x, dtype=torch.float64)[:, None]
    return _objective(Problem(model, (data, at * data), "mse"))


# Measures


def _scales(theta: Array, outputs: int) -> Array:
    """Return the diagonal of D in the order of `Quadratic`: row norms over sqrt(n), 0 on biases."""
    rows = theta.reshape(outputs, -1)
    scales = np.zeros_like(rows)
    scales[:, :-1] = np.linalg.norm(rows[:, :-1], axis=1, keepdims=True) / math.sqrt(rows.shape[1] - 1)
    return scales.reshape(-1)


def test_expected_rise_is_half_the_trace_of_dhd() -> None:
    objective, theta, quadratic = _quadratic(inputs=5, outputs=3)
    found = expected_rise(objective, theta, sigma=0.1, pairs=40, seed=3)
    scales = _scales(quadratic.theta, 3)
    exact = 0.01 / 2 * np.sum(scales**2 * np.diag(quadratic.hessian))
    assert found.stderr is not None
    assert abs(found.value - exact) < 3 * found.stderr
    assert found.stderr < 0.2 * exact
    # Pair by pair the odd orders cancel, so that z'DHDz is all there is.
    tensors = {"weight": (3, 5), "bias": (3,)}
    each = []
    for axis in range(10, 50):
        z = quadratic.flat({name: noise(3, axis, name, shape).double() for name, shape in tensors.items()})
        each.append(0.01 / 2 * (scales * z) @ quadratic.hessian @ (scales * z))
    assert found.draws is not None
    np.testing.assert_allclose(found.draws, each, rtol=1e-9)


def test_width_of_a_parabola() -> None:
    objective, theta = _line(2.0, [1.0, 3.0], at=2.0)  # 5 (2 t)^2 = 0.1: a direction of one weight is +-|w|
    found = width(objective, theta, seed=0)
    assert found.value == pytest.approx(math.sqrt(0.1 / 20), rel=1e-4)
    assert found.quartiles == pytest.approx((found.value, found.value), rel=1e-4)
    objective, theta = _line(2.0, [1.0, 3.0], at=1.9)  # 20 t^2 +- 2 t = 0.1
    roots = [(math.sqrt(4 + 8) - sign * 2) / 40 for sign in (1, -1)]
    draws = width(objective, theta, seed=0).draws
    assert draws is not None
    np.testing.assert_allclose(np.sort(draws, 1), np.tile(roots, (10, 1)), rtol=1e-4)


def test_width_says_when_the_loss_never_rises() -> None:
    objective, theta = _line(2.0, [1e-5], at=2.0)
    found = width(objective, theta, seed=0)
    assert math.isinf(found.value)
    assert found.note == "over 1024: 20 of 20 directions and signs"
    assert measurement_text(found) == "over 1024"
    assert found.stderr is not None
    assert math.isnan(found.stderr)
    assert found.quartiles == (math.inf, math.inf)


def test_traces_and_eigenvalues_of_a_quadratic() -> None:
    model, x, y = oracles.regression(37, 5, 3)
    found = surfaceviz.sharpness(Problem(model, (x, y), "mse"), rescale=False)
    quadratic = Quadratic(model, x, y)
    scales = _scales(quadratic.theta, 3)
    for end, matrix in (
        ("", quadratic.hessian),
        ("_normalised", scales[:, None] * quadratic.hessian * scales),
    ):
        trace = found[f"trace{end}"]
        assert found[f"lambda_max{end}"].value == pytest.approx(np.linalg.eigvalsh(matrix)[-1], rel=1e-5)
        assert trace.stderr is not None
        assert abs(trace.value - np.trace(matrix)) < 4 * trace.stderr
    assert found.loss == pytest.approx(quadratic.loss0)
    assert found.gradient_norm == pytest.approx(np.linalg.norm(quadratic.gradient))


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 1), (5, 3)])
def test_the_curvature_along_theta_is_that_of_the_quadratic(inputs: int, outputs: int) -> None:
    objective, theta, quadratic = _quadratic(inputs=inputs, outputs=outputs)
    exact = quadratic.theta @ quadratic.hessian @ quadratic.theta
    assert theta_curvature(objective, theta).value == pytest.approx(exact, rel=1e-10)


# Errors and verdicts


def test_errors_of_means_and_medians() -> None:
    generator = np.random.default_rng(0)
    draws = generator.standard_normal((4000, 2))
    assert mean_of(draws[:, 0]).stderr == pytest.approx(draws[:, 0].std(ddof=1) / math.sqrt(4000))
    of_parts = mean_over(np.array([1.0, 3.0, 5.0]), np.ones(3))
    assert of_parts.stderr == pytest.approx(np.std([1, 3, 5], ddof=1) / math.sqrt(3))
    medians = [float(np.median(generator.standard_normal(100))) for _ in range(2000)]
    alike = np.repeat(generator.standard_normal((100, 1)), 2, axis=1)  # both signs of a direction are as one draw
    assert median_of(alike).stderr == pytest.approx(np.std(medians), rel=0.25)
    assert math.isnan(mean_of(np.array([1.0])).stderr or 0)


def test_a_change_is_told_from_noise_draw_by_draw() -> None:
    generator = np.random.default_rng(0)
    draws = 1 + generator.standard_normal(10)
    twice = change_of(mean_of(draws), mean_of(2 * draws))
    assert twice.factor == pytest.approx(2)
    assert not twice.survives
    assert twice.stderr < 1e-12  # each draw doubles, however far apart they are
    noisy = change_of(mean_of(draws), mean_of(draws + 0.1 * generator.standard_normal(10)))
    assert noisy.verdict == "within error"
    apart = change_of(
        Measurement(value=10.0, stderr=1.0), Measurement(value=13.0, stderr=1.3)
    )  # of other draws: errors in quadrature
    assert apart.stderr == pytest.approx(math.sqrt(2) * 0.13)
    assert apart.verdict == "within error"
    whole = change_of(mean_over(draws, np.ones(10)), mean_over(draws**2, np.ones(10)))
    assert (whole.stderr, whole.survives) == (0.0, False)
    assert change_of(Measurement(value=0.0), Measurement(value=0.0)).survives
    assert not change_of(Measurement(value=0.0), Measurement(value=1.0)).survives
    assert not change_of(Measurement(value=1.0), Measurement(value=math.inf)).survives
    assert not change_of(Measurement(value=math.inf), Measurement(value=1.0)).survives


def test_a_change_that_is_not_known_is_not_called_one() -> None:
    both = change_of(Measurement(value=math.inf, reach=9.0), Measurement(value=math.inf, reach=9.0))
    assert (both.verdict, both.survives, change_text(both)) == ("not known", False, "not known")
    assert change_of(Measurement(value=math.nan), Measurement(value=1.0)).verdict == "not known"
    one = np.array([1.0])
    single = change_of(mean_of(one), mean_of(0.5 * one))  # from one draw there is no error
    assert change_text(single) == "not known, x0.5 without its error"
    draws = np.array([[1.0, 2.0], [1.0, 1.0], [3.0, math.inf]])
    assert change_of(median_of(draws), median_of(2 * draws)).verdict == "changes"  # the third is left out twice
    other = np.array([[1.0, math.inf], [1.0, 1.0], [3.0, 3.0]])
    assert change_of(median_of(draws), median_of(other)).verdict == "not known"


def test_survival_needs_an_error_below_a_per_cent_and_its_interval_is_students() -> None:
    generator = np.random.default_rng(1)
    noise_of_draws = generator.standard_normal(10)
    noise_of_draws -= noise_of_draws.mean()
    same = change_of(mean_of(np.ones(10)), mean_of(1 + 0.5 * noise_of_draws))  # the mean is the same by chance
    assert same.factor == pytest.approx(1)
    assert same.verdict == "within error"
    rejected = sum(
        change_of(mean_of(np.ones(4)), mean_of(1 + generator.standard_normal(4))).verdict == "changes"
        for _ in range(2000)
    )
    assert binom.ppf(0.001, 2000, 0.05) <= rejected <= binom.ppf(0.999, 2000, 0.05)


# Rescalings


def _rescalings(problem: Problem) -> dict[str, Rescaling]:
    objective, theta = _objective(problem)
    with borrowed(problem.model, CPU):
        return {each.kind: each for each in rescalings(objective, theta, seed=0)}


def _output(model: nn.Module, theta: Theta, x: Tensor) -> Tensor:
    """Return a copy's own outputs with other weights, in float64."""
    other = copy.deepcopy(model).double().eval()
    other.load_state_dict({name: tensor.clone() for name, tensor in theta.items()})
    with torch.no_grad():
        return torch.as_tensor(other(x.double()))


def test_a_batch_norm_of_reshaped_outputs_is_not_paired_with_their_layer() -> None:
    x, y = oracles.images()
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(x[0].numel(), 96), nn.Unflatten(1, (4, 4, 6)), nn.BatchNorm2d(4), nn.ReLU(),
        nn.Flatten(), nn.Linear(96, 3),
    )  # fmt: skip
    found = _rescalings(Problem(model.double().eval(), (x, y), "cross_entropy"))
    assert found["batch norm"].words == "no batch norm with running statistics follows a layer of as many channels"


class Odd(nn.Module):
    """Grouped and transposed convolutions, a residual block, pooling, flattening, in an order of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv2d(1, 4, 3, padding=1)
        self.two = nn.Conv2d(4, 8, 3, groups=2, padding=1)
        self.three = nn.ConvTranspose2d(8, 4, 2, groups=2)
        self.four = nn.ConvTranspose2d(4, 6, 2, bias=False)
        self.five = nn.Linear(6 * 4 * 4, 5)
        self.inner = nn.Linear(5, 7)
        self.outer = nn.Linear(7, 5)
        self.last = nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.leaky_relu(self.two(functional.relu(self.one(x))))
        y = functional.max_pool2d(functional.relu(self.four(functional.relu(self.three(y)))), 2)
        y = torch.tanh(self.five(y.flatten(1)))
        y = y + self.outer(functional.relu(self.inner(y)))
        return torch.as_tensor(self.last(torch.tanh(y)))


def _odd() -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Problem(Odd().double(), oracles.images(), "cross_entropy")


@pytest.mark.parametrize("make", [oracles.net_problem, _odd])
def test_rescaled_networks_give_the_same_outputs(make: Callable[[], Problem]) -> None:
    problem, (x, _) = make(), oracles.images()
    before = _output(problem.model, checkpoints.read_state(problem.model), x)
    found = _rescalings(problem)
    for kind, each in found.items():
        if each.theta is None:
            continue
        times = 2.0 if kind == "logits" else 1.0
        after = _output(problem.model, each.theta, x)
        torch.testing.assert_close(after, times * before, rtol=1e-9, atol=1e-12)
        moved = [k for k, w in checkpoints.read_state(problem.model).items() if not torch.equal(each.theta[k], w)]
        assert moved
        assert each.deviation < 1e-12


def test_what_is_joined_is_found_by_what_comes_out() -> None:
    found = _rescalings(_odd())
    # one-two, two-three, three-four, four-five; inner-outer; not across tanh or the skip
    assert found["neuron"].words.startswith("5 pairs of layers, the first times factors in [1/4, 4]")
    assert found["layer"].words.startswith("3 pairs of layers, the first times 4")
    assert found["batch norm"].words == "no batch norm with running statistics follows a layer of as many channels"
    theta, before = found["layer"].theta, checkpoints.read_state(_odd().model)
    assert theta is not None
    for name, factor in (("one", 4), ("two", 1 / 4), ("three", 4), ("four", 1 / 4), ("five", 1), ("inner", 4)):
        torch.testing.assert_close(theta[f"{name}.weight"], factor * before[f"{name}.weight"], rtol=1e-12, atol=0)
    torch.testing.assert_close(theta["three.bias"], 4 * before["three.bias"], rtol=1e-12, atol=0)


def test_a_batch_norm_between_is_scaled_in_the_layers_place_and_undoes_its_own_layer() -> None:
    problem = oracles.net_problem()
    found, before = _rescalings(problem), checkpoints.read_state(problem.model)
    layer, norm = found["layer"].theta, found["batch norm"].theta
    assert layer is not None
    assert norm is not None
    for name in ("bn.weight", "bn.bias"):
        torch.testing.assert_close(layer[name], 4 * before[name].double())
    torch.testing.assert_close(layer["conv.weight"], before["conv.weight"].double())
    torch.testing.assert_close(norm["conv.bias"], 4 * before["conv.bias"].double())
    torch.testing.assert_close(norm["bn.running_mean"], 4 * before["bn.running_mean"].double())
    expected = 16 * (before["bn.running_var"].double() + 1e-5) - 1e-5
    torch.testing.assert_close(norm["bn.running_var"], expected, rtol=1e-14, atol=0)


def _mlp(activation: type[nn.Module]) -> Problem:
    generator = torch.Generator().manual_seed(2)
    model = nn.Sequential(nn.Linear(3, 4), activation(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(40, 3, generator=generator, dtype=torch.float64)
    return Problem(model, (x, torch.randint(2, (40,), generator=generator)), "cross_entropy", name="mlp")


def _dense(problem: Problem) -> tuple[Array, dict[str, Tensor]]:
    """Return the Hessian over the parameters in their own order, and these."""
    x, y = problem.sources["train"]
    named = {name: p.detach() for name, p in problem.model.named_parameters()}
    sizes = [p.numel() for p in named.values()]

    def loss(vector: Tensor) -> Tensor:
        parts = [v.view_as(p) for v, p in zip(vector.split(sizes), named.values(), strict=True)]
        given = torch.func.functional_call(problem.model, dict(zip(named, parts, strict=True)), (x,))
        return functional.cross_entropy(given, y)

    vector = torch.cat([p.reshape(-1) for p in named.values()])
    return torch.autograd.functional.hessian(loss, vector).numpy(), named


@pytest.mark.slow
def test_layer_rescaling_moves_the_hessian_as_algebra_has_it_and_not_dhd() -> None:
    problem = _mlp(nn.ReLU)
    hessian, named = _dense(problem)
    factors = {"0.weight": 4.0, "0.bias": 4.0, "2.weight": 0.25, "2.bias": 1.0}
    inverse = np.concatenate([np.full(p.numel(), 1 / factors[name]) for name, p in named.items()])
    scales = np.concatenate([_filter_scale(p) for p in named.values()])
    found = surfaceviz.sharpness(problem, **QUICK)
    layer = found.rescaled("layer")

    def top(matrix: Array) -> float:
        return float(np.linalg.eigvalsh(matrix)[-1])

    assert found["lambda_max"].value == pytest.approx(top(hessian), rel=1e-5)
    moved = top(inverse[:, None] * hessian * inverse)
    assert layer.changes["lambda_max"].after.value == pytest.approx(moved, rel=1e-5)
    assert not layer.changes["lambda_max"].survives
    normalised = top(scales[:, None] * hessian * scales)
    assert found["lambda_max_normalised"].value == pytest.approx(normalised, rel=1e-5)
    for key in ("lambda_max_normalised", "trace_normalised", "expected_rise", "width"):
        assert layer.changes[key].factor == pytest.approx(1, rel=1e-8), key
        assert layer.changes[key].verdict == "survives"
    for key in ("lambda_max", "trace", "phi_1e-3", "phi_5e-4", "m_sharpness", "phi_1e-3_paper", "m_sharpness_paper"):
        assert not layer.changes[key].survives, key


@pytest.mark.slow
def test_neuron_rescaling_moves_dhd_as_algebra_has_it() -> None:
    problem = _mlp(nn.ReLU)
    hessian, named = _dense(problem)
    neuron = _rescalings(problem)["neuron"].theta
    assert neuron is not None
    inverse = np.concatenate([(p / neuron[name]).reshape(-1).numpy() for name, p in named.items()])
    assert set(inverse[-2:]) == {1.0}
    diagonal = np.concatenate([_filter_scale(neuron[name]) for name in named]) * inverse
    change = surfaceviz.sharpness(problem, **QUICK).rescaled("neuron").changes["lambda_max_normalised"]
    moved = float(np.linalg.eigvalsh(diagonal[:, None] * hessian * diagonal)[-1])
    assert change.after.value == pytest.approx(moved, rel=1e-5)
    assert change.verdict == "changes"


def _filter_scale(p: Tensor) -> Array:
    if p.ndim == 1:
        return np.zeros(len(p))
    return np.asarray((p.norm(dim=1, keepdim=True) / math.sqrt(p.shape[1])).expand_as(p).reshape(-1))


@pytest.mark.slow
def test_batch_norm_rescaling_keeps_what_is_scaled_to_filters() -> None:
    found = surfaceviz.sharpness(oracles.net_problem(), **QUICK)
    norm = found.rescaled("batch norm")
    assert norm.deviation < 1e-12
    for key in ("lambda_max_normalised", "trace_normalised", "expected_rise", "width"):
        assert norm.changes[key].factor == pytest.approx(1, rel=1e-6), key
    assert not norm.changes["m_sharpness"].survives


@pytest.mark.slow
def test_every_measure_survives_the_rescalings_that_it_is_registered_as_invariant_to() -> None:
    seen = set()
    for problem in (_mlp(nn.ReLU), oracles.net_problem()):
        for effect in surfaceviz.sharpness(problem, **QUICK).rescalings:
            for key, change in effect.changes.items():
                if effect.kind in MEASURES[key].invariances:
                    assert change.factor == pytest.approx(1, rel=1e-6), (key, effect.kind)
                    seen.add((key, effect.kind))
    assert seen == {(key, kind) for key, measure in MEASURES.items() for kind in measure.invariances}


def test_a_network_that_is_not_homogeneous_is_not_rescaled() -> None:
    found = surfaceviz.sharpness(_mlp(nn.Tanh), **QUICK)
    for kind in ("layer", "neuron"):
        each = found.rescaled(kind)
        assert not each.possible
        assert each.words.startswith("no pair of successive layers keeps the outputs; the nearest is off by ")
    assert found.rescaled("logits").possible


def test_weights_that_are_0_are_not_rescaled() -> None:
    problem = _mlp(nn.ReLU)
    with torch.no_grad():
        for p in problem.model.parameters():
            p.zero_()
    found = _rescalings(problem)
    assert [kind for kind, each in found.items() if each.theta is not None] == []
    assert found["layer"].words == found["neuron"].words == "all weights that could be scaled are 0"


def test_logits_are_scaled_where_there_are_some() -> None:
    problem = _mlp(nn.ReLU)
    x = problem.sources["train"][0]
    scaled = _rescalings(problem)["logits"].theta
    assert scaled is not None
    before = problem.model(x).detach()
    after = _output(problem.model, scaled, x)
    torch.testing.assert_close(after, 2 * before)
    model, x, y = oracles.regression()
    assert _rescalings(Problem(model, (x, y), "mse"))["logits"].words == "the targets are no class numbers"
    softmax = Problem(nn.Sequential(nn.Linear(5, 3), nn.LogSoftmax(1)).double(), (x, y.argmax(1)), nn.NLLLoss())
    assert _rescalings(softmax)["logits"].words.startswith("the last layer's scale is not the outputs'")


def test_a_problem_without_outputs_is_measured_and_not_rescaled() -> None:
    x, y = oracles.images(20)

    def measure(model: nn.Module, batch: tuple[Tensor, Tensor]) -> dict[str, tuple[Tensor, float]]:
        return {"loss": (functional.cross_entropy(model(batch[0]), batch[1], reduction="sum"), float(len(batch[1])))}

    batches = [(x[:10], y[:10]), (x[10:], y[10:])]
    found = surfaceviz.sharpness(Problem(oracles.net(), batches, measure=measure), **QUICK)
    alike = surfaceviz.sharpness(Problem(oracles.net(), (x, y), "cross_entropy"), rescale=False)
    assert not any(each.possible for each in found.rescalings)
    assert found.rescalings[0].words.startswith("the problem is given by measure=")
    for key in ("lambda_max", "phi_1e-3", "width"):
        assert found[key].value == pytest.approx(alike[key].value, rel=1e-6)
    draws = found["m_sharpness"].draws
    assert draws is not None
    assert draws.shape == (2,)


# The whole


def _same(a: Sharpness, b: Sharpness) -> bool:
    return json.dumps(a.to_json()) == json.dumps(b.to_json())


@pytest.mark.slow
def test_the_model_is_left_as_it_was_and_the_seed_decides() -> None:
    problem = oracles.net_problem()
    problem.model.train()
    before = copy.deepcopy(problem.model.state_dict())
    found = surfaceviz.sharpness(problem, seed=1, **QUICK)
    assert problem.model.training
    assert problem.model.state_dict().keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in problem.model.state_dict().items())
    assert not any(module._forward_hooks for module in problem.model.modules())
    assert _same(found, surfaceviz.sharpness(oracles.net_problem(), seed=1, **QUICK))
    assert found["width"] != surfaceviz.sharpness(problem, seed=2, rescale=False, **QUICK)["width"]


@pytest.mark.slow
def test_a_slices_file_stands_for_its_theta(tmp_path: Path) -> None:
    oracles.write_factory(tmp_path)
    spec = f"{tmp_path}/mine.py:problem"
    assert cli.run(["slice", spec, "--axis=-1:1:3", "-o", "net.h5", "--no-plot", "--quiet", "--samples=30"]) == 0
    found = surfaceviz.sharpness("net.h5", rescale=False)
    alike = surfaceviz.sharpness(spec, samples=30, rescale=False)
    assert found.name == "net"
    assert found.samples == 30
    assert found.measurements.keys() == MEASURES.keys()
    for key, measurement in found.measurements.items():
        assert measurement.value == pytest.approx(alike[key].value, rel=1e-6), key


@pytest.mark.slow
def test_the_command_prints_both_tables_and_the_caution(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["sharpness", "mlp-digits", "--samples=200", "--starts=1", "--iterations=3", "--json=all.json"]) == 0
    out = capsys.readouterr().out
    assert CAUTION in out.splitlines()
    for measure in MEASURES.values():
        assert sum(line.startswith(measure.title) for line in out.splitlines()) == 2
    header = next(line for line in out.splitlines() if line.startswith("mlp-digits, rescaled by"))
    assert header.split("  ")[1:] != []
    assert "batch norm: not possible here: no batch norm with running statistics follows a layer" in out
    written = json.loads(Path("all.json").read_text())
    (first,) = written["checkpoints"]
    assert first["samples"] == 200
    assert first["figures"]["width"]["quartiles"][0] < first["figures"]["width"]["value"]
    assert len(first["figures"]["width"]["draws"]) == 20
    changed = first["rescalings"]["layer"]["changes"]
    assert changed["lambda_max_normalised"]["verdict"] == "survives"
    assert changed["lambda_max"]["verdict"] == "changes"


@pytest.mark.slow
def test_checkpoints_of_one_problem_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oracles.write_factory(tmp_path)
    for seed in (0, 1):
        torch.save(oracles.net(seed).state_dict(), f"seed{seed}.pt")
    given = ["sharpness", "mine.py:problem", "--weights=seed0.pt", "--weights=seed1.pt", "--no-rescale", "--quiet"]
    assert cli.run(given) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split() == ["seed0.pt", "seed1.pt"]
    assert not any("rescaled by" in line for line in lines)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["nobody"], 1, "unknown problem 'nobody'"),
        (["none.h5"], 1, "none.h5"),
        (["mlp-digits", "--split=valid"], 1, "no split 'valid'; the problem has train, test"),
        (["mlp-digits", "--weights=none.pt"], 1, "none.pt"),
        (["mlp-digits", "resnet20-digits", "--weights=a.pt"], 2, "weights belong to one problem, but 2 targets"),
        (["mlp-digits", "--json=none/all.json"], 1, "does not exist; create it first"),
        (["mlp-digits", "--samples=0"], 2, "samples must be at least 1, got 0"),
        (["mlp-digits", "--memory=much"], 2, "memory 'much': expected a size such as 4G"),
        ([], 2, "Missing argument"),
    ],
)
def test_bad_input_is_one_clear_line(
    arguments: list[str], code: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["sharpness", *arguments]) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("surfaceviz: ")
    assert message in line


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
def test_a_gpu_gives_what_the_cpu_gives() -> None:
    gpu, cpu = (surfaceviz.sharpness(oracles.net_problem(), device=device, **QUICK) for device in ("cuda", "cpu"))
    for key, measurement in cpu.measurements.items():
        assert gpu[key].value == pytest.approx(measurement.value, rel=1e-4), key
    assert [each.words for each in gpu.rescalings] == [each.words for each in cpu.rescalings]


def test_a_signal_ends_it_as_python_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(*_given: object, **_options: object) -> None:
        raise Interrupted(signal.SIGINT)

    monkeypatch.setattr(wiring, "measure_sharpness", stopped)
    with pytest.raises(KeyboardInterrupt):
        surfaceviz.sharpness(oracles.net_problem(), **QUICK)
    assert cli.run(["sharpness", "mlp-digits", "--quiet"]) == 130


def test_the_csv_file_has_each_measure_before_and_after_each_rescaling() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        x = torch.randn(20, 3)
        model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    problem = Problem(model, (x, x[:, :2]), "mse")
    found = surfaceviz.sharpness(problem, starts=1, iterations=1, csv="s.csv", reporter=oracles.Recorder())
    with Path("s.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    before = {row["measure"]: float(row["value"]) for row in rows if not row["rescaling"]}
    np.testing.assert_equal(before, {key: each.value for key, each in found.measurements.items()})
    possible = [effect for effect in found.rescalings if effect.possible]
    assert possible
    after = {(row["rescaling"], row["measure"]): row for row in rows if row["rescaling"]}
    assert len(after) == sum(len(effect.changes) for effect in possible)
    for effect in possible:
        for key, change in effect.changes.items():
            np.testing.assert_equal(float(after[effect.kind, key]["factor"]), change.factor)
            assert after[effect.kind, key]["verdict"] == change.verdict
