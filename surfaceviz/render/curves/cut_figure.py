"""1-D cuts through 2-D slices: the axes and the diagonals through theta, from grid points only."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from surfaceviz.records import INTERPOLATED, FloatArray, Slice
from surfaceviz.render import style
from surfaceviz.render.contours.contour_figure import levels_of
from surfaceviz.render.curves.curve_axes import scale_log
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import title_of
from surfaceviz.render.layout import columns_of, surfaces_layout
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.quantity import Quantity, shared_quantity
from surfaceviz.render.style import scaled

_LINES = {
    r"$\beta = 0$": (1.0, 0.0),
    r"$\alpha = 0$": (0.0, 1.0),
    r"$\beta = \alpha$": (1.0, 1.0),
    r"$\beta = -\alpha$": (1.0, -1.0),
}
_NEAR = 1e-9  # of the longer axis: a grid point that lies so close to a line is on it
_LEAST = 2  # points of a cut


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A quantity at the grid points on a line through theta.

    Attributes:
        distance: signed, sqrt(alpha^2 + beta^2), rising, (n,).
        values: (n,); NaN where missing or diverged.
        interpolated: whether a value is interpolated, (n,).
    """

    distance: FloatArray
    values: FloatArray
    interpolated: NDArray[np.bool_]


def cut_along(surface: Slice, values: FloatArray, direction: tuple[float, float]) -> Cut | None:
    """Return the cut along a direction (a, b) of the plane; None where fewer than two finite grid points lie on it.

    Args:
        surface: a 2-D slice.
        values: of the quantity, (n_alpha, n_beta).
        direction: in units of alpha and beta.
    """
    alpha, beta = np.meshgrid(*surface.axes, indexing="ij")
    length = math.hypot(*direction)
    off = np.abs(direction[1] * alpha - direction[0] * beta) / length
    on = off <= _NEAR * max(float(np.ptp(axis)) for axis in surface.axes)
    if np.isfinite(values[on]).sum() < _LEAST:
        return None
    distance = (direction[0] * alpha[on] + direction[1] * beta[on]) / length
    order = np.argsort(distance)
    return Cut(
        distance=distance[order],
        values=np.where(np.isfinite(values[on]), values[on], np.nan)[order],
        interpolated=(surface.origin[on] == INTERPOLATED)[order],
    )


def draw_cuts(
    surfaces: Sequence[Slice],
    options: PlotOptions,
    *,
    names: Sequence[str],
    warn: Callable[[str], None] | None = None,  # noqa: ARG001
) -> Picture:
    """Return a figure of cuts, a panel for each slice, all with one scale of values.

    Raises:
        ValueError: no cut has two finite grid points, or levels of the paper.
    """
    if options.levels == "paper":
        raise ValueError("levels paper: cuts have none; use linear or log")
    with style.applied(options.size) as size:
        shown = shared_quantity(surfaces, options.of)
        cuts = [_cuts(surface, what, name) for surface, what, name in zip(surfaces, shown, names, strict=True)]
        levels = levels_of(shown, options)
        columns = columns_of(len(surfaces), size)
        rows = math.ceil(len(surfaces) / columns)
        figure = surfaces_layout(rows, columns, 1.0, size, spectra=()).figure
        axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False, sharey=True).flat)
        for ax in axes[len(surfaces) :]:
            ax.set_visible(False)
        for ax, surface, own, what in zip(axes, surfaces, cuts, shown, strict=False):
            _draw_panel(ax, own, what)
            ax.set_title(title_of(surface))
        if levels.log:
            scale_log(axes[0])
        if levels.clip is not None:
            axes[0].set_ylim(top=levels.clip)
        axes[0].set_ylabel(shown[0].label + ("" if levels.clip is None else f", cut off at {levels.clip:g}"))
        figure.legend(handles=_legend(cuts), loc="outside lower center", ncols=4)
    return figure


def _cuts(surface: Slice, what: Quantity, name: str) -> dict[str, Cut]:
    found = {
        label: cut_along(surface, np.where(what.unresolved, np.nan, what.values), direction)
        for label, direction in _LINES.items()
    }
    kept = {label: cut for label, cut in found.items() if cut is not None}
    if not kept:
        raise ValueError(f"{name}: no axis or diagonal through theta has two finite grid points; use --kind filled")
    return kept


def _draw_panel(ax: Axes, cuts: dict[str, Cut], what: Quantity) -> None:
    """Draw cuts with a filled dot for an evaluated value and a hollow one for an interpolated value."""
    for label, cut in cuts.items():
        colour = _colour(label)
        ax.plot(cut.distance, cut.values, color=colour, linewidth=scaled(1.2))
        for where, face in ((~cut.interpolated, colour), (cut.interpolated, "white")):
            ax.plot(
                cut.distance[where], cut.values[where], "o", color=colour, markerfacecolor=face,
                markersize=scaled(3.2), markeredgewidth=scaled(0.8),
            )  # fmt: skip
    if np.isfinite(what.centre):
        ax.plot([0], [what.centre], "o", color=style.INK, markersize=scaled(4.5), zorder=4)
    ax.axvline(0, color="#999999", linewidth=scaled(0.7), zorder=0)
    ax.spines["right"].set_visible(False)
    ax.set_xlabel("signed distance from theta\n(in units of the directions)")


def _colour(label: str) -> str:
    return style.COLOURS[list(_LINES).index(label)]


def _legend(cuts: Sequence[dict[str, Cut]]) -> list[Line2D]:
    labels = [label for label in _LINES if any(label in own for own in cuts)]
    entries = [Line2D([], [], color=_colour(label), linewidth=scaled(1.2), label=label) for label in labels]
    dot = {"marker": "o", "color": "#555555", "linestyle": "none", "markersize": scaled(3.2)}
    kinds = [cut.interpolated for own in cuts for cut in own.values()]
    if any(kind.any() for kind in kinds):
        entries.append(Line2D([], [], **dot, label="evaluated"))  # type: ignore[arg-type]
        entries.append(Line2D([], [], **dot, markerfacecolor="white", label="interpolated"))  # type: ignore[arg-type]
    entries.append(Line2D([], [], **{**dot, "color": style.INK, "markersize": scaled(4.5)}, label="theta"))  # type: ignore[arg-type]
    return entries
