"""The command ``report``: one interactive page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfaceviz.cli.app import app, joined_stem
from surfaceviz.cli.options import shared as options
from surfaceviz.cli.terminal.lines import show
from surfaceviz.pipeline.defaults import defaults_of
from surfaceviz.render.plot_options import PlotOptions

DEFAULTS = defaults_of(PlotOptions)


@app.command(epilog="Example: surfaceviz report skip.h5 plain.h5 -o report.html")
def report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of slices, all 1-D or all 2-D.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The page [FILE.html].")] = None,
    *,
    title: options.Title = DEFAULTS.title,
    label: options.Label = DEFAULTS.label,
    axis_name: options.AxisName = DEFAULTS.axis_name,
    overwrite: options.Overwrite = False,
    debug: options.Debug = False,
) -> None:
    """Write one interactive page of slices that needs no network: surfaces, contours, cuts, spectra, tables."""
    from surfaceviz.pipeline.report import run_report

    shown = PlotOptions(title=title, label=label or (), axis_name=axis_name or ())
    written = run_report(files, output or Path(f"{joined_stem(files)}.html"), shown, overwrite=overwrite)
    show(f"page: {written.path}, {written.size / 1e6:.1f} MB")
