"""Baseline: the same slice of the model in float64 throughout."""

from __future__ import annotations

import copy
import os
import signal
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz import store
from surfaceviz.pipeline.slice.checks import float64_check
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice


def _net(seed: int = 3) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))


def _inputs(n: int = 300) -> Tensor:
    return torch.randn(n, 10, generator=torch.Generator().manual_seed(0))


def _classes(n: int = 300) -> Tensor:
    return torch.randint(0, 3, (n,), generator=torch.Generator().manual_seed(1))


def _shifted_regression() -> tuple[nn.Module, Any, Any]:
    """Return a regression fitted to targets about 1000, of which float32 has 4 digits left."""
    model, teacher = _net(), _net(5)
    targets = teacher(_inputs()).detach() + 1000
    model.load_state_dict({**teacher.state_dict(), "2.bias": teacher.state_dict()["2.bias"] + 1000})
    return model, (_inputs(), targets), "mse"


def _cut_targets() -> tuple[nn.Module, Any, Any]:
    model = _net()
    model.load_state_dict({**model.state_dict(), "2.bias": model.state_dict()["2.bias"] + 1e6})
    noise = torch.randn(300, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    return model, (_inputs(), noise * 1e-3 + 1e6), "mse"


def _saturated() -> tuple[nn.Module, Any, Any]:
    """Return a classifier whose sigmoid is 1 in float32 where the loss needs 1 - p."""
    x = _inputs()
    y = (x[:, :1] > 0).float()
    y[:20] = 1 - y[:20]
    model = nn.Sequential(nn.Linear(10, 1), nn.Sigmoid())
    model.load_state_dict({"0.weight": 25.0 * torch.eye(10)[:1], "0.bias": torch.zeros(1)})
    return model, (x, y), nn.BCELoss()


class Single(nn.Module):
    """A network that runs in single precision only."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = _net()

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.inner(x) @ torch.eye(3, dtype=torch.float32)
        return out


UNSOUND: dict[str, tuple[Any, tuple[float, float, int]]] = {
    "comb": (lambda: (_net(), (_inputs(), _classes()), "cross_entropy"), (-1e-6, 1e-6, 21)),
    "noise": (lambda: (_net(), (_inputs(), _classes()), "cross_entropy"), (-1e-8, 1e-8, 21)),
    "cancellation": (_shifted_regression, (-1e-4, 1e-4, 21)),
    "cut targets": (_cut_targets, (-1.0, 1.0, 21)),
    "saturation": (_saturated, (-1.0, 1.0, 9)),
}
SOUND: dict[str, tuple[Any, tuple[float, float, int]]] = {
    "usual": (lambda: (_net(), (_inputs(), _classes()), "cross_entropy"), (-1.0, 1.0, 21)),
    "small": (lambda: (_net(), (_inputs(), _classes()), "cross_entropy"), (-1e-3, 1e-3, 21)),
    "wide": (lambda: (_net(), (_inputs(), _classes()), "cross_entropy"), (-20.0, 20.0, 21)),
    "regression": (lambda: (_net(), (_inputs(), torch.tanh(_inputs()[:, :3])), "mse"), (-1.0, 1.0, 21)),
    "nearly fitted": (lambda: (_net(), (_inputs(), _net()(_inputs()).detach() + 0.01), "mse"), (-1.0, 1.0, 21)),
}


def _pair(made: tuple[nn.Module, Any, Any], axis: tuple[float, float, int]) -> tuple[Slice, Slice, oracles.Recorder]:
    model, data, loss = made
    recorder = oracles.Recorder()
    run = oracles.run_slice(Problem(model, data, loss), [axis], seed=1, engine="eager", reporter=recorder)
    wide = tuple(t.double() if t.is_floating_point() else t for t in data)
    exact = oracles.run_slice(Problem(copy.deepcopy(model).double(), wide, loss), [axis], seed=1, engine="eager")
    return run, exact, recorder


@pytest.mark.parametrize("name", UNSOUND)
def test_rounding_that_shows_is_told(name: str) -> None:
    make, axis = UNSOUND[name]
    run, exact, recorder = _pair(make(), axis)
    z, truth = run.values["train_loss"], exact.values["train_loss"]
    assert np.abs(z - truth).max() > 1e-3 * np.abs(truth).min() or np.ptp(z - truth) > 0.01 * np.ptp(truth)
    assert any("--dtype float64" in line for line in recorder.warned)
    assert 0 < float(run.provenance["train_loss_float64_rise_error"]) <= 1.01 * np.abs(z - truth).max() * 2


@pytest.mark.parametrize("name", SOUND)
def test_sound_slices_raise_no_alarm(name: str) -> None:
    make, axis = SOUND[name]
    run, exact, recorder = _pair(make(), axis)
    rise = (run.values["train_loss"] - run.centre["train_loss"]) - (
        exact.values["train_loss"] - exact.centre["train_loss"]
    )
    assert np.abs(rise).max() < 0.01 * np.ptp(exact.values["train_loss"])
    assert not [line for line in recorder.warned if "float64" in line]
    assert float(run.provenance["train_loss_float64_error"]) < 1e-5
    assert "points and the centre" in str(run.provenance["float64_check"])


def test_auto_goes_wider_where_float32_has_no_digits_left() -> None:
    recorder = oracles.Recorder()
    problem = Problem(_net(), (_inputs(), _classes()), "cross_entropy")
    surface = oracles.run_slice(problem, [(-1e-7, 1e-7, 21)], dtype="auto", reporter=recorder)
    assert surface.provenance["dtype"] == "float64"
    assert any(line.startswith("dtype: float64 (float32: ") for line in recorder.said)
    kept = oracles.run_slice(oracles.net_problem(), [(-1, 1, 21)], dtype="auto")
    assert kept.provenance["dtype"] != "float64"


def test_a_model_that_can_not_run_in_float64_is_said_to_be_unchecked() -> None:
    recorder = oracles.Recorder()
    problem = Problem(Single(), (_inputs(), _classes()), "cross_entropy")
    surface = oracles.run_slice(problem, [(-1, 1, 5)], engine="eager", reporter=recorder)
    assert surface.complete
    assert str(surface.provenance["float64_check"]).startswith("not checked in float64: ")
    assert any(line.startswith("not checked in float64") for line in recorder.said)


def test_memory_without_room_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(float64_check, "available_memory", lambda: 1000)
    surface = oracles.run_slice(oracles.net_problem(), [(-1, 1, 5)], engine="eager")
    assert "memory has no room" in str(surface.provenance["float64_check"])


def test_an_interrupt_during_the_check_says_how_to_resume_and_the_file_is_checked_once() -> None:
    calls = iter(range(1000))

    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        if outputs.dtype == torch.float64 and next(calls) == 2:
            os.kill(os.getpid(), signal.SIGINT)
        return functional.cross_entropy(outputs, targets)

    problem = Problem(oracles.net(), oracles.images(40), loss)
    options: Any = {"output": "a.h5", "engine": "eager", "workers": 1}
    with pytest.raises(KeyboardInterrupt, match="resumes from there"):
        oracles.run_slice(problem, [(-1, 1, 5)], **options)
    assert store.read("a.h5").done == 0
    resumed = oracles.run_slice(problem, [(-1, 1, 5)], **options)
    assert "float64_check" in resumed.provenance
    before = next(calls)
    again = oracles.run_slice(problem, [(-1, 1, 5)], **options)
    assert again.provenance["float64_check"] == resumed.provenance["float64_check"]
    assert next(calls) == before + 1


def test_an_exact_fit_raises_no_alarm_and_auto_falls_back_where_there_is_no_float64() -> None:
    recorder = oracles.Recorder()
    teacher = _net()
    oracles.run_slice(Problem(_net(), (_inputs(), teacher(_inputs()).detach()), "mse"), [(-1, 1, 9)], reporter=recorder)
    assert not [line for line in recorder.warned if "float64" in line]

    problem = Problem(Single(), (_inputs(), _classes()), "cross_entropy")
    assert oracles.run_slice(problem, [(-1, 1, 5)], dtype="auto", reporter=recorder).complete
    assert any("not checked in float64" in line for line in recorder.said)
