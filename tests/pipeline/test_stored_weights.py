"""Baseline: the loss that torch computes with the weights by hand, and theta + alpha delta + beta eta in float64."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from torch import nn
from torch.nn import functional

import surfaceviz
from surfaceviz.errors import ProblemError, StoreError
from surfaceviz.problem.problem import Problem


def _problem(seed: int = 0) -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
        x = torch.randn(30, 3)
    return Problem(model, (x, (x[:, 0] > 0).long()), "cross_entropy")


@pytest.mark.parametrize("kept", [True, False])
@pytest.mark.parametrize("axes", [[(-1, 1, 5)], [(-1, 1, 3), (-2, 1, 4)]])
def test_the_weights_at_a_point_have_its_loss(axes: Any, kept: bool) -> None:
    problem = _problem()
    made = oracles.run_slice(problem, axes, output="s.h5" if kept else None)
    surface: Any = "s.h5" if kept else made
    directions = surfaceviz.directions_of(surface, problem=problem)
    assert len(directions) == len(axes)
    x, y = problem.sources["train"]
    theta = dict(problem.model.named_parameters())
    for index in np.ndindex(made.shape):
        weights = surfaceviz.weights_at(surface, *index, problem=problem)
        place = [float(axis[k]) for axis, k in zip(made.axes, index, strict=True)]
        for name, w in weights.items():
            exact = theta[name].detach().double()
            for coordinate, direction in zip(place, directions, strict=True):
                exact = exact + coordinate * direction.get(name, torch.zeros_like(w)).double()
            assert torch.allclose(w.double(), exact, rtol=1e-6, atol=1e-7)
        model = _problem(1).model
        model.load_state_dict(weights)
        loss = functional.cross_entropy(model(x).double(), y).item()
        assert made.values["train_loss"][index] == pytest.approx(loss, rel=1e-5)


def test_points_off_the_grid_and_other_problems_are_refused() -> None:
    problem = _problem()
    surface = oracles.run_slice(problem, [(-1, 1, 3), (-1, 1, 4)])
    for index in ((0,), (0, 4), (3, 0)):
        with pytest.raises(ProblemError, match=r"is not on a grid of 3 x 4 points; give i, j below them"):
            surfaceviz.weights_at(surface, *index, problem=problem)
    with pytest.raises(ProblemError, match=r"was computed from live objects, .*\(problem= in Python\)"):
        surfaceviz.weights_at(surface, 0, 0)
    with pytest.raises(StoreError, match="was computed with other weights"):
        surfaceviz.weights_at(surface, 0, 0, problem=_problem(1))
    assert not Path("slice.h5").exists()
