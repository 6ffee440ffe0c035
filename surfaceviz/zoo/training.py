"""Training of the catalogue's networks, seeded: a step depends only on the weights, the seed and its number."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz.errors import ProblemError
from surfaceviz.options import OPTIMISERS, one_of
from surfaceviz.options import SCHEDULES as SCHEDULE_NAMES
from surfaceviz.zoo.augmentation import augmented
from surfaceviz.zoo.labelled_data import TEXT, Dataset, TensorPair
from surfaceviz.zoo.schedules import SCHEDULES

_ORDER, _AUGMENTATION = 0, 1  # streams of random numbers
_EVALUATED = 256  # samples in a batch without gradients


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training recipe.

    Attributes:
        epochs: passes over the training split.
        batch_size: samples in a batch; None for all, which is gradient descent.
        peak_rate: the largest learning rate.
        weight_decay: the factor of the L2 penalty; of AdamW, that of the decoupled decay.
        optimiser: ``sgd``, ``adam`` or ``adamw``; see `make_optimiser`.
        momentum: of SGD.
        nesterov: whether SGD's momentum is Nesterov's.
        schedule: ``one-cycle``, ``steps`` or ``constant``; see `schedules`.
        shift: the largest random translation in pixels, as augmentation.
        flip: whether augmentation mirrors images.
    """

    epochs: int
    batch_size: int | None = 64
    peak_rate: float = 0.1
    weight_decay: float = 5e-4
    optimiser: str = "sgd"
    momentum: float = 0.9
    nesterov: bool = True
    schedule: str = "one-cycle"
    shift: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        """Refuse numbers that no training has."""
        one_of("optimiser", self.optimiser, OPTIMISERS)
        one_of("schedule", self.schedule, SCHEDULE_NAMES)


@dataclass(slots=True)
class Sums:
    """Sums over the samples of an epoch so far.

    Attributes:
        loss: sum of the losses.
        right: number of right predictions.
        count: number of predictions.
    """

    loss: float = 0.0
    right: int = 0
    count: int = 0

    def add(self, loss: float, right: int, count: int) -> None:
        """Add a batch."""
        self.loss, self.right, self.count = self.loss + loss, self.right + right, self.count + count


@dataclass(slots=True, kw_only=True)
class Training:
    """A training at a step: what changes, and what determines each change.

    Attributes:
        model: the network, changed in place.
        optimiser: its optimiser.
        data: the data set.
        recipe: the recipe.
        seed: seed of the order of the samples and of the augmentation.
        step: number of steps done.
        sums: sums over the current epoch.
    """

    model: nn.Module
    optimiser: torch.optim.Optimizer
    data: Dataset
    recipe: Recipe
    seed: int
    step: int = 0
    sums: Sums = field(default_factory=Sums)
    _order: tuple[int, list[Tensor]] = (-1, [])

    @property
    def epoch_steps(self) -> int:
        """The number of steps in an epoch."""
        return len(_sizes(len(self.data.splits["train"][1]), self.recipe.batch_size))

    @property
    def total(self) -> int:
        """The number of steps of the whole training."""
        return self.recipe.epochs * self.epoch_steps

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        factor = SCHEDULES[self.recipe.schedule](min(self.step, self.total - 1), self.total)
        return self.recipe.peak_rate * factor

    def advance(self) -> None:
        """Do one step.

        Raises:
            ProblemError: the loss is NaN or infinite.
        """
        if self.step % self.epoch_steps == 0:
            self.sums = Sums()
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate
        x, y = self._batch()
        self.model.train()
        self.optimiser.zero_grad()
        outputs, targets = predictions(self.model(x), y, self.data.kind)
        loss = functional.cross_entropy(outputs, targets)
        value = loss.item()
        if not np.isfinite(value):
            raise ProblemError(
                f"the training loss is {value} at step {self.step}; lower the learning rate ({self.recipe.peak_rate:g})"
            )
        loss.backward()
        self.optimiser.step()
        right = int((outputs.argmax(1) == targets).sum())
        self.sums.add(value * len(targets), right, len(targets))
        self.step += 1

    def _batch(self) -> TensorPair:
        """Return the samples of the next step, augmented."""
        x, y = self.data.splits["train"]
        epoch, place = divmod(self.step, self.epoch_steps)
        if self._order[0] != epoch:
            order = torch.randperm(len(y), generator=_generator(self.seed, _ORDER, epoch))
            self._order = (epoch, list(order.split(_sizes(len(y), self.recipe.batch_size))))
        chosen = self._order[1][place].to(x.device)
        images, recipe = x[chosen], self.recipe
        if recipe.shift or recipe.flip:
            generator = _generator(self.seed, _AUGMENTATION, self.step)
            background = float(x[0].min())  # a corner of most images; the same for all steps
            images = augmented(images, recipe.shift, generator, flip=recipe.flip, background=background)
        return images, y[chosen]


def make_optimiser(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """Return the recipe's optimiser of all parameters, with torch's defaults for what the recipe does not name."""
    parameters, rate, decay = list(model.parameters()), recipe.peak_rate, recipe.weight_decay
    if recipe.optimiser == "sgd":
        nesterov = recipe.nesterov and recipe.momentum > 0
        return torch.optim.SGD(parameters, rate, recipe.momentum, nesterov=nesterov, weight_decay=decay)
    kind = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.AdamW
    return kind(parameters, rate, weight_decay=decay)


def train(model: nn.Module, data: Dataset, recipe: Recipe, *, seed: int = 0) -> None:
    """Train ``model`` in place."""
    training = Training(model=model, optimiser=make_optimiser(model, recipe), data=data, recipe=recipe, seed=seed)
    while training.step < training.total:
        training.advance()
    model.eval()


def predictions(outputs: Tensor, targets: Tensor, kind: str) -> TensorPair:
    """Return logits of shape (n, classes) and their classes; of text, those of each character after the first."""
    if kind != TEXT:
        return outputs, targets
    return outputs[:, :-1].flatten(0, 1), targets[:, 1:].flatten()


@torch.no_grad()
def evaluate(model: nn.Module, pair: TensorPair, kind: str) -> tuple[float, float]:
    """Return the mean loss and the accuracy of ``model`` in eval mode."""
    model.eval()
    sums = Sums()
    for x, y in _batched(pair):
        outputs, targets = predictions(model(x), y, kind)
        loss = functional.cross_entropy(outputs.double(), targets, reduction="sum")
        sums.add(loss.item(), int((outputs.argmax(1) == targets).sum()), len(targets))
    return sums.loss / sums.count, sums.right / sums.count


def accuracy(model: nn.Module, data: TensorPair) -> float:
    """Return the accuracy of ``model`` in eval mode, of data with one label for each sample."""
    return evaluate(model, data, "")[1]


def _batched(pair: TensorPair) -> Iterable[TensorPair]:
    return zip(pair[0].split(_EVALUATED), pair[1].split(_EVALUATED), strict=True)


def _sizes(count: int, batch_size: int | None) -> list[int]:
    """Return the sizes of the batches of an epoch; a last one of a single sample joins the one before.

    Batch norm has no statistics of a single value.

    >>> _sizes(10, 4), _sizes(9, 4), _sizes(3, None)
    ([4, 4, 2], [4, 5], [3])
    """
    size = min(batch_size or count, count)
    sizes = [size] * (count // size) + ([count % size] if count % size else [])
    if len(sizes) > 1 and sizes[-1] == 1 and size > 1:
        sizes[-2:] = [size + 1]
    return sizes


def _generator(*key: int) -> torch.Generator:
    """Return a generator of random numbers that depend on ``key`` alone."""
    word = np.random.SeedSequence(key).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(word >> np.uint64(1)))
