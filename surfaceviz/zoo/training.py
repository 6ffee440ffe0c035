"""Training of the catalogue's networks: plain SGD, seeded."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training recipe: SGD with Nesterov momentum and a one-cycle schedule."""

    epochs: int
    batch_size: int = 64
    peak_rate: float = 0.1
    weight_decay: float = 5e-4
    shift: int = 0  # the largest random translation in pixels, as augmentation


def train(model: nn.Module, data: tuple[Tensor, Tensor], recipe: Recipe, *, generator: torch.Generator) -> None:
    """Train ``model`` in place on ``data`` by cross-entropy."""
    x, y = data
    steps = -(-len(y) // recipe.batch_size)
    optimiser = torch.optim.SGD(
        model.parameters(), recipe.peak_rate, momentum=0.9, nesterov=True, weight_decay=recipe.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, recipe.peak_rate, total_steps=recipe.epochs * steps, cycle_momentum=False
    )
    model.train()
    for _ in range(recipe.epochs):
        for batch in torch.randperm(len(y), generator=generator).split(recipe.batch_size):
            optimiser.zero_grad()
            images = _shifted(x[batch], recipe.shift, generator)
            functional.cross_entropy(model(images), y[batch]).backward()
            optimiser.step()
            schedule.step()
    model.eval()


@torch.no_grad()
def accuracy(model: nn.Module, data: tuple[Tensor, Tensor]) -> float:
    """Return the accuracy of ``model`` in eval mode."""
    model.eval()
    right = [(model(x).argmax(1) == y).sum() for x, y in zip(data[0].split(256), data[1].split(256), strict=True)]
    return float(sum(right)) / len(data[1])


def _shifted(x: Tensor, shift: int, generator: torch.Generator) -> Tensor:
    """Return the batch moved as one by a random offset of up to ``shift`` pixels each way."""
    if shift == 0:
        return x
    down, right = torch.randint(-shift, shift + 1, (2,), generator=generator).tolist()
    padded = functional.pad(x, (shift,) * 4, value=float(x.min()))
    height, width = x.shape[2:]
    return padded[:, :, shift + down : shift + down + height, shift + right : shift + right + width]
