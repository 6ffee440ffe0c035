"""Baseline: the same points on all samples; for their number, the variance of a mean drawn without putting back."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from torch import nn

from surfaceviz import store
from surfaceviz.pipeline.slice import workers
from surfaceviz.pipeline.slice.planning import autotune
from surfaceviz.pipeline.slice.planning.subset_size import enough_samples
from surfaceviz.problem import data
from surfaceviz.problem.problem import Problem
from surfaceviz.records import EVALUATED, INTERPOLATED, FloatArray, Slice
from surfaceviz.refine import LossError

SAMPLES = 20_000
AXES = [(-1, 1, 41), (-1, 1, 31)]
FIXED: Any = {"engine": "eager", "batch_size": 5000, "workers": 1}
AUTO: Any = {**FIXED, "tol": 0.05, "samples": "auto"}


def _regression() -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = nn.Linear(6, 4)
        x = torch.randn(SAMPLES, 6)
        y = (model(x) + 0.3 * torch.randn(SAMPLES, 4)).detach()
    return Problem(model, {"train": (x, y), "test": (x[:300], y[:300])}, "mse", name="regression")


@pytest.fixture(scope="module")
def full() -> Slice:
    return oracles.run_slice(_regression(), AXES, **FIXED)


def _errors(surface: Slice, full: Slice, name: str) -> FloatArray:
    """Return the errors of all points, by the definition."""
    z, guess = full.values[name], surface.values[name]
    level = max(10 * full.centre[name], float(_regression_variance(name)))
    measure = LossError.of(z.ravel(), level=level, centre=full.centre[name])
    return measure.error(guess, z)


def _regression_variance(name: str) -> float:
    targets = _regression().load(name.removesuffix("_loss")).rows[1]
    return float((targets - targets.mean(0)).square().mean())


def test_a_subset_does_and_audits_are_on_all_samples(full: Slice) -> None:
    recorder = oracles.Recorder()
    surface = oracles.run_slice(_regression(), AXES, **AUTO, reporter=recorder)
    subset = surface.provenance["subset"]
    assert 1000 < int(subset) < 0.8 * SAMPLES
    assert any(
        line.startswith(f"samples: {subset} of {SAMPLES}, with an RMS error under a third of") for line in recorder.said
    )
    for name in ("train_loss", "test_loss"):
        assert np.mean(_errors(surface, full, name) > 0.05) < 0.05
    assert surface.centre == pytest.approx(full.centre, rel=1e-6)
    exact = surface.values["train_loss"] == full.values["train_loss"]
    known = surface.origin == EVALUATED
    assert surface.audit is not None
    assert (
        np.count_nonzero(exact & known) == surface.audit.count + (surface.audit.above_count or 0) + 1
    )  # the audit's points, and the centre
    small = surface.values["test_loss"] == full.values["test_loss"]  # a split that has fewer is taken whole
    np.testing.assert_array_equal(small[known], True)


def test_losses_on_the_subset_are_shifted_to_the_centre_on_all(full: Slice) -> None:
    surface = oracles.run_slice(_regression(), AXES, **AUTO)
    few = oracles.run_slice(_regression(), AXES, samples=int(surface.provenance["subset"]), splits="train", **FIXED)
    shifted = few.values["train_loss"] + (full.centre["train_loss"] - few.centre["train_loss"])
    differing = ~np.isclose(surface.values["train_loss"], full.values["train_loss"], rtol=1e-9, atol=0)
    of_subset = (surface.origin == EVALUATED) & differing
    assert of_subset.sum() > 20
    np.testing.assert_allclose(surface.values["train_loss"][of_subset], shifted[of_subset], rtol=1e-9)


def test_bits_do_not_depend_on_workers_and_a_file_is_gone_on_from() -> None:
    torch.set_num_threads(1)
    one = oracles.run_slice(_regression(), AXES, **AUTO, output="a.h5")
    two = oracles.run_slice(_regression(), AXES, **{**AUTO, "workers": 2})
    for name, array in one.values.items():
        np.testing.assert_array_equal(array, two.values[name])
    kept = store.read("a.h5")
    assert kept.provenance["subset"] == one.provenance["subset"]
    recorder = oracles.Recorder()
    oracles.run_slice(_regression(), AXES, **AUTO, output="a.h5", reporter=recorder)
    assert any("complete already" in line for line in recorder.said)


class _Interrupting(oracles.Recorder):
    """Interrupts its own process when so many points are done."""

    def __init__(self, moment: int) -> None:
        super().__init__()
        self.moment = moment

    def advance(self, done: int, total: int | None, fresh: int) -> None:
        if done >= self.moment and fresh:
            self.moment = 10**9
            os.kill(os.getpid(), signal.SIGINT)
        super().advance(done, total, fresh)


@pytest.mark.parametrize("moment", [10, 40, 70])
def test_a_run_on_a_subset_that_is_cut_short_goes_on_to_the_same_bits(moment: int) -> None:
    expected = oracles.run_slice(_regression(), AXES, **AUTO)
    assert expected.evaluated > 75
    with pytest.raises(KeyboardInterrupt):
        oracles.run_slice(_regression(), AXES, **AUTO, output="a.h5", reporter=_Interrupting(moment))
    recorder = oracles.Recorder()
    again = oracles.run_slice(_regression(), AXES, **AUTO, output="a.h5", reporter=recorder)
    assert any(line.startswith("centre, train: loss") for line in recorder.said)
    np.testing.assert_array_equal(again.origin, expected.origin)
    for name, array in expected.values.items():
        np.testing.assert_array_equal(again.values[name], array)
        np.testing.assert_array_equal(again.rise_stderr[name], expected.rise_stderr[name])


@pytest.mark.slow
@pytest.mark.parametrize("moment", [None, 30, 90])
def test_a_subset_that_fails_its_audit_is_given_up(moment: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    full = oracles.run_slice(_regression(), AXES, **FIXED)
    monkeypatch.setattr(autotune, "smallest_subset", lambda *_given, **_options: 40)
    expected = oracles.run_slice(_regression(), AXES, **AUTO)
    assert expected.audit is not None
    assert expected.audit.confidence == 1 - 0.05 / 4  # the audit on the subset was the first
    known = expected.origin == EVALUATED
    recorder = oracles.Recorder()
    if moment is not None:
        with pytest.raises(KeyboardInterrupt):
            oracles.run_slice(_regression(), AXES, **AUTO, output="a.h5", reporter=_Interrupting(moment))
    surface = oracles.run_slice(_regression(), AXES, **AUTO, output="a.h5", reporter=recorder)
    assert moment == 90 or any("does not pass an audit" in line for line in recorder.said)
    assert surface.provenance["subset"] == "all"
    assert str(surface.provenance["samples_reason"]).startswith("all: a subset did not pass an audit")
    np.testing.assert_array_equal(surface.origin, expected.origin)
    for name, array in expected.values.items():
        np.testing.assert_array_equal(surface.values[name], array)
        np.testing.assert_array_equal(array[known], full.values[name][known])
    assert surface.audit == expected.audit
    assert oracles.run_slice(_regression(), AXES, **AUTO, output="a.h5", reporter=recorder).audit == expected.audit


def test_of_a_point_on_a_subset_the_rise_has_a_standard_error() -> None:
    surface = oracles.run_slice(_regression(), AXES, **AUTO)
    known = surface.origin == EVALUATED
    assert np.all(np.isfinite(surface.rise_stderr["train_loss"][known]))
    assert surface.audit is not None
    assert np.count_nonzero(np.isfinite(surface.stderr["train_loss"])) == surface.audit.count + (
        surface.audit.above_count or 0
    )


def test_samples_that_depend_on_their_batch_are_all_taken() -> None:
    x, y = oracles.images(60)
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 3), nn.BatchNorm1d(3, track_running_stats=False))
    surface = oracles.run_slice(Problem(model, (x, y), "cross_entropy"), AXES, tol=0.1, samples="auto", engine="eager")
    assert str(surface.provenance["samples_reason"]).startswith("all 60: batch norms without running statistics")


LARGE = """
def large():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = torch.nn.Linear(6, 4)
        x = torch.randn(20_000, 6)
        y = (model(x) + 0.3 * torch.randn(20_000, 4)).detach()
    return surfaceviz.Problem(model, (x, y), "mse")
"""


@pytest.mark.slow
def test_workers_that_build_it_anew_take_the_same_subset(monkeypatch: pytest.MonkeyPatch) -> None:
    oracles.write_factory(Path(), LARGE)
    monkeypatch.setattr(workers, "can_fork", lambda: False)
    one, two = (oracles.run_slice("mine.py:large", AXES, **{**AUTO, "workers": n}) for n in (1, 2))
    assert one.provenance["subset"] == two.provenance["subset"] != "all"
    np.testing.assert_array_equal(one.values["train_loss"], two.values["train_loss"])


def test_few_samples_are_all_taken() -> None:
    model, x, y = oracles.regression()
    recorder = oracles.Recorder()
    surface = oracles.run_slice(Problem(model, (x, y), "mse"), AXES, tol=0.05, samples="auto", reporter=recorder)
    assert surface.provenance["subset"] == "all"
    assert surface.provenance["samples_reason"] == (
        "all 37: fewer would save no time, or give an error over a third of 0.05"
    )
    assert np.any(surface.origin == INTERPOLATED)


@pytest.mark.parametrize("limit", [0.01, 0.03])
def test_enough_is_what_the_variance_of_a_mean_says(limit: float) -> None:
    """A mean of m of n has the variance s^2 / m (1 - m / n), so that m = n v / (n + v) with v = (s / limit)^2."""
    n, spread = 50_000, 1.5
    random = np.random.default_rng(0)
    losses = np.linspace(1.0, 2.0, 12)
    shares = random.standard_normal((12, n)) * spread * losses[:, None] / n
    shares -= shares.mean(1, keepdims=True)
    measure = LossError(level=100.0, minimum=0.0, floor=0.01)
    variance = (spread / limit) ** 2
    expected = n * variance / (n + variance)
    assert expected * 0.7 < enough_samples(shares, losses, measure, limit) < expected * 1.6


def test_a_heavy_tail_takes_more() -> None:
    n = 50_000
    shares = np.zeros((12, n))
    shares[:, ::5000] = 1.0 / 10  # ten samples are all of it
    shares -= shares.mean(1, keepdims=True)
    measure = LossError(level=100.0, minimum=0.0, floor=0.01)
    assert enough_samples(shares, np.ones(12), measure, 0.05) > 0.9 * n


def test_a_subset_is_the_one_that_loading_gives() -> None:
    x, y = torch.arange(1000.0)[:, None], torch.arange(1000)
    whole = data.load("train", (x, y))
    for count in (1, 10, 999):
        for mine, loaded in zip(whole.subset(count).rows, data.load("train", (x, y), samples=count).rows, strict=True):
            assert torch.equal(mine, loaded)
        assert sorted(data.subset_order(1000)[:count]) == whole.subset(count).rows[1].tolist()
    assert whole.subset(1000) is whole


def test_auto_without_a_tolerance_and_other_words_are_refused() -> None:
    with pytest.raises(ValueError, match="samples auto takes as few as a tolerance permits; give tol as well"):
        oracles.run_slice(_regression(), AXES, samples="auto")
    with pytest.raises(ValueError, match="samples auto refers losses to one minimum; with toward"):
        oracles.run_slice(_regression(), None, samples="auto", tol=0.05, toward="b.pt")
    with pytest.raises(ValueError, match="samples: expected a number, or auto, got 'some'"):
        oracles.run_slice(_regression(), AXES, samples="some")


def test_given_batches_stay_as_they_are() -> None:
    batches = [oracles.images(30), oracles.images(20)]

    def measure(model: nn.Module, batch: Any) -> dict[str, Any]:
        return {"loss": (model(batch[0]).square().sum(), 1.0)}

    surface = oracles.run_slice(Problem(oracles.net(), batches, measure=measure), AXES, tol=0.05, samples="auto")
    assert surface.provenance["samples_reason"] == "all 50: the batches are given and are not divided"
