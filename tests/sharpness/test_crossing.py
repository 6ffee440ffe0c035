"""Baselines: first roots of rises in closed form, or on a fine grid in numpy."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import surfaceviz
from surfaceviz.sharpness_measures.crossing import first_crossing

LEVEL = 0.1


def _hump(at: float, spread: float, curvature: float = 0.025) -> Callable[[float], float]:
    return lambda t: (
        0.2 * math.exp(-(((t - at) / spread) ** 2)) - 0.2 * math.exp(-((at / spread) ** 2)) + curvature * t * t
    )


def _plateau(at: float) -> Callable[[float], float]:
    return lambda t: 0.2 if at < t < at * 1.0906 else 0.025 * t * t


def _first(rise: Callable[[float], float], end: float) -> float:
    t = np.linspace(0, end, 400_001)
    return float(t[np.argmax(np.array([rise(x) for x in t]) >= LEVEL)])


@pytest.mark.parametrize("start", [1.0, 1e-3, 2.0, 500.0])
@pytest.mark.parametrize(
    ("at", "spread"), [(0.2, 0.04), (0.05, 0.01), (0.02, 0.004), (0.5, 0.06), (1.0, 0.1), (1.7, 0.12), (0.01, 0.001)]
)
def test_a_hump_is_met_before_the_basins_rim(at: float, spread: float, start: float) -> None:
    rise = _hump(at, spread)
    found = first_crossing(rise, LEVEL, start)
    assert found.distance == pytest.approx(_first(rise, 2.1), abs=1e-5)
    assert found.finite


def test_of_several_humps_the_nearest_counts() -> None:
    def rise(t: float) -> float:
        return sum(_hump(at, at / 5, 0.01)(t) for at in (0.004, 0.05, 0.6))

    found = first_crossing(rise, LEVEL)
    assert found.distance == pytest.approx(_first(rise, 0.02), abs=1e-6)
    assert found.returns


@pytest.mark.parametrize("start", [1.0, 1e-3, 500.0])
@pytest.mark.parametrize("curvature", [1e-6, 0.03, 1.0, 1e4, 1e12])
def test_a_parabola_is_crossed_once(curvature: float, start: float) -> None:
    found = first_crossing(lambda t: curvature * t * t, LEVEL, start)
    assert found.distance == pytest.approx(math.sqrt(LEVEL / curvature), rel=1e-5)
    assert (found.returns, found.finite) == (False, True)


@pytest.mark.parametrize("start", [1.0, 1e-3, 500.0])
def test_losses_that_are_not_finite_end_the_way(start: float) -> None:
    found = first_crossing(lambda t: math.nan if t > 0.7 else t**4, LEVEL, start)
    assert found.distance == pytest.approx(0.1**0.25, rel=1e-4)
    assert found.finite
    found = first_crossing(lambda t: math.inf if t > 0.3 else 0.0, LEVEL, start)
    assert found.distance == pytest.approx(0.3, rel=1e-4)
    assert not found.finite
    found = first_crossing(lambda t: math.nan if 0.2 < t < 0.3 else t**2 / 4, LEVEL, start)  # a gap on the way
    assert found.distance == pytest.approx(0.2, rel=1e-4)
    assert (found.returns, found.finite) == (True, False)


@pytest.mark.parametrize("start", [1.0, 1e-3, 500.0])
def test_a_level_that_is_not_reached_is_told_and_a_hump_on_a_flat_way_found(start: float) -> None:
    assert first_crossing(lambda t: 0.09 * math.tanh(t), LEVEL, start).distance == math.inf
    flat = _hump(0.3, 0.05, 0.0)
    assert first_crossing(flat, LEVEL, start).distance == pytest.approx(_first(flat, 1.0), abs=1e-5)


def test_a_jump_at_zero_has_no_width() -> None:
    assert first_crossing(lambda _t: 1.0, LEVEL).distance == 0


def test_the_stated_resolution_is_kept() -> None:
    generator = np.random.default_rng(0)
    for _ in range(300):  # plateaus of 9.06% of their distance, from 1/256 of the rim at 2 on
        at = float(2 ** generator.uniform(-6.9, 0.5))
        found = first_crossing(_plateau(at), LEVEL)
        assert found.distance == pytest.approx(at, rel=1e-4)


def test_a_quick_rise_saves_evaluations_and_does_not_decide() -> None:
    rise, calls = _hump(0.2, 0.04), []

    def exact(t: float) -> float:
        calls.append(t)
        return rise(t)

    assert first_crossing(exact, LEVEL, quick=rise).distance == pytest.approx(0.16653, abs=1e-4)
    assert len(calls) < 18
    for wrong in (lambda _t: 0.0, lambda t: 0.5 * rise(t), lambda t: -t, lambda _t: math.nan):
        assert first_crossing(rise, LEVEL, quick=wrong).distance == pytest.approx(0.16653, abs=1e-4)


class Hump(nn.Module):
    """The loss 0.2 exp(-((t - at) / spread)^2) + t^2 / 40 at the distance t from the start, in units of a filter."""

    w0: Tensor

    def __init__(self, at: float, spread: float) -> None:
        super().__init__()
        self.at, self.spread = at, spread
        self.w = nn.Parameter(torch.eye(2, dtype=torch.float64))
        self.register_buffer("w0", torch.eye(2, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        square = (self.w - self.w0).square().sum() / 2
        t = torch.sqrt(square + 1e-18)
        return (0.2 * torch.exp(-(((t - self.at) / self.spread) ** 2)) + square / 40).expand(len(x))


@pytest.mark.parametrize(("at", "spread"), [(0.2, 0.04), (0.5, 0.1), (0.06, 0.01)])
def test_the_width_of_a_model_is_the_first_crossing_and_says_that_the_loss_falls_again(
    at: float, spread: float
) -> None:
    data = torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, dtype=torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        problem = surfaceviz.Problem(Hump(at, spread), data, lambda outputs, _targets: outputs, rules={"w": 0})
        width = surfaceviz.sharpness(problem, rescale=False)["width"]
    assert width.value == pytest.approx(_first(_hump(at, spread), 2.1), abs=2e-5)
    assert width.note == "the loss falls below the rise again further out: 20 of 20 directions and signs"
