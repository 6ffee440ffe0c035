"""The command ``import``: surface files of the reference code."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfaceviz.cli.app import app
from surfaceviz.cli.files.export import Overwrite
from surfaceviz.cli.options import shared as options
from surfaceviz.cli.terminal.lines import show


@app.command("import", epilog="Example: surfaceviz import model_[-1.0,1.0,51]x[-1.0,1.0,51].h5 -o resnet56.h5")
def import_(
    surface: Annotated[Path, typer.Argument(metavar="SURFACE.h5", help="A surface file of the reference code.")],
    projection: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A projection file, for the trajectory.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The HDF5 file [SURFACE-imported.h5].")] = None,
    overwrite: Overwrite = False,
    *,
    debug: options.Debug = False,
) -> None:
    """Read a surface file of the reference code (Li et al., tomgoldstein/loss-landscape).

    Its direction files need no import: slice --directions takes them.
    """
    from surfaceviz.pipeline.export import run_import

    found, path = run_import(surface, output, projection=projection, overwrite=overwrite)
    shape = " x ".join(map(str, found.shape))
    iterates = "" if found.trajectory is None else f", {len(found.trajectory.step)} iterates"
    show(f"file: {path}, {found.done} of {shape} points, {', '.join(found.values)}{iterates}")
    if not found.centre:
        show("centre: none, as (0, 0) is not a point of the grid with a value")
