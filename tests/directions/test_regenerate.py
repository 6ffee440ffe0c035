"""Baseline: the same directions, held; regenerated ones must give the same bits from less memory."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import torch

from surfaceviz import cli, store
from surfaceviz.directions import normalise, random
from surfaceviz.directions.random import Regenerated, random_directions
from surfaceviz.directions.specs import Random
from surfaceviz.options import NORMALISATIONS
from surfaceviz.problem import checkpoints
from surfaceviz.problem.parameters import filters_of, fingerprint, moving_parameters

AXES = [(-1, 1, 5), (0, 1, 3)]


@pytest.mark.parametrize("how", NORMALISATIONS)
@pytest.mark.parametrize("ignore", ["biasbn", "none"])
def test_a_regenerated_direction_has_the_bits_of_a_held_one(how: str, ignore: str) -> None:
    model = oracles.net()
    theta, filters, spec = (
        checkpoints.read_state(model),
        filters_of(model),
        Random(seed=3, normalise=how, ignore=ignore),
    )
    for dtype in (torch.float32, torch.float64):
        weights = {name: t.to(dtype) if t.is_floating_point() else t for name, t in theta.items()}
        held = random_directions(weights, filters, moving_parameters(model), spec, count=2)
        lazy = random_directions(weights, filters, moving_parameters(model), spec, count=2, regenerate=True)
        for a, b in zip(held, lazy, strict=True):
            assert isinstance(b.tensors, Regenerated)
            assert a.record == b.record
            assert fingerprint(b.tensors) == a.record.sha256  # made a second time
            assert {name: t.dtype for name, t in b.tensors.items()} == {name: t.dtype for name, t in a.tensors.items()}


def test_noise_is_made_once_for_each_tensor_and_use(monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []
    noise = normalise.noise

    def counted(seed: int, axis: int, name: str, shape: Any) -> torch.Tensor:
        names.append(name)
        return noise(seed, axis, name, shape)

    monkeypatch.setattr(random, "noise", counted)
    model = oracles.net()
    given = (checkpoints.read_state(model), filters_of(model), moving_parameters(model), Random())
    lazy = random_directions(*given, count=1, regenerate=True)[0].tensors
    assert sorted(names) == ["conv.weight", "fc.weight"]
    assert "conv.weight" in lazy
    assert "conv.bias" not in lazy
    assert len(names) == 2
    lazy["conv.weight"]
    assert len(names) == 3
    with pytest.raises(KeyError):
        lazy["conv.bias"]
    random_directions(*given, count=1)
    assert len(names) == 5


@pytest.mark.parametrize(
    "options",
    [
        {"engine": "eager"},
        pytest.param({"engine": "vmapped"}, marks=pytest.mark.slow),
        {"dtype": "bf16"},
        {"workers": 2},
    ],
)
def test_a_slice_has_the_same_bits(options: dict[str, Any]) -> None:
    given = {"batch_size": 128, "engine": "eager", **options}
    a = oracles.run_slice(oracles.net_problem(), AXES, **given)
    b = oracles.run_slice(oracles.net_problem(), AXES, regenerate=True, output="b.h5", **given)
    for name, array in a.values.items():
        np.testing.assert_array_equal(array, b.values[name])
    assert a.directions == store.read("b.h5").directions
    assert a.provenance["cosine"] == b.provenance["cosine"]


def test_a_run_goes_on_with_either() -> None:
    oracles.run_slice(oracles.net_problem(), AXES, output="a.h5", regenerate=True)
    kept = store.read("a.h5")
    kept.origin[2:] = 0
    store.write(Path("a.h5"), kept)
    assert oracles.run_slice(oracles.net_problem(), AXES, output="a.h5").complete
    oracles.run_slice(oracles.net_problem(), AXES, output="a.h5", regenerate=True)


def test_what_needs_more_than_one_tensor_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for more, line in (
        (("--orthogonal",), "regenerate generates one direction at a time; leave out orthogonal, which needs two"),
        (("--toward", "b.pt"), "got regenerate; directions toward models have no such option"),
    ):
        assert cli.run(["slice", "mlp-digits", "--regenerate", *more]) == 2
        assert line in capsys.readouterr().err


LARGE = """
import json, sys, warnings
import torch
from torch import nn
import surfaceviz

def peak(layers, **options):
    x, y = torch.randn(8, 1200), torch.randn(8, 1200)
    torch.manual_seed(0)
    model = nn.Sequential(*[nn.Linear(1200, 1200) for _ in range(layers)])
    surfaceviz.slice(surfaceviz.Problem(model, (x, y), "mse"), [(-1, 1, 2)] * 2, workers=1, engine="eager", **options)
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))  # getrusage's peak is a parent's, too
    return int(status["VmHWM"].split()[0]) / 1024

warnings.simplefilter("ignore")
torch.set_num_threads(1)
regenerate = sys.argv[1] == "True"
before = peak(1, regenerate=regenerate)
print(json.dumps((peak(24, regenerate=regenerate) - before) / (24 * 1200 * 1201 * 4 / 2**20)))
"""


@pytest.mark.slow
def test_two_copies_of_the_weights_are_enough() -> None:
    """With 132 MB of weights; beside them 64 MB that a process keeps in reserve, a tensor of 5 MB and the blocks."""
    copies = {}
    for regenerate in (False, True):
        command = [sys.executable, "-c", LARGE, str(regenerate)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        copies[regenerate] = float(json.loads(done.stdout))
    assert copies[True] < 2.7
    assert copies[False] > 3.5
