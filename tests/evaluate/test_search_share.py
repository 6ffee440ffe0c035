"""Baseline: a clock that only evaluated points move, read after the search for an engine."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import nn

from surfaceviz.evaluate import Evaluator, select_engine
from surfaceviz.pipeline.slice.planning.make_plan import make_plan
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.problem import Problem

A_POINT, SHARE = 0.8, 1 / 3  # seconds; of the work


@pytest.mark.parametrize("points", [5, 8, 20])
def test_the_search_for_an_engine_takes_a_share_of_the_work(points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One point is evaluated in any case; all engines take 0.8 s for a point here."""
    clock = [0.0]
    call = Evaluator.__call__

    def counted(evaluator: Evaluator, coordinates: Sequence[Any]) -> Any:
        clock[0] += A_POINT * len(coordinates)
        return call(evaluator, coordinates)

    monkeypatch.setattr(Evaluator, "__call__", counted)
    module = importlib.import_module("surfaceviz.evaluate.select_engine")
    fake = type("Clock", (), {"monotonic": lambda: clock[0], "perf_counter": lambda: clock[0]})
    monkeypatch.setattr(module, "time", fake)
    monkeypatch.setitem(module._STARTUP, "compiled", 1e9)  # a compiler takes seconds of the test
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2))
    problem = Problem(model, (torch.randn(40, 3), torch.arange(40) % 2), "cross_entropy")
    context = make_plan(Request.of(problem, [(-1, 1, 5)]), lambda _line: None).context()
    with borrowed(model, torch.device("cpu")):
        select_engine(context, [(0.5,), (-0.5,)], points=points)
    assert A_POINT <= clock[0] <= max(A_POINT, SHARE * points * A_POINT)
