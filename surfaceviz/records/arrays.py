"""The array type of records, and their tables and pages in notebooks."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from surfaceviz.printable import printable

MISSING, EVALUATED, INTERPOLATED = 0, 1, 2  # the values of `Slice.origin`
AXIS_NAMES = ("alpha", "beta")
FloatArray: TypeAlias = NDArray[np.float64]


def html_frame(page: str) -> str:
    """Return a whole HTML page as a frame, which keeps its scripts and styles apart from those of a notebook."""
    style = "width:100%; height:720px; border:0"
    return f"<iframe srcdoc='{html.escape(page)}' style='{style}'></iframe>"


def html_table(rows: Iterable[tuple[str, str]]) -> str:
    """Return (label, text) rows as an HTML table."""
    cells = (
        f"<tr><th style='text-align:left'>{html.escape(printable(k))}</th><td>{html.escape(printable(v))}</td></tr>"
        for k, v in rows
    )
    return f"<table>{''.join(cells)}</table>"
