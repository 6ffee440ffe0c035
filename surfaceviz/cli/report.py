"""The command that writes a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfaceviz.cli import options
from surfaceviz.cli.app import app

_JOINED = 3  # stems in the name of a page of several files, as in that of a picture


@app.command(epilog="Example: surfaceviz report skip.h5 plain.h5 -o report.html")
def report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Slices, all 1-D or all 2-D.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The page [FILE.html].")] = None,
    title: Annotated[str, typer.Option(help="Of the page [the problems' names].")] = "",
    debug: options.Debug = False,
) -> None:
    """Write one interactive page of slices that needs no network: surfaces, contours, cuts, spectra, tables."""
    from surfaceviz.pipeline.page import report as write

    written = write(*files, output=output or _default(files), title=title)
    typer.echo(f"page: {written.path}, {written.size / 1e6:.1f} MB")


def _default(files: list[Path]) -> Path:
    """Return the page's name: the files' stems, joined."""
    stems = [path.stem if path.suffix.lower() in (".h5", ".hdf5") else path.name for path in files[:_JOINED]]
    return Path("-".join(stems) + ".html") if len(files) > 1 else files[0].with_name(f"{stems[0]}.html")
