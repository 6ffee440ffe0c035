"""Data of spectra for the page: on one axis of eigenvalues where they are comparable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from surfaceviz.records import Slice, Spectrum, gradient_rows, negative_words, trace_words
from surfaceviz.render.annotate import spectra_on_slice
from surfaceviz.render.report.json_arrays import encode_array, json_number
from surfaceviz.render.spectra.smoothed_density import EigenvalueScale, choose_scale, rule_of, smoothed
from surfaceviz.render.spectra.spectrum_panels import numbers_of_points

_ALIKE = 30.0  # the ratio of norms up to which spectra share an axis, as in pictures
_APART = 0.1  # of the axis, between its labels
_ROWS = 40  # eigenvalues in a table; of more, half of them from either end
_POINTS = 600  # of a density's line: a kernel is 15 of them wide
Json = dict[str, Any]


def spectra(surfaces: Sequence[Slice]) -> list[Json]:
    """Return the spectra of all files: those on the slices, numbered as in pictures, then those off them."""
    on = [
        (k, n, s)
        for k, (surface, numbers) in enumerate(zip(surfaces, numbers_of_points(surfaces), strict=True))
        for n, s in zip(numbers, spectra_on_slice(surface), strict=True)
    ]
    off = [(k, 0, s) for k, surface in enumerate(surfaces) for s in surface.spectra if len(s.place) != surface.ndim]
    every = [*on, *off]
    drawn = [s for _, _, s in every if _is_drawable(s)]
    shared = choose_scale(drawn) if drawn and _are_alike(drawn) else None
    return [_point(k, n, s, (shared or choose_scale([s])) if _is_drawable(s) else None) for k, n, s in every]


def _is_drawable(spectrum: Spectrum) -> bool:
    return bool(len(spectrum.eigenvalues)) and bool(np.isfinite(spectrum.eigenvalues).all())


def _are_alike(found: Sequence[Spectrum]) -> bool:
    norms = [spectrum.norm for spectrum in found]
    return max(norms) <= _ALIKE * min(norms)


def _point(file: int, number: int, s: Spectrum, scale: EigenvalueScale | None) -> Json:
    count = len(s.eigenvalues)
    shown = np.arange(count) if count <= _ROWS else np.r_[0 : _ROWS // 2, count - _ROWS // 2 : count]
    return {
        "file": file,
        "number": number,
        "at": [json_number(x) for x in s.place] if number else None,
        "where": s.where,
        "symbol": s.symbol,
        "kind": s.kind,
        "facts": [list(row) for row in _facts(s)],
        "left_out": "" if len(shown) == count else f"the {_ROWS // 2} lowest and highest of {count}",
        "eigenvalues": [_eigenvalue(s, int(k), scale) for k in shown],
        "axis": None if scale is None else _axis(scale),
        "density": None if scale is None else _density(s, scale),
    }


def _eigenvalue(s: Spectrum, k: int, scale: EigenvalueScale | None) -> Json:
    value = float(s.eigenvalues[k])
    return {
        "value": json_number(value),
        "residual": json_number(float(s.residuals[k])),
        "converged": bool(s.converged[k]),
        "zero": s.is_zero(k),
        "place": None if scale is None else float(scale.transform(np.array(value))),
    }


def _facts(s: Spectrum) -> list[tuple[str, str]]:
    """Return the other facts about a point, as (label, text)."""
    rows = [
        ("kind", s.kind),
        ("why", s.reason),
        ("matrix", f"{s.symbol} over {s.dimension} parameters ({s.parameters})"),
        ("loss", f"{s.loss:.5g}, {s.split} split, {s.samples} samples"),
        ("gradient norm", f"{s.gradient_norm:.4g}, of the data's loss, without weight decay"),
    ]
    rows += [(label or "gradient", text) for label, text in gradient_rows(s)]
    if s.trace is not None:
        rows.append(("trace", trace_words(s).replace("+-", "\N{PLUS-MINUS SIGN}")))
    if s.negative_share is not None:
        rows.append(("negative eigenvalues", negative_words(s)))
    if s.along is not None:
        rows += [
            (f"curvature along {name}", f"{s.along[i, i]:.5g}")
            for i, name in zip(range(len(s.along)), ("alpha", "beta"), strict=False)
        ]
    return rows + [("note", note) for note in s.notes]


def _axis(scale: EigenvalueScale) -> Json:
    """Return the axis of eigenvalues, in its own units: its ends and what is written at which places."""
    ticks, _ = scale.ticks(_APART)
    low, high = scale.transform(np.array([scale.low, scale.high]))
    return {
        "range": [float(low), float(high)],
        "ticks": [float(u) for u in scale.transform(ticks)],
        "labels": [f"{x:g}".replace("-", "\N{MINUS SIGN}") for x in ticks],
        "floor": json_number(scale.floor),
        "ceiling": json_number(scale.ceiling),
    }


def _density(s: Spectrum, scale: EigenvalueScale) -> Json | None:
    """Return the smoothed density as the page draws it: places on the axis, eigenvalues, shares a decade."""
    rule = rule_of(s)
    if rule is None:
        return None
    low, high = scale.transform(np.array([scale.low, scale.high]))
    u = np.linspace(low, high, _POINTS)
    x = scale.inverse_transform(u)
    return {"u": encode_array(u), "x": encode_array(x), "y": encode_array(smoothed(rule, scale, x))}
