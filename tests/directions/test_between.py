"""Baseline: the other models themselves, and a moved copy run in train mode for its statistics."""

from __future__ import annotations

import copy

import oracles
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from surfaceviz.errors import ProblemError
from surfaceviz.problem.problem import Problem


def test_a_batch_norm_used_twice_is_recalibrated() -> None:
    class Shared(oracles.Net):
        def __init__(self) -> None:
            super().__init__()
            self.a_bn = self.bn

    surface = oracles.run_slice(Problem(Shared(), oracles.images(), "cross_entropy"), [(-1, 1, 3)], bn="recalibrate")
    assert surface.complete


def _save(model: nn.Module, name: str) -> str:
    save_file(model.state_dict(), name)
    return name


def test_the_line_to_a_model_takes_its_own_loss_there() -> None:
    a, b, data = oracles.net(0), oracles.net(1), oracles.images()
    with torch.no_grad():
        expected = float(functional.cross_entropy(b(data[0]), data[1]))
    surface = oracles.run_slice(Problem(a, data, "cross_entropy"), toward=_save(b, "b.safetensors"))
    assert surface.axes[0][[0, -1]].tolist() == [0, 1]  # running variances fall below 0 beyond
    assert surface.values["train_loss"][40] == pytest.approx(expected, rel=1e-6)
    assert surface.marks[0].values["train_loss"] == pytest.approx(expected, rel=1e-6)
    assert surface.values["train_loss"][0] == surface.centre["train_loss"]
    assert surface.axes[0][40] == 1
    assert surface.directions[0].rule["bn.running_mean"] == "difference"


def test_small_weights_beside_large_ones_reach_the_other_model() -> None:
    """In float32, 1e5 + (1e-3 - 1e5) is not 1e-3."""
    a, b, data = oracles.net(0), oracles.net(1), oracles.images()
    a.bn.running_var.fill_(1e5)  # type: ignore[union-attr]
    b.bn.running_var.fill_(1e-3)  # type: ignore[union-attr]
    with torch.no_grad():
        expected = float(functional.cross_entropy(b(data[0]), data[1]))
    recorder = oracles.Recorder()
    surface = oracles.run_slice(
        Problem(a, data, "cross_entropy"), [(-0.5, 1.5, 3)], toward=_save(b, "b.safetensors"), reporter=recorder
    )
    assert surface.marks[0].values["train_loss"] == pytest.approx(expected, rel=1e-6)
    assert any("running variances fall below 0 within this range" in line for line in recorder.warned)


def test_a_plane_takes_each_models_own_loss() -> None:
    models, data = [oracles.net(i) for i in range(3)], oracles.images()
    files = [_save(model, f"{i}.safetensors") for i, model in enumerate(models)]
    surface = oracles.run_slice(Problem(models[0], data, "cross_entropy"), [(-1, 1, 3), (-1, 1, 2)], toward=files[1:])
    for mark, model in zip(surface.marks, models[1:], strict=True):
        with torch.no_grad():
            expected = float(functional.cross_entropy(model(data[0]), data[1]))
        assert mark.values["train_loss"] == pytest.approx(expected, rel=1e-4)
    fitted = oracles.run_slice(Problem(models[0], data, "cross_entropy"), toward=files[1:])
    for mark in fitted.marks:
        for x, axis in zip(mark.coordinates, fitted.axes, strict=True):
            assert axis[0] < x < axis[-1]


def test_recalibrated_statistics_are_those_of_the_moved_model() -> None:
    """Baseline: the moved copy run in train mode over batches of 128, cumulatively."""
    model, data = oracles.net(), oracles.images(300)
    surface = oracles.run_slice(Problem(model, data, "cross_entropy"), [(-1, 1, 3)], bn="recalibrate", batch_size=16)
    (made,) = oracles.make_directions(model, count=1)
    moved = copy.deepcopy(model)
    with torch.no_grad():
        for name, d in made.tensors.items():
            moved.get_parameter(name).add_(d)
        moved.bn.reset_running_stats()
        moved.bn.momentum = None
        moved.bn.train()
        for i in (0, 128):  # without the short last batch
            moved(data[0][i : i + 128])
        expected = float(functional.cross_entropy(moved.eval()(data[0]), data[1]))
    assert surface.values["train_loss"][2] == pytest.approx(expected, rel=1e-5)
    fixed = oracles.run_slice(Problem(model, data, "cross_entropy"), [(-1, 1, 3)], batch_size=16)
    assert abs(fixed.values["train_loss"][2] - expected) > 1e-3


def test_recalibration_makes_a_scaled_filter_harmless() -> None:
    model, data = oracles.net(), oracles.images(48)
    scaled = copy.deepcopy(model)
    with torch.no_grad():
        scaled.conv.weight[0] *= 10
        scaled.conv.bias[0] *= 10  # type: ignore[index]
    fixed = [oracles.run_slice(Problem(m, data, "cross_entropy"), [(-1, 1, 2)]).centre for m in (model, scaled)]
    anew = [
        oracles.run_slice(Problem(m, data, "cross_entropy"), [(-1, 1, 2)], bn="recalibrate").centre
        for m in (model, scaled)
    ]
    assert abs(fixed[0]["train_loss"] - fixed[1]["train_loss"]) > 0.05
    assert anew[0]["train_loss"] == pytest.approx(anew[1]["train_loss"], rel=1e-3)


def test_recalibrate_without_batch_norm_is_refused() -> None:
    model, x, y = oracles.regression()
    with pytest.raises(ProblemError, match="the model has no batch norm"):
        oracles.run_slice(Problem(model, (x, y), "mse"), [(-1, 1, 3)], bn="recalibrate")
