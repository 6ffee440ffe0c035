"""Sharpness as plain text: a column for each checkpoint, a column for each rescaling."""

from __future__ import annotations

import math
from collections.abc import Sequence

from surfaceviz.sharpness_measures.measurements import Change, Measurement
from surfaceviz.sharpness_measures.record import RescalingEffect, Sharpness
from surfaceviz.sharpness_measures.registry import MEASURES

_GAP = "  "
_ROUNDING = 1e-9  # of a value: a smaller error counts as none
_RULE = "survives: changes by less than 1%; within error: by less than two standard errors of the change"
_LEGEND = (
    "H: the Hessian; DHD: the same scaled to filters, D = ||w_i|| / sqrt(n_i), as filter-normalised slices show it",
    "+-: the standard error over random vectors (traces), batches (m-sharpness), draws (rise), directions (width)",
)


def measurements_table(found: Sequence[Sharpness]) -> list[str]:
    """Return the lines of a table of all measures, a column for each checkpoint."""
    rows = [["", *(each.name for each in found)]]
    rows.append(["samples", *(f"{each.samples} of {each.split}" for each in found)])
    rows.append(["loss", *(f"{each.loss:.4g}" for each in found)])
    rows.append(["gradient norm", *(f"{each.gradient_norm:.3g}" for each in found)])
    rows += [[measure.title, *(measurement_text(each[key]) for each in found)] for key, measure in MEASURES.items()]
    notes = [
        f"{each.name}, {MEASURES[key].title}: {measurement.note}"
        for each in found
        for key, measurement in each.measurements.items()
        if measurement.note
    ]
    return [*_aligned(rows), *_LEGEND, *notes]


def changes_table(found: Sharpness) -> list[str]:
    """Return the lines of a table of the effects of rescalings, and below it their descriptions."""
    title = f"{found.name}, rescaled by"
    if not any(each.possible for each in found.rescalings):
        return [title, *map(_footnote, found.rescalings)]
    rows = [[title, *(each.kind for each in found.rescalings)]]
    rows += [[measure.title, *(_cell(each, key) for each in found.rescalings)] for key, measure in MEASURES.items()]
    notes = [
        f"{each.kind}, {MEASURES[key].title}: {change.after.note}"
        for each in found.rescalings
        for key, change in each.changes.items()
        if change.after.note not in ("", found[key].note)
    ]
    return [*_aligned(rows), _RULE, *map(_footnote, found.rescalings), *notes]


def _cell(each: RescalingEffect, key: str) -> str:
    return change_text(each.changes[key]) if each.possible else "-"


def _footnote(each: RescalingEffect) -> str:
    if not each.possible:
        return f"{each.kind}: not possible here: {each.words}"
    return f"{each.kind}: {each.words}; verified, {f'to {each.deviation:.1g}' if each.deviation else 'exact'}"


def measurement_text(measurement: Measurement) -> str:
    """Return a measurement with its error, as text.

    >>> measurement_text(Measurement(value=12.3456, stderr=0.0234)), measurement_text(Measurement(value=0.25))
    ('12.35 +- 0.023', '0.25')
    >>> measurement_text(Measurement(value=math.inf))
    'not up to 1024'
    """
    if math.isinf(measurement.value):
        return "not up to 1024"
    known = measurement.stderr is not None and measurement.stderr > _ROUNDING * abs(measurement.value)
    return f"{measurement.value:.4g}" + (f" +- {measurement.stderr:.2g}" if known else "")


def change_text(change: Change) -> str:
    """Return the verdict on a change, with its factor unless the measurement survives.

    >>> after = Measurement(value=4.0)
    >>> change_text(Change(after, 4.0, 0.0)), change_text(Change(after, 1.0, 0.0))
    ('changes x4', 'survives')
    >>> change_text(Change(after, 1.05, 0.04)), change_text(Change(Measurement(value=math.inf), math.inf, 0.0))
    ('within error, x1.05 +- 0.04', 'changes to not up to 1024')
    """
    if change.verdict == "survives":
        return "survives"
    if not math.isfinite(change.factor) or change.factor == 0:
        return f"changes to {measurement_text(change.after)}"
    by = f"x{change.factor:.3g}" + (f" +- {change.stderr:.1g}" if change.stderr else "")
    return f"{change.verdict}{', ' if change.survives else ' '}{by}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_GAP.join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
