"""Surfaces from above: contour lines, filled contours, heat maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.contour import QuadContourSet
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from surfaceviz.records import EVALUATED, FloatArray, Slice
from surfaceviz.render import style
from surfaceviz.render.contours.cell_edges import edges
from surfaceviz.render.contours.levels import Levels
from surfaceviz.render.contours.missing import draw_clipped, draw_decades, draw_missing
from surfaceviz.render.contours.path import draw_marks
from surfaceviz.render.contours.smooth import refine_grid
from surfaceviz.render.curves.line_labels import label_positions
from surfaceviz.render.labels import axis_label, broken, has_equal_units, panel_height, title_of
from surfaceviz.render.quantity import Quantity
from surfaceviz.render.style import scaled

KINDS = ("filled", "lines", "heat")
_TICKS = 5  # intervals of an axis between ticks, at most: a narrow panel has no room for more
_LABELS = 14  # levels that are labelled, at most
_HALO = (1.0, 1.0, 1.0, 0.8)
_LOW = 0.7  # height over width; on a lower panel the label of beta takes several lines


def draw_contour(
    ax: Axes,
    surface: Slice,
    shown: Quantity,
    levels: Levels,
    *,
    kind: str = "filled",
    points: bool = False,
    ink: str = "",
) -> ScalarMappable:
    """Draw a quantity, alpha to the right and beta upwards, and return what a colour bar needs.

    Lines and bands run through a finer grid (see `smooth.refine_grid`); cells of a heat map are the points themselves.
    Diverged points are dark grey with crosses, missing ones plain grey; values above the clip are hatched.

    Args:
        ax: the axes to draw on.
        surface: a 2-D slice.
        shown: what of it.
        levels: what lines are drawn at and colours run over.
        kind: one of `KINDS`; a surface of a single row or column has no lines, and is drawn as cells.
        points: whether the points that were evaluated are dotted.
        ink: the colour of all lines, drawn without bands: for a surface over a Hessian map.
    """
    kind = "heat" if min(surface.shape) < 2 and not ink else "lines" if ink else kind  # noqa: PLR2004
    drawn_at = np.isfinite(shown.values) & ~shown.hidden(levels.clip)
    own = levels.transform(np.where(drawn_at, shown.values, np.nan))
    axes, z = refine_grid(surface.axes, own) if kind != "heat" else (surface.axes, own)
    draw_missing(ax, surface, shown, axes, covered=z, clip=levels.clip)
    if kind == "heat":
        drawn: Any = ax.pcolormesh(*map(edges, axes), z.T, cmap=style.MAP, norm=levels.norm(), rasterized=True)
    elif kind == "filled":
        drawn = _draw_bands(ax, axes, z, levels)
    elif min(surface.shape) > 1:
        _draw_lines(ax, axes, z, levels, ink=ink)
    draw_clipped(ax, axes, z, levels, colour="#999999" if kind == "lines" else "white", cells=kind == "heat")
    if kind == "filled" and levels.clip == shown.level and not shown.unresolved.any():
        draw_decades(ax, axes, z, levels)
    if points:
        _draw_points(ax, surface)
    draw_marks(ax, surface)
    _finish(ax, surface, cells=kind == "heat")
    return drawn if kind != "lines" else ScalarMappable(levels.norm(), style.MAP)


def _draw_bands(ax: Axes, axes: tuple[FloatArray, ...], z: FloatArray, levels: Levels) -> QuadContourSet:
    """Draw bands of ``z`` (n_alpha, n_beta) between levels, with thin lines at their bounds."""
    places = levels.transform(levels.edges)
    bands = ax.contourf(*axes, z.T, places, cmap=style.MAP, norm=levels.norm(), extend=levels.extend)
    ax.contour(*axes, z.T, places, colors="white", linewidths=scaled(0.4), alpha=0.7)
    return bands


def _draw_lines(ax: Axes, axes: tuple[FloatArray, ...], z: FloatArray, levels: Levels, *, ink: str) -> None:
    """Draw labelled lines of ``z`` (n_alpha, n_beta), in the levels' colours or in one."""
    places = levels.transform(levels.values)
    colours: Any = (
        {"colors": ink, "linewidths": scaled(0.7)}
        if ink
        else {"cmap": style.MAP, "norm": levels.norm(), "linewidths": scaled(1.1)}
    )
    lines = ax.contour(*axes, z.T, places, **colours)
    of = dict(zip(places, lines.get_paths(), strict=True))
    wanted = {place: np.asarray(of[place].vertices) for place in levels.ticks(_LABELS) if place in of}
    points = label_positions(list(wanted.values()), axes, z, float(np.median(np.diff(places))))
    texts: list[Text] = []
    for place, spot in zip(wanted, points, strict=True):
        if spot is not None:
            texts += ax.clabel(
                lines, [place], fontsize="small", fmt=levels.label, colors=ink or "#333333", manual=[spot]
            )
    if ink:  # legible on any colour beneath
        halo: list[AbstractPathEffect] = [withStroke(linewidth=scaled(1.7), foreground=_HALO)]
        lines.set_path_effects(halo)
        for text in texts:
            text.set_path_effects(halo)


def _draw_points(ax: Axes, surface: Slice) -> None:
    x, y = (axis[i] for axis, i in zip(surface.axes, np.nonzero(surface.origin == EVALUATED), strict=True))
    dots = {
        "markersize": scaled(3.6),
        "markeredgewidth": scaled(0.35),
        "markeredgecolor": "white",
        "zorder": 4,
        "clip_on": False,
    }  # those of the rim are whole
    ax.plot(x, y, ".", color="#111111", label="evaluated", **dots)  # type: ignore[arg-type]


def _finish(ax: Axes, surface: Slice, *, cells: bool) -> None:
    alpha, beta = surface.axes
    ax.set_xlim(*_range(alpha, cells=cells))
    ax.set_ylim(*_range(beta, cells=cells))
    ax.set_xlabel(axis_label(surface, 0))
    label = axis_label(surface, 1)
    ax.set_ylabel(label if panel_height(surface) > _LOW else broken(label))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(_TICKS, steps=[1, 2, 5, 10]))
    ax.set_title(title_of(surface))
    ax.spines[["top", "right"]].set_visible(True)
    if has_equal_units(surface):
        ax.set_aspect("equal")


def _range(axis: FloatArray, *, cells: bool) -> tuple[float, float]:
    """Return the limits of an axis; with ``cells``, so that those of the outer points are whole."""
    bounds = edges(axis) if cells or len(axis) == 1 else axis
    return float(bounds[0]), float(bounds[-1])
