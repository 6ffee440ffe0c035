"""Whole figures of slices: which drawing for which records, and what can't be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from surfaceviz.records import HessianMap, Slice, coarsened
from surfaceviz.render import style
from surfaceviz.render.annotate import places
from surfaceviz.render.contours.contour import KINDS
from surfaceviz.render.contours.contour_figure import compose_surfaces
from surfaceviz.render.contours.hessian_map import SHADES, shaded
from surfaceviz.render.curves.curve_figure import compose_curves
from surfaceviz.render.figure_io import FORMATS, Picture, check_format, save
from surfaceviz.render.labels import UNFINISHED
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.spectra.spectrum_panels import draw_spectra

__all__ = ["FORMATS", "Picture", "check_format", "draw", "save"]
SPECTRUM = "spectrum"  # the kind of picture that shows no slice at all


def draw(
    surfaces: Sequence[Slice],
    *,
    kind: str = "filled",
    levels: str = "auto",
    of: str | None = None,
    names: Sequence[str] | None = None,
    clip: float | None = None,
    points: bool = False,
    spectrum: bool = False,
    shade: str | None = None,
    size: str = "auto",
) -> Picture:
    """Return a figure of slices: curves overlaid, surfaces side by side with one set of levels.

    Args:
        surfaces: all 1-D or all 2-D.
        kind: for surfaces: filled, lines or heat; for slices of any dimension: spectrum, their spectra alone.
        levels: auto, linear, log or paper (0.1 to 10 in steps of 0.5).
        of: ``<split>_<metric>``, a metric of the first split that has it, or ``rise``: over the centre's loss; by
            default the loss: of the first split, for curves of all.
        names: what tells slices of one problem apart, such as their files' names.
        clip: values above it are clipped, and hatched.
        points: whether the points of surfaces that were evaluated, not interpolated, are dotted.
        spectrum: whether points with a spectrum are numbered, with the curvature around them and their spectra below.
        shade: what the Hessian map shades: ratio (|lambda_min / lambda_max|), max, min or gradient; surfaces are
            drawn as lines over it, beside curves it is one more.
        size: auto, column, page or slide.

    Raises:
        ValueError: no slice, mixed dimensions, unknown kind, levels, metric, size or shade; no spectrum, no map.
    """
    if not surfaces:
        raise ValueError("nothing to draw: give at least one slice")
    if kind not in (*KINDS, SPECTRUM):
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}, got {kind!r}; {SPECTRUM} draws spectra alone")
    given = names or [surface.title or "the slice" for surface in surfaces]
    if kind == SPECTRUM:
        return _spectra(surfaces, given, size)
    look = PlotOptions(kind, levels, of, clip, points, spectrum, shade, size)
    _check(surfaces, look, given)
    surfaces = [so_far(surface, kind) for surface in told_apart(surfaces, names)]
    with style.applied(size) as inches:
        compose = compose_curves if surfaces[0].ndim == 1 else compose_surfaces
        return compose(surfaces, look, inches)


def so_far(surface: Slice, kind: str) -> Slice:
    """Return what can be drawn of a slice that is not finished: its finest whole lattice, and how far it has come."""
    if surface.complete:
        return surface
    whole = surface if kind == "heat" else coarsened(surface)
    progress = f"{surface.done} of {surface.origin.size} points so far"
    return replace(whole, provenance={**surface.provenance, UNFINISHED: progress})


def _check(surfaces: Sequence[Slice], look: PlotOptions, names: Sequence[str]) -> None:
    """Refuse what can't be drawn."""
    if len({surface.ndim for surface in surfaces}) != 1:
        raise ValueError("1-D and 2-D slices don't go into one picture; draw them apart")
    if any((np.diff(axis) <= 0).any() for surface in surfaces for axis in surface.axes):
        raise ValueError("the coordinates of an axis must rise; sort them, and the values with them")
    if surfaces[0].ndim == 1:
        _check_curves(look)
    if look.shade is not None and look.shade not in SHADES:
        raise ValueError(f"map: expected one of {', '.join(SHADES)}, got {look.shade!r}")
    for surface, name in zip(surfaces, names, strict=True):
        if look.spectrum and not places(surface):
            raise ValueError(_no_spectrum(name))
        if look.shade is not None:
            _check_map(surface.hessian_map, look.shade, name)


def _check_curves(look: PlotOptions) -> None:
    """Refuse what only surfaces have, rather than leave it out in silence."""
    if look.kind != "filled":
        raise ValueError(f"kind {look.kind} draws surfaces, and these slices are curves; leave it out")
    if look.points:
        raise ValueError("the points of curves are not dotted: only refined surfaces have interpolated ones")
    if look.levels == "paper":
        raise ValueError("levels paper: curves have none; use linear or log")


def _check_map(hessian_map: HessianMap | None, shade: str, name: str) -> None:
    if hessian_map is None:
        raise ValueError(f"{name} has no Hessian map; compute one by: surfaceviz hessian FILE.h5 --map 11:11")
    if not np.isfinite(shaded(hessian_map, shade)).any():
        raise ValueError(f"the Hessian map of {name} has no finite value: every point is missing or diverged")


def _no_spectrum(name: str) -> str:
    return f"{name} has no spectrum; compute one by: surfaceviz hessian FILE.h5"


def _spectra(surfaces: Sequence[Slice], names: Sequence[str], size: str) -> Picture:
    for surface, name in zip(surfaces, names, strict=True):
        if not surface.spectra:
            raise ValueError(_no_spectrum(name))
    spectra = [(n, s) for surface, n in zip(surfaces, names, strict=True) for s in surface.spectra]
    return draw_spectra(spectra, size=size)


def told_apart(surfaces: Sequence[Slice], names: Sequence[str] | None) -> list[Slice]:
    """Return the slices with titles that differ: where problems are the same, with the given names or numbers."""
    if len({surface.title for surface in surfaces}) == len(surfaces):
        return list(surfaces)
    names = names or [str(i + 1) for i in range(len(surfaces))]
    return [
        replace(surface, provenance={**surface.provenance, "problem": f"{surface.title} ({name})"})
        for surface, name in zip(surfaces, names, strict=True)
    ]
