"""Drawing functions of the kinds filled, lines, heat and spectrum."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from surfaceviz.records import HessianMap, Slice
from surfaceviz.render import style
from surfaceviz.render.annotate import spectra_on_slice
from surfaceviz.render.contours.contour_figure import compose_surfaces
from surfaceviz.render.contours.hessian_map import MAP_QUANTITIES, map_values
from surfaceviz.render.curves.curve_figure import compose_curves
from surfaceviz.render.curves.ray_figure import compose_rays
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.same_distance import same_distance
from surfaceviz.render.spectra.spectrum_panels import draw_spectra

Warn = Callable[[str], None] | None


def draw_slices(surfaces: Sequence[Slice], options: PlotOptions, *, names: Sequence[str], warn: Warn = None) -> Picture:  # noqa: ARG001
    """Return a figure of curves laid over each other, of rays and curves over them, or of surfaces next to each other.

    Raises:
        ValueError: an option that curves don't have; an unknown map; a slice without the spectrum or map to be drawn.
    """
    if surfaces[0].ndim == 1:
        _check_curve_options(options)
    if any(surface.seeds for surface in surfaces):
        return _draw_rays(surfaces, options, names)
    if options.map is not None and options.map not in MAP_QUANTITIES:
        raise ValueError(f"map: expected one of {', '.join(MAP_QUANTITIES)}, got {options.map!r}")
    for surface, name in zip(surfaces, names, strict=True):
        if options.spectrum and not spectra_on_slice(surface):
            raise ValueError(_no_spectrum(name))
        if options.map is not None:
            _check_map(surface.hessian_map, options.map, name)
    with style.applied(options.size) as size:
        compose = compose_curves if surfaces[0].ndim == 1 else compose_surfaces
        return compose(surfaces, options, size)


def _draw_rays(surfaces: Sequence[Slice], options: PlotOptions, names: Sequence[str]) -> Picture:
    for option in ("spectrum", "map"):
        if getattr(options, option):
            raise ValueError(f"a picture of rays has no --{option}: leave it out, or take --kind spectrum")
    with style.applied(options.size) as size:
        return compose_rays(same_distance(surfaces, names), options, size)


def draw_spectra_of_slices(
    surfaces: Sequence[Slice],
    options: PlotOptions,
    *,
    names: Sequence[str],
    warn: Warn = None,  # noqa: ARG001
) -> Picture:
    """Return a figure of only the spectra in slices.

    Raises:
        ValueError: a slice without a spectrum.
    """
    for surface, name in zip(surfaces, names, strict=True):
        if not surface.spectra:
            raise ValueError(_no_spectrum(name))
    spectra = [(n, s) for surface, n in zip(surfaces, names, strict=True) for s in surface.spectra]
    return draw_spectra(spectra, size=options.size)


def _check_curve_options(options: PlotOptions) -> None:
    if options.points:
        raise ValueError("the points of curves are not dotted: only refined surfaces have interpolated ones")
    if options.levels == "paper":
        raise ValueError("levels paper: curves have none; use linear or log")


def _check_map(hessian_map: HessianMap | None, quantity: str, name: str) -> None:
    if hessian_map is None:
        raise ValueError(f"{name} has no Hessian map; compute one by: surfaceviz hessian FILE.h5 --map 11:11")
    if not np.isfinite(map_values(hessian_map, quantity)).any():
        raise ValueError(f"the Hessian map of {name} has no finite value: every point is missing or diverged")


def _no_spectrum(name: str) -> str:
    return f"{name} has no spectrum; compute one by: surfaceviz hessian FILE.h5"
