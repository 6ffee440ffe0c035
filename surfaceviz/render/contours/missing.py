"""Regions without a colour: missing points, diverged points, and values above the clip."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation, distance_transform_edt

from surfaceviz.records import MISSING, FloatArray, Slice
from surfaceviz.render import style
from surfaceviz.render.contours.cell_edges import edges, stepped
from surfaceviz.render.contours.levels import Levels
from surfaceviz.render.style import scaled

_CROSSES = 40  # of diverged points along an axis, at most: more would make one grey patch of them
_HATCH = "////"


def draw_missing(
    ax: Axes, surface: Slice, values: FloatArray, axes: Sequence[FloatArray], *, covered: FloatArray
) -> None:
    """Fill regions without a value: missing points light grey, diverged ones darker, with crosses.

    Args:
        ax: the axes to draw on.
        surface: whose points these are.
        values: of its points, (n, m).
        axes: those that are drawn, perhaps finer.
        covered: what is drawn over ``axes``; where it is NaN the reason of the nearest point without value is shown.
    """
    bare = ~np.isfinite(covered)
    if not bare.any():
        return
    missing, diverged = _missing_and_diverged(surface, values)
    reason = np.where(missing, 1.0, np.where(diverged, 2.0, 0.0))
    nearest = distance_transform_edt(reason == 0, return_distances=False, return_indices=True)
    i, j = (np.abs(own[:, None] - fine[None]).argmin(axis=0) for own, fine in zip(surface.axes, axes, strict=True))
    beneath = binary_dilation(bare, np.ones((3, 3), bool))  # so that nothing white is left between
    shown = np.where(beneath, reason[tuple(nearest)][np.ix_(i, j)], np.nan)
    colours = ListedColormap([style.MISSING, style.DIVERGED])
    ax.pcolormesh(*map(edges, axes), shown.T, cmap=colours, vmin=1, vmax=2, zorder=0.5, rasterized=True)
    if diverged.any():
        _draw_crosses(ax, surface, diverged)


def _draw_crosses(ax: Axes, surface: Slice, diverged: NDArray[np.bool_]) -> None:
    steps = tuple(slice(None, None, max(1, -(-n // _CROSSES))) for n in surface.shape)
    kept = np.zeros_like(diverged)
    kept[steps] = diverged[steps]
    kept = kept if kept.any() else diverged
    x, y = (axis[k] for axis, k in zip(surface.axes, np.nonzero(kept), strict=True))
    ax.plot(x, y, "x", color="#6b6b6b", markersize=scaled(3), markeredgewidth=scaled(0.6), label="diverged")


def _missing_and_diverged(surface: Slice, values: FloatArray) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Return which points are missing, and which have diverged."""
    missing = surface.origin == MISSING
    return missing, ~np.isfinite(values) & ~missing


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


def missing_legend(
    surfaces: Sequence[Slice], arrays: Sequence[FloatArray], levels: Levels, *, bare: bool
) -> list[Artist]:
    """Return legend entries for what `draw_missing` and `draw_clipped` show; ``bare``: on no colour."""
    pairs = [_missing_and_diverged(surface, values) for surface, values in zip(surfaces, arrays, strict=True)]
    entries: list[Artist] = []
    if any(missing.any() for missing, _ in pairs):
        entries.append(Patch(facecolor=style.MISSING, edgecolor="#999999", linewidth=scaled(0.4), label="missing"))
    if any(diverged.any() for _, diverged in pairs):
        entries.append(
            Line2D([], [], marker="x", color="#6b6b6b", linestyle="none", markersize=scaled(4), label="diverged")
        )
    clip = levels.clip
    if clip is not None and any((z[np.isfinite(z)] > clip).any() for z in arrays):
        colours = ("white", "#999999") if bare else (colormaps[style.MAP](1.0), "white")
        face = {"facecolor": colours[0], "edgecolor": colours[1], "hatch": _HATCH, "linewidth": 0.0}
        entries.append(Patch(**face, label=f"above {clip:g}"))  # type: ignore[arg-type]
    return entries
