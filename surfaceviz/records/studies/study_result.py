"""The result of a study as frozen numpy records: a table of known and found numbers, and the panels of its figure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records.arrays import FloatArray, html_table
from surfaceviz.records.slices import Slice

_HEAD = ("quantity", "known", "found", "difference", "allowed", "agrees")


@dataclass(frozen=True, slots=True, kw_only=True)
class StudySeries:
    """Values against values on a panel.

    Attributes:
        label: for the legend; '' for none.
        x: (n,).
        y: (n,).
        kind: ``line``, ``points``, ``dashed`` or ``bars``.
        error: half the height of an error bar, (n,).
    """

    label: str
    x: FloatArray
    y: FloatArray
    kind: str = "line"
    error: FloatArray | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyPanel:
    """A panel of a study's figure: a 2-D slice, or series.

    Attributes:
        title: above it.
        x_label: below it, or of a slice's alpha.
        y_label: beside it, or of a slice's beta.
        series: drawn on it; on a slice as marked places.
        log: the axes on a log scale: '', ``x``, ``y`` or ``xy``.
        surface: the slice; None for series alone.
        levels: of a slice's lines: ``auto``, ``log`` or ``linear``.
        floor: losses below it are drawn as it is: next to an exact 0 a log scale shows the grid.
        group: slices of one group share the levels of their lines, those of the first; '' for levels of its own.
        ticks: names of the places 0, 1, ... on the x axis; none for numbers.
    """

    title: str
    x_label: str
    y_label: str
    series: tuple[StudySeries, ...] = ()
    log: str = ""
    surface: Slice | None = None
    levels: str = "auto"
    floor: float | None = None
    group: str = ""
    ticks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyResult:
    """The result of a study.

    Attributes:
        name: the study's name.
        title: a heading.
        question: the question, a sentence.
        see: a line on what the figure shows.
        misleads: a line on what would mislead.
        sources: where the known numbers come from.
        quick: whether it is the short variant.
        quantities: what each row of the table is, (r,) texts.
        known: the number of a closed form or a publication, (r,); NaN where there is none.
        found: ours, (r,).
        allowed: the largest difference that counts as agreement, (r,); see `agrees`.
        panels: of the figure.
    """

    name: str
    title: str
    question: str
    see: str
    misleads: str
    sources: str
    quick: bool
    quantities: tuple[str, ...]
    known: FloatArray
    found: FloatArray
    allowed: FloatArray
    panels: tuple[StudyPanel, ...] = ()

    @property
    def agrees(self) -> NDArray[np.bool_]:
        """Which rows agree with what is known, (r,): |found - known| <= allowed; True where nothing is known."""
        with np.errstate(invalid="ignore"):
            return np.asarray(np.isnan(self.known) | (np.abs(self.found - self.known) <= self.allowed))

    def __repr__(self) -> str:
        return f"<StudyResult of {self.name}: {int(self.agrees.sum())} of {len(self.found)} numbers agree>"

    def _repr_html_(self) -> str:
        return html_table([(row[0], ", ".join(row[1:])) for row in study_rows(self)[1:]])


def study_rows(result: StudyResult) -> list[tuple[str, ...]]:
    """Return the cells of the table, with a head."""
    return [_HEAD, *(_row(result, k) for k in range(len(result.found)))]


def _row(result: StudyResult, k: int) -> tuple[str, ...]:
    known, found, allowed = float(result.known[k]), float(result.found[k]), float(result.allowed[k])
    if np.isnan(known):
        return (result.quantities[k], "-", f"{found:.6g}", "-", "-", "-")
    difference = found - known
    return (
        result.quantities[k], f"{known:.6g}", f"{found:.6g}", f"{difference:.2g}", f"{allowed:.2g}",
        "yes" if result.agrees[k] else "NO",
    )  # fmt: skip
