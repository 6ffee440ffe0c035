"""Intervals of the ratios between two networks, a row for each measure, with the verdict beside it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from surfaceviz.comparison import MEASURES
from surfaceviz.records import Difference, PairVerdicts, Verdict
from surfaceviz.render import style
from surfaceviz.render.labels import plain
from surfaceviz.render.style import scaled

_APART = 0.22  # of a row, between the networks as they are and in the gauge


def draw_intervals(ax: Axes, pairs: Sequence[PairVerdicts]) -> None:
    """Draw the 95% intervals of all measures that are compared by their ratio, of the first pair of groups.

    A filled dot is the ratio of the networks as they are, an open one that in the gauge.
    """
    pair = pairs[0]
    shown = [each for each in pair.verdicts if each.raw is not None and _on_ratio(each.raw)]
    for row, verdict in enumerate(shown):
        assert verdict.raw is not None
        _draw_one(ax, row - (_APART if verdict.gauge else 0), verdict.raw, filled=True)
        if verdict.gauge is not None and _on_ratio(verdict.gauge):
            _draw_one(ax, row + _APART, verdict.gauge, filled=False)
        ax.text(
            1.02, row, _short(verdict, (pair.first, pair.second)), transform=ax.get_yaxis_transform(),
            va="center", fontsize="x-small",
        )  # fmt: skip
    ax.axvline(1, color="#999999", linewidth=scaled(0.7), zorder=0)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0), numticks=12))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda x, _place: f"{x:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_yticks(range(len(shown)), [MEASURES[each.measure].title for each in shown], fontsize="x-small")
    ax.set_ylim(len(shown) - 0.5, -0.5)
    ax.set_xlabel(f"{plain(pair.first)} / {plain(pair.second)}, with 95% intervals")
    for side in ("top", "right", "left"):
        ax.spines[side].set_visible(False)
    ax.tick_params(axis="y", length=0)


def _short(verdict: Verdict, names: tuple[str, str]) -> str:
    """Return a verdict in the few words that have room beside its row."""
    if verdict.kind != "supported" or verdict.favoured is None:
        return "undecided: scale unchecked" if "scale unchecked" in verdict.reasons else verdict.kind
    return f"{plain(names[verdict.favoured])} {MEASURES[verdict.measure].claim}"


def _on_ratio(difference: Difference) -> bool:
    return difference.scale == "log" and math.isfinite(difference.estimate)


def _draw_one(ax: Axes, row: float, difference: Difference, *, filled: bool) -> None:
    colour = style.COLOURS[0] if filled else style.COLOURS[1]
    if difference.is_known:
        ax.plot([math.exp(difference.low), math.exp(difference.high)], [row, row], color=colour, linewidth=scaled(1.4))
    ax.plot([difference.ratio], [row], "o", color=colour, markersize=scaled(4), fillstyle="full" if filled else "none")
