"""The figure of a comparison: planes and Hessian maps on one scale, rays and spectra overlaid, all intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from surfaceviz.records import ComparedNetwork, Comparison, IntervalRow, Slice, Spectrum
from surfaceviz.render import style
from surfaceviz.render.annotate import spectra_on_slice
from surfaceviz.render.comparison.interval_axes import draw_intervals
from surfaceviz.render.contours.contour_figure import draw_panels
from surfaceviz.render.curves.ray_figure import draw_rays
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import panel_height, plain
from surfaceviz.render.layout import surfaces_layout
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.spectra.spectrum_panels import overlay_spectra
from surfaceviz.render.style import scaled

_BELOW = 3.4  # inches of a 9 point font: height of a row of rays, spectra or intervals
_MOST = 4  # planes in a row


def draw_comparison(comparison: Comparison, intervals: Sequence[IntervalRow], *, size: str = "auto") -> Picture:
    """Return the figure of a comparison.

    Of a group of trainings the plane, map and spectrum of the first are shown; the rays are those of all its trainings.
    Maps and spectra are drawn where every group has them.

    Args:
        comparison: with its verdicts.
        intervals: rows of the first two groups.
        size: see `PlotOptions`.

    Raises:
        ValueError: a network has no plane or no rays.
    """
    groups = comparison.groups
    planes = [_named(networks[0], networks[0].plane, name) for name, networks in groups.items()]
    rays = [_named(networks[0], networks[0].rays, name) for name, networks in groups.items()]
    spectra, mapped = _spectra(planes), all(plane.hessian_map is not None for plane in planes)
    with style.applied(size) as chosen:
        columns = min(len(planes), _MOST)
        rows = math.ceil(len(planes) / columns)
        layout = surfaces_layout(rows, columns, max(map(panel_height, planes)), chosen, spectra=())
        figure = layout.figure
        above, *maps, below = _split(figure, maps=mapped, rows=2 if spectra else 1)
        _draw_planes(above, (rows, columns), [replace(plane, hessian_map=None) for plane in planes], None)
        for host in maps:
            _draw_planes(host, (rows, columns), planes, "ratio")
        left, right, last = _axes_below(below, spectra=bool(spectra))
        _draw_rays(left, rays)
        if right is not None:
            overlay_spectra(right, spectra)
            right.legend(fontsize="x-small", loc="upper right")
        first, second = list(groups)[:2]
        draw_intervals(last, intervals, (first, second))
        return figure


def _spectra(planes: Sequence[Slice]) -> list[tuple[str, Spectrum]]:
    """Return the spectrum at theta of each plane with its name; an empty list if a plane has none."""
    known = [(plane.title, [s for s in spectra_on_slice(plane) if not any(s.place)]) for plane in planes]
    return [(plain(name), found[0]) for name, found in known] if all(found for _, found in known) else []


def _draw_planes(host: FigureBase, grid: tuple[int, int], planes: Sequence[Slice], quantity: str | None) -> None:
    axes = list(host.subplots(*grid, squeeze=False).flat)
    for ax in axes[len(planes) :]:
        ax.set_visible(False)
    draw_panels(host, axes[: len(planes)], planes, PlotOptions(map=quantity))


def _draw_rays(ax: Axes, rays: Sequence[Slice]) -> None:
    entries = draw_rays(ax, rays, PlotOptions())
    ax.xaxis.set_major_locator(MaxNLocator(5))
    ax.legend(list(entries.values()), list(entries), fontsize="x-small", loc="upper center")


def _axes_below(host: FigureBase, *, spectra: bool) -> tuple[Axes, Axes | None, Axes]:
    """Return the axes of rays, of spectra if there are any, and of intervals."""
    if not spectra:
        left, last = host.subplots(1, 2, width_ratios=[1.0, 1.15])
        return left, None, last
    axes: Any = host.subplot_mosaic([["rays", "spectra"], ["intervals", "intervals"]])
    return axes["rays"], axes["spectra"], axes["intervals"]


def _split(figure: Picture, *, maps: bool, rows: int) -> Any:
    """Return the parts of a figure for planes, for maps if there are any, and for what is below; the figure grows."""
    width, height = figure.get_size_inches()
    heights = [height, *([height] if maps else []), rows * scaled(_BELOW)]
    figure.set_size_inches(width, sum(heights))
    return figure.subfigures(len(heights), 1, height_ratios=heights)


def _named(network: ComparedNetwork, surface: Slice | None, name: str) -> Slice:
    """Return a network's slice under a name, with the loss of the compared split only."""
    if surface is None:
        raise ValueError(f"{network.name} has no slice; compute the comparison again")
    return replace(surface, provenance={**surface.provenance, "problem": name})
