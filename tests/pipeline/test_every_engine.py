"""Baseline: the loss at weights moved in place in a copy of the model, and its differences, in float64."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import oracles
import pytest
import torch
import torch_nn
from torch import nn

import surfaceviz
from surfaceviz.errors import ProblemError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # the models are untrained
NAMES = (
    "Linear", "Conv2d", "ConvTranspose2d", "BatchNorm2d", "LayerNorm", "MaxPool2d", "Softplus", "Embedding", "LSTM",
    "GRU", "MultiheadAttention", "TransformerEncoderLayer", "weight_norm of Conv2d", "spectral_norm", "Bilinear",
    "CrossEntropyLoss",
)  # fmt: skip
ENGINES = ("eager", "folded", "compiled", "vmapped")
_AXIS, _H = (-0.3, 0.3, 3), 1e-5
REFUSED: dict[tuple[str, str], str] = {}
"""Engines that can't evaluate a model, and the line that says so."""


def _state(model: nn.Module) -> dict[str, Any]:
    """Return everything that a run must leave as it is."""
    return {
        "tensors": {k: (id(v), v.detach().clone()) for k, v in (*model.named_parameters(), *model.named_buffers())},
        "modules": [
            (sorted(vars(m)), m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()
        ],
        "grads": [p.requires_grad for p in model.parameters()],
        "random": (torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()),  # type: ignore[index]  # noqa: NPY002
    }


def _assert_as_before(model: nn.Module, before: dict[str, Any]) -> None:
    after = _state(model)
    assert after["modules"] == before["modules"]
    assert after["grads"] == before["grads"]
    assert torch.equal(after["random"][0], before["random"][0])
    assert after["random"][1:] == before["random"][1:]
    assert after["tensors"].keys() == before["tensors"].keys()
    for name, (number, tensor) in after["tensors"].items():
        assert number == before["tensors"][name][0]
        assert torch.equal(tensor, before["tensors"][name][1])


def _assert_commands_agree(name: str, engine: str) -> None:
    problem = torch_nn.problem_of(name)
    at, model = torch_nn.moved_loss(problem)
    theta, before = torch_nn.theta_of(model), _state(problem.model)
    (direction,) = oracles.make_directions(problem.model, count=1, ignore="none")
    step = torch_nn.flat(direction.tensors, model)

    def loss(vector: torch.Tensor) -> float:
        return float(at(vector).detach())

    options: dict[str, Any] = {"dtype": "float64", "workers": 1}
    if (name, engine) in REFUSED:
        with pytest.raises(ProblemError, match=REFUSED[name, engine]):
            surfaceviz.slice(problem, axes=[_AXIS], ignore="none", engine=engine, **options)
        return
    surface = surfaceviz.slice(problem, axes=[_AXIS], ignore="none", engine=engine, output="s.h5", **options)
    exact = [loss(theta + alpha * step) for alpha in (-0.3, 0.0, 0.3)]
    assert surface.values["train_loss"] == pytest.approx(exact, rel=1e-9)
    used = str(surface.provenance["engine"]).split(",")[0]
    assert used in {engine, "eager"}  # an engine that has nothing to do, or can't, leaves it to the eager one
    slope = (loss(theta + _H * step) - loss(theta - _H * step)) / (2 * _H)
    spectrum = surfaceviz.hessian("s.h5", problem=problem, top=1, bottom=0)
    assert spectrum.loss == pytest.approx(exact[1], rel=1e-12)
    assert spectrum.slope == pytest.approx([slope], rel=1e-6, abs=1e-9)
    gradient = spectrum.gradient_norm
    assert surfaceviz.hessian_map("s.h5", (3,), problem=problem).gradient_norm[1] == pytest.approx(gradient, rel=1e-9)
    measured = surfaceviz.sharpness(problem)
    assert measured.loss == pytest.approx(exact[1], rel=1e-12)
    assert measured.gradient_norm == pytest.approx(gradient, rel=1e-9)
    along = surfaceviz.slice(problem, axes=[(-_H, _H, 3)], along="gradient", engine=engine, **options)
    values = along.values["train_loss"]
    assert values[1] == pytest.approx(exact[1], rel=1e-12)
    assert (values[2] - values[0]) / (2 * _H) == pytest.approx(gradient, rel=1e-5)
    _assert_as_before(problem.model, before)


@pytest.mark.long
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", NAMES)
def test_commands_agree_with_moved_weights_in_every_engine(name: str, engine: str) -> None:
    _assert_commands_agree(name, engine)


@pytest.mark.parametrize("name", ["Conv2d", "GRU", "Embedding"])
def test_commands_agree_with_moved_weights(name: str) -> None:
    _assert_commands_agree(name, "eager")
