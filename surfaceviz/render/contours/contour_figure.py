"""Figures of surfaces: side by side, with one set of levels, one colour bar, one legend."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.contour import ContourSet
from matplotlib.figure import FigureBase
from matplotlib.lines import Line2D

from surfaceviz.records import HessianMap, Slice
from surfaceviz.render import style
from surfaceviz.render.annotate import draw_points, model_legend, spectra_on_slice
from surfaceviz.render.contours.contour import draw_contour
from surfaceviz.render.contours.hessian_map import choose_norm, draw_map, map_label, map_values, mark_bar
from surfaceviz.render.contours.levels import Levels, choose_levels
from surfaceviz.render.contours.minima import draw_minima, minima_legend, minima_shown
from surfaceviz.render.contours.missing import missing_legend
from surfaceviz.render.contours.path import DISTANCE, distance_norm, draw_trajectory, path_legend
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import broken, panel_height
from surfaceviz.render.layout import columns_of, surfaces_layout
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.quantity import Quantity, shared_quantity
from surfaceviz.render.spectra.spectrum_panels import draw_spectrum_stacks, numbers_of_points
from surfaceviz.render.style import Size, scaled

_NARROW = 3.2  # inches of a 9 point font: below it labels of axes take several lines
_NARROWER, _FEW = 2.0, 2  # inches of a 9 point font: below it so many intervals of ticks have room
_PATH_BAR = 0.8  # inches of a 9 point font: the bar of distances and the legend below the panels
_TICKS, _INSET_TICKS = 14, 8  # of a colour bar, at most


def compose_surfaces(surfaces: Sequence[Slice], options: PlotOptions, size: Size) -> Picture:
    """Return a figure of 2-D slices side by side."""
    columns = columns_of(len(surfaces), size, strip=True)
    rows = math.ceil(len(surfaces) / columns)
    ratio = max(panel_height(surface) for surface in surfaces)
    more = _PATH_BAR if distance_norm(surfaces) is not None else 0.0
    layout = surfaces_layout(rows, columns, ratio, size, spectra=surfaces if options.spectrum else (), more=more)
    axes = list(layout.above.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[len(surfaces) :]:
        ax.set_visible(False)
    axes = axes[: len(surfaces)]
    draw_panels(layout.above, axes, surfaces, options)
    if rows > 1:
        _label_once(axes, columns)
    if layout.panel < _NARROW:
        for ax in axes:
            ax.set_xlabel(broken(ax.get_xlabel()))
            ax.set_ylabel(broken(ax.get_ylabel()))
    if layout.panel < _NARROWER:
        for ax in axes:
            ax.locator_params(nbins=_FEW)
    if layout.below is not None:
        for ax, surface, numbers in zip(axes, surfaces, numbers_of_points(surfaces), strict=True):
            draw_points(ax, surface, spectra_on_slice(surface), numbers)
        draw_spectrum_stacks(layout.below, surfaces, columns, [style.COLOURS[0]] * len(surfaces))
    return layout.figure


def _label_once(axes: Sequence[Axes], columns: int) -> None:
    """Leave labels and ticks out of a panel where the panel below it, or left of it, has the same axis."""
    shown = [(ax.get_xlabel(), ax.get_xlim(), ax.get_ylabel(), ax.get_ylim()) for ax in axes]
    for k, ax in enumerate(axes):
        if k + columns < len(axes) and shown[k][:2] == shown[k + columns][:2]:
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)
        if k % columns and shown[k][2:] == shown[k - 1][2:]:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)


def draw_panels(
    host: FigureBase, axes: Sequence[Axes], surfaces: Sequence[Slice], options: PlotOptions, *, inset: bool = False
) -> None:
    """Draw surfaces on their axes with the colour bar of what is coloured: the metric, or the map under its lines.

    Args:
        host: the figure that bars and legend belong to.
        axes: one for each surface.
        surfaces: 2-D slices.
        options: what is drawn.
        inset: whether the bar is as high as the only panel.
    """
    shown = shared_quantity(surfaces, options.of)
    levels = levels_of(shown, options)
    ink = style.INK if options.map else ""
    for ax, surface, what in zip(axes, surfaces, shown, strict=True):
        mappable = draw_contour(ax, surface, what, levels, kind=options.kind, points=options.points, ink=ink)
    if options.map:
        _draw_maps(host, axes, surfaces, options.map)
    else:
        where: dict[str, Any] = {"ax": axes, "shrink": 0.85, "pad": 0.02}
        if inset:
            where = {"cax": axes[0].inset_axes((1.03, 0.0, 0.045, 1.0))}
        bar = host.colorbar(mappable, **where, **_bar_ends(mappable, levels))
        mark_levels(bar, levels, shown[0].label, most=_INSET_TICKS if inset else _TICKS)
    _draw_paths(host, axes, surfaces)
    for ax, surface, what in zip(axes, surfaces, shown, strict=True):
        if (minima := minima_shown(surface, what)) is not None:
            draw_minima(ax, surface, minima)
    _draw_legend(host, surfaces, shown, levels, options=options)


def levels_of(shown: Sequence[Quantity], options: PlotOptions) -> Levels:
    """Return the levels of a quantity; ``levels`` auto chooses a log scale only for a loss, and clips at its level."""
    scale = "linear" if options.levels == "auto" and not shown[0].is_loss else options.levels
    arrays = [np.where(what.hidden(options.clip), np.nan, what.values) for what in shown]
    clip = options.clip
    if options.levels == "auto" and clip is None and shown[0].is_loss:
        clip = _clip_at_level(shown)
        arrays = [what.values for what in shown]
    levels = choose_levels(arrays, scale, clip)
    is_share = shown[0].name.endswith("accuracy") and all(np.nanmax(array, initial=0) <= 1 for array in arrays)
    return replace(levels, values=np.unique(np.minimum(levels.values, 1.0))) if is_share else levels


def _clip_at_level(shown: Sequence[Quantity]) -> float | None:
    """Return the highest level of losses, if some values lie above it and some below."""
    levels = [what.level for what in shown if what.level is not None and np.isfinite(what.level)]
    finite = np.concatenate([what.values[np.isfinite(what.values)] for what in shown])
    if len(levels) < len(shown) or not finite.size:
        return None
    level = max(levels)
    return level if float(finite.min()) < level < float(finite.max()) else None


def _bar_ends(mappable: ScalarMappable, levels: Levels) -> dict[str, Any]:
    """Return the option that tells a colour bar where there is more; bands know it themselves."""
    return {} if isinstance(mappable, ContourSet) else {"extend": levels.extend}


def mark_levels(bar: Colorbar, levels: Levels, label: str, *, most: int = _TICKS) -> None:
    """Label a colour bar at its levels."""
    bar.set_label(label)
    ticks = levels.ticks(most)
    bar.set_ticks(ticks, labels=[levels.label(place) for place in ticks])
    bar.ax.minorticks_off()


def maps_of(surfaces: Sequence[Slice]) -> list[HessianMap]:
    """Return the Hessian maps of slices that have one."""
    return [surface.hessian_map for surface in surfaces if surface.hessian_map is not None]


def _draw_maps(host: FigureBase, axes: Sequence[Axes], surfaces: Sequence[Slice], quantity: str) -> None:
    maps = maps_of(surfaces)
    values = [map_values(hessian_map, quantity) for hessian_map in maps]
    norm = choose_norm(values)
    for ax, hessian_map in zip(axes, maps, strict=True):
        mappable = draw_map(ax, hessian_map, quantity, norm)
    bar = host.colorbar(mappable, ax=axes, shrink=0.85, pad=0.02, label=map_label(maps[0], quantity))
    mark_bar(bar, values)


def _draw_paths(host: FigureBase, axes: Sequence[Axes], surfaces: Sequence[Slice]) -> None:
    """Draw the trajectories, and a second colour bar below where their distances are known."""
    norm = distance_norm(surfaces)
    coloured = None
    for ax, surface in zip(axes, surfaces, strict=True):
        if surface.trajectory is not None:
            coloured = draw_trajectory(ax, surface.trajectory, norm) or coloured
    if coloured is not None:
        host.colorbar(coloured, ax=axes, location="bottom", shrink=0.6, pad=0.02, aspect=40, label=DISTANCE)


def _draw_legend(
    host: FigureBase, surfaces: Sequence[Slice], shown: Sequence[Quantity], levels: Levels, *, options: PlotOptions
) -> None:
    """Draw a legend of everything on the panels besides lines, bands and theta."""
    bare = options.kind == "lines" or options.map is not None
    entries = missing_legend(surfaces, shown, levels, bare=bare)
    if options.map is not None:
        entries.append(Line2D([], [], color=style.INK, linewidth=scaled(0.7), label=f"lines: {shown[0].label}"))
    if options.points:
        entries.append(_marker("evaluated", ".", 3))
    entries += path_legend(surfaces)
    found = [minima_shown(surface, what) for surface, what in zip(surfaces, shown, strict=True)]
    entries += minima_legend([minima for minima in found if minima is not None])
    if options.spectrum:
        entries += model_legend([spectrum for surface in surfaces for spectrum in spectra_on_slice(surface)])
    if entries:
        entries.insert(0, _marker("theta", "o", 5))
        host.legend(handles=entries, loc="outside lower center", ncols=min(len(entries), 2 + 2 * len(surfaces)))


def _marker(label: str, marker: str, size: float) -> Line2D:
    return Line2D([], [], color=style.INK, linestyle="none", marker=marker, markersize=scaled(size), label=label)
