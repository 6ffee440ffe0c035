"""Baseline: the same run in batches that fit; memory runs short by fault injection."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from torch import Tensor, nn

from surfaceviz import store
from surfaceviz.errors import MemoryShortError, ProblemError
from surfaceviz.problem.functional import DataPass
from surfaceviz.problem.problem import Problem

AXES = [(-1, 1, 5), (0, 1, 3)]


class Hungry(nn.Module):
    """Raises what CUDA's allocator does for batches that are too large."""

    def __init__(self, largest: Callable[[], int], error: Exception) -> None:
        super().__init__()
        self.net, self._largest, self._error = oracles.net(), largest, error

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > self._largest():
            raise self._error
        y: Tensor = self.net(x)
        return y


def _problem(largest: Callable[[], int], error: Exception | None = None) -> Problem:
    model = Hungry(largest, error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB"))
    return Problem(model.eval(), {"train": oracles.images(50), "test": oracles.images(17)}, "cross_entropy", name="net")


def _run(problem: Problem, **options: Any) -> tuple[Any, oracles.Recorder]:
    recorder = oracles.Recorder()
    return oracles.run_slice(problem, AXES, reporter=recorder, **options), recorder


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("out of memory"),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory"),
    ],
    ids=lambda error: type(error).__name__,
)
@pytest.mark.parametrize("engine", ["eager", None])
def test_batches_are_halved_until_they_fit(
    error: Exception, engine: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The 67 samples of both splits are one batch at first: 67, 34, 17, 9. Engines are not compared."""
    monkeypatch.setattr(importlib.import_module("surfaceviz.evaluate.select_engine"), "_MIN_WORK", math.inf)
    small, _ = _run(_problem(lambda: 10, error), engine=engine, output="a.h5")
    assert small.provenance["batch_size"] == 9
    fitting, _ = _run(_problem(lambda: 100), engine="eager", batch_size=9)
    for name, array in fitting.values.items():
        np.testing.assert_array_equal(small.values[name], array)
    assert "rounding" not in small.provenance
    assert store.read("a.h5").provenance["batch_size"] == small.provenance["batch_size"]


def test_batches_that_are_halved_during_a_run_are_noted() -> None:
    passes = count()
    surface, recorder = _run(_problem(lambda: 100 if next(passes) < 20 else 10), engine="eager", batch_size=64)
    line = "memory ran short with batches of 16: batches of 8 from there on"
    assert surface.provenance["rounding"] == line
    assert f"{line}; values agree within rounding" in recorder.warned
    exact, _ = _run(_problem(lambda: 100), engine="eager", batch_size=64)
    for name, array in exact.values.items():
        np.testing.assert_allclose(surface.values[name], array, rtol=1e-5)


@pytest.mark.parametrize("engine", ["eager", "folded", "compiled", "vmapped"])
@pytest.mark.parametrize("bn", ["fixed", "recalibrate"])
def test_no_point_is_lost_when_memory_runs_short(engine: str, bn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory runs short at one pass after another; the point is evaluated again, whatever the working tensors hold."""
    if engine == "vmapped" and bn == "recalibrate":
        engine = "eager"  # several weight sets at once can't; batches of three then
    exact, _ = _run(_problem(lambda: 100), engine="eager", bn=bn)
    whole = DataPass.__call__
    for at in (4, 9, 14):
        passes = count()

        def scarce(self: DataPass, state: Any, at: int = at, passes: Iterator[int] = passes) -> Any:
            if next(passes) == at:
                raise MemoryShortError("out of memory")
            return whole(self, state)

        monkeypatch.setattr(DataPass, "__call__", scarce)
        surface, _ = _run(_problem(lambda: 100), engine=engine, batch_size=64, bn=bn)
        monkeypatch.setattr(DataPass, "__call__", whole)
        assert next(passes) > at
        for name in ("train_loss", "test_loss"):
            np.testing.assert_allclose(surface.values[name], exact.values[name], rtol=1e-5)


def _given() -> Iterator[tuple[Tensor, Tensor]]:
    x, y = oracles.images(50)
    yield from zip(x.split(25), y.split(25), strict=True)


def test_batches_that_can_not_be_halved_raise_an_error() -> None:
    with pytest.raises(ProblemError, match="measuring split train raised OutOfMemoryError: CUDA out of memory"):
        _run(_problem(lambda: 0))

    def measure(model: nn.Module, batch: Any) -> dict[str, Any]:
        return {"loss": (model(batch[0]).sum(), 1.0)}

    model = Hungry(lambda: 10, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(ProblemError, match="raised OutOfMemoryError"):
        _run(Problem(model, list(_given()), measure=measure))
