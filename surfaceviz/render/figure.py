"""Whole figures of slices: which drawing for which records, legends, colour bars."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import FigureBase

from surfaceviz.records import HessianMap, Slice
from surfaceviz.render import levels as levels_module
from surfaceviz.render import style
from surfaceviz.render.annotate import draw_points, draw_points_of_curve, places
from surfaceviz.render.contour import KINDS, draw_contour, panel_height
from surfaceviz.render.curve import draw_curve, finish_curve, split_names
from surfaceviz.render.panels import draw_spectra, draw_stacks, numbered, stacks_height
from surfaceviz.render.picture import FORMATS, Picture, check_format, save
from surfaceviz.render.shade import SHADES, choose_norm, draw_shade, draw_shade_curve, mark_bar, shade_label, shaded

__all__ = ["FORMATS", "Picture", "check_format", "draw", "save"]
SPECTRUM = "spectrum"  # the kind of picture that shows no slice at all
_INK = "#1a1a1a"


@dataclass(frozen=True, slots=True)
class Look:
    """How slices are to be drawn; the fields are `draw`'s."""

    kind: str
    levels: str
    of: str | None
    points: bool
    spectrum: bool
    shade: str | None


def draw(
    surfaces: Sequence[Slice],
    *,
    kind: str = "filled",
    levels: str = "auto",
    of: str | None = None,
    names: Sequence[str] | None = None,
    points: bool = False,
    spectrum: bool = False,
    shade: str | None = None,
) -> Picture:
    """Return a figure of slices: curves overlaid, surfaces side by side with one set of levels.

    Args:
        surfaces: all 1-D or all 2-D.
        kind: for surfaces: filled, lines or heat; for slices of any dimension: spectrum, their spectra alone.
        levels: auto, linear or log.
        of: ``<split>_<metric>``; by default the loss: of the first split, for curves of all.
        names: what tells slices of one problem apart, such as their files' names.
        points: whether the points of surfaces that were evaluated, not interpolated, are dotted.
        spectrum: whether points with a spectrum are numbered, with the curvature around them and their spectra below.
        shade: what the Hessian map shades: ratio (|lambda_min / lambda_max|), max, min or gradient; surfaces are
            drawn as lines over it, beside curves it is one more.

    Raises:
        ValueError: no slice, mixed dimensions, unknown kind, levels, metric or shade; no spectrum, no map.
    """
    if not surfaces:
        raise ValueError("nothing to draw: give at least one slice")
    if kind not in (*KINDS, SPECTRUM):
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}; {SPECTRUM} draws spectra alone")
    given = names or [surface.title or "the slice" for surface in surfaces]
    if kind == SPECTRUM:
        return _spectra(surfaces, given)
    look = Look(kind, levels, of, points, spectrum, shade)
    _check(surfaces, look, given)
    surfaces = _told_apart(surfaces, names or [str(i + 1) for i in range(len(surfaces))])
    with style.applied():
        return _curves(surfaces, look) if surfaces[0].ndim == 1 else _surfaces(surfaces, look)


def _check(surfaces: Sequence[Slice], look: Look, names: Sequence[str]) -> None:
    """Refuse what can't be drawn."""
    if len({surface.ndim for surface in surfaces}) != 1:
        raise ValueError("1-D and 2-D slices don't go into one picture; draw them apart")
    if look.shade is not None and look.shade not in SHADES:
        raise ValueError(f"map: expected one of {', '.join(SHADES)}, got {look.shade!r}")
    for surface, name in zip(surfaces, names, strict=True):
        if look.of is not None and look.of not in surface.values:
            raise ValueError(f"no {look.of!r} in {surface.title}; it has {', '.join(surface.values)}")
        if look.spectrum and not places(surface):
            raise ValueError(_no_spectrum(name))
        if look.shade is not None:
            _check_map(surface.hessian_map, look.shade, name)


def _check_map(hessian_map: HessianMap | None, shade: str, name: str) -> None:
    if hessian_map is None:
        raise ValueError(f"{name} has no Hessian map; compute one by: surfaceviz hessian FILE.h5 --map 11:11")
    if not np.isfinite(shaded(hessian_map, shade)).any():
        raise ValueError(f"the Hessian map of {name} has no finite value: every point is missing or diverged")


def _no_spectrum(name: str) -> str:
    return f"{name} has no spectrum; compute one by: surfaceviz hessian FILE.h5"


def _spectra(surfaces: Sequence[Slice], names: Sequence[str]) -> Picture:
    for surface, name in zip(surfaces, names, strict=True):
        if not surface.spectra:
            raise ValueError(_no_spectrum(name))
    return draw_spectra([(n, s) for surface, n in zip(surfaces, names, strict=True) for s in surface.spectra])


def _told_apart(surfaces: Sequence[Slice], names: Sequence[str]) -> list[Slice]:
    """Return the slices with titles that differ: where problems are the same, with the given names."""
    if len({surface.title for surface in surfaces}) == len(surfaces):
        return list(surfaces)
    return [
        replace(surface, provenance={**surface.provenance, "problem": f"{surface.title} ({name})"})
        for surface, name in zip(surfaces, names, strict=True)
    ]


def _first_loss(surfaces: Sequence[Slice]) -> str:
    for split in surfaces[0].splits:
        if all(f"{split}_loss" in surface.values for surface in surfaces):
            return f"{split}_loss"
    raise ValueError("these slices share no loss: name what to draw")


def _surfaces(surfaces: Sequence[Slice], look: Look) -> Picture:
    columns = min(len(surfaces), 4)
    rows = math.ceil(len(surfaces) / columns)
    height = (0.6 + 3.3 * max(panel_height(surface) for surface in surfaces)) * rows
    figure, above, below = _halves(0.9 + 3.9 * columns, height, surfaces, columns if look.spectrum else 0)
    axes = list(above.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[len(surfaces) :]:
        ax.set_visible(False)
    _draw_surfaces(above, axes, surfaces, look)
    if below is not None:
        for ax, surface, numbers in zip(axes, surfaces, numbered(surfaces), strict=False):
            draw_points(ax, surface, places(surface), numbers)
        draw_stacks(below, surfaces, columns, [style.COLOURS[0]] * len(surfaces))
    return figure


def _halves(
    width: float, height: float, surfaces: Sequence[Slice], columns: int
) -> tuple[Picture, FigureBase, FigureBase | None]:
    """Return an empty figure, the part for slices, and the part below for spectra where they have ``columns``."""
    if not columns:
        figure = Picture(figsize=(width, height), layout="constrained")
        return figure, figure, None
    more = stacks_height(surfaces, columns)
    figure = Picture(figsize=(width, height + more), layout="constrained")
    parts: Any = figure.subfigures(2, 1, height_ratios=[height, more])
    return figure, parts[0], parts[1]


def _draw_surfaces(host: FigureBase, axes: Sequence[Axes], surfaces: Sequence[Slice], look: Look) -> None:
    """Draw surfaces on their axes with the colour bar of what is coloured: the metric, or the map under its lines."""
    name = look.of or _first_loss(surfaces)
    chosen = levels_module.choose([surface.values[name] for surface in surfaces], _scale(look.levels, name))
    ink = _INK if look.shade else ""
    for ax, surface in zip(axes, surfaces, strict=False):
        mappable = draw_contour(ax, surface, name, chosen, look.kind, points=look.points, ink=ink)
    if look.shade:
        maps = _maps(surfaces)
        values = [shaded(hessian_map, look.shade) for hessian_map in maps]
        norm = choose_norm(values)
        for ax, hessian_map in zip(axes, maps, strict=False):
            mappable = draw_shade(ax, hessian_map, look.shade, norm)
        bar = host.colorbar(mappable, ax=axes, shrink=0.85, pad=0.02, label=shade_label(maps[0], look.shade))
        mark_bar(bar, values)
        return
    bar = host.colorbar(mappable, ax=axes, shrink=0.85, pad=0.02)
    bar.set_label(name.replace("_", " "))
    ticks = [float(place) for place in chosen.placed(chosen.values)]
    bar.set_ticks(ticks, labels=[chosen.label(place) for place in ticks])
    bar.ax.minorticks_off()


def _maps(surfaces: Sequence[Slice]) -> list[HessianMap]:
    return [surface.hessian_map for surface in surfaces if surface.hessian_map is not None]


def _curves(surfaces: Sequence[Slice], look: Look) -> Picture:
    metric = "loss" if look.of is None else _metric(surfaces[0], look.of)
    figure, above, below = _halves(5.6, 3.7, surfaces, int(look.spectrum))
    ax = above.subplots()
    shown = [_restricted(surface, look.of) for surface in surfaces]
    values = [s.values[name] for s in shown for name in s.values if name.endswith(f"_{metric}")]
    log = levels_module.choose(values, _scale(look.levels, metric)).log
    draw_curve(ax, shown, metric=metric)
    finish_curve(ax, shown, metric=metric, log=log)
    handles, labels = ax.get_legend_handles_labels()
    right = _second_axis(ax, shown, look)
    if right is not None:
        ax.set_zorder(right.get_zorder() + 1)  # numbers of points lie over the dotted curves
        ax.patch.set_visible(False)
        more = right.get_legend_handles_labels()
        handles, labels = handles + more[0], labels + more[1]
    above.legend(handles, labels, loc="outside lower center", ncols=2 if len(labels) > 1 else 1)
    named = any(surface.marks for surface in surfaces)  # their names stand between title and axes
    ax.set_title(surfaces[0].title if len(surfaces) == 1 else "", pad=18 if named else None)
    if below is not None:
        for surface, numbers in zip(shown, numbered(shown), strict=True):
            draw_points_of_curve(ax, surface, places(surface), numbers, metric)
        colours = style.COLOURS if len(shown) > 1 else style.COLOURS[:1]
        draw_stacks(below, shown, 1, [colours[i % len(colours)] for i in range(len(shown))])
    return figure


def _second_axis(ax: Axes, surfaces: Sequence[Slice], look: Look) -> Axes | None:
    """Draw the map's quantity, or else accuracy beside the loss, on an axis to the right, and return it if any."""
    if look.shade:
        right = ax.twinx()
        for i, (surface, hessian_map) in enumerate(zip(surfaces, _maps(surfaces), strict=True)):
            own = f"{surface.title}, " if len(surfaces) > 1 else ""
            colour = style.COLOURS[i if len(surfaces) > 1 else 2]
            draw_shade_curve(
                right, hessian_map, look.shade, colour=colour, label=own + shade_label(hessian_map, look.shade)
            )
        right.set_ylabel(shade_label(_maps(surfaces)[0], look.shade) + " (dotted)")
        if isinstance(choose_norm([shaded(hessian_map, look.shade) for hessian_map in _maps(surfaces)]), LogNorm):
            right.set_yscale("log")
    elif look.of is None and any(split_names(surface, "accuracy") for surface in surfaces):
        right = ax.twinx()
        draw_curve(right, surfaces, metric="accuracy", faint=True)
        right.set_ylim(0, 1.02)
        right.set_ylabel("accuracy (dotted)")
    else:
        ax.spines["right"].set_visible(False)
        return None
    return right


def _scale(scale: str, name: str) -> str:
    """Return the scale for a metric: only a loss is ever put on a log scale unasked."""
    return "linear" if scale == "auto" and not name.endswith("loss") else scale


def _metric(surface: Slice, name: str) -> str:
    return next(name.removeprefix(f"{split}_") for split in surface.splits if name.startswith(f"{split}_"))


def _restricted(surface: Slice, of: str | None) -> Slice:
    if of is None:
        return surface
    kept = {of: surface.values[of]}
    rise = {k: v for k, v in surface.rise_stderr.items() if k == of}
    return replace(surface, values=kept, stderr={}, rise_stderr=rise)
