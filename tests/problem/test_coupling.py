"""Baseline: torch's loss on one batch of the whole split, in float64."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import surfaceviz
from surfaceviz.errors import ProblemError
from surfaceviz.problem.coupling import as_one_batch_where_coupled
from surfaceviz.problem.losses import known_loss
from surfaceviz.problem.problem import Problem

WEIGHTS = torch.tensor([1.0, 5.0, 0.2, 1.0], dtype=torch.float64)


class Mine(nn.CrossEntropyLoss):
    """A subclass that changes nothing."""


class Halved(nn.CrossEntropyLoss):
    """A subclass with a forward of its own."""

    def forward(self, input: Tensor, target: Tensor) -> Tensor:  # noqa: A002  torch's names
        return 0.5 * super().forward(input, target)


def _data() -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(0)
    x, y = torch.randn(300, 8, generator=g, dtype=torch.float64), torch.randint(0, 4, (300,), generator=g)
    y[:100][torch.rand(100, generator=g) < 0.9] = -1  # the ignored ones are not spread evenly
    return x, y


def _model() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Linear(8, 4).double()


def _rmse(outputs: Tensor, targets: Tensor) -> Tensor:
    return (functional.one_hot(targets.clamp(min=0), 4) - outputs).square().mean().sqrt()


def _macro_recall(outputs: Tensor, targets: Tensor) -> Tensor:
    hits = [(outputs.argmax(1)[targets == k] == k).double().mean() for k in range(4)]
    return torch.stack(hits).nan_to_num().mean()


LOSSES: dict[str, Callable[..., Any]] = {
    "module": nn.CrossEntropyLoss(WEIGHTS, ignore_index=-1),
    "subclass": Mine(WEIGHTS, ignore_index=-1),
    "subclass with a forward": Halved(WEIGHTS, ignore_index=-1),
    "partial": functools.partial(functional.cross_entropy, weight=WEIGHTS, ignore_index=-1),
    "partial of a partial": functools.partial(
        functools.partial(functional.cross_entropy, weight=WEIGHTS), ignore_index=-1
    ),
    "lambda": lambda o, t: functional.cross_entropy(o, t, weight=WEIGHTS, ignore_index=-1),
    "root mean square": _rmse,
    "variance": lambda o, t: o.var() + 0 * t.sum(),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*near chance")
@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_is_that_of_one_batch_for_any_batch_size_and_in_every_command(name: str) -> None:
    x, y = _data()
    model, loss = _model(), LOSSES[name]
    expected = float(loss(model(x), y).detach())
    problem = Problem(model, (x, y), loss)
    for size in (32, 128, 300):
        surface = oracles.run_slice(problem, [(-1, 1, 3)], engine="eager", batch_size=size)
        assert surface.centre["train_loss"] == pytest.approx(expected, rel=1e-10)
    spectrum = surfaceviz.hessian(problem, top=1, bottom=0, workers=1, batch_size=32)
    assert spectrum.loss == pytest.approx(expected, rel=1e-10)

    def flat(vector: Tensor) -> Tensor:
        weight, bias = vector[:32].reshape(4, 8), vector[32:]
        return torch.as_tensor(loss(functional.linear(x, weight, bias), y))

    theta = torch.cat([model.weight.detach().ravel(), model.bias.detach()])  # type: ignore[operator]
    dense = torch.func.hessian(flat)(theta).detach()
    assert spectrum.lambda_max == pytest.approx(float(torch.linalg.eigvalsh(dense)[-1]), rel=1e-3)


@pytest.mark.parametrize("engine", ["eager", "folded", "compiled", "vmapped"])
def test_every_engine_takes_the_split_as_one_batch(engine: str) -> None:
    x, y = _data()
    model = _model()
    surface = oracles.run_slice(Problem(model, (x, y), _rmse), [(-1, 1, 3)], engine=engine, batch_size=32)
    assert surface.centre["train_loss"] == pytest.approx(float(_rmse(model(x), y).detach()), rel=1e-10)


def test_a_metric_that_is_no_mean_is_that_of_one_batch() -> None:
    x, y = _data()
    model = _model()
    problem = Problem(model, (x, y), nn.CrossEntropyLoss(ignore_index=-1), metrics={"recall": _macro_recall})
    recorder = oracles.Recorder()
    surface = oracles.run_slice(problem, [(-1, 1, 3)], batch_size=32, reporter=recorder)
    assert surface.centre["train_recall"] == pytest.approx(float(_macro_recall(model(x), y)), rel=1e-10)
    assert any("train recall is not a mean over samples" in line for line in recorder.said)
    assert surface.levels["train_loss"] == pytest.approx(max(10 * surface.centre["train_loss"], np.log(4)))


@pytest.mark.parametrize("loss", [lambda o, t: functional.cross_entropy(o, t.clamp(min=0)), nn.MultiMarginLoss()])
def test_means_over_samples_are_left_in_batches(loss: Any) -> None:
    x, y = _data()
    problem = Problem(_model(), (x, y.clamp(min=0)), loss)
    split = problem.load("train")
    (kept,), lines = as_one_batch_where_coupled(problem, [split], dict(problem.model.state_dict()), memory=2**30)
    assert kept is split
    assert not lines


def test_a_measure_that_couples_samples_takes_one_batch() -> None:
    def measure(model: nn.Module, batch: Any) -> dict[str, Any]:
        value = _rmse(model(batch[0]), batch[1])
        return {"loss": (value * len(batch[0]), float(len(batch[0])))}

    x, y = _data()
    model = _model()
    surface = oracles.run_slice(Problem(model, (x, y), measure=measure), [(-1, 1, 3)], batch_size=32)
    assert surface.centre["train_loss"] == pytest.approx(float(_rmse(model(x), y).detach()), rel=1e-10)


def test_one_batch_that_memory_has_no_room_for_is_refused_with_what_to_give() -> None:
    problem = Problem(_model(), _data(), _rmse)
    state = dict(problem.model.state_dict())
    with pytest.raises(ProblemError, match=r"train loss is not a mean over samples: .* give a loss that is a mean"):
        as_one_batch_where_coupled(problem, [problem.load("train")], state, memory=1000)


def test_known_losses_are_recognised() -> None:
    assert known_loss(functional.mse_loss).__class__ is nn.MSELoss
    assert known_loss(functools.partial(functional.huber_loss, delta=2.0)).delta == 2.0  # type: ignore[union-attr]
    assert known_loss(Halved()) is None
    assert known_loss(lambda o, t: (o - t).mean()) is None
    assert known_loss(functools.partial(functional.mse_loss, reduction="none")) is None


@pytest.mark.parametrize("name", ["loss", "recall"])
def test_a_loss_or_metric_is_one_batch_also_where_the_centre_fits_every_sample(name: str) -> None:
    """At such a centre the loss is 1e-13 and the recall 1 in every batch; nearby they are no means over samples."""
    x, _ = _data()
    model = nn.Linear(8, 4, bias=False).double()
    with torch.no_grad():
        model.weight.mul_(300)
    y = model(x).argmax(1).detach()

    def weighted(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, weight=WEIGHTS)

    outputs = model(x).detach()
    keep = outputs.topk(2, dim=1).values.diff(dim=1)[:, 0] < -35
    problem = Problem(model, (x[keep], y[keep]), weighted if name == "loss" else "cross_entropy",
                      metrics={"recall": _macro_recall} if name == "recall" else None)  # fmt: skip
    assert float(weighted(outputs[keep], y[keep])) < 1e-10
    small, one = (
        oracles.run_slice(problem, [(-1, 1, 3)], batch_size=size, workers=1).values[f"train_{name}"]
        for size in (7, 1000)
    )
    np.testing.assert_allclose(small, one, rtol=1e-9)


def test_a_coincidence_of_two_batches_does_not_hide_a_loss_that_is_no_mean() -> None:
    """Batches of 32 and 32 with the same mean weight agree with one of 64; batches of 7 do not."""
    x, _ = _data()
    y = torch.arange(32).div(8, rounding_mode="floor").repeat(2)
    problem = Problem(
        _model(), (x[:64], y), lambda o, t: functional.cross_entropy(o, t, weight=WEIGHTS), name="coincidence"
    )
    exact = functional.cross_entropy(problem.model(x[:64]), y, weight=WEIGHTS).detach()
    surface = oracles.run_slice(problem, [(-1, 1, 3)], batch_size=7, workers=1)
    assert surface.centre["train_loss"] == pytest.approx(float(exact), rel=1e-12)


def test_values_of_samples_that_depend_on_their_batch_are_those_of_one_batch() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        weights = WEIGHTS[targets]
        return functional.cross_entropy(outputs, targets, reduction="none") * weights / weights.mean()

    x, y = _data()
    model, targets = _model(), y.clamp(min=0)
    expected = functional.cross_entropy(model(x), targets, weight=WEIGHTS)
    for size in (32, 300):
        surface = oracles.run_slice(Problem(model, (x, targets), loss), [(-1, 1, 3)], batch_size=size, engine="eager")
        assert surface.centre["train_loss"] == pytest.approx(float(expected.detach()), rel=1e-9)


def _kept_in_batches(problem: Problem, *, memory: int = 2**30) -> bool:
    split = problem.load("train")
    (kept,), lines = as_one_batch_where_coupled(problem, [split], dict(problem.model.state_dict()), memory=memory)
    return kept is split and not lines


def test_a_mean_that_is_0_but_for_rounding_and_random_models_are_left_in_batches() -> None:
    x, _ = _data()
    model = _model()
    fitted = Problem(model, (x, model(x).detach()), lambda o, t: (o - t).mean())
    assert _kept_in_batches(fitted)
    dropping = nn.Sequential(_model(), nn.Identity())
    dropping.register_forward_hook(lambda _m, _i, out: functional.dropout(out, 0.5))
    assert _kept_in_batches(Problem(dropping, _data(), lambda o, t: functional.cross_entropy(o, t.clamp(min=0))))


def test_what_memory_has_no_room_to_compare_stays_in_batches() -> None:
    sizes: list[int] = []

    def mean(outputs: Tensor, targets: Tensor) -> Tensor:
        sizes.append(len(outputs))
        return functional.cross_entropy(outputs, targets.clamp(min=0))

    assert _kept_in_batches(Problem(_model(), _data(), mean), memory=4 * 2 * 40 * 32)
    assert max(sizes) <= 40
