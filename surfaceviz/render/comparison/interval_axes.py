"""Intervals of the ratios between two networks, a row for each measure, with the verdict beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from surfaceviz.records import Difference, IntervalRow
from surfaceviz.render import style
from surfaceviz.render.labels import plain
from surfaceviz.render.style import scaled

_APART = 0.22  # of a row, between the networks as they are and in the gauge


def draw_intervals(ax: Axes, rows: Sequence[IntervalRow], names: tuple[str, str]) -> None:
    """Draw the 95% intervals of ratios.

    A filled dot is the ratio of the networks as they are, an open one that in the gauge.

    Args:
        ax: the axes.
        rows: from top to bottom.
        names: of both networks; the ratio is the first over the second.
    """
    for place, row in enumerate(rows):
        _draw_one(ax, place - (_APART if row.gauge else 0), row.raw, filled=True)
        if row.gauge is not None:
            _draw_one(ax, place + _APART, row.gauge, filled=False)
        ax.text(1.02, place, plain(row.words), transform=ax.get_yaxis_transform(), va="center", fontsize="x-small")
    ax.axvline(1, color="#999999", linewidth=scaled(0.7), zorder=0)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _place: f"{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_yticks(range(len(rows)), [row.title for row in rows], fontsize="x-small")
    ax.set_ylim(len(rows) - 0.5, -0.5)
    both = "; filled: as they are, open: in one gauge" if any(row.gauge for row in rows) else ""
    ax.set_xlabel(f"{plain(names[0])} / {plain(names[1])}, 95% intervals{both}", fontsize="small")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _draw_one(ax: Axes, place: float, difference: Difference, *, filled: bool) -> None:
    colour = style.COLOURS[0] if filled else style.COLOURS[1]
    if difference.is_known:
        ends = [math.exp(difference.low), math.exp(difference.high)]
        ax.plot(ends, [place, place], color=colour, linewidth=scaled(1.4))
    fill = "full" if filled else "none"
    ax.plot([difference.ratio], [place], "o", color=colour, markersize=scaled(4), fillstyle=fill)
