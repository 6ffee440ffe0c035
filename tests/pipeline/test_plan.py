"""Baseline: the number of times that data are moved to the device, counted."""

from __future__ import annotations

from typing import Any

import oracles
import pytest

from surfaceviz.pipeline.slice.planning.plan import Plan

AXES = ["auto:9", "auto:7"]


@pytest.mark.parametrize("options", [{}, {"tol": 0.05}, {"tol": 0.05, "samples": "auto", "engine": "eager"}])
def test_the_data_are_prepared_once(monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]) -> None:
    made: list[tuple[str, int | None]] = []
    make = Plan._context

    def counted(plan: Plan, dtype: str, subset: int | None) -> Any:
        made.append((dtype, subset))
        return make(plan, dtype, subset)

    monkeypatch.setattr(Plan, "_context", counted)
    assert oracles.run_slice(oracles.net_problem(), AXES, **options).complete
    assert made == [("float32", None)]
