"""Baselines: divergence of torch.optim's own optimisers on quadratics, dense float64 Hessians, closed forms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from surfaceviz.curvature.flat_parameters import ParameterLayout
from surfaceviz.curvature.stability import thresholds
from surfaceviz.curvature.stability.batch_sharpness import batch_sharpness, random_batches
from surfaceviz.curvature.stability.critical_sharpness import critical_sharpness
from surfaceviz.curvature.stability.optimisers import RULES
from surfaceviz.curvature.stability.state import OptimiserState, optimiser_state
from surfaceviz.errors import CheckpointError
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.problem import Problem
from surfaceviz.recording.optimiser_state import packed

ALMOST_1 = 1 - 2**-53  # a decay at which second moments stay as they are
Make = Callable[[list[nn.Parameter], float], torch.optim.Optimizer]
OPTIMISERS: list[Make] = [
    torch.optim.SGD,
    lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9),
    lambda p, lr: torch.optim.SGD(p, lr, momentum=0.6, dampening=0.3),
    lambda p, lr: torch.optim.SGD(p, lr, momentum=0.9, nesterov=True),
    lambda p, lr: torch.optim.RMSprop(p, lr, alpha=1.0),
    lambda p, lr: torch.optim.RMSprop(p, lr, alpha=1.0, momentum=0.7),
    lambda p, lr: torch.optim.Adam(p, lr, betas=(0.9, ALMOST_1)),
    lambda p, lr: torch.optim.AdamW(p, lr, betas=(0.5, ALMOST_1), weight_decay=0.0),
]


def _quadratic() -> tuple[Tensor, Tensor]:
    """Return a symmetric matrix with eigenvalues 0.1 to 7, and second moments of the gradient."""
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(5, 5, generator=generator, dtype=torch.float64))[0]
    values = torch.tensor([0.1, 0.5, 1.0, 3.0, 7.0], dtype=torch.float64)
    return basis @ torch.diag(values) @ basis.T, torch.rand(5, generator=generator, dtype=torch.float64) + 0.1


def _diverges(make: Make, eta: float, matrix: Tensor, v: Tensor) -> bool:
    """Return whether an optimiser of torch leaves a minimum, its second moments frozen."""
    theta = nn.Parameter(torch.full((5,), 1e-6, dtype=torch.float64))
    optimiser = make([theta], eta)
    if not isinstance(optimiser, torch.optim.SGD):
        state = {"step": torch.tensor(1e18), "square_avg": v.clone(), "momentum_buffer": torch.zeros_like(v)}
        if "betas" in optimiser.param_groups[0]:
            state = {"step": torch.tensor(1e18), "exp_avg": torch.zeros_like(v), "exp_avg_sq": v.clone()}
        optimiser.state[theta] = state
    for _ in range(1500):
        theta.grad = (matrix @ theta).detach()
        optimiser.step()
        if not theta.detach().abs().max() < 1e-3:
            return True
    return False


def _bisected(make: Make, matrix: Tensor, v: Tensor) -> float:
    low, high = 1e-3, 100.0
    while high > 1.002 * low:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if _diverges(make, middle, matrix, v) else (middle, high)
    return math.sqrt(low * high)


@pytest.mark.parametrize("number", range(len(OPTIMISERS)))
def test_divergence_of_torchs_optimiser_starts_at_its_threshold(number: int) -> None:
    make, (matrix, v) = OPTIMISERS[number], _quadratic()
    optimiser = make([nn.Parameter(torch.zeros(5))], 1.0)
    root = np.ones(5) if isinstance(optimiser, torch.optim.SGD) else (v.sqrt() + 1e-8).numpy() ** -0.5
    largest = np.linalg.eigvalsh(root[:, None] * matrix.numpy() * root)[-1]
    at_one = RULES[type(optimiser).__name__].threshold(1.0, optimiser.param_groups[0])
    assert _bisected(make, matrix, v) == pytest.approx(at_one / largest, rel=0.01)


def test_thresholds_are_those_of_the_papers() -> None:
    assert thresholds.gradient_descent(0.1) == pytest.approx(20)
    assert thresholds.heavy_ball(0.1, 0.9) == pytest.approx(38)
    assert thresholds.nesterov(0.1, 0.9) == pytest.approx(38 / 2.8)
    assert thresholds.averaged(0.1, 0.9) == pytest.approx(380)
    assert thresholds.gradient_descent(0.0) == math.inf


STEPS: list[Any] = [
    lambda p: torch.optim.SGD(p, 0.1, weight_decay=0.3),
    lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, dampening=0.2),
    lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True, weight_decay=0.1),
    lambda p: torch.optim.Adam(p, 0.05, weight_decay=0.3),
    lambda p: torch.optim.Adam(p, 0.05, amsgrad=True),
    lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.3),
    lambda p: torch.optim.RMSprop(p, 0.05, weight_decay=0.2),
    lambda p: torch.optim.RMSprop(p, 0.05, momentum=0.5, centered=True),
]


@pytest.mark.parametrize("before", [0, 3])
@pytest.mark.parametrize("number", range(len(STEPS)))
def test_the_direction_is_that_of_torchs_next_step(number: int, before: int) -> None:
    matrix, _ = _quadratic()
    model = nn.ParameterDict({"w": nn.Parameter(torch.arange(1.0, 6, dtype=torch.float64))})
    w = model["w"]
    optimiser = STEPS[number](model.parameters())
    for _ in range(before):
        w.grad = (matrix @ w).detach()
        optimiser.step()
    tensors, groups = packed(optimiser, model)
    state = optimiser_state(groups, tensors, lambda name: name, "here")
    theta = w.detach().clone()
    u = state.step(ParameterLayout(("w",), (w.shape,)), theta, matrix @ theta)
    w.grad = matrix @ theta
    optimiser.step()
    torch.testing.assert_close(theta - state.learning_rate * u, w.detach(), rtol=1e-6, atol=1e-9)


def test_groups_with_several_rates_scale_the_hessian_by_their_rates() -> None:
    groups = [{"kind": "SGD", "names": ["a"], "lr": 0.1}, {"kind": "SGD", "names": ["b"], "lr": 0.4}]
    state = optimiser_state(groups, {}, lambda name: name, "here")
    layout = ParameterLayout(("a", "b"), (torch.Size([2]), torch.Size([1])))
    assert (state.learning_rate, state.edge, state.threshold, state.is_scaled) == (0.4, 5.0, 5.0, True)
    scales = state.scales(layout)
    assert scales is not None
    assert scales.tolist() == [0.5, 0.5, 1.0]  # the square roots of 0.1 / 0.4 and 1


def test_decoupled_decay_is_told_apart_from_a_penalty() -> None:
    layout = ParameterLayout(("a",), (torch.Size([1]),))

    def penalty(**group: Any) -> float:
        given = {"names": ["a"], "lr": 0.1, "weight_decay": 0.5, **group}
        return float(optimiser_state([given], {}, lambda name: name, "here").penalty(layout))

    assert penalty(kind="SGD") == penalty(kind="Adam") == 0.5
    assert penalty(kind="AdamW") == penalty(kind="Adam", decoupled_weight_decay=True) == 0.0


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([], "here records no learning rate; give the recorder the optimiser=, or .* by --lr"),
        ([{"kind": "Lion", "names": ["a"], "lr": 1}], "here is of Lion, whose threshold is not known; known are SGD, "),
        ([{"kind": "SGD", "names": ["a"], "lr": 1, "maximize": True}], "here is of an optimiser that maximises"),
        (
            [{"kind": "SGD", "names": [n], "lr": 1, "momentum": m} for n, m in (("a", 0), ("b", 0.9))],
            "here has groups of several momenta, for which no threshold is known",
        ),
    ],
)
def test_optimisers_without_a_known_threshold_are_refused(groups: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        optimiser_state(groups, {}, lambda name: name, "here")


def test_parameters_without_a_state_do_not_move() -> None:
    state = OptimiserState(kind="Adam", options={"a": {**RULES["Adam"].defaults, "lr": 0.1}})
    assert state.scales(ParameterLayout(("a",), (torch.Size([1]),))) is None


def _normed() -> tuple[Problem, Tensor, Tensor]:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Dropout(0.5), nn.Linear(4, 2)).double()
    x, y = torch.randn(23, 3, dtype=torch.float64), torch.randint(2, (23,))
    return Problem(model, (x, y), "cross_entropy"), x, y


def test_batch_sharpness_equals_that_of_dense_hessians_in_training_mode() -> None:
    problem, *_ = _normed()
    model, decay = problem.model, 0.01
    names = [name for name, _ in model.named_parameters()]
    shapes = [p.shape for p in model.parameters()]
    theta = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    state = {name: t.detach().clone() for name, t in model.state_dict().items()}
    batches = random_batches(problem.load("train"), 5, 4, seed=1)
    with borrowed(model, torch.device("cpu")):
        found = batch_sharpness(problem, state, names, batches=batches, penalty=torch.full_like(theta, decay))
    assert not any(norm.training is False for norm in model.modules())  # given back as it was
    assert all(torch.equal(state[name], t) for name, t in model.state_dict().items())

    for module in model.modules():
        module.train(not isinstance(module, nn.Dropout))

    def loss(flat: Tensor, inputs: Tensor, targets: Tensor) -> Tensor:
        pieces = flat.split([shape.numel() for shape in shapes])
        parts = {n: p.view(s) for n, p, s in zip(names, pieces, shapes, strict=True)}
        buffers = {name: t.clone() for name, t in model.named_buffers()}
        logits = functional_call(model, {**parts, **buffers}, (inputs,))
        return nn.functional.cross_entropy(logits, targets) + decay / 2 * flat @ flat

    values = []
    for inputs, targets in batches:
        g = torch.func.grad(loss)(theta, inputs, targets)
        hessian = torch.autograd.functional.hessian(lambda t, i=inputs, y=targets: loss(t, i, y), theta)
        values.append(float(g @ hessian @ g / (g @ g)))
    assert found == pytest.approx((np.mean(values), np.std(values, ddof=1) / 2), rel=1e-8)


def test_random_batches_are_disjoint_and_whole() -> None:
    problem, x, _ = _normed()
    split = problem.load("train")
    batches = random_batches(split, 5, 100, seed=0)
    rows = torch.cat([batch[0] for batch in batches])
    assert [len(batch[0]) for batch in batches] == [5, 5, 5, 5]
    assert len({tuple(row) for row in rows.tolist()} & {tuple(row) for row in x.tolist()}) == 20
    (whole,) = random_batches(split, 1000, 3, seed=0)
    assert len(whole[0]) == 23


@pytest.mark.parametrize("eta", [1e-3, 0.1, 40.0])
def test_critical_sharpness_is_the_eigenvalue_along_an_eigenvector(eta: float) -> None:
    assert critical_sharpness(lambda s: 3.7 / 2 * (1 - 3.7 * s) ** 2, eta) == pytest.approx(3.7, rel=1e-3)


def test_critical_sharpness_of_slopes_and_walls() -> None:
    assert critical_sharpness(lambda s: s, 0.1) == math.inf
    assert critical_sharpness(lambda s: -s, 0.1) == 0.0
    assert critical_sharpness(lambda s: math.nan if s > 2 else -s, 0.1) == pytest.approx(1, rel=1e-3)
