"""Sharpness as plain text, a column for each checkpoint and each rescaling, and as rows of a CSV file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from surfaceviz.sharpness_measures.measurements import Change, measurement_text
from surfaceviz.sharpness_measures.record import RescalingEffect, Sharpness
from surfaceviz.sharpness_measures.registry import MEASURES

_GAP = "  "
_RULE = (
    "survives: changes by less than 1%, error included; within error: no change is seen, 1 is inside the factor's 95% "
    "interval (Student's t, for normal draws); not known: a value or the error is not"
)
_H = "H: the Hessian; DHD: the same scaled to filters, D = ||w_i|| / sqrt(n_i), as filter-normalised slices show it"
_DRAWS = {"trace": "random vectors (traces)", "m_sharpness": "batches (m-sharpness, SAM's step)",
          "expected_rise": "pairs of draws (rise)", "width": "directions (width, an upper estimate)"}  # fmt: skip
COLUMNS = (
    "checkpoint", "problem", "split", "samples", "rescaling", "measure", "title", "value", "stderr", "at_least",
    "factor", "factor_stderr", "verdict", "note",
)  # fmt: skip


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
    return [*_aligned(rows), _H, _error_line(found), *_bases(found), *notes]


def _error_line(found: Sequence[Sharpness]) -> str:
    """Return the meaning of '+-', with the numbers of draws that it is estimated from."""
    counts = {key: sorted({each[key].count for each in found} - {0, 1}) for key in _DRAWS}
    parts = [f"{' or '.join(map(str, counts[key]))} {words}" for key, words in _DRAWS.items() if counts[key]]
    return f"+-: one standard error, estimated from {', '.join(parts)}"


def _bases(found: Sequence[Sharpness]) -> list[str]:
    """Return a line on each procedure behind the values, with the titles of its measures."""
    titles: dict[str, list[str]] = {}
    for measure in MEASURES.values():
        if measure.basis:
            titles.setdefault(measure.basis, []).append(measure.title)
    efforts = sorted({(each.starts, each.iterations) for each in found})
    words = " or ".join(f"{starts} random starts, with up to {steps} steps from each" for starts, steps in efforts)
    return [f"basis of {'; '.join(each)}: {basis.format(starts=words)}" for basis, each in titles.items()]


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
    error = f"equal to {each.deviation:.1g} of the largest" if each.deviation else "equal bit for bit"
    return f"{each.kind}: {each.words}; verified on all samples: {error}"


def change_text(change: Change) -> str:
    """Return the verdict on a change, with its factor unless the measurement survives.

    >>> from surfaceviz.sharpness_measures.measurements import Measurement
    >>> after = Measurement(value=4.0)
    >>> change_text(Change(after, 4.0, 0.0)), change_text(Change(after, 1.0, 0.0))
    ('changes x4', 'survives')
    >>> change_text(Change(after, 1.05, 0.04)), change_text(Change(Measurement(value=math.inf), math.inf, 0.0))
    ('within error, x1.05 +- 0.04', 'changes to inf')
    >>> change_text(Change(after, math.nan, 0.0)), change_text(Change(after, 0.9, math.nan))
    ('not known', 'not known, x0.9 without its error')
    """
    if change.verdict == "survives":
        return "survives"
    if math.isnan(change.factor):
        return "not known"
    if math.isnan(change.stderr):
        return f"not known, x{change.factor:.3g} without its error"
    if not math.isfinite(change.factor) or change.factor == 0:
        return f"changes to {measurement_text(change.after)}"
    by = f"x{change.factor:.3g}" + (f" +- {change.stderr:.1g}" if change.stderr else "")
    return f"{change.verdict}{', ' if change.survives else ' '}{by}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_GAP.join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def csv_rows(found: Sequence[Sharpness]) -> Iterator[dict[str, object]]:
    """Yield a row for each measure of each checkpoint, by the names in `COLUMNS`.

    Rows without a rescaling hold the measure at the checkpoint; the others the value after a rescaling, the factor by
    which it changed, and the verdict. What is not known is empty.
    """
    for each in found:
        common = {"checkpoint": each.name, "problem": each.problem, "split": each.split, "samples": each.samples}
        for key, measurement in each.measurements.items():
            yield {
                **common, "measure": key, "title": MEASURES[key].title, "value": measurement.value,
                "stderr": measurement.stderr, "at_least": int(measurement.at_least), "note": measurement.note,
            }  # fmt: skip
        for effect in each.rescalings:
            for key, change in effect.changes.items():
                after = change.after
                yield {
                    **common, "rescaling": effect.kind, "measure": key, "title": MEASURES[key].title,
                    "value": after.value, "stderr": after.stderr, "at_least": int(after.at_least),
                    "factor": change.factor, "factor_stderr": change.stderr, "verdict": change.verdict,
                    "note": after.note,
                }  # fmt: skip
