"""Networks on scikit-learn's handwritten digits, with seeded starts and trainings."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import nn

from surfaceviz.problem.problem import Problem
from surfaceviz.zoo.datasets import load
from surfaceviz.zoo.labelled_data import Dataset
from surfaceviz.zoo.training import Recipe, Training, evaluate, make_optimiser

DIGITS = "digits"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """A training with its start, its end and the network after each epoch.

    Attributes:
        start: the network before the training.
        epochs: copies after each epoch, the last one being the end.
    """

    start: nn.Module
    epochs: Sequence[nn.Module]

    @property
    def end(self) -> nn.Module:
        """The trained network."""
        return self.epochs[-1]


def digits() -> Dataset:
    """Return the digits in float64; every fifth image is test."""
    data = load(DIGITS)
    return replace(data, splits={split: (x.double(), y) for split, (x, y) in data.splits.items()})


def seeded(build: Callable[[], nn.Module], seed: int) -> nn.Module:
    """Return a new network in float64, with the initial weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build().double()


def trained(model: nn.Module, data: Dataset, recipe: Recipe, *, seed: int = 0) -> Trained:
    """Return the training of a copy of a network; the seed is that of the order of the samples."""
    moving, epochs = copy.deepcopy(model), []
    training = Training(model=moving, optimiser=make_optimiser(moving, recipe), data=data, recipe=recipe, seed=seed)
    while training.step < training.total:
        training.advance()
        if training.step % training.epoch_steps == 0:
            epochs.append(copy.deepcopy(moving).eval())
    return Trained(start=model.eval(), epochs=epochs)


def problem_of(model: nn.Module, data: Dataset) -> Problem:
    """Return the problem of a classifier, with the splits of the data."""
    return Problem(model, dict(data.splits), "cross_entropy")


def scores(model: nn.Module, data: Dataset, split: str) -> tuple[float, float]:
    """Return the mean loss and the accuracy on a split, by a plain loop over its samples."""
    return evaluate(model, data.splits[split], data.kind)
