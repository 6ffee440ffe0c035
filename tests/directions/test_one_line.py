"""Baseline: angles between directions by numpy, and the noise of the key that the documentation states."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import oracles
import pytest
import torch
from torch import nn

import surfaceviz
from surfaceviz import store
from surfaceviz.directions.normalise import noise
from surfaceviz.errors import DirectionError
from surfaceviz.problem.parameters import fingerprint
from surfaceviz.problem.problem import Problem

pytestmark = pytest.mark.filterwarnings("ignore:.* points lie lower than the centre")

SMALL = [(-1, 1, 3), (-1, 1, 3)]


class Bare(nn.Module):
    """Two bare parameters, which are gains."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (nn.Parameter(torch.ones(())) for _ in range(2))

    def forward(self) -> torch.Tensor:
        return self.a**2 + 3 * self.b**2


def _regression(model: nn.Module) -> Problem:
    x = torch.linspace(-1, 1, 8).reshape(8, 1)
    return Problem(model, (x, x), "mse")


@pytest.mark.parametrize("normalise", ["filter", "layer", "weight", "dfilter", "dlayer"])
def test_gains_that_move_along_themselves_on_both_axes_are_refused(normalise: str) -> None:
    with pytest.raises(DirectionError, match=r"cosine 1.0000.*Take --ignore biasbn, or noise by --normalise none"):
        surfaceviz.slice(Problem(Bare()), SMALL, ignore="none", normalise=normalise)


def test_gains_that_dominate_are_refused_too_and_one_axis_is_drawn() -> None:
    last = nn.Linear(4, 1)
    model = nn.Sequential(nn.Linear(1, 4), last)
    with torch.no_grad():
        last.bias.fill_(100.0)
    with pytest.raises(DirectionError, match="biases, gains and bare parameters move along themselves"):
        surfaceviz.slice(_regression(model), SMALL, ignore="none")
    surfaceviz.slice(_regression(model), SMALL)
    surfaceviz.slice(_regression(model), SMALL[:1], ignore="none", level=1e9)


@pytest.mark.parametrize("regenerate", [False, True])
def test_two_directions_of_one_entry_are_refused(regenerate: bool) -> None:
    problem = _regression(nn.Linear(1, 1, bias=False))
    with pytest.raises(DirectionError, match=r"cosine -?1.0000.*too few entries move for two directions"):
        surfaceviz.slice(problem, SMALL, regenerate=regenerate)


def test_normalise_none_gives_noise_to_gains_too(tmp_path: Path) -> None:
    surface = surfaceviz.slice(
        Problem(Bare()), SMALL, ignore="none", normalise="none", seed=4, output=tmp_path / "a.h5"
    )
    stored = store.read_directions(tmp_path / "a.h5")
    for axis, tensors in enumerate(stored):
        assert {name: float(tensor) for name, tensor in tensors.items()} == {
            name: float(noise(4, axis, name, ())) for name in ("a", "b")
        }
    first, second = (np.array([tensors["a"], tensors["b"]]) for tensors in stored)
    exact = first @ second / np.linalg.norm(first) / np.linalg.norm(second)
    assert surface.provenance["cosine"] == pytest.approx(exact, rel=1e-6)


def test_normalise_none_keeps_gains_still_under_biasbn(tmp_path: Path) -> None:
    problem = _regression(nn.Sequential(nn.Linear(1, 4), nn.Linear(4, 1)))
    surfaceviz.slice(problem, SMALL, normalise="none", output=tmp_path / "a.h5")
    assert [sorted(tensors) for tensors in store.read_directions(tmp_path / "a.h5")] == [["0.weight", "1.weight"]] * 2


def test_a_file_with_one_direction_twice_is_refused(tmp_path: Path) -> None:
    problem = oracles.net_problem()
    surface = oracles.run_slice(problem, SMALL, output=tmp_path / "a.h5")
    tensors = list(store.read_directions(tmp_path / "a.h5"))
    twice = [tensors[0], {name: -2 * tensor for name, tensor in tensors[0].items()}]
    second = replace(
        surface.directions[1], sha256=fingerprint({name: torch.from_numpy(tensor) for name, tensor in twice[1].items()})
    )
    store.write(tmp_path / "twice.h5", replace(surface, directions=(surface.directions[0], second)), twice)
    with pytest.raises(DirectionError, match=r"cosine -1.0000.*take another second direction, or one axis"):
        oracles.run_slice(problem, SMALL, directions=tmp_path / "twice.h5")
