"""The commands about files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from surfaceviz.cli import options
from surfaceviz.cli.app import app

Format = Literal["vts", "vtp", "gltf", "obj", "stl", "npz", "csv", "netcdf", "reference"]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace the output.")]


@app.command(epilog="Example: surfaceviz export resnet20-digits.h5 --to stl --log")
def export(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A slice's file.")],
    to: Annotated[Format | None, typer.Option(help="The format [by the output's name].")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="The file to write [FILE's name with the format's ending].")
    ] = None,
    of: Annotated[
        str | None, typer.Option(metavar="SPLIT_METRIC", help="What the height of a surface shows [the loss].")
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Let the height be the logarithm.")] = False,
    clip: Annotated[float | None, typer.Option(help="Draw higher values at this one.")] = None,
    height: Annotated[float, typer.Option(help="Of the drawn range, as a share of the longest side.")] = 0.6,
    overwrite: Overwrite = False,
    debug: options.Debug = False,
) -> None:
    """Write a slice for another program.

    vts and vtp are for ParaView, with every metric as point data; gltf (.gltf, .glb) and obj for Blender, in colour;
    stl is a closed body for printers, 100 mm wide; npz, csv and netcdf hold the numbers; reference is for the code of
    Li et al., with the directions beside it.
    """
    from surfaceviz.pipeline import exchange

    if to is None and output is None:
        raise ValueError(f"export: name a format by --to ({', '.join(exchange.FORMATS)}), or a file by -o")
    path = output or exchange.default_output(file, str(to))
    written = exchange.export(file, path, to, of=of, log=log, clip=clip, height=height, overwrite=overwrite)
    for each in written:
        typer.echo(f"file: {each}")
    if (to or exchange.format_of(path)) == exchange.REFERENCE and not any("-directions" in p.stem for p in written[1:]):
        typer.echo("directions: not in the file, or not with the order of the network's tensors; none were written")


@app.command("import", epilog="Example: surfaceviz import model_[-1.0,1.0,51]x[-1.0,1.0,51].h5 -o resnet56.h5")
def import_(
    surface: Annotated[Path, typer.Argument(metavar="SURFACE.h5", help="A surface file of the reference code.")],
    projection: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A projection file, for the trajectory.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The HDF5 file [SURFACE-imported.h5].")] = None,
    overwrite: Overwrite = False,
    debug: options.Debug = False,
) -> None:
    """Read a surface file of the reference code (Li et al., tomgoldstein/loss-landscape).

    Its direction files are taken as they are, by slice --directions.
    """
    from surfaceviz.pipeline.exchange import import_reference

    found, path = import_reference(surface, output, projection=projection, overwrite=overwrite)
    shape = " x ".join(map(str, found.shape))
    iterates = "" if found.trajectory is None else f", {len(found.trajectory.step)} iterates"
    typer.echo(f"file: {path}, {found.done} of {shape} points, {', '.join(found.values)}{iterates}")
    if not found.centre:
        typer.echo("centre: none, as (0, 0) is no point of the grid that has a value")
