"""1-D slices: loss curves, with accuracy on a second axis."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from surfaceviz.records import Slice
from surfaceviz.render import style
from surfaceviz.render.contour import axis_label


def split_names(surface: Slice, metric: str) -> list[str]:
    """Return the splits that have a metric, in the file's order."""
    return [split for split in surface.splits if f"{split}_{metric}" in surface.values]


def draw_curve(ax: Axes, surfaces: Sequence[Slice], *, metric: str, faint: bool = False, prefixed: bool = True) -> None:
    """Draw a metric of each slice and split: colour tells the slice, or the split where there is one slice.

    A dot is the centre's own value, on the grid or not. The band is one standard error of the paired rise over
    the centre, which is what compares two points of a curve.

    Args:
        ax: the axes to draw on.
        surfaces: 1-D slices.
        metric: such as ``loss``.
        faint: draw thin, for a second axis.
        prefixed: whether labels name the metric.
    """
    for i, surface in enumerate(surfaces):
        for j, split in enumerate(split_names(surface, metric)):
            name = f"{split}_{metric}"
            colour = style.COLOURS[(i if len(surfaces) > 1 else j) % len(style.COLOURS)]
            own = f"{surface.title}, " if len(surfaces) > 1 else ""
            y = np.where(np.isfinite(surface.values[name]), surface.values[name], np.nan)
            ax.plot(
                surface.axes[0], y, color=colour,
                linestyle=":" if faint else style.LINE_STYLES[j % len(style.LINE_STYLES)],
                linewidth=1.0 if faint else None, alpha=0.8 if faint else 1.0,
                label=f"{own}{split}" + (f" {metric}" if prefixed else ""),
            )  # fmt: skip
            if name in surface.centre and not faint:
                ax.plot([0], [surface.centre[name]], "o", color=colour, markersize=3.5, zorder=3)
            if name in surface.rise_stderr and not faint:
                error = surface.rise_stderr[name]
                ax.fill_between(surface.axes[0], y - error, y + error, color=colour, alpha=0.18, linewidth=0)


def finish_curve(ax: Axes, surfaces: Sequence[Slice], *, metric: str, log: bool) -> None:
    """Label the axes, mark the models and the points where the loss diverged."""
    first = surfaces[0]
    ax.set_xlabel(axis_label(first, 0))
    ax.set_ylabel(metric)
    if log:
        ax.set_yscale("log")
    ax.set_xlim(float(first.axes[0][0]), float(first.axes[0][-1]))
    ax.axvline(0, color="#999999", linewidth=0.7, zorder=0)
    for surface in surfaces:
        for mark in surface.marks:
            ax.axvline(mark.coordinates[0], color="#999999", linewidth=0.7, zorder=0)
            where = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center"}
            ax.annotate(mark.name, (mark.coordinates[0], 1), xytext=(0, 4), fontsize=7, **where)  # type: ignore[arg-type]
        for split in split_names(surface, metric):
            diverged = (surface.origin > 0) & ~np.isfinite(surface.values[f"{split}_{metric}"])
            if diverged.any():
                x = surface.axes[0][diverged]
                ax.plot(
                    x,
                    np.full(len(x), 0.98),
                    "x",
                    color="#6b6b6b",
                    markersize=4,
                    transform=ax.get_xaxis_transform(),
                )
