"""Baseline: torch's own schedules and optimisers in loops written here, and images moved by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from surfaceviz.errors import ProblemError
from surfaceviz.zoo import network_table, networks, schedules, training
from surfaceviz.zoo.augmentation import augmented
from surfaceviz.zoo.labelled_data import Dataset
from surfaceviz.zoo.training import Recipe, Training, make_optimiser


def _data(count: int = 10) -> Dataset:
    x = torch.randn(count, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return Dataset(splits={"train": (x, (x.sum((1, 2, 3)) > 0).long())}, classes=2)


def _start(recipe: Recipe, data: Dataset, seed: int = 0) -> Training:
    model = network_table.build("mlp", data, 5)
    return Training(model=model, optimiser=make_optimiser(model, recipe), data=data, recipe=recipe, seed=seed)


@pytest.mark.parametrize("total", [10, 97, 400])
def test_one_cycle_is_torchs(total: int) -> None:
    optimiser = torch.optim.SGD(nn.Linear(1, 1).parameters(), 0.3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.3, total_steps=total, cycle_momentum=False)
    for step in range(total):
        assert 0.3 * schedules.one_cycle(step, total) == pytest.approx(schedule.get_last_lr()[0], rel=1e-12)
        optimiser.step()
        schedule.step()


def test_the_papers_steps_are_torchs_milestones() -> None:
    optimiser = torch.optim.SGD(nn.Linear(1, 1).parameters(), 1.0)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimiser, [32, 48])  # 32k and 48k of 64k
    for step in range(64):
        assert schedules.steps(step, 64) == pytest.approx(schedule.get_last_lr()[0])
        assert schedules.constant(step, 64) == 1
        optimiser.step()
        schedule.step()


@pytest.mark.parametrize("shift", [0, 2])
def test_augmentation_moves_and_mirrors_each_image_on_its_own(shift: int) -> None:
    x = torch.arange(1.0, 1 + 60 * 2 * 3 * 4).view(60, 2, 3, 4)
    moved = augmented(x, shift, torch.Generator().manual_seed(0), flip=True, background=-1.0)
    seen = set()
    for before, after in zip(x, moved, strict=True):
        padded = functional.pad(before, (shift,) * 4, value=-1.0)
        candidates = {
            (down, right, mirror): (window.flip(2) if mirror else window)
            for down in range(2 * shift + 1)
            for right in range(2 * shift + 1)
            for window in [padded[:, down : down + 3, right : right + 4]]
            for mirror in (False, True)
        }
        matching = [key for key, candidate in candidates.items() if torch.equal(candidate, after)]
        assert len(matching) == 1
        seen.add(matching[0])
    assert {key[2] for key in seen} == {False, True}
    assert {key[0] for key in seen} == {key[1] for key in seen} == set(range(2 * shift + 1))


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("sgd", lambda p: torch.optim.SGD(p, 0.05, 0.9, nesterov=True, weight_decay=0.01)),
        ("adam", lambda p: torch.optim.Adam(p, 0.05, weight_decay=0.01)),
        ("adamw", lambda p: torch.optim.AdamW(p, 0.05, weight_decay=0.01)),
    ],
)
def test_gradient_descent_is_the_loop_that_anyone_would_write(name: str, theirs: object) -> None:
    data = _data()
    recipe = Recipe(
        epochs=4, batch_size=None, peak_rate=0.05, weight_decay=0.01, optimiser=name, schedule="constant"
    )  # fmt: skip
    ours = _start(recipe, data)
    model = network_table.build("mlp", data, 5)
    optimiser = theirs(model.parameters())  # type: ignore[operator]
    x, y = data.splits["train"]
    for step in range(4):
        loss = functional.cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        ours.advance()
        assert ours.step == step + 1
        assert ours.sums.loss / 10 == pytest.approx(loss.item(), rel=1e-5)
    for mine, other in zip(ours.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


def test_every_epoch_takes_each_sample_once_in_a_new_order() -> None:
    data = _data(9)
    seen: list[torch.Tensor] = []

    class Watching(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append(x.detach())
            return super().forward(x.flatten(1))

    model, recipe = Watching(16, 2), Recipe(epochs=2, batch_size=4)
    training.train(model, data, recipe)
    assert [len(batch) for batch in seen] == [4, 5, 4, 5]  # no batch of a single sample
    first, second = torch.cat(seen[:2]), torch.cat(seen[2:])
    for epoch in (first, second):
        assert {tuple(x.flatten().tolist()) for x in epoch} == {
            tuple(x.flatten().tolist()) for x in data.splits["train"][0]
        }
    assert not torch.equal(first, second)


def test_a_step_depends_only_on_the_weights_the_seed_and_its_number() -> None:
    data = _data()
    recipe = Recipe(epochs=3, batch_size=4, shift=1, flip=True, optimiser="adam", peak_rate=0.01)
    whole = _start(recipe, data)
    while whole.step < whole.total:
        whole.advance()
    first = _start(recipe, data)
    for _ in range(4):  # in the middle of the second epoch
        first.advance()
    second = _start(recipe, data)
    second.model.load_state_dict(first.model.state_dict())
    second.optimiser.load_state_dict(first.optimiser.state_dict())
    second.step, second.sums = first.step, first.sums
    while second.step < second.total:
        second.advance()
    assert all(map(torch.equal, whole.model.parameters(), second.model.parameters()))
    assert whole.sums == second.sums
    other = _start(recipe, data, seed=1)
    while other.step < other.total:
        other.advance()
    assert not all(map(torch.equal, whole.model.parameters(), other.model.parameters()))


def test_a_network_learns() -> None:
    data = _data(200)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = networks.mlp(16, 16, 2)
    training.train(model, data, Recipe(epochs=30, batch_size=32))
    assert training.accuracy(model, data.splits["train"]) > 0.95


def test_a_training_that_diverges_says_so() -> None:
    recipe, data = Recipe(epochs=300, peak_rate=1e20, schedule="constant"), _data()
    with pytest.raises(ProblemError, match=r"the training loss is (nan|inf) at step \d+; lower the learning rate \(1e"):
        training.train(network_table.build("mlp", data, 5), data, recipe)
