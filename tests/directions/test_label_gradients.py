"""Baseline: torch's autograd of the mean loss over the samples of each label, by hand."""

from __future__ import annotations

from typing import Any

import oracles
import pytest
import torch
from torch.nn import functional

from surfaceviz.directions.build import build_directions
from surfaceviz.directions.minimum import Minimum
from surfaceviz.directions.specs import FromLoss, parse_directions
from surfaceviz.errors import DirectionError
from surfaceviz.problem import checkpoints
from surfaceviz.problem.parameters import filters_of
from surfaceviz.problem.problem import Problem


def _minimum() -> tuple[Any, tuple[torch.Tensor, torch.Tensor], Minimum]:
    model, data = oracles.net().double(), oracles.images(60)
    data = (data[0].double(), data[1])
    problem = Problem(model, data, "cross_entropy")
    minimum = Minimum(
        problem=problem, theta=checkpoints.read_state(model), filters=filters_of(model), split=problem.load("train"),
        dtype="float64", device=torch.device("cpu"),
    )  # fmt: skip
    return model, data, minimum


def _build(argument: str, minimum: Minimum) -> Any:
    return build_directions(
        FromLoss(kind="labels", argument=argument), minimum, None, kept=None, say=lambda _line: None
    ).directions


def test_the_direction_is_the_difference_of_two_labels_gradients() -> None:
    model, (x, y), minimum = _minimum()
    first, second = sorted(set(y.tolist()))[:2]
    made = _build(f"{first},{second}", minimum)
    assert [direction.record.kind for direction in made] == ["gradient difference", "random"]
    names = [name for name, _ in model.named_parameters()]
    gradients = []
    for label in (first, second):
        loss = functional.cross_entropy(model.eval()(x[y == label]), y[y == label])
        gradients.append(torch.autograd.grad(loss, list(model.parameters())))
    difference = [a - b for a, b in zip(*gradients, strict=True)]
    norm = torch.sqrt(sum((d**2).sum() for d in difference))
    for name, d in zip(names, difference, strict=True):
        made_tensor = made[0].tensors.get(name, torch.zeros_like(d))
        torch.testing.assert_close(made_tensor, d / norm, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("argument", "line"),
    [
        ("3", "along labels:3: expected two labels, such as labels:3,8"),
        ("a,b", "along labels:a,b: expected two labels"),
        ("0,77", "no sample of split train has label 77; got"),
        ("1,1", "the losses of labels 1 and 1 have the same gradient"),
    ],
)
def test_labels_that_do_not_fit_are_refused(argument: str, line: str) -> None:
    with pytest.raises(DirectionError, match=line):
        _build(argument, _minimum()[2])


def test_a_regression_has_no_labels() -> None:
    model, x, y = oracles.regression()
    problem = Problem(model, (x, y), "mse")
    minimum = Minimum(
        problem=problem, theta=checkpoints.read_state(model), filters=filters_of(model), split=problem.load("train"),
        dtype="float32", device=torch.device("cpu"),
    )  # fmt: skip
    with pytest.raises(DirectionError, match="expected samples \\(input, label\\) with one integer label each"):
        _build("0,1", minimum)


def test_the_command_line_names_labels_after_a_colon() -> None:
    assert parse_directions(along="labels:3,8") == FromLoss(kind="labels", argument="3,8")
    with pytest.raises(ValueError, match="along: expected labels:A,B, got labels"):
        parse_directions(along="labels")
