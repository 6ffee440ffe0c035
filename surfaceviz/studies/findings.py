"""The findings of a study before they become a record: rows of a table, panels, two lines of text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surfaceviz.records.studies import StudyPanel, StudyResult, StudySeries
from surfaceviz.studies.registry import Study

_EXACT = 1e-8  # difference to a closed form, where the row states no other


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A row of a study's table.

    Attributes:
        quantity: what it is, in words.
        found: our number.
        known: that of a closed form or a publication; NaN where there is none.
        allowed: the largest difference that counts as agreement.
    """

    quantity: str
    found: float
    known: float = math.nan
    allowed: float = _EXACT


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """The findings of a study.

    Attributes:
        rows: the table.
        panels: the figure.
        see: a line on what the figure shows.
        misleads: a line on what would mislead.
    """

    rows: Sequence[Row]
    panels: Sequence[StudyPanel]
    see: str
    misleads: str

    def result(self, name: str, study: Study, *, quick: bool) -> StudyResult:
        """Return the record of a study with these findings."""
        columns = np.array([[row.known, row.found, row.allowed] for row in self.rows], dtype=float).reshape(-1, 3)
        return StudyResult(
            name=name, title=study.title, question=study.question, sources=study.sources, see=self.see,
            misleads=self.misleads, quick=quick, quantities=tuple(row.quantity for row in self.rows),
            known=columns[:, 0], found=columns[:, 1], allowed=columns[:, 2], panels=tuple(self.panels),
        )  # fmt: skip


def line(
    label: str, x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, kind: str = "line"
) -> StudySeries:
    """Return a series of a panel."""
    return StudySeries(label=label, x=np.asarray(x, dtype=float), y=np.asarray(y, dtype=float), kind=kind)


def place(label: str, x: float, y: float) -> StudySeries:
    """Return a marked place of a slice."""
    return line(label, [x], [y], "points")
