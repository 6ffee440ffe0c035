"""The command ``surfaceviz merge``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfaceviz.cli.app import app
from surfaceviz.cli.options import shared as options
from surfaceviz.cli.terminal.lines import show, warn


@app.command(epilog="Example: surfaceviz merge run-*of8.h5 -o run.h5")
def merge(
    parts: Annotated[list[Path], typer.Argument(metavar="PART...", help="Files of slice --shard.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="HDF5 file for the whole slice.")],
    partial: Annotated[bool, typer.Option("--partial", help="Allow missing points.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    *,
    no_plot: options.NoPlot = False,
    debug: options.Debug = False,
) -> None:
    """Join the parts of one slice, after checking that they fit and are complete."""
    from surfaceviz.pipeline.slice.live_plot import picture_path
    from surfaceviz.store.merge import merge

    whole = merge(*parts, output=output, partial=partial, overwrite=overwrite)
    if "rounding" in whole.provenance:
        warn(str(whole.provenance["rounding"]))
    show(f"file: {output}, {whole.done} of {whole.origin.size} points, of {len(parts)} parts")
    if not no_plot:
        from surfaceviz import render
        from surfaceviz.errors import StoreError
        from surfaceviz.pipeline.outputs import Inputs, claimed
        from surfaceviz.start_folder import anchored

        picture = picture_path(anchored(output))
        try:
            with claimed(picture, inputs=Inputs(files=tuple(parts))):
                render.save(render.draw([whole]), picture)
        except (OSError, StoreError, ValueError) as error:  # the file is complete nevertheless
            warn(f"no picture: {error}")
            return
        show(f"picture: {picture}")
