"""Baseline: the model itself, moved by hand with `load_state_dict` and run in eval mode."""

from __future__ import annotations

import copy
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import surfaceviz
from surfaceviz.directions.random import Direction
from surfaceviz.errors import CheckpointError, ProblemError
from surfaceviz.problem.losses import PerSample
from surfaceviz.problem.problem import Problem


@torch.no_grad()
def _by_hand(model: nn.Module, made: list[Direction], place: tuple[float, ...], data: tuple[Tensor, Tensor]) -> float:
    """Return the cross-entropy of a copy of ``model`` moved to ``place``, on one batch, in eval mode."""
    moved = copy.deepcopy(model).eval()
    for name, p in moved.named_parameters():
        for coordinate, direction in zip(place, made, strict=True):
            if name in direction.tensors:
                p.add_(coordinate * direction.tensors[name])
    return float(functional.cross_entropy(moved(data[0]), data[1]))


@pytest.mark.parametrize("axes", [[(-1, 1, 4)], [(0, 1.5, 3)], [(-2, 0, 2), (-1, 1, 5)]])
def test_values_are_the_moved_models_own(axes: list[tuple[float, float, int]]) -> None:
    """An even number of points, a range that ends at 0, a short last batch, batch norm and dropout."""
    model, data = oracles.net(), oracles.images(50)
    model.train()  # evaluation is in eval mode whatever the flag
    surface = oracles.run_slice(Problem(model, data, "cross_entropy"), axes, batch_size=16)
    made = oracles.make_directions(model, count=len(axes))
    for index in np.ndindex(surface.shape):
        place = tuple(float(axis[i]) for axis, i in zip(surface.axes, index, strict=True))
        expected = _by_hand(model, made, place, data)
        assert surface.values["train_loss"][index] == pytest.approx(expected, rel=1e-5)
    assert surface.complete


def test_recurrent_networks_move_and_are_put_back() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(3, 4, batch_first=True)
            self.fc = nn.Linear(4, 2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.fc(self.lstm(x)[0][:, -1])
            return y

    model = Recurrent()
    data = (torch.randn(9, 5, 3), torch.arange(9) % 2)
    flat = [id(w) for w in model.lstm._flat_weights]
    surface = oracles.run_slice(Problem(model, data, "cross_entropy"), [(-1, 1, 3)])
    made = oracles.make_directions(model, count=1)
    assert surface.values["train_loss"][2] == pytest.approx(_by_hand(model, made, (1.0,), data), rel=1e-5)
    assert [id(w) for w in model.lstm._flat_weights] == flat


def test_dict_batches_give_the_values_of_tensors() -> None:
    x, y = oracles.images(20)

    class Keyed(oracles.Net):
        def forward(self, pixels: Tensor) -> Any:
            return {"logits": super().forward(pixels)}

    keyed = Keyed()
    keyed.load_state_dict(oracles.net().state_dict())
    batches = [{"pixels": x[i : i + 8], "labels": y[i : i + 8]} for i in range(0, 20, 8)]
    a = oracles.run_slice(Problem(keyed, batches, "cross_entropy"), [(-1, 1, 3)])
    b = oracles.run_slice(Problem(oracles.net(), (x, y), "cross_entropy"), [(-1, 1, 3)])
    np.testing.assert_array_equal(a.values["train_loss"], b.values["train_loss"])


def _power(power: float) -> Any:
    """Return the measure of a loss that is a function of the first weight alone."""

    def measure(host: nn.Module, _batch: Any) -> dict[str, tuple[Tensor, float]]:
        w = next(host.parameters()).flatten()[0]
        return {"loss": (torch.sign(w) * w.abs().pow(power), 1.0)}

    return measure


def test_a_loss_of_exactly_zero_and_a_negative_one_count_as_done() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)
    surface = oracles.run_slice(Problem(model, (torch.ones(3, 1),), measure=_power(1)), [(-2, 2, 5)], seed=0)
    step = float(oracles.make_directions(model, count=1)[0].tensors["weight"])
    np.testing.assert_allclose(surface.values["train_loss"], 1 + step * surface.axes[0], atol=1e-12)
    assert 0.0 in surface.values["train_loss"]
    assert surface.values["train_loss"].min() < 0
    assert surface.complete


def test_points_that_diverge_are_stored_as_they_are() -> None:
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(1.0)

    def measure(host: nn.Module, _batch: Any) -> dict[str, tuple[Tensor, float]]:
        w = next(host.parameters()).flatten()[0]
        return {"loss": (torch.log(w) if w < 0.5 else torch.exp(400 * (w - 1)), 1.0)}

    surface = oracles.run_slice(Problem(model, (torch.ones(3, 1),), measure=measure), [(-2, 2, 5)])
    values = sorted(surface.values["train_loss"].tolist(), key=str)
    assert any(math.isinf(v) for v in values)
    assert any(math.isnan(v) for v in values)
    assert surface.complete
    assert surface.values["train_loss"][2] == 1


def test_tied_weights_move_together() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = nn.Embedding(5, 4)
            self.out = nn.Linear(4, 5, bias=False)
            self.out.weight = self.embedding.weight

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.out(self.embedding(x))
            return y

    model = Tied()
    data = (torch.arange(5), torch.arange(5).roll(1))
    surface = oracles.run_slice(Problem(model, data, "cross_entropy"), [(-1, 1, 3)])
    made = oracles.make_directions(model, count=1)
    for i, alpha in enumerate((-1.0, 0.0, 1.0)):
        assert surface.values["train_loss"][i] == pytest.approx(_by_hand(model, made, (alpha,), data), rel=1e-5)


def test_a_bf16_model_moves_in_float32() -> None:
    """At a range of 1e-3 most bf16 weights would stand still and the curve would be a comb."""
    model = oracles.net().to(torch.bfloat16)
    wide = copy.deepcopy(model).float()
    x, y = oracles.images(30)
    axes = [(-1e-3, 1e-3, 9)]
    surface = oracles.run_slice(Problem(model, (x, y), "cross_entropy"), axes)
    expected = oracles.run_slice(Problem(wide, (x, y), "cross_entropy"), axes)
    np.testing.assert_array_equal(surface.values["train_loss"], expected.values["train_loss"])
    assert len(set(surface.values["train_loss"].tolist())) == 9
    asked = oracles.run_slice(Problem(model, (x, y), "cross_entropy"), axes, dtype="bf16")
    assert asked.provenance["dtype"] == "bf16"
    np.testing.assert_allclose(asked.values["train_loss"], expected.values["train_loss"], rtol=0.05)


def test_integer_buffers_and_zero_filters_are_left_alone() -> None:
    model = oracles.net()
    with torch.no_grad():
        model.conv.weight[0] = 0
    surface = oracles.run_slice(Problem(model, oracles.images(), "cross_entropy"), [(-1, 1, 3)])
    made = oracles.make_directions(model, count=1)
    assert surface.values["train_loss"][0] == pytest.approx(_by_hand(model, made, (-1.0,), oracles.images()), rel=1e-5)
    assert int(model.bn.num_batches_tracked or 0) == 3


def test_a_model_that_writes_into_its_buffers_gives_points_that_do_not_depend_on_each_other() -> None:
    class Counting(nn.Linear):
        count: Tensor

        def __init__(self) -> None:
            super().__init__(2, 2)
            self.register_buffer("count", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            return super().forward(x) * self.count

    model = Counting()
    data = (torch.randn(10, 2), torch.zeros(10, dtype=torch.long))
    surface = oracles.run_slice(Problem(model, data, "cross_entropy"), [(-1, 1, 3)], batch_size=4)
    assert surface.values["train_loss"][1] == surface.centre["train_loss"]
    assert float(model.count) == 0


def test_a_model_that_writes_into_its_input_is_refused() -> None:
    class InPlace(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.relu_())

    data = (torch.randn(10, 2), torch.zeros(10, dtype=torch.long))
    with pytest.raises(ProblemError, match="the model writes into its input"):
        oracles.run_slice(Problem(InPlace(2, 2), data, "cross_entropy"), [(-1, 1, 3)])


def test_autograd_inside_a_loss_works() -> None:
    """A physics-informed loss (u' - u)^2 of u = w x + b, whose value is known: mean (w - w x - b)^2."""
    model = nn.Linear(1, 1).double()
    x = torch.linspace(0, 1, 7, dtype=torch.float64).reshape(-1, 1)

    def measure(host: nn.Module, batch: Any) -> dict[str, PerSample]:
        points = batch[0].requires_grad_()
        u = host(points)
        (slope,) = torch.autograd.grad(u.sum(), points, create_graph=True)
        each = (slope - u).square().squeeze(1)
        return {"loss": PerSample(each, torch.ones_like(each))}

    surface = oracles.run_slice(Problem(model, (x,), measure=measure), [(-1, 1, 3)])
    (made,) = oracles.make_directions(model, count=1)
    for i, alpha in enumerate((-1, 0, 1)):
        w = float(model.weight.detach()) + alpha * float(made.tensors["weight"])
        expected = np.mean((w - w * x.numpy() - float(model.bias.detach())) ** 2)
        assert surface.values["train_loss"][i] == pytest.approx(expected, rel=1e-12)


def test_a_loss_that_draws_random_numbers_is_one_function() -> None:
    def noisy(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs + torch.randn_like(outputs), targets, reduction="none")

    problem = Problem(oracles.net(), oracles.images(), noisy)
    a, b = (oracles.run_slice(problem, [(-1, 1, 3)], batch_size=16) for _ in range(2))
    np.testing.assert_array_equal(a.values["train_loss"], b.values["train_loss"])


def test_a_subset_is_recorded_and_measured_alone() -> None:
    model, x, y = oracles.regression(samples=60)
    surface = oracles.run_slice(Problem(model, (x, y), "mse"), [(-1, 1, 3)], samples=20)
    assert surface.provenance["samples"] == 20
    everything = oracles.run_slice(Problem(model, (x, y), "mse"), [(-1, 1, 3)])
    assert surface.centre["train_loss"] != everything.centre["train_loss"]
    assert surface.centre == oracles.run_slice(Problem(model, (x, y), "mse"), [(-1, 1, 3)], samples=20, seed=3).centre


def test_nan_weights_and_a_nan_centre_stop_the_run() -> None:
    model = oracles.net()
    with torch.no_grad():
        model.fc.weight[0, 0] = math.nan
    with pytest.raises(CheckpointError, match="the weights hold NaN or inf in fc.weight"):
        oracles.run_slice(Problem(model, oracles.images(), "cross_entropy"), [(-1, 1, 3)])
    x, y = oracles.images()
    x[3] = math.nan
    with pytest.raises(ProblemError, match="the train loss at the centre is nan"):
        oracles.run_slice(Problem(oracles.net(), (x, y), "cross_entropy"), [(-1, 1, 3)])


def test_chance_and_lower_points_are_warned_of() -> None:
    recorder = oracles.Recorder()
    model = oracles.net()
    with torch.no_grad():
        model.fc.weight.mul_(3)
    oracles.run_slice(Problem(model, oracles.images(), "cross_entropy"), [(-1, 1, 9)], reporter=recorder)
    assert any("is near chance (1 in 3)" in line for line in recorder.warned)
    assert any("points lie lower than the centre in train_loss" in line for line in recorder.warned)


def test_metrics_of_ones_own_and_problems_that_can_not_be(tmp_path: Path) -> None:
    def worst(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets, reduction="none").max()

    problem = Problem(oracles.net(), oracles.images(), "cross_entropy", metrics={"worst": worst})
    assert "train_worst" in oracles.run_slice(problem, [(-1, 1, 3)]).values
    with pytest.raises(ValueError, match="a model is a torch.nn.Module, not str"):
        Problem("resnet", oracles.images(), "mse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="give either a loss, such as 'cross_entropy', or measure="):
        Problem(oracles.net(), oracles.images())
    with pytest.raises(ValueError, match="a metric can't be called 'loss'"):
        Problem(oracles.net(), oracles.images(), "mse", metrics={"loss": worst})
    broadcast = PerSample(torch.ones(3, 1), torch.ones(3))
    with pytest.raises(ProblemError, match=r"PerSample has values of shape \(3, 1\) and weights of shape \(3,\)"):
        oracles.run_slice(
            Problem(oracles.net(), oracles.images(), measure=lambda _m, _b: {"loss": broadcast}), [(-1, 1, 3)]
        )
    with pytest.raises(ProblemError, match="'val' and 'val_b' would mix up names"):
        Problem(oracles.net(), {"val": oracles.images(), "val_b": oracles.images()}, "mse")
    with pytest.raises(ProblemError, match="no split 'valid'; the problem has train, test"):
        oracles.run_slice(oracles.net_problem(), [(-1, 1, 3)], splits="valid")
    with pytest.raises(ProblemError, match="expected a 'loss' among them"):
        oracles.run_slice(
            Problem(oracles.net(), oracles.images(), measure=lambda _m, _b: {"los": (1, 1)}), [(-1, 1, 3)]
        )
    with pytest.raises(ProblemError, match="a split and a metric give 'train_a/b'"):
        oracles.run_slice(
            Problem(oracles.net(), oracles.images(), "cross_entropy", metrics={"a/b": worst}), [(-1, 1, 3)]
        )


def test_a_range_in_which_most_points_diverge_is_said() -> None:
    problem = Problem(_Steep(), loss=lambda model: torch.exp(model.p[0] ** 2))
    with pytest.warns(UserWarning, match="8 of 9 points have no finite train_loss: .* try --axis auto:9"):
        surfaceviz.slice(problem, [(-400, 400, 9)], along="p[0]")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        surfaceviz.slice(problem, ["auto:9"], along="p[0]")


class _Steep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.zeros(1))
