"""Baseline: the records drawn, read back from matplotlib's artists and from the report's payload."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from pages import bowl

from surfaceviz import render
from surfaceviz.records import Minima, MinimumKind, Slice, minima_summary, minima_table
from surfaceviz.render.curves.merge_tree import leaf_positions
from surfaceviz.render.report import payload

KINDS = [MinimumKind.LOWEST, MinimumKind.COUNTS, MinimumKind.WITHIN_ERROR, MinimumKind.BORDER]


def _minima(ndim: int = 2, **changes: Any) -> Minima:
    place = np.array([[0.0, 0.0], [0.5, 1.0], [-0.5, 1.5], [1.0, -1.0]])[:, :ndim]
    between = np.array([[np.nan, np.nan], [0.25, 0.5], [0.0, 1.25], [0.5, -0.5]])[:, :ndim]
    return replace(
        Minima(
            place=place, loss=np.array([0.1, 0.2, 0.4, 0.6]), pass_place=between,
            pass_loss=np.array([np.nan, 2.0, 0.5, 0.7]), parent=np.array([-1, 0, 1, 0]),
            basin=np.array([0.5, 0.3, 0.1, 0.2]), persistence=np.array([np.nan, 1.7, 0.15, 0.1]),
            persistence_stderr=np.array([np.nan, 0.1, 0.2, 0.01]), verdict=np.array(KINDS, np.uint8), count=9,
            threshold=2.5, samples=70, held_out=True, loss_name="train_loss", dtype="float64",
        ),
        **changes,
    )  # fmt: skip


def _surface(shape: tuple[int, ...] = (9, 7), **changes: Any) -> Slice:
    return replace(bowl(shape), minima=_minima(len(shape), **changes))


def _panel(picture: render.figure.Picture) -> Axes:
    return next(ax for ax in picture.axes if ax.get_label() != "<colorbar>")


def _marked(ax: Axes, marker: str) -> list[tuple[float, float]]:
    lines = [line for line in ax.lines if line.get_marker() == marker]
    return sorted((float(x), float(y)) for line in lines for x, y in np.asarray(line.get_xydata()))


@pytest.mark.parametrize("kind", ["filled", "lines", "heat"])
def test_contours_show_all_minima_and_number_those_that_count_with_their_passes(kind: str) -> None:
    ax = _panel(render.draw([_surface()], kind=kind))
    assert _marked(ax, "v") == [(-0.5, 1.5), (0, 0), (0.5, 1), (1, -1)]
    assert _marked(ax, "x") == [(0.25, 0.5)]
    assert sorted(text.get_text() for text in ax.texts if text.get_bbox_patch() is not None) == ["1", "2", "2"]
    for limits, axis in zip((ax.get_xlim(), ax.get_ylim()), _surface().axes, strict=True):
        assert limits == pytest.approx((axis[0], axis[-1]), abs=0.26)  # cells of a heat map end half a step outside


@pytest.mark.parametrize("of", ["train_rise", "train_accuracy", "test_loss"])
def test_minima_are_drawn_on_their_own_loss_and_its_rise_alone(of: str) -> None:
    shown = bool(_marked(_panel(render.draw([_surface()], of=of)), "v"))
    assert shown == (of == "train_rise")


def test_a_curve_has_its_minima_and_passes_at_their_losses() -> None:
    ax = next(a for a in render.draw([_surface((9,))]).axes if a.get_ylabel() == "loss")
    assert _marked(ax, "v") == [(0, 0.1), (0.5, 0.2)]
    assert _marked(ax, "x") == [(0.25, 2.0)]


def _stems(ax: Axes) -> list[Line2D]:
    return [line for line in ax.lines if line.get_alpha() is None]


def test_a_tree_joins_each_minimum_at_its_pass_to_the_one_that_lives_on() -> None:
    ax = _panel(render.draw([_surface()], kind="tree"))
    stems = sorted((np.asarray(line.get_xydata()) for line in _stems(ax)), key=lambda xy: float(xy[0, 1]))
    assert [float(xy[0, 1]) for xy in stems] == [0.1, 0.2, 0.4, 0.6]
    assert [xy[1:, 1].tolist() for xy in stems[1:]] == [[2.0, 2.0], [0.5, 0.5], [0.7, 0.7]]
    x = [float(xy[0, 0]) for xy in stems]
    assert [float(xy[2, 0]) for xy in stems[1:]] == [x[0], x[1], x[0]]
    needed = sorted(float(np.ptp(line.get_ydata())) for line in ax.lines if line.get_alpha() is not None)
    assert needed == pytest.approx([0.025, 0.25, 0.5])


@pytest.mark.parametrize("seed", range(10))
def test_no_branches_of_a_tree_cross(seed: int) -> None:
    random = np.random.default_rng(seed)
    parent = [-1, *(int(random.integers(0, k)) for k in range(1, 12))]
    ends = np.full(12, np.inf)  # a branch ends below that which it joins
    for k in range(1, 12):
        ends[k] = random.uniform(0.1, 0.9) * min(ends[parent[k]], 10.0)
    x = leaf_positions(parent, ends)
    assert sorted(x) == list(range(12))
    for k in range(1, 12):
        low, high = sorted((x[k], x[parent[k]]))
        assert all(ends[j] <= ends[k] for j in range(12) if low < x[j] < high)


def test_a_tree_needs_minima() -> None:
    with pytest.raises(ValueError, match=r"^net has no minima; compute them by: surfaceviz minima FILE.h5$"):
        render.draw([bowl()], kind="tree", names=["net"])


def test_the_report_has_the_table_and_the_points() -> None:
    found = payload([_surface()], ["net"], "title")["files"][0]["minima"]
    assert [row[0] for row in found["rows"]] == ["1", "2", "3", "4"]
    assert found["rows"][1] == (
        "2", "(0.5, 1)", "0.2", "2 at (0.25, 0.5)", "1.7 +- 0.1", "30.0%", "yes",
    )  # fmt: skip
    assert found["rows"][2][-2:] == ("in 2", "no: within its error")
    assert [(each["at"], each["text"], each["is_pass"]) for each in found["points"]] == [
        ([0, 0], "1", False), ([0.5, 1], "2", False), ([-0.5, 1.5], "", False), ([1, -1], "", False),
        ([0.25, 0.5], "2", True),
    ]  # fmt: skip
    assert payload([bowl()], ["net"], "title")["files"][0]["minima"] is None


def test_words_name_the_rule_the_samples_and_what_was_not_judged() -> None:
    words = minima_summary(_minima())
    assert words == (
        "minima of train_loss: the lowest and 1 more, of 9 on the grid, the 5 least persistent not judged (persistence "
        "above 2.50 standard errors on 70 samples that the slice was not computed on; with both diagonals of the "
        "cells, and on every second point)"
    )
    border = _minima(verdict=np.array([MinimumKind.BORDER] * 4, np.uint8), count=4, held_out=False)
    assert "the lowest (on the border) alone, of 4 on the grid (" in minima_summary(border)
    assert "on the slice's own 70 samples, which also chose the pairs;" in minima_summary(border)
    table = minima_table(_minima(), rows=1)
    assert len(table) == 4
    assert table[-1] == "and 2 less persistent, which do not count"
