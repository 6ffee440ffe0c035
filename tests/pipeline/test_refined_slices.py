"""Baseline: the same slice with every point evaluated."""

from __future__ import annotations

import os
import signal
from itertools import count as numbers
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz import render, store
from surfaceviz.errors import ProblemError, StoreError
from surfaceviz.pipeline.slice import slice_buffer
from surfaceviz.problem.losses import PerSample
from surfaceviz.problem.problem import Problem
from surfaceviz.records import EVALUATED, INTERPOLATED, describe

AXES = [(-1, 1, 41), (-1, 1, 31)]


def _mlp(measure: Any = None) -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 3))
    data = {"train": oracles.images(50), "test": oracles.images(17)}
    return Problem(model, data, None if measure else "cross_entropy", measure=measure, name="mlp")


def _same(a: Any, b: Any) -> None:
    np.testing.assert_array_equal(a.origin, b.origin)
    for kind in ("values", "stderr", "rise_stderr"):
        for name, array in getattr(a, kind).items():
            np.testing.assert_array_equal(array, getattr(b, kind)[name])


def test_a_refined_slice_lies_within_its_tolerance_of_the_full_one() -> None:
    full = oracles.run_slice(_mlp(), AXES)
    refined = oracles.run_slice(_mlp(), AXES, tol=0.05)
    share = refined.evaluated / refined.origin.size
    assert share < 0.25
    assert refined.complete
    rest = refined.origin == INTERPOLATED
    assert refined.audit is not None
    assert refined.audit.passed
    over = np.zeros(int(rest.sum()), bool)
    for name in ("train_loss", "test_loss"):
        level = max(10 * full.centre[name], np.log(3))
        z, guess = (np.minimum(s.values[name], level) for s in (full, refined))
        known = z[refined.origin == EVALUATED]
        lowest = min(full.values[name][refined.origin == EVALUATED].min(), full.centre[name])
        floor = max(0.05 * np.median(known - lowest), 1e-6 * max(1, abs(full.centre[name])))
        over |= (np.abs(guess - z) / np.maximum(z - lowest, floor))[rest] > 0.05
    assert over.mean() <= refined.audit.share_upper95
    for name, array in full.values.items():
        np.testing.assert_array_equal(refined.values[name][~rest], array[~rest])
        assert np.all(np.isfinite(refined.values[name]))
        assert np.all(np.isnan(refined.stderr[name][rest]))
    assert np.all((refined.values["train_accuracy"] >= 0) & (refined.values["train_accuracy"] <= 1))
    assert refined.values["train_loss"].min() >= full.values["train_loss"].min() - 1e-12


def test_bits_do_not_depend_on_workers_and_the_file_has_the_audit() -> None:
    torch.set_num_threads(1)
    one = oracles.run_slice(_mlp(), AXES, tol=0.05, output="a.h5", engine="eager", batch_size=128)
    two = oracles.run_slice(_mlp(), AXES, tol=0.05, workers=2, engine="eager", batch_size=128)
    _same(one, two)
    kept = store.read("a.h5")
    _same(one, kept)
    assert kept.audit == one.audit
    assert not kept.unaudited
    assert dict(describe(kept))["audit"].startswith(f"{one.audit.over} of {one.audit.count} fresh points over 0.05")  # type: ignore[union-attr]
    recorder = oracles.Recorder()
    again = oracles.run_slice(_mlp(), AXES, tol=0.05, output="a.h5", reporter=recorder)
    assert any("complete already" in line for line in recorder.said)
    _same(again, one)
    with pytest.raises(StoreError, match=r"tolerance is 0.05 there, 0.02 here"):
        oracles.run_slice(_mlp(), AXES, tol=0.02, output="a.h5")


def _counting(act: Any) -> Problem:
    """Return the problem with something that happens at each evaluation of the train split."""
    calls = numbers(1)

    def measure(model: nn.Module, batch: Any) -> dict[str, PerSample]:
        if len(batch[0]) == 50:
            act(next(calls))
        each = functional.cross_entropy(model(batch[0]).double(), batch[1], reduction="none")
        return {"loss": PerSample(each, torch.ones_like(each))}

    return _mlp(measure)


FIXED: Any = {"tol": 0.05, "engine": "eager", "batch_size": 128, "workers": 1}  # signals are sent to this process


@pytest.mark.slow
@pytest.mark.parametrize("moment", [20, 45, 80, 110])
def test_a_refinement_that_is_cut_short_goes_on_to_the_same_bits(moment: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SHARE", 1.0)
    calls: list[int] = []
    expected = oracles.run_slice(_counting(calls.append), AXES, **FIXED)
    assert len(calls) > 110

    def interrupt(number: int) -> None:
        if number == moment:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt, match="evaluated points, not audited yet, are in a.h5; the same command"):
        oracles.run_slice(_counting(interrupt), AXES, output="a.h5", **FIXED)
    kept = store.read("a.h5")
    assert 0 < kept.evaluated < expected.evaluated
    if moment > 45:  # after the first round the file holds a whole picture
        assert kept.complete
        assert np.all(np.isfinite(kept.values["train_loss"]))
        assert kept.unaudited
        assert dict(describe(kept))["audit"].startswith("none yet: the run is not finished")
        assert "unfinished, not audited" in render.draw([kept]).axes[0].get_title()
    again: list[int] = []
    _same(oracles.run_slice(_counting(again.append), AXES, output="a.h5", **FIXED), expected)
    assert len(again) < len(calls) - moment + 30  # what is in the file is not evaluated again


def test_a_diverged_corner_is_evaluated_whole() -> None:
    def measure(model: nn.Module, batch: Any) -> dict[str, PerSample]:
        off = torch.stack([(p - q).sum() for p, q in zip(model.parameters(), start, strict=True)]).sum()
        each = functional.cross_entropy(model(batch[0]).double(), batch[1], reduction="none")
        return {"loss": PerSample(each + (torch.sqrt(limit - off) * 0), torch.ones_like(each))}

    problem = _mlp(measure)
    start = [p.detach().clone() for p in problem.model.parameters()]
    limit = 0.5
    full = oracles.run_slice(problem, [(-1, 1, 21), (-1, 1, 21)], engine="eager")
    diverged = ~np.isfinite(full.values["train_loss"])
    assert 20 < diverged.sum() < 300
    refined = oracles.run_slice(problem, [(-1, 1, 21), (-1, 1, 21)], tol=0.05, engine="eager")
    rest = refined.origin == INTERPOLATED
    assert np.all(np.isfinite(refined.values["train_loss"][rest]))
    assert (diverged & rest).sum() <= 0.1 * rest.sum()


def test_a_line_is_refined_too() -> None:
    axes = [(-1, 1, 401)]
    full, refined = oracles.run_slice(_mlp(), axes), oracles.run_slice(_mlp(), axes, tol=0.05)
    assert refined.evaluated < 0.5 * 401
    np.testing.assert_allclose(refined.values["train_loss"], full.values["train_loss"], rtol=0.05)


def test_a_tolerance_that_can_not_be_is_refused() -> None:
    with pytest.raises(ValueError, match="tol must lie between 0 and 1"):
        oracles.run_slice(_mlp(), AXES, tol=5)


class Bowl(nn.Module):
    """Loss = mean of (theta . x)^2 + start: with one parameter of norm 1 it is start + scale r^2 along it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([[0.6, 0.8]], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return x


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e6])
def test_the_range_found_is_where_the_loss_rises_to_the_level(scale: float) -> None:
    theta = torch.tensor([[0.6, 0.8]], dtype=torch.float64)

    def measure(model: Bowl, batch: Any) -> dict[str, Any]:
        return {"loss": (0.01 + scale * (model.weight - theta).square().sum(), 1.0)}

    problem = Problem(Bowl(), (torch.zeros(1, 2, dtype=torch.float64),), measure=measure)  # type: ignore[arg-type]
    recorder = oracles.Recorder()
    options: Any = {"reporter": recorder, "output": "a.h5", "ignore": "none", "normalise": "dlayer"}
    surface = oracles.run_slice(problem, ["auto:5"], **options)
    reach = surface.axes[0][-1]
    exact = (0.09 / scale) ** 0.5  # the centre's plus nine times its size: 0.1
    assert exact <= reach * (1 + 1e-6)
    assert reach <= exact * 1.15
    assert surface.axes[0][0] == -reach
    assert any(
        line.startswith(f"range: {-reach:g} .. {reach:g}, over which train_loss rises to 0.1") for line in recorder.said
    )
    again = oracles.run_slice(problem, ["auto:5"], **options)
    assert again.axes[0][-1] == reach
    assert any("complete already" in line for line in recorder.said)


def test_the_level_is_that_of_a_guess_or_ten_times_the_centre() -> None:
    surface = oracles.run_slice(_mlp(), ["auto:5", "auto:5"])
    assert surface.levels["train_loss"] == pytest.approx(max(np.log(3), 10 * surface.centre["train_loss"]))
    model, x, y = oracles.regression()
    problem = Problem(model, (x, y), "mse")
    surface = oracles.run_slice(problem, ["auto:5"])
    mean = float((y - y.mean(0)).square().mean())
    assert surface.levels["train_loss"] == pytest.approx(max(mean, 10 * surface.centre["train_loss"]))


def test_a_loss_that_never_rises_gets_a_line_and_the_usual_range() -> None:
    problem = _mlp(lambda _model, _batch: {"loss": (1.0, 1.0)})
    recorder = oracles.Recorder()
    surface = oracles.run_slice(problem, ["auto:5"], reporter=recorder)
    assert surface.axes[0].tolist() == [-1, -0.5, 0, 0.5, 1]
    assert any("does not rise to 10 up to 1024" in line for line in recorder.warned)


def test_bf16_stands_still_at_a_small_range_and_auto_refuses_it_there() -> None:
    recorder = oracles.Recorder()
    surface = oracles.run_slice(_mlp(), [(-0.01, 0.01, 201)], dtype="auto", reporter=recorder)
    assert surface.provenance["dtype"] == "float32"
    assert any("bf16: only" in line and "change from point to point" in line for line in recorder.said)
    oracles.run_slice(_mlp(), [(-0.001, 0.001, 21)], dtype="bf16", reporter=recorder)
    assert any("will have steps" in line.replace("\n", " ") for line in recorder.warned)


def test_a_line_toward_another_model_has_no_range_to_be_found() -> None:
    with pytest.raises(ValueError, match="axis auto finds a range around one minimum"):
        oracles.run_slice(_mlp(), ["auto:5"], toward="b.pt")


def test_errors_of_a_refined_run_are_those_of_any_other() -> None:
    def fail(number: int) -> None:
        if number == 60:
            raise RuntimeError("no luck")

    with pytest.raises(ProblemError, match="no luck"):
        oracles.run_slice(_counting(fail), AXES, output="a.h5", **FIXED)
    assert store.read("a.h5").evaluated > 30
    assert not Path("a.h5.lock").exists()


def _deep_plain() -> Problem:
    """Return a deep network without skip connections, most of whose plane lies above the level."""
    x, y = load_digits(return_X_y=True)
    inputs, targets = torch.tensor(x[:400] / 16, dtype=torch.float32), torch.tensor(y[:400])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(12)
        layers: list[nn.Module] = [nn.Linear(64, 24), nn.ReLU()]
        for _ in range(10):
            layers += [nn.Linear(24, 24), nn.ReLU()]
        model = nn.Sequential(*layers, nn.Linear(24, 10))
    optimiser = torch.optim.Adam(model.parameters(), 0.003)
    for _ in range(300):
        optimiser.zero_grad()
        functional.cross_entropy(model(inputs), targets).backward()
        optimiser.step()
    return Problem(model, (inputs, targets), "cross_entropy", name="plain")


@pytest.mark.slow
@pytest.mark.parametrize("tolerance", [0.02, 0.05])
@pytest.mark.parametrize("reach", [1.2, 0.4])
def test_what_is_drawn_as_known_is_within_the_tolerance_though_most_lies_above_the_level(
    tolerance: float, reach: float
) -> None:
    axes, problem = [(-reach, reach, 41)] * 2, _deep_plain()
    full = oracles.run_slice(problem, axes, seed=2)
    refined = oracles.run_slice(problem, axes, seed=2, tol=tolerance)
    level = max(10 * full.centre["train_loss"], np.log(10))
    assert refined.levels == full.levels == {"train_loss": pytest.approx(level)}
    truth, guess = full.values["train_loss"], refined.values["train_loss"]
    assert np.mean(truth > level) > 0.6
    known = refined.origin == EVALUATED
    drawn = (refined.origin == INTERPOLATED) & (guess <= level)
    np.testing.assert_array_equal(refined.unresolved("train_loss"), (refined.origin == INTERPOLATED) & (guess > level))
    low = min(truth[known].min(), full.centre["train_loss"])
    floor = 0.05 * np.median(np.minimum(truth[known], level) - low)
    error = np.abs(np.minimum(truth, level) - guess) / np.maximum(np.minimum(truth, level) - low, floor)
    accuracy = np.abs(full.values["train_accuracy"] - refined.values["train_accuracy"])
    assert np.sum(((error > tolerance) | (accuracy > tolerance))[drawn]) <= 0.1 * drawn.sum()
    assert np.sum((truth < level / (1 + tolerance))[refined.unresolved("train_loss")]) <= 0.2 * (guess > level).sum()
    rows = dict(describe(refined))
    assert rows["level"].startswith(f"train_loss {level:.4g}: ")
    if refined.unresolved("train_loss").any():
        assert "not resolved" in rows["level"]
        assert "above the level" in rows["audit"]


def test_a_metric_that_can_not_be_interpolated_is_left_empty() -> None:
    def sometimes(outputs: Tensor, targets: Tensor) -> Tensor:
        return torch.where(functional.cross_entropy(outputs, targets) > 1.2, torch.nan, 1.0)

    problem = Problem(_mlp().model, _mlp().sources, "cross_entropy", metrics={"odd": sometimes})
    refined = oracles.run_slice(problem, AXES, tol=0.05)
    rest = refined.origin == INTERPOLATED
    assert 0 < np.isnan(refined.values["train_odd"][~rest]).sum() < np.sum(~rest)
    assert np.isnan(refined.values["train_odd"][rest]).all()
    assert f"{rest.sum()} left empty" in dict(describe(refined))["train_odd"]
    assert np.isfinite(refined.values["train_loss"]).all()


def test_the_level_that_the_user_gives_is_that_of_file_and_refinement() -> None:
    refined = oracles.run_slice(_mlp(), AXES, tol=0.05, level=1.5, output="a.h5")
    assert refined.levels == {"train_loss": 1.5, "test_loss": 1.5}
    assert store.read("a.h5").levels == refined.levels
    with pytest.raises(StoreError, match="level is 1.5 there, none here"):
        oracles.run_slice(_mlp(), AXES, tol=0.05, output="a.h5")
    with pytest.raises(ProblemError, match=r"level 0.01 is not above the train loss at the centre"):
        oracles.run_slice(_mlp(), AXES, level=0.01)


def test_the_level_of_a_custom_loss_is_that_of_the_low_part_of_a_coarse_lattice() -> None:
    def measure(model: nn.Module, batch: Any) -> dict[str, PerSample]:
        each = functional.cross_entropy(model(batch[0]).double(), batch[1], reduction="none")
        return {"loss": PerSample(each, torch.ones_like(each))}

    full = oracles.run_slice(_mlp(measure), AXES)
    refined = oracles.run_slice(_mlp(measure), AXES, tol=0.05)
    i, j = (np.linspace(0, n - 1, 5).round().astype(int) for n in full.shape)
    middle = [int(np.argmin(np.abs(axis))) for axis in full.axes]
    lattice = np.append(full.values["train_loss"][np.ix_(i, j)].ravel(), full.values["train_loss"][tuple(middle)])
    lattice = lattice[:-1] if middle[0] in i and middle[1] in j else lattice
    low = min(lattice.min(), full.centre["train_loss"])
    expected = max(
        low + 10 * np.median(np.sort(lattice)[: round(len(lattice) / 4)] - low), 10 * full.centre["train_loss"]
    )
    assert full.levels["train_loss"] == pytest.approx(expected)
    assert refined.levels == full.levels


def test_no_level_lies_below_ten_times_the_centre() -> None:
    """The centre of a line may be its highest point, and a plane may be nearly flat."""

    def measure(model: nn.Module, batch: Any) -> dict[str, PerSample]:
        each = functional.cross_entropy(model(batch[0]).double(), batch[1], reduction="none")
        return {"loss": PerSample(each, torch.ones_like(each))}

    for axes in ([(-0.001, 0.001, 5), (-0.001, 0.001, 5)], [(0, 1, 21)]):
        surface = oracles.run_slice(_mlp(measure), axes)
        assert surface.levels["train_loss"] >= 10 * surface.centre["train_loss"]
