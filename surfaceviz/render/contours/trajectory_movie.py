"""Frames of a movie of a training from above: the slice stays, the path grows, next to the loss of the iterates."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from numpy.typing import NDArray

from surfaceviz.records import FloatArray, Slice, Trajectory
from surfaceviz.render import style
from surfaceviz.render.contours.contour_figure import draw_panels
from surfaceviz.render.contours.path import distance_norm, draw_trajectory, run_colour
from surfaceviz.render.contours.trajectory_figure import figure_with_curves
from surfaceviz.render.curves.curve_axes import scale_log
from surfaceviz.render.movie import RATE, box_of, iterates_shown, pixels
from surfaceviz.render.plot_options import AnimationOptions, PlotOptions
from surfaceviz.render.style import scaled

_DECADE = 10.0  # ratio of losses above which their scale is logarithmic
_FAINT = 0.3


def frames_of(
    surfaces: Sequence[Slice], options: PlotOptions, animation: AnimationOptions
) -> tuple[int, Iterator[NDArray[np.uint8]]]:
    """Return the number of frames, and the frames; the last one stays for a second.

    Args:
        surfaces: one 2-D slice.
        options: ``of``, ``levels``, ``clip`` and ``size`` are used.
        animation: at most ``frames`` frames.

    Raises:
        ValueError: several slices, or one without a trajectory.
    """
    if len(surfaces) > 1:
        raise ValueError(f"a movie along a training is of one slice, got {len(surfaces)}; give one file")
    (surface,) = surfaces
    path = surface.trajectory
    shown = iterates_shown([] if path is None else [len(each.step) for each in path.paths], animation.frames)
    return len(shown) + RATE, _images(surface, options, [*shown, *shown[-1:] * RATE])


def _images(surface: Slice, options: PlotOptions, shown: Sequence[int]) -> Iterator[NDArray[np.uint8]]:
    assert surface.trajectory is not None
    with style.applied(options.size) as size:
        figure, plane, beside = figure_with_curves(surface, size)
        ax, curve = plane.subplots(), beside.subplots()
        draw_panels(plane, [ax], [surface], replace(options, kind="filled"), inset=True)
        for artist in _of_path(ax):
            artist.set_visible(False)
        _draw_whole(curve, surface.trajectory)
        box = box_of(figure)
        figure.set_layout_engine("none")  # the panels stay where they are
        image, last = None, None
        for count in shown:
            if image is None or count != last:
                added = _grown(ax, curve, surface, count)
                image, last = pixels(figure, options.size, box), count
                for artist in added:
                    artist.remove()
                FigureCanvasAgg(figure)
            yield image


def _of_path(ax: Axes) -> list[Artist]:
    """Return the lines and dots of the whole path."""
    lines = [line for line in ax.lines if line.get_label() == "trajectory"]
    return [*lines, *(dots for dots in ax.collections if dots.get_zorder() == 3.6)]  # noqa: PLR2004  as drawn there


def _grown(ax: Axes, curve: Axes, surface: Slice, count: int) -> list[Artist]:
    """Draw the first iterates of each training on both panels, and return the new artists."""
    assert surface.trajectory is not None
    before = {*ax.get_children(), *curve.get_children()}
    part = surface.trajectory.first(count)
    draw_trajectory(ax, part, distance_norm([surface]))
    for number, path in enumerate(part.paths):
        values, colour = _values(path), run_colour(number)
        curve.plot(path.step, values, color=colour, linewidth=scaled(1.4))
        curve.plot(path.step[-1:], values[-1:], "o", color=colour, markersize=scaled(4))
    return [artist for artist in (*ax.get_children(), *curve.get_children()) if artist not in before]


def _draw_whole(curve: Axes, trajectory: Trajectory) -> None:
    """Draw the whole curve of each training faintly, which sets the limits of the axes."""
    for number, path in enumerate(trajectory.paths):
        curve.plot(path.step, _values(path), color=run_colour(number), alpha=_FAINT, linewidth=scaled(1.0))
    values = _values(trajectory)
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > _DECADE * finite.min():
        scale_log(curve)
    curve.autoscale(enable=False)
    curve.spines["right"].set_visible(False)
    curve.set_xlabel("step")
    known = trajectory.own_loss is not None
    curve.set_ylabel(str(trajectory.provenance.get("loss", "loss")).replace("_", " ") if known else "distance to theta")


def _values(path: Trajectory) -> FloatArray:
    """Return the losses of the iterates, or where they are not known their distances from theta in the plane."""
    return np.linalg.norm(path.coordinates, axis=1) if path.own_loss is None else path.own_loss
