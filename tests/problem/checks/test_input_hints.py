"""Baseline: the conversions that the messages name, applied by hand; the losses are then those of torch."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from torch import nn
from torch.nn import functional

from surfaceviz.errors import ProblemError
from surfaceviz.problem.problem import Problem

GENERATOR = torch.Generator().manual_seed(3)
PIXELS = torch.randint(0, 256, (10, 1, 4, 4), generator=GENERATOR, dtype=torch.uint8)
Y = torch.randint(0, 2, (10,), generator=GENERATOR)
X = torch.randn(10, 3, generator=GENERATOR)


def _convolution() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 2))


def _centre(model: nn.Module, data: Any, loss: Any = "cross_entropy") -> float:
    return oracles.run_slice(Problem(model, data, loss), [(-1, 1, 2)]).centre["train_loss"]


@pytest.mark.parametrize("model", [_convolution(), nn.Sequential(nn.Flatten(), nn.Linear(16, 2))])
def test_integer_pixels_are_named_with_their_conversion(model: nn.Module) -> None:
    with pytest.raises(
        ProblemError, match=r"the inputs are uint8; give floats, such as .* x.float\(\) / 255 for pixels"
    ):
        _centre(model, (PIXELS, Y))
    with torch.no_grad():
        exact = functional.cross_entropy(model(PIXELS / 255), Y)
    assert _centre(model, (PIXELS.float() / 255, Y)) == pytest.approx(float(exact), rel=1e-5)


@pytest.mark.parametrize(
    ("model", "inputs", "advice"),
    [
        (
            nn.Sequential(nn.Embedding(5, 2), nn.Flatten()),
            torch.ones(10, 1),
            r"are float32; for token numbers give x.long\(\)",
        ),
        (
            nn.Sequential(nn.Embedding(5, 2), nn.Flatten()),
            torch.full((10, 1), 7),
            "have numbers from 7 to 7; an embedding has a row for each, and the smallest here has 5, for 0 to 4",
        ),
        (nn.Linear(4, 2), X, r"the inputs have shape \(\d+, 3\); Linear takes inputs with in_features=4"),
        (
            _convolution(),
            PIXELS.float()[:, 0, :, :, None],
            r"have shape \(\d+, 4, 4, 1\); layer 0 \(Conv2d\) takes inputs with in_channels=1",
        ),
    ],
)
def test_inputs_that_do_not_fit_the_model_are_described(model: nn.Module, inputs: torch.Tensor, advice: str) -> None:
    with pytest.raises(ProblemError, match=advice):
        _centre(model, (inputs, Y))


class Table:
    """Stands for a DataFrame of pandas."""

    def __init__(self, values: Any) -> None:
        self.values = values

    def to_numpy(self) -> Any:
        return self.values


@pytest.mark.parametrize(
    ("data", "advice"),
    [
        (
            [(x, y) for x, y in zip(X, Y, strict=True)],
            "a list of 10 samples, the first of shape (3,) with a single number",
        ),
        ([(x, int(y)) for x, y in zip(X, Y, strict=True)], "Give columns: (torch.stack([x for x, y in pairs])"),
        ([[x.numpy(), np.int64(y)] for x, y in zip(X, Y, strict=True)], "or a DataLoader of the list"),
        (
            [(x, y[None].repeat(2)) for x, y in zip(X, Y, strict=True)],
            "one row for each sample (a list holds batches, not",
        ),
        ((X.tolist(), Y.tolist()), "has lists of numbers; expected tensors or arrays: give torch.tensor(...)"),
        ((Table(X.numpy()), Table(Y.numpy())), "has a Table; expected tensors or arrays: give .to_numpy(), in a tuple"),
        (Table(X.numpy()), "give .to_numpy(), in a tuple (inputs, targets)"),
    ],
)
def test_data_in_other_forms_name_their_conversion(data: Any, advice: str) -> None:
    with pytest.raises(ProblemError, match=re.escape(advice)):
        _centre(nn.Linear(3, 2), data)


def test_the_columns_of_a_list_of_samples_and_its_loader_are_read() -> None:
    model, pairs = nn.Linear(3, 2), [(x, y) for x, y in zip(X, Y, strict=True)]
    exact = functional.cross_entropy(model(X), Y).item()
    columns = torch.stack([x for x, _ in pairs]), torch.tensor([y for _, y in pairs])
    assert _centre(model, columns) == pytest.approx(exact, rel=1e-5)
    assert _centre(model, torch.utils.data.DataLoader(pairs, 4)) == pytest.approx(exact, rel=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("model", "loss", "advice"),
    [
        (nn.Linear(3, 2), "crossentropy", "unknown loss 'crossentropy'; .* did you mean 'cross_entropy'"),
        (nn.Linear(3, 2), nn.CrossEntropyLoss, r"the loss is the class CrossEntropyLoss; .*: CrossEntropyLoss\(\)"),
        (nn.Linear, "mse", r"not the class Linear; the order is Problem\(model, data, loss\)"),
    ],
)
def test_misuses_of_the_problem_name_the_right_use(model: Any, loss: Any, advice: str) -> None:
    with pytest.raises(ValueError, match=advice):
        Problem(model, (X, Y), loss)


def test_targets_that_lack_an_axis_name_it() -> None:
    with pytest.raises(
        ProblemError, match=r"outputs of shape \(10, 1\) but targets of shape \(10,\).*: targets\[:, None\]"
    ):
        _centre(nn.Linear(3, 1), (X, X[:, 0]), "mse")
