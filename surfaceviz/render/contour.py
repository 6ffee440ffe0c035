"""Surfaces from above: contour lines, filled contours, heat maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap
from matplotlib.path import Path
from matplotlib.patheffects import withStroke

from surfaceviz.records import EVALUATED, MISSING, Direction, FloatArray, Slice
from surfaceviz.render import style
from surfaceviz.render.levels import Levels

KINDS = ("filled", "lines", "heat")
_ROOMY = 0.3  # of an axis; shorter lines are read off the colour bar
_HALO = (1.0, 1.0, 1.0, 0.8)
_LOW = 0.7  # of its width; beside a panel that is lower, beta's label is broken into lines
_NAME = 28  # characters of a file's name
_SIMILAR = 3.0  # extents up to this ratio are drawn with one unit on both axes


def draw_contour(
    ax: Axes, surface: Slice, name: str, levels: Levels, kind: str = "filled", *, points: bool = False, ink: str = ""
) -> ScalarMappable:
    """Draw ``values[name]``, alpha to the right and beta upwards, and return what a colour bar needs.

    Points that diverged are hatched grey, missing ones plain grey.

    Args:
        ax: the axes to draw on.
        surface: a 2-D slice.
        name: ``<split>_<metric>``.
        levels: what lines are drawn at and colours run over.
        kind: one of `KINDS`.
        points: whether the points that were evaluated are dotted.
        ink: the one colour of all lines, of which no others are drawn then: for a surface over something else.
    """
    alpha, beta = surface.axes
    if ink:
        kind = "lines"
    elif min(surface.shape) < 2:  # noqa: PLR2004  no line runs through a single row
        kind = "heat"
    finite = np.isfinite(surface.values[name])
    z = levels.placed(np.where(finite, surface.values[name], np.nan)).T  # rows are beta
    places, norm = levels.placed(levels.values), levels.norm()
    _draw_holes(ax, surface, name)
    if kind == "heat":
        mappable: Any = ax.pcolormesh(alpha, beta, z, cmap=style.MAP, norm=norm, shading="nearest", rasterized=True)
    elif kind == "filled":
        mappable = ax.contourf(alpha, beta, z, places, cmap=style.MAP, norm=norm)
        ax.contour(alpha, beta, z, places, colors="white", linewidths=0.4, alpha=0.7)
    elif min(surface.shape) > 1:
        _draw_lines(ax, surface, z, levels, ink)
    if points:
        x, y = (axis[i] for axis, i in zip(surface.axes, np.nonzero(surface.origin == EVALUATED), strict=True))
        dots = {"markersize": 2.2, "markeredgewidth": 0, "zorder": 4, "clip_on": False}  # those of the rim are whole
        ax.plot(x, y, ".", color="#111111", label="evaluated", **dots)  # type: ignore[arg-type]
    _draw_marks(ax, surface)
    _finish(ax, surface, cells=kind == "heat")
    return mappable if kind != "lines" else ScalarMappable(norm, style.MAP)


def _draw_lines(ax: Axes, surface: Slice, z: FloatArray, levels: Levels, ink: str) -> None:
    """Draw labelled lines of ``z`` (n_beta, n_alpha), in the levels' colours or in one."""
    places = levels.placed(levels.values)
    colours: Any = (
        {"colors": ink, "linewidths": 0.7} if ink else {"cmap": style.MAP, "norm": levels.norm(), "linewidths": 1.1}
    )
    lines = ax.contour(*surface.axes, z, places, **colours)
    roomy = [place for place, path in zip(places, lines.get_paths(), strict=True) if _is_roomy(path, surface)]
    texts = ax.clabel(lines, roomy, fontsize=7, fmt=levels.label, colors=ink or "#333333")
    if ink:  # legible on any colour beneath
        lines.set_path_effects([withStroke(linewidth=1.7, foreground=_HALO)])
        for text in texts:
            text.set_path_effects([withStroke(linewidth=1.7, foreground=_HALO)])


def _is_roomy(path: Path, surface: Slice) -> bool:
    """Return whether a level's lines are long enough to carry a label that covers no other."""
    vertices = np.asarray(path.vertices)
    if not len(vertices):
        return False
    extent = np.ptp(vertices, axis=0) / [np.ptp(axis) for axis in surface.axes]
    return bool(extent.max() > _ROOMY)


def _draw_holes(ax: Axes, surface: Slice, name: str) -> None:
    """Show where there is no finite value, and why."""
    alpha, beta = surface.axes
    missing = (surface.origin == MISSING).T
    diverged = ~np.isfinite(surface.values[name]).T & ~missing
    for where, colour in ((missing, style.MISSING), (diverged, style.DIVERGED)):
        if where.any():
            ax.pcolormesh(
                alpha,
                beta,
                np.where(where, 1.0, np.nan),
                cmap=ListedColormap([colour]),
                shading="nearest",
                zorder=0.5,
            )
    if diverged.any():
        x, y = np.meshgrid(alpha, beta)
        ax.plot(
            x[diverged],
            y[diverged],
            "x",
            color="#6b6b6b",
            markersize=3,
            markeredgewidth=0.6,
            label="diverged",
        )


def _draw_marks(ax: Axes, surface: Slice) -> None:
    halo = {"markeredgecolor": "white", "markeredgewidth": 0.8, "linestyle": "none", "zorder": 5}
    ax.plot([0], [0], marker="o", color="#111111", markersize=5, label="theta", **halo)  # type: ignore[arg-type]
    for mark in surface.marks:
        x, y = mark.coordinates
        ax.plot([x], [y], marker="D", color="#D55E00", markersize=5.5, **halo)  # type: ignore[arg-type]
        box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "alpha": 0.75, "linewidth": 0}
        to_left = x > np.mean(surface.axes[0])  # so that the name stays inside
        ax.annotate(
            mark.name, (x, y), xytext=(-6 if to_left else 6, 6), textcoords="offset points", fontsize=7, bbox=box,
            ha="right" if to_left else "left", zorder=6,
        )  # fmt: skip


def _finish(ax: Axes, surface: Slice, *, cells: bool) -> None:
    alpha, beta = surface.axes
    ax.set_xlim(*_range(alpha, cells=cells))
    ax.set_ylim(*_range(beta, cells=cells))
    ax.set_xlabel(axis_label(surface, 0))
    beside = axis_label(surface, 1)
    ax.set_ylabel(beside if panel_height(surface) > _LOW else beside.replace("  (", "\n(").replace(", ", ",\n"))
    ax.set_title(surface.title + ("\nunfinished, not audited" if surface.unaudited else ""))
    ax.spines[["top", "right"]].set_visible(True)
    if has_equal_units(surface):
        ax.set_aspect("equal")


def has_equal_units(surface: Slice) -> bool:
    """Return whether a surface is drawn with one unit on both axes: where their lengths are similar."""
    width, height = (axis[-1] - axis[0] for axis in surface.axes)
    return bool(height <= _SIMILAR * width and width <= _SIMILAR * height)


def panel_height(surface: Slice) -> float:
    """Return the height of a surface's panel as a share of its width."""
    width, height = (axis[-1] - axis[0] for axis in surface.axes)
    return float(height / width) if has_equal_units(surface) and width > 0 else 1.0


def _range(axis: FloatArray, *, cells: bool) -> tuple[float, float]:
    """Return the limits of an axis; with ``cells``, so that those of the outer points are whole."""
    if len(axis) == 1:
        return float(axis[0]) - 0.5, float(axis[0]) + 0.5
    pad = (axis[-1] - axis[0]) / (2 * (len(axis) - 1)) if cells else 0.0
    return float(axis[0] - pad), float(axis[-1] + pad)


def axis_label(surface: Slice, k: int) -> str:
    """Return what an axis means: its symbol, and where its direction comes from."""
    symbol = (r"$\alpha$", r"$\beta$")[k]
    if k >= len(surface.directions):
        return symbol
    direction = surface.directions[k]
    if direction.kind == "random":
        how = "" if direction.normalise == "none" else f", {direction.normalise}-normalised"
        return f"{symbol}  (random direction{how})"
    return f"{symbol}  ({_words(direction)})"


def _words(direction: Direction) -> str:
    """Return what a direction that is not random leads along."""
    if direction.kind == "eigenvector":
        value = (direction.source or "").partition(",")[0].removeprefix("eigenvalue ")
        return f"eigenvector, $\\lambda$ = {float(value):.3g}"
    if direction.kind in ("gradient", "ascent"):
        return direction.kind
    if direction.kind == "file":
        return f"direction of {_short(direction.source or 'a file')}"
    return f"toward {direction.source}" if direction.source else direction.kind


def _short(name: str) -> str:
    """Return a file's name as it fits an axis, a dollar sign being one and no formula."""
    short = name if len(name) <= _NAME else f"{name[: _NAME // 2]}\N{HORIZONTAL ELLIPSIS}{name[-_NAME // 2 :]}"
    return short.replace("$", r"\$")
