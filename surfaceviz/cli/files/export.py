"""The command ``export``: files for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from surfaceviz.cli.app import app
from surfaceviz.cli.options import shared as options
from surfaceviz.cli.terminal.lines import show
from surfaceviz.pipeline.defaults import defaults_of
from surfaceviz.render.export.formats import FORMATS
from surfaceviz.render.export.options import ExportOptions

if TYPE_CHECKING:
    Format = str
else:
    Format = Literal[(*FORMATS, "reference")]

DEFAULTS = defaults_of(ExportOptions)
SHAPE = "Shape of the surface"
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output.")]


@app.command(epilog="Example: surfaceviz export resnet20-digits.h5 --to stl --log")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A slice's file.")],
    to: Annotated[Format | None, typer.Option(help="Format [by the output's ending].")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write [FILE's name with the format's ending].")
    ] = None,
    of: Annotated[
        str | None,
        typer.Option(metavar="SPLIT_METRIC", rich_help_panel=SHAPE, help="Quantity shown as height [the loss]."),
    ] = DEFAULTS.of,
    *,
    log: Annotated[bool, typer.Option("--log", rich_help_panel=SHAPE, help="Logarithmic height.")] = DEFAULTS.log,
    clip: Annotated[
        float | None, typer.Option(rich_help_panel=SHAPE, help="Upper end of the values; larger ones lie at it.")
    ] = DEFAULTS.clip,
    height: Annotated[
        float, typer.Option(rich_help_panel=SHAPE, help="Height of the drawn range, as a share of the longest side.")
    ] = DEFAULTS.height,
    overwrite: Overwrite = False,
    debug: options.Debug = False,
) -> None:
    """Write a slice for another program.

    vts and vtp are for ParaView, with every metric as point data; gltf (.gltf, .glb) and obj for Blender, in colour;
    stl is a closed body for printers, 100 mm wide; npz, csv and netcdf hold the numbers; reference is for the code of
    Li et al., with the directions in a second file.
    """
    from surfaceviz.pipeline.export import REFERENCE, ExportRequest, run_export

    request = ExportRequest.of(file, output, to, of=of, log=log, clip=clip, height=height, overwrite=overwrite)
    written = run_export(request)
    for each in written:
        show(f"file: {each}")
    if request.to == REFERENCE and not any("-directions" in path.stem for path in written[1:]):
        show("directions: not in the file, or not with the order of the network's tensors; none were written")
