"""The figure of a comparison: planes on one scale, rays over each other, and the intervals of all measures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from matplotlib.figure import FigureBase
from matplotlib.ticker import MaxNLocator

from surfaceviz.records import ComparedNetwork, Comparison, IntervalRow, Slice
from surfaceviz.render import style
from surfaceviz.render.comparison.interval_axes import draw_intervals
from surfaceviz.render.contours.contour_figure import draw_panels
from surfaceviz.render.curves.ray_figure import draw_rays
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import panel_height
from surfaceviz.render.layout import surfaces_layout
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.style import scaled

_BELOW = 3.4  # inches of a 9 point font: height of rays and intervals
_MOST = 4  # planes in a row


def draw_comparison(comparison: Comparison, intervals: Sequence[IntervalRow], *, size: str = "auto") -> Picture:
    """Return the figure of a comparison.

    Of a group of trainings the plane of the first is shown; the rays are those of all its trainings.

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
    with style.applied(size) as chosen:
        columns = min(len(planes), _MOST)
        rows = math.ceil(len(planes) / columns)
        ratio = max(panel_height(plane) for plane in planes)
        layout = surfaces_layout(rows, columns, ratio, chosen, spectra=())
        figure = layout.figure
        above, below = _split(figure)
        axes = list(above.subplots(rows, columns, squeeze=False).flat)
        for ax in axes[len(planes) :]:
            ax.set_visible(False)
        draw_panels(above, axes[: len(planes)], planes, PlotOptions(levels="auto"))
        left, right = below.subplots(1, 2, width_ratios=[1.0, 1.15])
        entries = draw_rays(left, rays, PlotOptions())
        left.xaxis.set_major_locator(MaxNLocator(5))
        left.legend(list(entries.values()), list(entries), fontsize="x-small", loc="upper center")
        first, second = list(groups)[:2]
        draw_intervals(right, intervals, (first, second))
        return figure


def _split(figure: Picture) -> tuple[FigureBase, FigureBase]:
    """Return the part of a figure for planes, and one below it; the figure grows by the latter."""
    width, height = figure.get_size_inches()
    more = scaled(_BELOW)
    figure.set_size_inches(width, height + more)
    parts: Any = figure.subfigures(2, 1, height_ratios=[height, more])
    return parts[0], parts[1]


def _named(network: ComparedNetwork, surface: Slice | None, name: str) -> Slice:
    """Return a network's slice under a name, with the loss of the compared split only."""
    if surface is None:
        raise ValueError(f"{network.name} has no slice; compute the comparison again")
    return replace(surface, provenance={**surface.provenance, "problem": name})
