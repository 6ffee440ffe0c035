"""Figures of rays: the median over random directions, their quartiles and range, and single curves over them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.patches import Patch

from surfaceviz.records import FloatArray, RaySpread, Slice, ray_spread
from surfaceviz.render import style
from surfaceviz.render.contours.levels import choose_levels
from surfaceviz.render.curves.curve_axes import scale_log
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import axis_label, curve_direction, plain, title_of
from surfaceviz.render.layout import figure_layout
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.quantity import Quantity, shared_quantity
from surfaceviz.render.style import Size, scaled

_WIDTH, _HEIGHT = 5.6, 3.7  # inches of a 9 point font
_RANGE, _QUARTILES = 0.16, 0.34  # opacity of the bands
_MARGIN = 0.04  # of the drawn span, above and below it
_OVER = ("--", "-.", ":")  # of single curves
Drawn = list[tuple[Slice, Quantity, RaySpread | None]]


def compose_rays(surfaces: Sequence[Slice], options: PlotOptions, size: Size) -> Picture:
    """Return a figure of rays, and of curves in their units over them.

    Args:
        surfaces: 1-D slices, at least one of rays; see `surfaceviz.render.same_distance.same_distance`.
        options: the metric, the scale and where values are cut off.
        size: of the picture.

    Raises:
        ValueError: no ray is complete, a metric that they don't all have, or nothing finite to draw.
    """
    width = size.width or scaled(_WIDTH)
    layout = figure_layout(width, width * _HEIGHT / _WIDTH, (), 1, exact=bool(size.width))
    ax = layout.above.subplots()
    entries = draw_rays(ax, surfaces, options)
    bundles = [surface for surface in surfaces if surface.seeds]
    ax.set_title(title_of(bundles[0]) if len(bundles) == 1 else "")
    layout.above.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=2)
    return layout.figure


def draw_rays(ax: Axes, surfaces: Sequence[Slice], options: PlotOptions) -> dict[str, Artist]:
    """Draw rays, and curves over them, and return the entries of the legend; see `compose_rays`."""
    drawn = _spread(surfaces, options.of)
    bundles = [surface for surface, _, spread in drawn if spread is not None]
    _set_scale(ax, drawn, options)
    colours = {id(surface): style.COLOURS[i % len(style.COLOURS)] for i, surface in enumerate(bundles)}
    entries: dict[str, Artist] = {}
    for surface, what, spread in drawn:
        if spread is not None:
            own = f"{plain(surface.title)}: " * (len(bundles) > 1)
            entries |= _draw_spread(ax, surface, what, spread, colour=colours[id(surface)], own=own)
    curves = [(surface, what) for surface, what, spread in drawn if spread is None]
    for number, (surface, what) in enumerate(curves):
        like = next((b for b in bundles if _weights(b) == _weights(surface)), bundles[0])
        colour = style.INK if len(bundles) == 1 else colours[id(like)]
        own = f"{plain(surface.title)}: " * (len(bundles) > 1)
        entries |= _draw_over(ax, surface, what, colour=colour, dashes=_OVER[number % len(_OVER)], own=own)
    entries |= _band_entries()
    ends = [float(surface.axes[0][k]) for surface in bundles for k in (0, -1)]
    ax.set_xlim(min(ends), max(ends))
    ax.axvline(0, color="#999999", linewidth=scaled(0.7), zorder=0)
    ax.spines["right"].set_visible(False)
    ax.set_xlabel(axis_label(bundles[0], 0).replace("random direction", "random directions"))
    return entries


def _spread(surfaces: Sequence[Slice], of: str | None) -> Drawn:
    """Return each slice with the drawn quantity, and with its spread if it is of rays."""
    drawn: Drawn = []
    for surface, what in zip(surfaces, shared_quantity(surfaces, of), strict=True):
        spread = ray_spread(surface, what.values, is_loss=what.is_loss) if surface.seeds else None
        if spread is not None and not spread.rays:
            raise ValueError(
                f"{surface.title}: none of the {len(surface.seeds)} rays is complete; run the same command again first"
            )
        drawn.append((surface, what, spread))
    return drawn


def _set_scale(ax: Axes, drawn: Drawn, options: PlotOptions) -> None:
    """Set scale and range of the vertical axis by what is finite on the rays; steeper curves leave it at the top."""
    arrays = [spread.stacked for _, _, spread in drawn if spread is not None]
    what = drawn[0][1]
    scale = "linear" if options.levels == "auto" and not what.is_loss else options.levels
    chosen = choose_levels(arrays, scale)
    log = chosen.log and (scale == "log" or not chosen.open_below)
    finite = np.concatenate([array[np.isfinite(array)] for array in arrays])
    finite = finite[finite > 0] if log else finite
    low, high = (np.log10(finite.min()), np.log10(finite.max())) if log else (finite.min(), finite.max())
    pad = _MARGIN * (high - low) or 0.5
    bottom, top = (float(10**end if log else end) for end in (low - pad, high + pad))
    clip = choose_levels(arrays, scale, options.clip).clip
    ax.set_ylim(bottom, top if clip is None else clip)
    if log:
        scale_log(ax)
    ax.set_ylabel(what.label + ("" if clip is None else f", cut off at {clip:g}"))


def _draw_spread(
    ax: Axes, surface: Slice, what: Quantity, spread: RaySpread, *, colour: str, own: str
) -> dict[str, Artist]:
    """Draw the bands and the median of rays, and return entries of the legend."""
    x, bounds = surface.axes[0], [_within(ax, each) for each in spread.stacked]
    lowest, lower, median, upper, highest = bounds
    ax.fill_between(x, lowest, highest, color=colour, alpha=_RANGE, linewidth=0)
    ax.fill_between(x, lower, upper, color=colour, alpha=_QUARTILES, linewidth=0)
    of = "" if spread.rays == len(surface.seeds) else f"the {spread.rays} complete of "
    (line,) = ax.plot(x, median, color=colour)
    entries: dict[str, Artist] = {f"{own}median of {of}{len(surface.seeds)} rays": line}
    if np.isfinite(what.centre):
        ax.plot([0], [what.centre], "o", color=colour, markersize=scaled(3.5), zorder=3)
    diverged = what.is_loss & np.isinf(spread.highest)
    if diverged.any():
        across = ax.get_xaxis_transform()
        (crosses,) = ax.plot(
            x[diverged], np.full(diverged.sum(), 0.98), "x", color="#6b6b6b", markersize=scaled(4), transform=across
        )
        entries["a ray diverged"] = crosses
    return entries


def _weights(surface: Slice) -> object:
    return surface.provenance.get("weights_sha256")


def _draw_over(ax: Axes, surface: Slice, what: Quantity, *, colour: str, dashes: str, own: str) -> dict[str, Artist]:
    """Draw a single curve over the rays, and return its entry of the legend."""
    (line,) = ax.plot(
        surface.axes[0], _within(ax, np.where(what.unresolved, np.nan, what.values)), color=colour,
        linestyle=dashes, linewidth=scaled(1.2),
    )  # fmt: skip
    words = curve_direction(surface)
    return {f"{own}{'worst case, along ascent' if words == 'ascent' else f'along {words}'}": line}


def _within(ax: Axes, y: FloatArray) -> FloatArray:
    """Return values with those that are infinite beyond the top of the axis, so that a band ends there."""
    bottom, top = ax.get_ylim()
    beyond = top * 10 if ax.get_yscale() == "log" else top + (top - bottom)
    return np.where(np.isposinf(y), beyond, y)


def _band_entries() -> dict[str, Artist]:
    """Return the entries of both bands, in grey as they are of every colour."""
    return {
        "quartiles": Patch(facecolor="#555555", alpha=_QUARTILES + _RANGE, linewidth=0),
        "range": Patch(facecolor="#555555", alpha=_RANGE, linewidth=0),
    }
