"""Figures of studies: panels with slices, lines, points and bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.axes import Axes

from surfaceviz.records import FloatArray, Slice
from surfaceviz.records.studies import StudyPanel, StudyResult, StudySeries
from surfaceviz.render import style
from surfaceviz.render.contours.contour import draw_contour
from surfaceviz.render.contours.contour_figure import levels_of, mark_levels
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.quantity import Quantity, quantity
from surfaceviz.render.style import scaled

_PANEL, _HEIGHT = 3.9, 3.2  # inches of a 9 point font
_NARROW = 2.4  # inches of a panel, below which fewer stand in a row
_MOST = 3  # panels in a row
_SQUARE = 2  # four panels stand in two rows
_MANY = 60  # points above which their markers are small


def draw_study(result: StudyResult, *, size: str = "auto") -> Picture:
    """Return the figure of a study.

    Args:
        result: the study, with at least one panel.
        size: auto, column, page or slide.

    Raises:
        ValueError: no panel.
    """
    if not result.panels:
        raise ValueError(f"nothing to draw: the study {result.name} has no panel")
    with style.applied(size) as inches:
        fitting = _MOST if inches.width is None else max(1, int(inches.width / scaled(_NARROW)))
        columns = min(_SQUARE if len(result.panels) == _SQUARE**2 else _MOST, len(result.panels), fitting)
        rows = math.ceil(len(result.panels) / columns)
        width = inches.width or scaled(_PANEL * columns)
        figure = Picture(figsize=(width, scaled(_HEIGHT) * rows), layout="constrained")
        figure.exact_width = inches.width
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for ax, panel in zip(axes, result.panels, strict=False):
            draw_panel(ax, panel, [each for each in result.panels if each.group == panel.group != ""])
        for ax in axes[len(result.panels) :]:
            ax.set_axis_off()
    return figure


def draw_panel(ax: Axes, panel: StudyPanel, group: Sequence[StudyPanel] = ()) -> None:
    """Draw a panel: its slice, then its series, with labels and a legend.

    Args:
        ax: the axes.
        panel: the panel.
        group: the panels whose slices share its levels; none for levels of its own.
    """
    if panel.surface is not None:
        _draw_surface(ax, panel, group or (panel,))
    for number, series in enumerate(panel.series):
        if panel.surface is None:
            _draw_series(ax, series, style.COLOURS[number % len(style.COLOURS)])
        else:
            _mark_places(ax, series)
    ax.set_xlabel(panel.x_label)
    ax.set_ylabel(panel.y_label)
    ax.set_title(panel.title)
    for axis, set_scale in (("x", ax.set_xscale), ("y", ax.set_yscale)):
        if axis in panel.log:
            set_scale("log")
    if panel.ticks:
        ax.set_xticks(range(len(panel.ticks)), panel.ticks, rotation=30, ha="right")
    if panel.surface is None and any(series.label for series in panel.series):
        ax.legend(loc="best")


def _draw_surface(ax: Axes, panel: StudyPanel, group: Sequence[StudyPanel]) -> None:
    assert panel.surface is not None
    shown = _quantity(panel.surface, panel.floor)
    together = [_quantity(each.surface, each.floor) for each in group if each.surface is not None]
    levels = levels_of(together, PlotOptions(levels=group[0].levels))
    drawn = draw_contour(ax, panel.surface, shown, levels)
    if any(series.kind == "points" for series in panel.series):  # these are the places that matter, not the centre
        for artist in [each for each in ax.lines if each.get_label() == "theta"]:
            artist.remove()
    bar = ax.figure.colorbar(drawn, ax=ax, shrink=0.85, pad=0.02)
    mark_levels(bar, levels, "loss")


def _quantity(surface: Slice, floor: float | None) -> Quantity:
    shown = quantity(surface)
    return shown if floor is None else replace(shown, values=np.maximum(shown.values, floor))


def _draw_series(ax: Axes, series: StudySeries, colour: str) -> None:
    if series.kind == "bars":
        ax.bar(series.x, series.y, width=_bar_width(series.x), color=colour, alpha=0.6, label=series.label)
        return
    line = {"line": "-", "dashed": (0, (4, 2)), "points": ""}[series.kind]
    marker = "o" if series.kind == "points" else ""
    ax.errorbar(
        series.x, series.y, yerr=series.error, color=colour, linestyle=line, marker=marker, label=series.label,
        markersize=scaled(2.2 if len(series.x) > _MANY else 3.6), linewidth=scaled(1.3), capsize=scaled(2.0),
        elinewidth=scaled(0.9),
    )  # fmt: skip


def _bar_width(x: FloatArray) -> float:
    return float(np.diff(x).min()) if len(x) > 1 else 1.0


def _mark_places(ax: Axes, series: StudySeries) -> None:
    """Mark places on a slice, with a label next to each; a line is drawn as a path."""
    if series.kind != "points":
        ax.plot(series.x, series.y, color=style.MARK, linewidth=scaled(1.2))
        return
    ax.plot(
        series.x, series.y, "o", color=style.MARK, markersize=scaled(4.5), markeredgecolor="white", clip_on=False,
        zorder=5,
    )  # fmt: skip
    middle = sum(ax.get_xlim()) / 2
    for x, y in zip(series.x, series.y, strict=True) if series.label else ():
        side, align = (5, "left") if x <= middle else (-5, "right")  # so that no label leaves the panel
        ax.annotate(
            series.label, (x, y), xytext=(scaled(side), scaled(5)), textcoords="offset points", ha=align, zorder=6,
            fontsize="small", bbox={"boxstyle": "round,pad=0.2", "fc": "white", "ec": "none", "alpha": 0.8},
        )  # fmt: skip
