"""Figure of merge trees: minima as leaves at their loss, joined at the losses of their passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from surfaceviz.records import FloatArray, Minima, MinimumKind, Slice
from surfaceviz.render import style
from surfaceviz.render.curves.curve_axes import scale_log
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import plain, title_of
from surfaceviz.render.layout import columns_of, surfaces_layout
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.style import scaled

_MANY_TIMES = 100.0  # ratio of losses above which their scale is logarithmic
_GREY = "#8a8a8a"
_NUMBERED = 30  # minima up to which each leaf has its number


def draw_trees(
    surfaces: Sequence[Slice],
    options: PlotOptions,
    *,
    names: Sequence[str],
    warn: Callable[[str], None] | None = None,  # noqa: ARG001
) -> Picture:
    """Return a figure of the merge trees of slices, a panel for each, all with one scale of losses.

    Raises:
        ValueError: a slice without minima.
    """
    trees = [_minima(surface, name) for surface, name in zip(surfaces, names, strict=True)]
    with style.applied(options.size) as size:
        columns = columns_of(len(surfaces), size)
        rows = math.ceil(len(surfaces) / columns)
        figure = surfaces_layout(rows, columns, 0.9, size, spectra=()).figure
        axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
        for ax in axes[len(surfaces) :]:
            ax.set_visible(False)
        for ax, surface, minima in zip(axes, surfaces, trees, strict=False):
            draw_tree(ax, minima, top=_top(trees))
            ax.set_title(title_of(surface))
        lowest = min(float(minima.loss.min()) for minima in trees)
        if lowest > 0 and _top(trees) > _MANY_TIMES * lowest:
            scale_log(axes[0])
        axes[0].set_ylabel(plain(trees[0].loss_name).replace("_", " "))
        figure.legend(handles=_legend(trees), loc="outside lower center", ncols=2)
    return figure


def _minima(surface: Slice, name: str) -> Minima:
    if surface.minima is None or not len(surface.minima):
        raise ValueError(f"{name} has no minima; compute them by: surfaceviz minima FILE.h5")
    return surface.minima


def _top(trees: Sequence[Minima]) -> float:
    """Return the loss up to which the stem of the lowest minimum is drawn."""
    known = np.concatenate([np.append(m.pass_loss[np.isfinite(m.pass_loss)], m.loss) for m in trees])
    return float(known.max() + 0.1 * (np.ptp(known) or abs(known.max()) or 1.0))


def leaf_positions(parent: Sequence[int], pass_loss: FloatArray) -> list[int]:
    """Return a position for each leaf at which no branches cross: the later a branch ends, the further to the right.

    Args:
        parent: number of the minimum that each one ends in, which comes before it; -1 for none.
        pass_loss: the losses at which they end.

    >>> leaf_positions([-1, 0, 0, 1], np.array([np.nan, 3.0, 2.0, 1.0]))
    [0, 2, 1, 3]
    """
    order: list[int] = []
    waiting = [k for k in reversed(range(len(parent))) if parent[k] < 0]
    while waiting:
        here = waiting.pop()
        order.append(here)
        children = [k for k in range(len(parent)) if parent[k] == here]
        waiting += sorted(children, key=lambda k: -float(pass_loss[k]))
    position = {k: place for place, k in enumerate(order)}
    return [position[k] for k in range(len(parent))]


def draw_tree(ax: Axes, minima: Minima, *, top: float) -> None:
    """Draw a merge tree: black where a minimum counts, grey where not, with the persistence that it would need.

    Args:
        ax: the axes to draw on, losses upwards.
        minima: the minima.
        top: the loss up to which the stems of minima without a pass are drawn.
    """
    x = leaf_positions(minima.parent.tolist(), minima.pass_loss)
    for k in reversed(range(len(minima))):  # those that count lie on top
        stands = minima.verdict[k] in (MinimumKind.LOWEST, MinimumKind.COUNTS)
        met = bool(np.isfinite(minima.pass_loss[k]))
        end = float(minima.pass_loss[k]) if met else top
        style_of_line = "--" if minima.verdict[k] == MinimumKind.BORDER else "-"
        across = ([x[minima.parent[k]]], [end]) if met else ([], [])
        ax.plot(
            [x[k], x[k], *across[0]], [minima.loss[k], end, *across[1]], color=style.INK if stands else _GREY,
            linewidth=scaled(1.4 if stands else 0.8), linestyle=style_of_line, zorder=3 if stands else 2,
        )  # fmt: skip
        if met and np.isfinite(minima.persistence_stderr[k]):
            needed = minima.threshold * minima.persistence_stderr[k]
            ax.plot([x[k]] * 2, [minima.loss[k], minima.loss[k] + needed], **_needed())
        if stands or len(minima) <= _NUMBERED:
            ax.annotate(
                str(k + 1), (x[k], minima.loss[k]), xytext=(0, -scaled(8)), textcoords="offset points", ha="center",
                va="center", fontsize="small", fontweight="bold" if stands else "normal",
                color=style.INK if stands else _GREY,
            )  # fmt: skip
    ax.set_xlim(-0.7, max(len(minima) - 0.3, 1.0))
    ax.margins(y=0.12)
    ax.set_xticks([])
    ax.set_xlabel("minima")
    ax.spines["right"].set_visible(False)


def _needed() -> dict[str, Any]:
    """Return the style of the persistence that a minimum needs."""
    return {"color": style.MARK, "alpha": 0.45, "linewidth": scaled(5), "solid_capstyle": "butt", "zorder": 1}


def _legend(trees: Sequence[Minima]) -> list[Line2D]:
    kinds = np.concatenate([minima.verdict for minima in trees])
    entries = [Line2D([], [], color=style.INK, linewidth=scaled(1.4), label="the lowest, and those that count")]
    if (~np.isin(kinds, (MinimumKind.LOWEST, MinimumKind.COUNTS, MinimumKind.BORDER))).any():
        entries.append(Line2D([], [], color=_GREY, linewidth=scaled(0.8), label="does not count"))
    if (kinds == MinimumKind.BORDER).any():
        entries.append(Line2D([], [], color=_GREY, linewidth=scaled(0.8), linestyle="--", label="on the border"))
    if any(np.isfinite(minima.persistence_stderr).any() for minima in trees):
        entries.append(Line2D([], [], label="persistence that the error asks for", **_needed()))
    return entries
