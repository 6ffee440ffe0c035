"""1-D slices: loss curves, with accuracy on a second axis."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from surfaceviz.records import FloatArray, Slice
from surfaceviz.render import style
from surfaceviz.render.labels import axis_label, plain
from surfaceviz.render.style import scaled

_FEW_DECADES = 2.0  # up to so many, 2 and 5 of each decade are labelled as well


def split_names(surface: Slice, metric: str) -> list[str]:
    """Return the names of the splits that have a metric, in the file's order."""
    return [split for split in surface.splits if f"{split}_{metric}" in surface.values]


def draw_curve(ax: Axes, surfaces: Sequence[Slice], *, metric: str, faint: bool = False, prefixed: bool = True) -> None:
    """Draw a metric of each slice and split: colour tells the slice, or the split where there is one slice.

    A dot is the centre's own value, on the grid or not. The band is one standard error of the paired rise over
    the centre, which is what compares two points of a curve.

    Args:
        ax: the axes to draw on.
        surfaces: 1-D slices.
        metric: such as ``loss``.
        faint: draw thin and dotted, for a second axis.
        prefixed: whether labels name the metric.
    """
    styles: Sequence[Any] = style.FAINT_STYLES if faint else style.LINE_STYLES
    for i, surface in enumerate(surfaces):
        for j, split in enumerate(split_names(surface, metric)):
            name = f"{split}_{metric}"
            colour = style.COLOURS[(i if len(surfaces) > 1 else j) % len(style.COLOURS)]
            own = f"{plain(surface.title)}, " if len(surfaces) > 1 else ""
            y = np.where(np.isfinite(surface.values[name]), surface.values[name], np.nan)
            y = _without_unresolved(ax, surface, name, y, colour=colour)
            ax.plot(
                surface.axes[0], y, color=colour, linestyle=styles[j % len(styles)],
                linewidth=scaled(1.0) if faint else None, alpha=0.8 if faint else 1.0,
                label=own + plain(f"{split} {metric}" if prefixed else split).replace("_", " "),
            )  # fmt: skip
            _draw_lone(ax, surface.axes[0], y, colour)
            if not faint:
                _draw_centre(ax, surface, name, colour)


def _without_unresolved(ax: Axes, surface: Slice, name: str, y: FloatArray, *, colour: str) -> FloatArray:
    """Draw what is interpolated above the level of the loss as thin dots, and return the other values."""
    hidden = surface.unresolved(name)
    if not hidden.any():
        return y
    beside = hidden | np.append(hidden[1:], False) | np.append(False, hidden[:-1])
    label = "above the level: interpolated, not resolved"
    ax.plot(
        surface.axes[0], np.where(beside, y, np.nan), ":", color=colour, linewidth=scaled(0.7), alpha=0.6, label=label
    )
    return np.where(hidden, np.nan, y)


def _draw_lone(ax: Axes, x: FloatArray, y: FloatArray, colour: str) -> None:
    """Dot the points without a finite neighbour, which have no line."""
    known = np.pad(np.isfinite(y), 1)
    lone = known[1:-1] & ~known[:-2] & ~known[2:]
    if lone.any():
        ax.plot(x[lone], y[lone], ".", color=colour, markersize=scaled(4))


def _draw_centre(ax: Axes, surface: Slice, name: str, colour: str) -> None:
    """Draw the centre's own value and the band of a curve."""
    if name in surface.centre:
        ax.plot([0], [surface.centre[name]], "o", color=colour, markersize=scaled(3.5), zorder=3)
    if name in surface.rise_stderr:
        y, error = surface.values[name], surface.rise_stderr[name]
        ax.fill_between(surface.axes[0], y - error, y + error, color=colour, alpha=0.18, linewidth=0)


def draw_iterates(ax: Axes, surfaces: Sequence[Slice], metric: str) -> None:
    """Draw the iterates of trainings at their projections, as high as their own value where it is known."""
    for i, surface in enumerate(surfaces):
        path = None if surface.trajectory is None else surface.trajectory.with_gaps
        names = [] if path is None else [f"{split}_{metric}" for split in surface.splits]
        known = next((name for name in names if path is not None and name in path.values), None)
        if path is not None and known is not None:
            colour = style.COLOURS[i] if len(surfaces) > 1 else style.INK
            ax.plot(
                path.coordinates[:, 0], path.values[known], color=colour, marker=".", markersize=scaled(4),
                linewidth=scaled(0.8), label="training", scalex=False, scaley=False,
            )  # fmt: skip


def finish_curve(ax: Axes, surfaces: Sequence[Slice], *, metric: str, log: bool) -> None:
    """Label the axes, mark the models and the points where the loss diverged."""
    first = surfaces[0]
    ax.set_xlabel(axis_label(first, 0))
    ax.set_ylabel(plain(metric).replace("_", " "))
    if log:
        scale_log(ax)
    ends = [float(surface.axes[0][k]) for surface in surfaces for k in (0, -1)]
    if min(ends) < max(ends):
        ax.set_xlim(min(ends), max(ends))
    ax.axvline(0, color="#999999", linewidth=scaled(0.7), zorder=0)
    for surface in surfaces:
        for mark in surface.marks:
            ax.axvline(mark.coordinates[0], color="#999999", linewidth=scaled(0.7), zorder=0)
            where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
            ax.annotate(plain(mark.name), (mark.coordinates[0], 1), xytext=(0, scaled(4)), fontsize="small", **where)  # type: ignore[arg-type]
        for split in split_names(surface, metric):
            _draw_diverged(ax, surface, f"{split}_{metric}")


def scale_log(ax: Axes) -> None:
    """Put an axis on a log scale with as many plain labels as it needs: 2 and 5 as well over few decades."""
    ax.set_yscale("log")
    low, high = ax.get_ylim()
    if np.log10(high / low) > _FEW_DECADES:
        return
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _place: f"{y:g}"))
    ax.yaxis.set_minor_formatter(NullFormatter())


def _draw_diverged(ax: Axes, surface: Slice, name: str) -> None:
    diverged = (surface.origin > 0) & ~np.isfinite(surface.values[name])
    if diverged.any():
        x = surface.axes[0][diverged]
        across = ax.get_xaxis_transform()
        top = np.full(len(x), 0.98)
        ax.plot(x, top, "x", color="#6b6b6b", markersize=scaled(4), transform=across, label="diverged")
