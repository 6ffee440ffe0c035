"""Figures of the stability along trainings: the loss, next to sharpness and the thresholds of the optimiser."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from surfaceviz.records import Edge, FloatArray
from surfaceviz.render import style
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import plain
from surfaceviz.render.style import scaled

_PANEL, _HEIGHT = 3.6, 3.1  # inches of a 9 point font
_NARROW = 2.4  # inches of a panel, below which panels stand below each other
_WIDE = 20.0  # ratio of positive values above which they are drawn on a log scale, as losses are
_THRESHOLD = (0, (4, 2))
_GREY = "#555555"
_MANY = 60  # checkpoints above which none has a marker


def draw_edges(edges: Sequence[Edge], *, names: Sequence[str] | None = None, size: str = "auto") -> Picture:
    """Return a figure of stability along trainings, a row of panels for each.

    The panels are the loss, the sharpness with 2 / eta and the threshold of momentum, or, with a preconditioner, the
    sharpness alone and the preconditioned sharpness with the threshold of the optimiser.

    Args:
        edges: the trainings.
        names: what tells trainings of one problem apart, such as their files' names.
        size: auto, column, page or slide.

    Raises:
        ValueError: no training, or one without a checkpoint.
    """
    if not edges or not all(len(edge.step) for edge in edges):
        raise ValueError("nothing to draw: give at least one file of surfaceviz edge that has a checkpoint")
    with style.applied(size) as inches:
        count = 2 + any(edge.is_preconditioned for edge in edges)
        width = inches.width or scaled(_PANEL * count)
        stacked = width < scaled(_NARROW) * count
        shape = (count * len(edges), 1) if stacked else (len(edges), count)
        height = scaled(_HEIGHT) * shape[0] * (0.7 if stacked else 1.0)
        figure = Picture(figsize=(width, height), layout="constrained")
        figure.exact_width = inches.width
        panels = figure.subplots(*shape, sharex="col" if stacked else False, squeeze=False).reshape(len(edges), count)
        for row, edge, name in zip(panels, edges, _names(edges, names), strict=True):
            draw_edge(list(row), edge)
            row[0].set_title(plain(name), loc="left", fontsize="medium")
    return figure


def draw_edge(panels: Sequence[Axes], edge: Edge) -> None:
    """Draw a training's loss, its sharpness, and on a third panel its preconditioned sharpness.

    Args:
        panels: two axes, or three.
        edge: the training.
    """
    _draw_line(panels[0], edge, edge.loss, colour=style.COLOURS[0], label="")
    _finish(panels[0], "training loss", [edge.loss])
    shown = _draw_sharpness(panels[1], edge, own=edge.has_own_threshold and not edge.is_preconditioned)
    _finish(panels[1], "sharpness", shown)
    for ax in panels[2:]:
        if not edge.is_preconditioned:
            ax.set_axis_off()
            continue
        label = r"$\lambda_{\max}(P^{-1/2} H P^{-1/2})$"
        _draw_line(ax, edge, edge.preconditioned, colour=style.COLOURS[0], label=label)
        _draw_threshold(ax, edge, edge.threshold, colour=style.COLOURS[1], label="threshold of the optimiser")
        _finish(ax, "preconditioned sharpness", [edge.preconditioned, edge.threshold])


def _draw_sharpness(ax: Axes, edge: Edge, *, own: bool) -> list[FloatArray]:
    """Draw the measures of sharpness with the thresholds, and return all values."""
    measures = [
        (edge.lambda_max, r"$\lambda_{\max}(H)$"),
        (edge.batch_sharpness, "batch sharpness"),
        (edge.critical_sharpness, "critical sharpness"),
    ]
    shown = [(k, values, label) for k, (values, label) in enumerate(measures) if np.isfinite(values).any()]
    for k, values, label in shown:
        _draw_line(ax, edge, values, colour=style.COLOURS[k], label=label)
    error = edge.batch_sharpness_stderr
    if (error > 0).any():
        low, high = edge.batch_sharpness - error, edge.batch_sharpness + error
        ax.fill_between(edge.step, low, high, color=style.COLOURS[1], alpha=0.25, linewidth=0)
    thresholds = []
    if not edge.is_preconditioned:  # then it bounds nothing here, and lies far above
        _draw_threshold(ax, edge, edge.edge, colour=_GREY, label="2 / learning rate")
        thresholds.append(edge.edge)
    if own:
        _draw_threshold(ax, edge, edge.threshold, colour=style.COLOURS[3], label="threshold with momentum")
        thresholds.append(edge.threshold)
    return [*(values for _, values, _ in shown), *thresholds]


def _draw_line(ax: Axes, edge: Edge, values: FloatArray, *, colour: str, label: str) -> None:
    """Draw values against the step; a marker is hollow where the eigenvalue has not converged."""
    finite = np.isfinite(values)
    marker = "o" if finite.sum() <= _MANY else ""
    ax.plot(
        edge.step[finite], values[finite], color=colour, linewidth=scaled(1.2), marker=marker, markersize=scaled(2.8),
        label=label,
    )  # fmt: skip
    open_ = finite & ~edge.converged
    if open_.any():
        ax.plot(
            edge.step[open_], values[open_], "o", color=colour, markersize=scaled(3.2), markerfacecolor="white",
            markeredgewidth=scaled(0.9),
        )  # fmt: skip


def _draw_threshold(ax: Axes, edge: Edge, values: FloatArray, *, colour: str, label: str) -> None:
    finite = np.isfinite(values)
    ax.plot(
        edge.step[finite], values[finite], color=colour, linewidth=scaled(1.0), linestyle=_THRESHOLD, label=label,
        zorder=1.5,
    )  # fmt: skip


def _finish(ax: Axes, label: str, shown: Sequence[FloatArray]) -> None:
    """Label a panel, and make its scale logarithmic where positive values span more than a factor of 20."""
    ax.set_xlabel("step")
    ax.set_ylabel(label)
    ax.spines["right"].set_visible(False)
    values = np.concatenate(shown)
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > _WIDE * finite.min():
        ax.set_yscale("log")
    elif finite.size and finite.min() >= 0:
        ax.set_ylim(bottom=0)
    if len(shown) > 1:
        ax.legend(loc="best")


def _names(edges: Sequence[Edge], names: Sequence[str] | None) -> list[str]:
    own = [edge.title for edge in edges]
    if all(own) and len(set(own)) == len(own):
        return own
    return list(names or [title or str(i + 1) for i, title in enumerate(own)])
