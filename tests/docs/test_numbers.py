"""Baseline: the JSON files of the benchmarks, in gallery/benchmarks, which the scripts have written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from doc_blocks import ROOT

PAGE = (ROOT / "docs" / "numbers.md").read_text()
Read = Callable[[Any], str]
LIBRARIES = ("surfaceviz", "hessian-eigenthings", "curvlinops", "plain")


def _read(name: str) -> Any:
    return json.loads((ROOT / "gallery" / "benchmarks" / f"{name}.json").read_text())


def _row(found: Any, problem: str) -> str:
    """Return the cells of a problem: the best baseline, that of surfaceviz, and their ratio."""
    rates = {name: row["points_per_second"] for name, row in found[problem]["contenders"].items()}
    ours = rates["auto, 2 x 1"]
    best = max(rate for name, rate in rates.items() if name.startswith(("loss-landscapes", "loader", "plain")))
    return f"| {_three(best)} | {_three(ours)} | {ours / best:.2f} x |"


def _three(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"


@pytest.mark.parametrize(
    "problem", ["resnet20-digits", "resnet20-32", "resnet20-32 bf16", "cnn-28", "mlp-digits", "mlp-digits-64"]
)
def test_points_per_second_are_those_of_the_benchmark(problem: str) -> None:
    rows = [line for line in PAGE.splitlines() if line.endswith(" x |")]
    cells = [[cell.split(" (")[0].strip() for cell in line.split("|")[2:5]] for line in rows]
    assert _row(_read("slice"), problem) in [f"| {' | '.join(row)} |" for row in cells]


def _fastest(found: Any, library: str) -> float:
    return min(float(row["seconds"]) for row in found["product"]["rows"] if row["library"] == library)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hessian", lambda found: f"| {' | '.join(f'{_fastest(found, k):.3g} s' for k in LIBRARIES)} |"),
        ("hessian", lambda found: f"| {' | '.join(f'{_extremes(found, k):.1f} s' for k in LIBRARIES[:3])} |"),
        (
            "hessian",
            lambda found: (
                f"| {sum(found['density']['surfaceviz']):.0f} s | - | {sum(found['density']['curvlinops']):.0f} s"
            ),
        ),
        ("render", lambda found: f"| {_seconds(found, '51', 'contour')} | {_seconds(found, '51', 'surface')} |"),
        ("render", lambda found: f"{100 * found['watching']['share']:.1f}% of a run"),
        ("scaling", lambda found: f"about {1e6 * found['dispatch']['busy_seconds']:.0f} µs"),
        (
            "scaling",
            lambda found: f"| {found['points']['efficiency']:.2f} ({found['points']['efficiency_of_the_command']:.2f}",
        ),
    ],
)
def test_a_number_of_the_page_is_that_of_the_benchmark(name: str, value: Read) -> None:
    assert value(_read(name)) in PAGE


def _extremes(found: Any, library: str) -> float:
    return min(float(row["seconds"]) for row in found["extremes"]["rows"] if row["library"] == library)


def _seconds(found: Any, size: str, kind: str) -> str:
    return f"{found['seconds'][size][kind]:.2f} s"
