"""Baseline: models with weights written by hand, and a file from before alpha led to the model named first.

``schema1-plane.h5`` has theta = 0, B = (1, 0, 0) and C = (1, 2, 0), and alpha toward C. Its values were printed then.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import oracles
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import surfaceviz
from surfaceviz import Problem
from surfaceviz.errors import StoreError

OLD = Path(__file__).parents[1] / "data" / "schema1-plane.h5"
X = [[1.0, 0, 0], [0, 2, 0], [0, 0, 4], [1, 1, 1]]
TOWARD = ["b.safetensors", "c.safetensors"]
FACTORY = f"""
import torch
from torch import nn
import surfaceviz


def problem():
    net = nn.Linear(3, 1)
    with torch.no_grad():
        net.weight.zero_()
        net.bias.fill_(0.5)
    return surfaceviz.Problem(net, (torch.tensor({X}), torch.tensor([[1.0], [0], [2], [1]])), "mse")
"""


@pytest.fixture(autouse=True)
def _models() -> None:
    Path("mine.py").write_text(FACTORY)
    for name, row in zip(TOWARD, ([1.0, 0, 0], [1.0, 2, 0]), strict=True):
        save_file({"weight": torch.tensor([row]), "bias": torch.tensor([0.5])}, name)


def _problem() -> Problem:
    net = nn.Linear(3, 1)
    with torch.no_grad():
        net.weight.zero_()
        net.bias.fill_(0.5)
    return Problem(net, (torch.tensor(X), torch.tensor([[1.0], [0], [2], [1]])), "mse")


def test_alpha_leads_to_the_model_named_first() -> None:
    surface = oracles.run_slice(_problem(), [(0, 1, 3), (0, 2, 2)], toward=TOWARD)
    assert [mark.coordinates for mark in surface.marks] == [(1.0, 0.0), (1.0, 2.0)]
    assert [direction.source for direction in surface.directions] == ["b.safetensors", "c.safetensors, orthogonal part"]
    at_b, at_c = surface.values["train_loss"][2]
    assert (at_b, at_c) == (0.75, 7.25)  # mean squares of (0.5, 0.5, -1.5, 0.5) and (0.5, 4.5, -1.5, 2.5)


def test_a_file_whose_alpha_leads_to_the_model_named_second_is_read_as_that() -> None:
    shutil.copy(OLD, "old.h5")
    found = surfaceviz.hessian("old.h5", trust=True)
    expected = 2 / 4 * (1 + 4**2 + 3**2)  # d = C - theta = (1, 2, 0): X d = (1, 4, 0, 3)
    assert found.along is not None
    assert found.along[0, 0] == pytest.approx(expected, rel=1e-6)


def test_a_file_whose_alpha_leads_to_the_model_named_second_is_not_continued() -> None:
    shutil.copy(OLD, "old.h5")
    with pytest.raises(StoreError, match=r"old.h5 holds another run \(alpha_toward is second there, first here\)"):
        oracles.run_slice("mine.py:problem", [(0, 1, 3), (0, 1, 2)], toward=TOWARD, output="old.h5", engine="eager")
