"""The table of sharpness at theta: a column for each file."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from surfaceviz.records import AXIS_NAMES, FloatArray, Slice, Spectrum, explanation, median_ray, student_factor
from surfaceviz.records.local_models.second_differences import second_difference

_RISE = 0.1  # rise of the loss that defines a width; the same as in `surfaceviz sharpness`
_ZERO = 1e-9  # of an axis's length: a coordinate below it is the centre's
_UNKNOWN = "-"
NOTES = (
    "-: the file does not tell. Curvatures and widths along an axis are in units of the slice's directions.",
    "A width ends where points of the grid first show the rise, linear between them; what is between is not seen.",
    "Interpolated points count for widths as evaluated ones do.",
    "\N{PLUS-MINUS SIGN}: one standard error over random vectors.",
    "The loss is the data's alone, without weight decay: trained weights are usually not a critical point of it.",
    "Sharpness often fails to predict generalisation, whichever measure is taken (arXiv 2302.07011).",
)


def sharpness_table(surfaces: Sequence[Slice], names: Sequence[str]) -> dict[str, Any]:
    """Return the table's columns, its rows (label, then a cell for each file), sentences on models, and notes.

    A row without a value is left out. The sentences say how far quadratic models are right, and what curvature slices
    hide; only files with a spectrum have them.
    """
    found = [_figures(surface) for surface in surfaces]
    labels = dict.fromkeys(label for figures in found for label in figures)
    rows = [[label, *(figures.get(label, _UNKNOWN) for figures in found)] for label in labels]
    known = [row for row in rows if any(cell != _UNKNOWN for cell in row[1:])]
    with_spectra = [(s, name) for s, name in zip(surfaces, names, strict=True) if s.spectra]
    explained = [f"{name}: {line}" for surface, name in with_spectra for line in explanation(surface)]
    return {"columns": ["at theta", *names], "rows": known, "explained": explained, "notes": list(NOTES)}


def _figures(surface: Slice) -> dict[str, str]:
    """Return all cells of a file by label: values at theta, spectra, second differences and widths."""
    rows = {name.replace("_", " "): f"{value:.5g}" for name, value in surface.centre.items()}
    for spectrum in surface.spectra:
        if spectrum.source == "" and not any(spectrum.place):
            rows |= _of_spectrum(spectrum)
    curve = median_ray(surface) if surface.seeds else surface
    of = ", median of the rays" * bool(surface.seeds)
    for split in surface.splits:
        if f"{split}_loss" in surface.values:
            for axis, words in enumerate(AXIS_NAMES[: surface.ndim]):
                rows |= _of_line(curve, f"{split}_loss", axis, words + of)
    return dict(sorted(rows.items(), key=lambda row: row[0].startswith("width")))  # those at the end


def _of_spectrum(s: Spectrum) -> dict[str, str]:
    letter = f"({s.symbol}, {s.split})"
    rows = {
        f"lambda_max {letter}": _extreme(s, s.lambda_max, -1),
        f"lambda_min {letter}": _extreme(s, s.lambda_min, 0),
        f"gradient norm ({s.split})": _text(s.gradient_norm),
    }
    if s.trace is not None:
        half = student_factor(s.probes) * (s.trace_stderr or 0.0)
        error = f" \N{PLUS-MINUS SIGN} {half:.2g} (95%)" if half > 0 else ""
        rows[f"trace {letter}"] = _text(s.trace) + error
    if s.along is not None:
        rows |= {
            f"d'{s.symbol}d along {name} ({s.split})": _text(float(s.along[i, i]))
            for i, name in zip(range(len(s.along)), AXIS_NAMES, strict=False)
        }
    return rows


def _extreme(s: Spectrum, value: float, k: int) -> str:
    known = math.isfinite(value)
    return _text(value) + (" (not converged)" if known and not s.converged[k] else "")


def _of_line(surface: Slice, name: str, axis: int, words: str) -> dict[str, str]:
    """Return the second difference and the width along an axis through the centre, where the grid has it."""
    at = [_zero(coordinates) for coordinates in surface.axes]
    loss = name.replace("_", " ")
    if any(i is None for i in at):
        return {}
    index: list[Any] = list(at)
    index[axis] = slice(None)
    x, y, i = surface.axes[axis], surface.values[name][tuple(index)], int(at[axis] or 0)
    return {
        f"second difference along {words} ({loss})": _second(x, y, i),
        f"width along {words} at {loss} + {_RISE:g}": _width(x, y - y[i], i),
    }


def _second(x: FloatArray, y: FloatArray, i: int) -> str:
    """Return a second difference with its step, since only equal steps compare."""
    found = second_difference(x, y, i)
    return _text(found) + (f" (step {x[i + 1] - x[i]:.3g})" if math.isfinite(found) else "")


def _zero(axis: FloatArray) -> int | None:
    """Return where an axis passes the centre, or None."""
    i = int(np.argmin(np.abs(axis)))
    return i if abs(axis[i]) <= _ZERO * (abs(axis[-1] - axis[0]) or 1.0) else None


def _width(x: FloatArray, rise: FloatArray, i: int) -> str:
    """Return how far the rise stays below its limit around x[i], linear between points."""
    ends = [crossing(x[i::-1], rise[i::-1]), crossing(x[i:], rise[i:])]
    if not all(math.isfinite(end) for end, _ in ends):
        return _UNKNOWN
    width = _text(ends[1][0] - ends[0][0])
    return width if all(crossed for _, crossed in ends) else f"more than {width}"


def crossing(x: FloatArray, rise: FloatArray) -> tuple[float, bool]:
    """Return where a rise first passes its limit on the way from x[0], and whether that is known.

    NaN where a missing point comes first. At a point that diverged, it is not known how far before it the limit is
    passed: the rise does so beyond the point before.

    >>> crossing(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.05, 0.25]))
    (1.25, True)
    >>> crossing(np.array([0.0, 1.0, 2.0]), np.array([0.0, 0.05, np.inf]))
    (1.0, False)
    """
    beyond = np.flatnonzero(~(rise <= _RISE))
    if not len(beyond):
        return float(x[-1]), False
    k = int(beyond[0])
    if k == 0 or math.isnan(rise[k]):
        return math.nan, False
    if math.isinf(rise[k]):
        return float(x[k - 1]), False
    share = (_RISE - rise[k - 1]) / (rise[k] - rise[k - 1])
    return float(x[k - 1] + share * (x[k] - x[k - 1])), True


def _text(x: float) -> str:
    return f"{x:.5g}".replace("-", "\N{MINUS SIGN}") if math.isfinite(x) else _UNKNOWN
