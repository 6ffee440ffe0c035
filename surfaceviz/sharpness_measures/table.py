"""Sharpness as plain text: a column for each checkpoint, a column for each rescaling."""

from __future__ import annotations

import math
from collections.abc import Sequence

from surfaceviz.sharpness_measures.measurements import TITLES, Change, Figure
from surfaceviz.sharpness_measures.record import Rescaled, Sharpness

_GAP = "  "
_ROUNDING = 1e-9  # of a figure: an error below that is none
_RULE = "survives: changes by less than 1%; within error: by less than two standard errors of the change"
_LEGEND = (
    "H: the Hessian; DHD: the same scaled to filters, D = ||w_i|| / sqrt(n_i), as filter-normalised slices show it",
    "+-: the standard error over random vectors (traces), batches (m-sharpness), draws (rise), directions (width)",
)


def figures_table(found: Sequence[Sharpness]) -> list[str]:
    """Return the lines of a table of all figures, a column for each checkpoint."""
    rows = [["", *(each.name for each in found)]]
    rows.append(["samples", *(f"{each.samples} of {each.split}" for each in found)])
    rows.append(["loss", *(f"{each.loss:.4g}" for each in found)])
    rows.append(["gradient norm", *(f"{each.gradient_norm:.3g}" for each in found)])
    rows += [[title, *(figure_text(each[key]) for each in found)] for key, title in TITLES.items()]
    notes = [
        f"{each.name}, {TITLES[key]}: {figure.note}"
        for each in found
        for key, figure in each.figures.items()
        if figure.note
    ]
    return [*_aligned(rows), *_LEGEND, *notes]


def changes_table(found: Sharpness) -> list[str]:
    """Return the lines of a table of what rescalings do to the figures, and beneath it what they are."""
    title = f"{found.name}, rescaled by"
    if not any(each.possible for each in found.rescalings):
        return [title, *map(_footnote, found.rescalings)]
    rows = [[title, *(each.kind for each in found.rescalings)]]
    rows += [[words, *(_cell(each, key) for each in found.rescalings)] for key, words in TITLES.items()]
    notes = [
        f"{each.kind}, {TITLES[key]}: {change.after.note}"
        for each in found.rescalings
        for key, change in each.changes.items()
        if change.after.note not in ("", found[key].note)
    ]
    return [*_aligned(rows), _RULE, *map(_footnote, found.rescalings), *notes]


def _cell(each: Rescaled, key: str) -> str:
    return change_text(each.changes[key]) if each.possible else "-"


def _footnote(each: Rescaled) -> str:
    if not each.possible:
        return f"{each.kind}: not possible here: {each.words}"
    return f"{each.kind}: {each.words}; verified, {f'to {each.deviation:.1g}' if each.deviation else 'exact'}"


def figure_text(figure: Figure) -> str:
    """Return a figure with its error.

    >>> figure_text(Figure(12.3456, 0.0234)), figure_text(Figure(float("inf"))), figure_text(Figure(0.25))
    ('12.35 +- 0.023', 'not up to 1024', '0.25')
    """
    if math.isinf(figure.value):
        return "not up to 1024"
    known = figure.stderr is not None and figure.stderr > _ROUNDING * abs(figure.value)
    return f"{figure.value:.4g}" + (f" +- {figure.stderr:.2g}" if known else "")


def change_text(change: Change) -> str:
    """Return a verdict, with the factor unless it survives.

    >>> change_text(Change(Figure(4.0), 4.0, 0.0)), change_text(Change(Figure(1.0), 1.0, 0.0))
    ('changes x4', 'survives')
    >>> change_text(Change(Figure(1.05), 1.05, 0.04)), change_text(Change(Figure(math.inf), math.inf, 0.0))
    ('within error, x1.05 +- 0.04', 'changes to not up to 1024')
    """
    if change.verdict == "survives":
        return "survives"
    if not math.isfinite(change.factor) or change.factor == 0:
        return f"changes to {figure_text(change.after)}"
    by = f"x{change.factor:.3g}" + (f" +- {change.stderr:.1g}" if change.stderr else "")
    return f"{change.verdict}{', ' if change.survives else ' '}{by}"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [_GAP.join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip() for row in rows]
