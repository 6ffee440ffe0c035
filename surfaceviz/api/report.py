"""The interactive report; this function needs no torch."""

from __future__ import annotations

from pathlib import Path

from surfaceviz.pipeline.report import Page, run_report
from surfaceviz.records import Slice


def report(
    *slices: Slice | str | Path, output: str | Path = "report.html", title: str = "", overwrite: bool = False
) -> Page:
    """Write one self-contained page that shows slices, and return its path and size.

    Args:
        slices: records, or files; all 1-D or all 2-D.
        output: an HTML file.
        title: of the page; by default the names of the problems.
        overwrite: whether an output that is not an earlier report is replaced; what is read never is.

    Raises:
        ValueError: nothing to show, mixed dimensions, no finite value, curvature along a training, or another ending.
        SchemaError: a file that can't be read.
        StoreError: a page that can't be written.
    """
    return run_report(slices, Path(output), title=title, overwrite=overwrite)
