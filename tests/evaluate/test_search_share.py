"""Baseline: a clock that only evaluated points move, read after the search for an engine."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from surfaceviz.evaluate import EngineConfig, Evaluator, SelectedEngine, select_engine
from surfaceviz.pipeline.slice.planning.make_plan import make_plan
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.problem import Problem

A_POINT, SHARE, SAMPLES = 0.8, 1 / 3, 40  # seconds for a point on all samples; of the work


def _select(
    monkeypatch: pytest.MonkeyPatch, points: int, pace: Callable[[EngineConfig], float]
) -> tuple[float, SelectedEngine]:
    """Return the seconds of the search, and what it found; an engine takes ``pace(engine)`` times 0.8 s for a point."""
    clock = [0.0]
    call = Evaluator.__call__

    def counted(evaluator: Evaluator, coordinates: Sequence[Any]) -> Any:
        groups = math.ceil(len(coordinates) / evaluator.group)  # always whole
        share = evaluator._context.samples / SAMPLES
        clock[0] += A_POINT * groups * evaluator.group * share * pace(evaluator.engine)
        return call(evaluator, coordinates)

    monkeypatch.setattr(Evaluator, "__call__", counted)
    fake = type("Clock", (), {"monotonic": lambda: clock[0], "perf_counter": lambda: clock[0]})
    monkeypatch.setattr(importlib.import_module("surfaceviz.evaluate.engine_trials"), "time", fake)
    module = importlib.import_module("surfaceviz.evaluate.select_engine")
    monkeypatch.setitem(module._STARTUP, "compiled", 1e9)  # a compiler takes seconds of the test
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    problem = Problem(model, (torch.randn(SAMPLES, 3), torch.arange(SAMPLES) % 2), "cross_entropy")
    context = make_plan(Request.of(problem, [(-1, 1, 5)]), lambda _line: None).context()
    with borrowed(model, torch.device("cpu")):
        chosen = select_engine(context, [(0.5,), (-0.5,)], points=points)
    return clock[0], chosen


@pytest.mark.parametrize("points", [5, 8, 12, 14, 15, 20, 40, 100, 200, 625, 3000])
def test_the_search_for_an_engine_takes_a_share_of_the_work(points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One point is evaluated in any case; all engines take 0.8 s for a point here, each of a group too."""
    seconds, _ = _select(monkeypatch, points, lambda _engine: 1.0)
    assert A_POINT <= seconds <= max(A_POINT, SHARE * points * A_POINT)


@pytest.mark.parametrize(("points", "group"), [(100, 4), (625, 32), (3000, 256)])
def test_a_fast_engine_is_found_within_the_share(points: int, group: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The group is the largest that the share permits if a weight set takes as long as the eager engine's."""
    seconds, chosen = _select(monkeypatch, points, lambda engine: engine.group**-0.7)
    assert seconds <= SHARE * points * A_POINT
    assert chosen.engine.name == "vmapped"
    assert group <= chosen.engine.group <= points
