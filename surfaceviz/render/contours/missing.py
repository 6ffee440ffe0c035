"""Regions without a colour: missing, diverged and unresolved points, and values above the clip."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt

from surfaceviz.records import EVALUATED, INTERPOLATED, MISSING, FloatArray, Slice
from surfaceviz.render import style
from surfaceviz.render.contours.cell_edges import edges, stepped
from surfaceviz.render.contours.levels import Levels
from surfaceviz.render.quantity import Quantity
from surfaceviz.render.style import scaled

_CROSSES = 40  # of diverged points along an axis, at most: more would make one grey patch of them
_HATCH = "////"
_DECADES = 8  # lines above the clip, at most


@dataclass(frozen=True, slots=True)
class BarePoints:
    """Why points have no colour: masks (n, m) of missing, diverged and unresolved ones."""

    missing: NDArray[np.bool_]
    diverged: NDArray[np.bool_]
    unresolved: NDArray[np.bool_]

    @classmethod
    def of(cls, surface: Slice, shown: Quantity, clip: float | None) -> BarePoints:
        """Return the points of a slice that have no colour in a picture with a clip."""
        empty = (surface.origin == INTERPOLATED) & ~np.isfinite(shown.values)
        diverged = (surface.origin == EVALUATED) & ~np.isfinite(shown.values)
        return cls(surface.origin == MISSING, diverged, shown.hidden(clip) | empty)


def draw_missing(
    ax: Axes, surface: Slice, shown: Quantity, axes: Sequence[FloatArray], *, covered: FloatArray, clip: float | None
) -> None:
    """Fill regions without a value: missing and unresolved points light grey, diverged ones darker, with crosses.

    Args:
        ax: the axes to draw on.
        surface: whose points these are.
        shown: what of it is drawn.
        axes: those that are drawn, perhaps finer.
        clip: values above it are marked otherwise.
        covered: what is drawn over ``axes``; where it is NaN the reason of the nearest point without value is shown.
    """
    bare = ~np.isfinite(covered)
    if not bare.any():
        return
    points = BarePoints.of(surface, shown, clip)
    reason = np.select([points.missing, points.diverged, points.unresolved], [1.0, 2.0, 3.0])
    nearest = distance_transform_edt(reason == 0, return_distances=False, return_indices=True)
    i, j = (np.abs(own[:, None] - fine[None]).argmin(axis=0) for own, fine in zip(surface.axes, axes, strict=True))
    beneath = binary_dilation(bare, np.ones((3, 3), bool))  # so that nothing white is left between
    reasons = np.where(beneath, reason[tuple(nearest)][np.ix_(i, j)], np.nan)
    colours = ListedColormap([style.MISSING, style.DIVERGED, style.UNRESOLVED])
    ax.pcolormesh(*map(edges, axes), reasons.T, cmap=colours, vmin=1, vmax=3, zorder=0.5, rasterized=True)
    if points.unresolved.any():
        _hatch(ax, axes, reasons == 3.0)  # noqa: PLR2004  see above
    if points.diverged.any():
        _draw_crosses(ax, surface, points.diverged)


def _draw_crosses(ax: Axes, surface: Slice, diverged: NDArray[np.bool_]) -> None:
    steps = tuple(slice(None, None, max(1, -(-n // _CROSSES))) for n in surface.shape)
    kept = np.zeros_like(diverged)
    kept[steps] = diverged[steps]
    kept = kept if kept.any() else diverged
    x, y = (axis[k] for axis, k in zip(surface.axes, np.nonzero(kept), strict=True))
    ax.plot(x, y, "x", color="#6b6b6b", markersize=scaled(3), markeredgewidth=scaled(0.6), label="diverged")


def _hatch(ax: Axes, axes: Sequence[FloatArray], where: NDArray[np.bool_]) -> None:
    if min(where.shape) < 2:  # noqa: PLR2004  no area
        return
    hatched = ax.contourf(*axes, where.T.astype(float), [0.5, 1.5], colors=["none"], hatches=[_HATCH], zorder=0.6)
    hatched.set_edgecolor("#999999")
    hatched.set_linewidth(0)


def draw_clipped(
    ax: Axes, axes: Sequence[FloatArray], z: FloatArray, levels: Levels, *, colour: str, cells: bool = False
) -> None:
    """Hatch where ``z``, as it is drawn, lies above the clip.

    Args:
        ax: the axes to draw on.
        axes: (n,), (m,).
        z: (n, m), transformed by `Levels.transform`.
        levels: with the clip.
        colour: of the hatching.
        cells: whether each point is a cell, and none lies between.
    """
    if levels.clip is None or not np.isfinite(z).any() or (min(z.shape) < 2 and not cells):  # noqa: PLR2004  no area
        return
    if cells:
        for k in range(2):
            bounds, z = stepped(axes[k], z, k)
            axes = [bounds if i == k else axis for i, axis in enumerate(axes)]
    top = float(levels.transform(np.array(levels.clip)))
    highest = np.nanmax(z)
    if not highest > top:
        return
    above = ax.contourf(*axes, z.T, [top, highest + 1], colors=["none"], hatches=[_HATCH], zorder=1.5)
    above.set_edgecolor(colour)
    above.set_linewidth(0)
    ax.contour(*axes, z.T, [top], colors=style.INK, linewidths=scaled(0.8), zorder=1.6)


def draw_decades(ax: Axes, axes: Sequence[FloatArray], z: FloatArray, levels: Levels) -> None:
    """Draw thin lines at the powers of ten above the clip, of a surface whose values are known there."""
    if levels.clip is None or not np.isfinite(z).any() or min(z.shape) < 2:  # noqa: PLR2004  no area
        return
    ax.contour(
        *axes, z.T, levels.transform(decades_above(levels, z)), colors=style.INK, linewidths=scaled(0.4), zorder=1.6
    )


def decades_above(levels: Levels, z: FloatArray) -> FloatArray:
    """Return the powers of ten above the clip that ``z`` reaches, thinned to about eight."""
    assert levels.clip is not None
    highest = float(np.nanmax(z)) if levels.log else float(np.log10(max(np.nanmax(z), np.finfo(float).tiny)))
    first = int(np.floor(np.log10(levels.clip))) + 1 if levels.clip > 0 else 0
    exponents = np.arange(first, int(np.floor(highest)) + 1)
    return np.float_power(10.0, exponents[:: max(1, -(-len(exponents) // _DECADES))])


def _decades_of(shown: Sequence[Quantity], levels: Levels) -> list[str]:
    """Return the powers of ten at which lines lie above the clip, in words; the middle ones left out."""
    highest = max((what.values[np.isfinite(what.values)] for what in shown), key=np.max)
    words = [f"{value:g}" for value in decades_above(levels, levels.transform(highest))]
    return words if len(words) <= 3 else [words[0], words[1], "...", words[-1]]  # noqa: PLR2004  a line of a legend


def missing_legend(surfaces: Sequence[Slice], shown: Sequence[Quantity], levels: Levels, *, bare: bool) -> list[Artist]:
    """Return legend entries for what `draw_missing` and `draw_clipped` show; ``bare``: on no colour."""
    all_points = [BarePoints.of(*pair, levels.clip) for pair in zip(surfaces, shown, strict=True)]
    entries: list[Artist] = []
    if any(points.missing.any() for points in all_points):
        entries.append(Patch(facecolor=style.MISSING, edgecolor="#999999", linewidth=scaled(0.4), label="missing"))
    if any(points.diverged.any() for points in all_points):
        entries.append(
            Line2D([], [], marker="x", color="#6b6b6b", linestyle="none", markersize=scaled(4), label="diverged")
        )
    if any(points.unresolved.any() for points in all_points):
        face = {"facecolor": style.UNRESOLVED, "edgecolor": "#999999", "hatch": _HATCH, "linewidth": 0.0}
        entries.append(Patch(**face, label="not resolved: the loss lies above its level"))  # type: ignore[arg-type]
    clip = levels.clip
    if clip is not None and any((what.values[np.isfinite(what.values)] > clip).any() for what in shown):
        colours = ("white", "#999999") if bare else (colormaps[style.MAP](1.0), "white")
        face = {"facecolor": colours[0], "edgecolor": colours[1], "hatch": _HATCH, "linewidth": 0.0}
        interpolated = any((what.unresolved & (what.values > clip)).any() for what in shown)
        lines = [] if interpolated or bare or clip != shown[0].level else _decades_of(shown, levels)
        more = ", not resolved" if interpolated else f" (lines: {', '.join(lines)})" if lines else ""
        entries.append(Patch(**face, label=f"above {clip:.4g}{more}"))  # type: ignore[arg-type]
    return entries
