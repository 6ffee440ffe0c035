"""The command ``view``: a window in which surfaces turn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfaceviz.cli.app import app
from surfaceviz.cli.options import shared as options
from surfaceviz.cli.plot import DEFAULTS, Camera, Clip, Levels, Of, Spectrum


@app.command(epilog="Example: surfaceviz view plain.h5 skip.h5")
def view(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of surfaces.")],
    levels: Levels = DEFAULTS.levels,
    of: Of = DEFAULTS.of,
    clip: Clip = DEFAULTS.clip,
    *,
    spectrum: Spectrum = DEFAULTS.spectrum,
    camera: Camera = DEFAULTS.camera,
    debug: options.Debug = False,
) -> None:
    """Open a window in which surfaces turn with the mouse; q closes it."""
    from surfaceviz.pipeline.plot.request import ViewRequest
    from surfaceviz.pipeline.plot.run import run_view

    run_view(ViewRequest.of(*files, levels=levels, of=of, clip=clip, spectrum=spectrum, camera=camera))
