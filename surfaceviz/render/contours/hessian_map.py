"""Maps of extreme eigenvalues: cells under the lines of a surface, a curve next to a loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import AsinhNorm, ListedColormap, LogNorm, Normalize
from matplotlib.lines import Line2D

from surfaceviz.records import MISSING, FloatArray, HessianMap
from surfaceviz.render import style
from surfaceviz.render.contours.cell_edges import edges
from surfaceviz.render.spectra.smoothed_density import EigenvalueScale
from surfaceviz.render.spectra.spectrum_axes import tick_label
from surfaceviz.render.style import scaled

_APART = 0.08  # the least distance of two labels of a colour bar, as a share of its length
_DECADES = 3.0  # with more decades only powers of ten are labelled
_WIDE = 20.0  # with a larger ratio of positive values colours are logarithmic


@dataclass(frozen=True, slots=True, kw_only=True)
class MapQuantity:
    """A quantity of a Hessian map: its values (p[, q]), and its name in TeX and in plain text."""

    read: Callable[[HessianMap], FloatArray]
    tex: str
    plain: str
    of_matrix: bool = True


MAP_QUANTITIES = {
    "ratio": MapQuantity(
        read=lambda m: m.ratio, tex=r"$|\lambda_{\min} / \lambda_{\max}|$", plain="|lambda_min / lambda_max|"
    ),
    "max": MapQuantity(read=lambda m: m.lambda_max, tex=r"$\lambda_{\max}$", plain="lambda_max"),
    "min": MapQuantity(read=lambda m: m.lambda_min, tex=r"$\lambda_{\min}$", plain="lambda_min"),
    "gradient": MapQuantity(
        read=lambda m: m.gradient_norm, tex="gradient norm", plain="gradient norm", of_matrix=False
    ),
}


def map_values(hessian_map: HessianMap, quantity: str) -> FloatArray:
    """Return a quantity at the points of a map, (p[, q]); NaN where missing or diverged."""
    values = MAP_QUANTITIES[quantity].read(hessian_map)
    return np.where(np.isfinite(values), values, np.nan)


def map_label(hessian_map: HessianMap, quantity: str, *, tex: bool = True) -> str:
    """Return a quantity with its matrix, for a colour bar or an axis."""
    shown = MAP_QUANTITIES[quantity]
    letter = "G" if hessian_map.provenance.get("operator") == "ggn" else "H"
    matrix = f"D{letter}D" if hessian_map.provenance.get("normalised") else letter
    return (shown.tex if tex else shown.plain) + (f" of {matrix}" if shown.of_matrix else "")


def choose_norm(arrays: Sequence[FloatArray]) -> Normalize:
    """Return the colours' scale for all maps of a picture.

    Values of one sign: from the least to the largest, by the logarithm where positive ones span more than a factor of
    20. Both signs, or negative ones: a symmetric-log scale centred at 0, so that colour tells the sign, linear
    within the median |value|. Ours.
    """
    finite = np.concatenate([array[np.isfinite(array)] for array in arrays])
    low, high = float(finite.min()), float(finite.max())
    if low < 0:
        largest = max(-low, high)
        width = float(np.clip(np.median(np.abs(finite)), 1e-3 * largest, largest))
        return AsinhNorm(linear_width=width, vmin=-largest, vmax=largest)
    if low > 0 and high > _WIDE * low:
        return LogNorm(low, high)
    return Normalize(low, high if high > low else low + 1)


def draw_map(ax: Axes, hessian_map: HessianMap, quantity: str, norm: Normalize) -> ScalarMappable:
    """Draw a map's quantity as cells, one around each of its points, and return what a colour bar needs.

    Args:
        ax: axes with a surface, alpha to the right and beta upwards; its limits are kept.
        hessian_map: a 2-D one, of any resolution.
        quantity: one of `MAP_QUANTITIES`.
        norm: of the colours.
    """
    values = map_values(hessian_map, quantity)
    limits = ax.get_xlim(), ax.get_ylim()
    bounds = [edges(axis, limit) for axis, limit in zip(hessian_map.axes, limits, strict=True)]
    cells = ax.pcolormesh(
        *bounds, values.T, cmap=_colours(norm), norm=norm, shading="flat", zorder=0.2, rasterized=True
    )
    for where, colour in (
        (hessian_map.origin == MISSING, style.MISSING),
        (np.isnan(values) & (hessian_map.origin != MISSING), style.DIVERGED),
    ):
        if where.any():
            grey = np.where(where, 1.0, np.nan).T
            ax.pcolormesh(*bounds, grey, cmap=ListedColormap([colour]), shading="flat", zorder=0.2)
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    return cells


def draw_map_curve(ax: Axes, hessian_map: HessianMap, quantity: str, *, colour: str, label: str) -> Line2D:
    """Draw a 1-D map's quantity over alpha, dotted where it was taken, and return the line."""
    (line,) = ax.plot(
        hessian_map.axes[0],
        map_values(hessian_map, quantity),
        ":.",
        color=colour,
        linewidth=scaled(1.0),
        markersize=scaled(4),
        label=label,
    )
    return line


def mark_bar(bar: Colorbar, arrays: Sequence[FloatArray]) -> None:
    """Tick a colour bar by plain numbers; one of signs is cut to the values that there are, with powers of ten."""
    if isinstance(bar.norm, LogNorm):
        low, high = float(bar.norm.vmin or 1), float(bar.norm.vmax or 1)
        steps = (1.0,) if np.log10(high / low) > _DECADES else (1.0, 2.0, 5.0)
        decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
        ticks = [step * decade for decade in decades for step in steps if low <= step * decade <= high]
        bar.set_ticks(ticks, labels=[f"{tick:.3g}" for tick in ticks])
        bar.minorticks_off()
    if not isinstance(bar.norm, AsinhNorm):
        return
    finite = np.concatenate([array[np.isfinite(array)] for array in arrays])
    axis = EigenvalueScale(
        threshold=bar.norm.linear_width,
        low=float(finite.min()),
        high=max(0.0, float(finite.max())),
        bandwidth=0.0,
    )
    major, minor = axis.ticks(_APART)
    bar.set_ticks([float(x) for x in major], labels=[tick_label(x) for x in major])
    bar.set_ticks([float(x) for x in minor], minor=True)
    bar.ax.set_ylim(axis.low, axis.high)


def _colours(norm: Normalize) -> str:
    return style.SIGNED_MAP if isinstance(norm, AsinhNorm) else style.MAP
