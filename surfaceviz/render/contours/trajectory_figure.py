"""Figures of trainings on a plane: the path from above, next to losses and distances against the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

from surfaceviz.records import Slice, Trajectory, share
from surfaceviz.render import style
from surfaceviz.render.contours.contour_figure import draw_panels
from surfaceviz.render.contours.path import run_colour
from surfaceviz.render.curves.curve_axes import scale_log
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import broken, panel_height
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.style import Size, scaled

_MAP, _CURVES = 4.9, 3.1  # inches of a 9 point font: the part with the plane, the part with the curves
_BESIDE, _BELOW = 1.5, 2.0  # next to the panel: labels and colour bar; above and below it: labels, bar, legend
_LEAST = 3.9  # height
_DECADE = 10.0  # ratio of losses above which their scale is logarithmic
_MANY = 60  # iterates above which not each is dotted


def draw_trajectories(
    surfaces: Sequence[Slice],
    options: PlotOptions,
    *,
    names: Sequence[str],
    warn: Callable[[str], None] | None = None,  # noqa: ARG001
) -> Picture:
    """Return a figure of the trajectory on a slice.

    Raises:
        ValueError: several slices, or one without a trajectory.
    """
    if len(surfaces) > 1:
        raise ValueError(f"kind trajectory draws one slice, got {len(surfaces)}; give one file, or take another kind")
    (surface,) = surfaces
    if surface.trajectory is None:
        raise ValueError(f"{names[0]} has no trajectory; compute one by: surfaceviz trajectory FOLDER")
    with style.applied(options.size) as size:
        figure, plane, curves = figure_with_curves(surface, size)
        (ax,) = axes = [plane.subplots()]
        draw_panels(plane, axes, surfaces, replace(options, kind="filled"), inset=True)
        if size.width is not None:
            ax.set_xlabel(broken(ax.get_xlabel()))
            ax.set_ylabel(broken(ax.get_ylabel()))
        draw_curves(curves, surface.trajectory)
    return figure


def figure_with_curves(surface: Slice, size: Size) -> tuple[Picture, FigureBase, FigureBase]:
    """Return an empty figure with its two parts: next to each other, or one below the other in a narrow column."""
    width = size.width or scaled(_MAP + _CURVES)
    stacked = width < scaled(_MAP)
    share_of_map = 1.0 if stacked else _MAP / (_MAP + _CURVES)
    panel = width * share_of_map - scaled(_BESIDE)
    height = panel * panel_height(surface) + scaled(_BELOW)
    height, more = (height, scaled(_LEAST)) if stacked else (max(height, scaled(_LEAST)), 0.0)
    figure = Picture(figsize=(width, height + more), layout="constrained")
    figure.exact_width = size.width
    parts: Any = (
        figure.subfigures(2, 1, height_ratios=[height, more])
        if stacked
        else figure.subfigures(1, 2, width_ratios=[_MAP, _CURVES])
    )
    return figure, parts[0], parts[1]


def draw_curves(host: FigureBase, trajectory: Trajectory) -> list[Axes]:
    """Draw losses and distances against the step of training, and return their axes.

    Args:
        host: what they fill.
        trajectory: of one or several trainings.
    """
    known = trajectory.own_loss is not None
    axes = list(host.subplots(2 if known else 1, 1, sharex=True, squeeze=False)[:, 0])
    if known:
        _draw_losses(axes[0], trajectory)
    _draw_distances(axes[-1], trajectory)
    axes[-1].set_xlabel("step")
    for ax in axes:
        ax.spines["right"].set_visible(False)
    axes[0].set_title(_variance(trajectory), fontsize="small")
    return axes


def _variance(trajectory: Trajectory) -> str:
    """Return the explained variance next to that of a random walk; empty where it is not known."""
    known = trajectory.provenance
    if "explained_variance" not in known:
        return ""
    return (
        f"{share(float(known['explained_variance']))} of the variance lies in the plane,\n"
        f"of a random walk {share(float(known['random_walk']))}"
    )


def _draw_losses(ax: Axes, trajectory: Trajectory) -> None:
    """Draw the loss of the iterates, filled, and of their projections, hollow."""
    for number, path in enumerate(trajectory.paths):
        colour = run_colour(number)
        for values, face, line in ((path.own_loss, colour, "-"), (path.projected_loss, "white", "--")):
            if values is not None:
                shown = np.isfinite(values)
                ax.plot(path.step[shown], values[shown], linestyle=line, markerfacecolor=face, **_dots(path, colour))
    values = np.concatenate([each for each in (trajectory.own_loss, trajectory.projected_loss) if each is not None])
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > _DECADE * finite.min():
        scale_log(ax)
    ax.set_ylabel(str(trajectory.provenance.get("loss", "loss")).replace("_", " "))
    grey = "#555555"
    ax.legend(
        handles=[
            Line2D([], [], color=grey, marker=".", label="iterates"),
            Line2D([], [], color=grey, marker=".", markerfacecolor="white", linestyle="--", label="projections"),
        ],
        loc="best",
    )


def _draw_distances(ax: Axes, trajectory: Trajectory) -> None:
    """Draw the distance of the iterates from theta and, within it, from the plane."""
    for number, path in enumerate(trajectory.paths):
        colour = run_colour(number)
        away = np.hypot(np.linalg.norm(path.coordinates, axis=1), path.distance)
        ax.plot(path.step, away, linestyle=":", markerfacecolor=colour, **_dots(path, colour))
        ax.plot(path.step, path.distance, markerfacecolor=colour, **_dots(path, colour))
    ax.set_ylim(bottom=0)
    ax.set_ylabel("distance")
    grey = "#555555"
    ax.legend(
        handles=[
            Line2D([], [], color=grey, linestyle=":", label="from theta"),
            Line2D([], [], color=grey, label="from the plane"),
        ],
        loc="best",
    )


def _dots(path: Trajectory, colour: str) -> dict[str, Any]:
    return {
        "color": colour,
        "linewidth": scaled(1.0),
        "marker": "o" if len(path.step) <= _MANY else "",
        "markersize": scaled(2.6),
        "markeredgewidth": scaled(0.7),
    }
