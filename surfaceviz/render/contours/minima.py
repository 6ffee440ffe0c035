"""Minima and passes of a slice on its picture: numbered where they count."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Text
from numpy.typing import NDArray

from surfaceviz.records import FloatArray, Minima, MinimumKind, Slice
from surfaceviz.render import style
from surfaceviz.render.annotate import free_position
from surfaceviz.render.labels import has_equal_units
from surfaceviz.render.quantity import Quantity
from surfaceviz.render.style import scaled

_COUNTS, _PASS, _REST = "minimum", "its pass", "does not count"
_FACE = "#F0E442"  # of Okabe and Ito, for a number: those of points with a spectrum are white
_BOX = {"boxstyle": "round,pad=0.15", "facecolor": _FACE, "edgecolor": style.INK, "linewidth": 0.6}
_BOXED: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": "x-small", "zorder": 6.5, "bbox": _BOX}


def minima_shown(surface: Slice, shown: Quantity) -> Minima | None:
    """Return the minima of a slice where they are those of the quantity that is drawn: a loss, or its rise."""
    found = surface.minima
    names = () if found is None else (found.loss_name, f"{found.loss_name.removesuffix('loss')}rise")
    return found if shown.name in names else None


def numbered(minima: Minima) -> list[int]:
    """Return the minima that have a number in pictures, from 0 on: the lowest, and those that count."""
    is_numbered = minima.counted | (minima.verdict == MinimumKind.LOWEST)
    is_numbered[:1] = True
    return [int(k) for k in np.flatnonzero(is_numbered)]


def draw_minima(ax: Axes, surface: Slice, minima: Minima) -> list[Text]:
    """Draw the minima of a 2-D slice and the passes of those that count; return the texts of their numbers.

    Args:
        ax: the axes that the slice is drawn on; their limits are kept.
        surface: the slice.
        minima: its minima.
    """
    chosen = numbered(minima)
    rest = np.setdiff1d(np.arange(len(minima)), chosen)
    met = [k for k in chosen if np.isfinite(minima.pass_loss[k])]
    for style_, points in (
        (_style(_REST), minima.place[rest]),
        (_style(_PASS), minima.pass_place[met]),
        (_style(_COUNTS), minima.place[chosen]),
    ):
        ax.plot(*points.T, scalex=False, scaley=False, **style_)
    places = [(minima.place[k], k) for k in chosen] + [(minima.pass_place[k], k) for k in met]
    return _draw_numbers(ax, surface, places)


def _draw_numbers(ax: Axes, surface: Slice, places: Sequence[tuple[FloatArray, int]]) -> list[Text]:
    low = np.array([float(axis[0]) for axis in surface.axes])
    extent = np.array([float(np.ptp(axis)) or 1.0 for axis in surface.axes])
    unit = np.full(2, extent.max()) if has_equal_units(surface) else extent  # as far on paper along both axes
    marked = [mark.coordinates for mark in surface.marks]
    marks = [(0.0, 0.0), *marked, *(tuple(place) for place, _ in places)]
    taken = np.concatenate([(np.array(marks) - low) / unit, *(_name_of(place, surface, unit) for place in marked)])
    texts = []
    for place, number in places:
        free = free_position((place - low) / unit, taken, extent / unit)
        taken = np.concatenate([taken, free[None]])
        x, y = low + free * unit
        texts.append(ax.text(x, y, str(number + 1), **_BOXED))
    return texts


def _name_of(place: Sequence[float], surface: Slice, unit: FloatArray) -> FloatArray:
    """Return points under the name of a marked model, in shares of the axes; see `path.draw_marks`."""
    side = -1.0 if place[0] > np.mean(surface.axes[0]) else 1.0
    start = (np.array(place) - np.array([float(axis[0]) for axis in surface.axes])) / unit
    return np.asarray(start + np.stack([side * np.linspace(0.03, 0.4, 12), np.full(12, 0.04)], axis=1))


def _style(what: str) -> dict[str, Any]:
    """Return the style of a marker of minima or passes."""
    size, halo = {_COUNTS: 6.0, _PASS: 5.0, _REST: 4.5}[what], [withStroke(linewidth=scaled(2.6), foreground="white")]
    shape = {"linestyle": "none", "color": style.INK, "markersize": scaled(size), "path_effects": halo}
    face = {"markerfacecolor": {_COUNTS: _FACE, _REST: "white"}.get(what, style.INK)}
    return shape | face | {"marker": "x" if what == _PASS else "v", "zorder": 6.2, "markeredgewidth": scaled(1.0)}


def minima_legend(drawn: Sequence[Minima]) -> list[Line2D]:
    """Return the entries of a legend for what `draw_minima` draws."""
    counts: list[NDArray[np.bool_]] = [minima.counted for minima in drawn]
    entries = [_COUNTS] * bool(drawn)
    entries += [_PASS] * any(each.any() for each in counts)
    entries += [_REST] * any(len(numbered(minima)) < len(minima) for minima in drawn)
    return [Line2D([], [], label=what, **_style(what)) for what in entries]


def draw_minima_of_curve(ax: Axes, surface: Slice, metric: str) -> None:
    """Draw the minima of a 1-D slice, and the passes of those that count, with their numbers on the curve."""
    minima = surface.minima
    if minima is None or metric != "loss" or minima.loss_name not in surface.values:
        return
    for k in numbered(minima):
        points = [(_COUNTS, float(minima.place[k, 0]), float(minima.loss[k])), (_PASS, *_pass(minima, k))]
        for what, x, y in points:
            if np.isfinite(y):
                ax.plot([x], [y], scalex=False, label=what, **_style(what))
                ax.annotate(str(k + 1), (x, y), xytext=(0, scaled(11)), textcoords="offset points", **_BOXED)


def _pass(minima: Minima, k: int) -> tuple[float, float]:
    return float(minima.pass_place[k, 0]), float(minima.pass_loss[k])
