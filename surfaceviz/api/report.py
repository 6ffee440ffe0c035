"""The interactive report; this function needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from surfaceviz.pipeline.defaults import defaults_of
from surfaceviz.pipeline.report import Page, run_report
from surfaceviz.records import Slice
from surfaceviz.render.plot_options import PlotOptions

_PLOT = defaults_of(PlotOptions)


def report(
    *slices: Slice | str | Path,
    output: str | Path = "report.html",
    title: str = _PLOT.title,
    label: str | Sequence[str] = _PLOT.label,
    axis_name: str | Sequence[str] = _PLOT.axis_name,
    overwrite: bool = False,
) -> Page:
    """Write one self-contained page that shows slices, and return its path and size.

    Args:
        slices: records, or files; all 1-D or all 2-D.
        output: an HTML file.
        title: of the page; by default the names of the problems.
        label: names of the slices, one for each, instead of their problems'.
        axis_name: names of alpha and beta, instead of their directions.
        overwrite: whether an output that is not an earlier report is replaced; what is read never is.

    Raises:
        ValueError: nothing to show, mixed dimensions, no finite value, curvature along a training, or another ending.
        MissingPackageError: plotly is not installed.
        SchemaError: a file that can't be read.
        StoreError: a page that can't be written.
    """
    options = PlotOptions(title=title, label=label, axis_name=axis_name)
    return run_report(slices, Path(output), options, overwrite=overwrite)
