"""Spectra of points: the density, individual eigenvalues, a text box."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import FixedFormatter, FixedLocator, LogLocator, NullFormatter

from surfaceviz.records import Spectrum, student_factor
from surfaceviz.render.spectra.smoothed_density import EigenvalueScale, rule_of, smoothed
from surfaceviz.render.style import scaled

_STEM, _LONE = 0.12, 0.6  # heights of stems as shares of the panel, with a density and without one
_MANY, _ENDS = 40, 10  # of more eigenvalues than that, so many at either end are marked
_CIRCLE = {"boxstyle": "circle,pad=0.2", "facecolor": "white", "edgecolor": "#111111", "linewidth": 0.8}
# text style of a point's number, on the slice and next to its spectrum
NUMBER_STYLE: dict[str, Any] = {"fontsize": "small", "fontweight": "bold", "color": "#111111", "bbox": _CIRCLE}
_PLAIN = (1e-2, 1e4)  # numbers between them are written without a power of ten


def draw_density(
    ax: Axes, spectrum: Spectrum, scale: EigenvalueScale, *, colour: str, label: str = "", fill: bool = True
) -> Line2D | None:
    """Draw the smoothed density over the eigenvalues and return its line, or None where there is no density.

    Args:
        ax: the axes to draw on, which `finish_spectrum` scales.
        spectrum: of a point.
        scale: of all spectra that are compared.
        colour: of line and tint.
        label: for a legend.
        fill: whether the area below is tinted: for the only spectrum of a panel.
    """
    rule = rule_of(spectrum)
    if rule is None:
        return None
    x = scale.points()
    y = smoothed(rule, scale, x)
    (line,) = ax.plot(x, y, color=colour, linewidth=scaled(1.1), label=label)
    if fill:
        ax.fill_between(x, np.full(len(x), scale.floor * 1e-9), y, color=colour, alpha=0.15, linewidth=0)
    return line


def draw_eigenvalues(ax: Axes, spectrum: Spectrum, *, colour: str, row: int = 0, label: str = "") -> list[Line2D]:
    """Draw a stem for each eigenvalue and return the heads: filled those that converged, hollow those that didn't.

    Stems stand on the panel's lower edge, short where there is a density and long where there is none; their height
    means nothing. Of more than 40 eigenvalues ten at either end are drawn.

    Args:
        ax: the axes to draw on.
        spectrum: of a point.
        colour: of stems and heads.
        row: of several spectra in one panel, so that their heads stand above each other.
        label: for a legend.
    """
    known = np.arange(len(spectrum.eigenvalues))
    if len(known) > _MANY:
        known = np.concatenate([known[:_ENDS], known[-_ENDS:]])
    height = (_LONE if rule_of(spectrum) is None else _STEM) + 0.07 * row
    across = ax.get_xaxis_transform()
    ax.vlines(spectrum.eigenvalues[known], 0, height, color=colour, linewidth=scaled(0.7), transform=across, zorder=3)
    heads: list[Line2D] = []
    for shown, face in ((known[spectrum.converged[known]], colour), (known[~spectrum.converged[known]], "white")):
        if len(shown):
            heads += ax.plot(
                spectrum.eigenvalues[shown], np.full(len(shown), height), "o", markersize=scaled(3), color=colour,
                markerfacecolor=face, markeredgewidth=scaled(0.8), transform=across, zorder=4, clip_on=False,
                label=label if not heads else "",
            )  # fmt: skip
    return heads


def finish_spectrum(
    ax: Axes,
    scale: EigenvalueScale,
    *,
    rows: int = 1,
    labelled: bool = True,
    density: bool = True,
    apart: float = 0.085,
) -> None:
    """Scale and label the axes of a panel.

    Args:
        ax: the axes.
        scale: of the spectra in it.
        rows: how many spectra's eigenvalues stand at its lower edge.
        labelled: whether eigenvalues are written below it, or only ticked.
        density: whether one is in it: else there is nothing to read off upwards.
        apart: between labels, as a share of the axis.
    """
    ax.set_xscale("asinh", linear_width=scale.threshold)
    ax.set_xlim(scale.low, scale.high)
    major, minor = scale.ticks(apart)
    ax.xaxis.set_major_locator(FixedLocator([float(x) for x in major]))
    ax.xaxis.set_major_formatter(FixedFormatter([tick_label(x) for x in major] if labelled else [""] * len(major)))
    ax.xaxis.set_minor_locator(FixedLocator([float(x) for x in minor]))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.axvline(0, color="#999999", linewidth=0.6, zorder=0)
    ax.spines["right"].set_visible(False)
    if not density:
        ax.set_yticks([])
        ax.spines["left"].set_visible(False)
        ax.set_ylim(0, 1)
        return
    ax.set_yscale("log")
    low, high = np.log10(scale.floor), np.log10(scale.ceiling)
    room = _STEM + 0.07 * (rows - 1) + 0.04  # below the floor, for the stems
    ax.set_ylim(10 ** (low - room / (1 - room) * (high - low)), scale.ceiling)
    ax.yaxis.set_major_locator(LogLocator(numticks=4))
    ax.yaxis.set_minor_formatter(NullFormatter())


def tick_label(x: float) -> str:
    """Return the tick label of a power of ten.

    >>> [tick_label(x) for x in (0.0, -10.0, 1e-3)]
    ['0', '\N{MINUS SIGN}10', '$10^{-3}$']
    """
    if x == 0 or _PLAIN[0] <= abs(x) <= _PLAIN[1]:
        return f"{x:g}".replace("-", "\N{MINUS SIGN}")
    return f"${'-' if x < 0 else ''}10^{{{round(np.log10(abs(x)))}}}$"


def format_number(x: float, digits: int = 3) -> str:
    """Return a number as text for pictures, with a power of ten where it is very large or small.

    >>> format_number(3.14159), format_number(1240.0)
    ('3.14', '1240')
    """
    if not np.isfinite(x):
        return f"{x}"
    if x == 0 or _PLAIN[0] / 10 <= abs(x) < _PLAIN[1]:
        places = max(0, digits - 1 - int(np.floor(np.log10(abs(x) or 1.0))))
        text = f"{x:.{places}f}"
        return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", "\N{MINUS SIGN}")
    mantissa, exponent = f"{x:.{digits - 1}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"${mantissa}{{\\times}}10^{{{int(exponent)}}}$"


def draw_box(ax: Axes, spectrum: Spectrum, number: int) -> list[Text]:
    """Write the summary of a point on empty axes: its number and kind, extreme eigenvalues, trace."""
    ax.set_axis_off()
    head = ax.text(0.07, 0.98, str(number), transform=ax.transAxes, ha="center", va="top", **NUMBER_STYLE)
    kind = ax.text(0.16, 0.98, spectrum.kind, transform=ax.transAxes, va="top", fontsize="small", fontweight="bold")
    words = ax.text(0.02, 0.74, "\n".join(_words(spectrum)), transform=ax.transAxes, va="top", fontsize="small",
                    linespacing=1.3)  # fmt: skip
    return [head, kind, words]


def _words(spectrum: Spectrum) -> list[str]:
    """Return the lines of a box."""
    s = spectrum
    matrix = "" if s.symbol == "H" else f"({s.symbol})"
    lines = [
        rf"$\lambda_{{\max}}$ {matrix} {format_number(s.lambda_max)}{_doubt(s, -1)}",
        rf"$\lambda_{{\min}}$ {matrix} {format_number(s.lambda_min)}{_doubt(s, 0)}",
    ]
    if s.trace is not None:
        error = student_factor(s.probes) * (s.trace_stderr or 0.0)
        known = np.isfinite(error) and error > 0
        lines.append(
            f"trace {format_number(s.trace)}"
            + (f" \N{PLUS-MINUS SIGN} {format_number(error, 2)} (95%)" if known else "")
        )
    lines.append(f"|gradient| {format_number(s.gradient_norm, 2)}")
    return [" ".join(line.split()) for line in lines]


def _doubt(spectrum: Spectrum, k: int) -> str:
    if not spectrum.converged[k]:
        return " (not converged)"
    zero = abs(spectrum.eigenvalues[k]) <= spectrum.residuals[k]  # what was reached, not what was asked for
    return " (\N{ALMOST EQUAL TO} 0)" if zero else ""
