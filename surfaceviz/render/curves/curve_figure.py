"""Figures of curves: laid over each other, accuracy or the Hessian map on a second axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.patches import Patch

from surfaceviz.records import Slice
from surfaceviz.render import style
from surfaceviz.render.annotate import draw_points_of_curve, spectra_on_slice
from surfaceviz.render.contours.contour_figure import maps_of
from surfaceviz.render.contours.hessian_map import choose_norm, draw_map_curve, map_label, map_values
from surfaceviz.render.contours.levels import choose_levels
from surfaceviz.render.contours.minima import draw_minima_of_curve
from surfaceviz.render.curves.curve_axes import draw_curve, draw_iterates, finish_curve, split_names
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import plain, title_of
from surfaceviz.render.layout import figure_layout
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.quantity import shared_quantity
from surfaceviz.render.spectra.spectrum_panels import draw_spectrum_stacks, numbers_of_points
from surfaceviz.render.style import Size, scaled

_WIDTH, _HEIGHT = 5.6, 3.7  # inches of a 9 point font
_ROWS = 6  # of a legend, at most, before it takes another column


def compose_curves(surfaces: Sequence[Slice], options: PlotOptions, size: Size) -> Picture:
    """Return a figure of 1-D slices laid over each other."""
    width = size.width or scaled(_WIDTH)
    layout = figure_layout(
        width, width * _HEIGHT / _WIDTH, surfaces if options.spectrum else (), 1, exact=bool(size.width)
    )
    ax = layout.above.subplots()
    shown, metric = _shown(surfaces, options.of)
    draw_curve(ax, shown, metric=metric)
    values = [s.values[name] for s in shown for name in s.values if name.endswith(f"_{metric}")]
    scale = "linear" if options.levels == "auto" and metric not in ("loss", "rise") else options.levels
    levels = choose_levels(values, scale, options.clip)
    chosen = choose_levels(values, scale)
    whole = scale == "log" or not chosen.open_below  # a curve through 0 has no whole logarithm
    finish_curve(ax, shown, metric=metric, log=chosen.log and whole)
    if levels.clip is not None:
        ax.set_ylim(top=levels.clip)
        ax.set_ylabel(f"{ax.get_ylabel()}, cut off at {levels.clip:g}")
    draw_iterates(ax, shown, metric)
    for surface in shown:
        draw_minima_of_curve(ax, surface, metric)
    right = _second_axis(ax, shown, options)
    _draw_legend(layout.above, ax, right, shown, metric=metric)
    named = any(surface.marks for surface in surfaces)  # their names stand between title and axes
    title = title_of(surfaces[0]) if len(surfaces) == 1 else ""
    ax.set_title(title, pad=scaled(18) if named else None)
    if layout.below is not None:
        for surface, numbers in zip(shown, numbers_of_points(shown), strict=True):
            draw_points_of_curve(ax, surface, spectra_on_slice(surface), numbers, metric=metric)
        colours = style.COLOURS if len(shown) > 1 else style.COLOURS[:1]
        draw_spectrum_stacks(layout.below, shown, 1, [colours[i % len(colours)] for i in range(len(shown))])
    return layout.figure


def _shown(surfaces: Sequence[Slice], of: str | None) -> tuple[list[Slice], str]:
    """Return the slices with only the quantity to draw, and its metric."""
    if of is None or of == "loss":
        return list(surfaces), "loss"
    kept = []
    for surface, what in zip(surfaces, shared_quantity(surfaces, of), strict=True):
        source = what.name.removesuffix("rise") + "loss" if what.name.endswith("_rise") else what.name
        rise = {what.name: surface.rise_stderr[source]} if source in surface.rise_stderr else {}
        centre = {what.name: what.centre} if np.isfinite(what.centre) else {}
        kept.append(replace(surface, values={what.name: what.values}, centre=centre, stderr={}, rise_stderr=rise))
    name = next(iter(kept[0].values))
    splits = sorted(surfaces[0].splits, key=len, reverse=True)
    return kept, next((name.removeprefix(f"{split}_") for split in splits if name.startswith(f"{split}_")), name)


def _second_axis(ax: Axes, surfaces: Sequence[Slice], options: PlotOptions) -> Axes | None:
    """Draw the map's quantity, or else the accuracy of a single slice, on an axis to the right, if there is one."""
    if options.map:
        right = ax.twinx()
        _draw_maps(right, surfaces, options.map)
    elif options.of is None and len(surfaces) == 1 and split_names(surfaces[0], "accuracy"):
        right = ax.twinx()
        draw_curve(right, surfaces, metric="accuracy", faint=True)
        right.set_ylim(0, 1.02)
        right.set_ylabel("accuracy (dotted)")
    else:
        ax.spines["right"].set_visible(False)
        return None
    ax.set_zorder(right.get_zorder() + 1)  # numbers of points lie over the dotted curves
    ax.patch.set_visible(False)
    return right


def _draw_maps(right: Axes, surfaces: Sequence[Slice], quantity: str) -> None:
    maps = maps_of(surfaces)
    for i, (surface, hessian_map) in enumerate(zip(surfaces, maps, strict=True)):
        own = f"{plain(surface.title)}, " if len(surfaces) > 1 else ""
        colour = style.COLOURS[i if len(surfaces) > 1 else 2]
        draw_map_curve(right, hessian_map, quantity, colour=colour, label=own + map_label(hessian_map, quantity))
    right.set_ylabel(map_label(maps[0], quantity) + " (dotted)")
    if isinstance(choose_norm([map_values(hessian_map, quantity) for hessian_map in maps]), LogNorm):
        right.set_yscale("log")


def _draw_legend(host: object, ax: Axes, right: Axes | None, surfaces: Sequence[Slice], *, metric: str) -> None:
    """Draw one legend of both axes below them; duplicates are listed once."""
    pairs = list(zip(*ax.get_legend_handles_labels(), strict=True))
    pairs += [] if right is None else list(zip(*right.get_legend_handles_labels(), strict=True))
    unique: dict[str, Artist] = {}
    for handle, label in pairs:
        unique.setdefault(label, handle)
    if any(name.endswith(f"_{metric}") for surface in surfaces for name in surface.rise_stderr):
        words = "band: standard error of the rise over the centre"
        unique[words] = Patch(facecolor="#777777", alpha=0.3, linewidth=0, label=words)
    columns = 1 if len(unique) == 1 else max(2, -(-len(unique) // _ROWS))
    host.legend(list(unique.values()), list(unique), loc="outside lower center", ncols=columns)  # type: ignore[attr-defined]
