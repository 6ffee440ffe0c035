"""The command about sharpness."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfaceviz.cli import slice_options
from surfaceviz.cli.app import app


@app.command(epilog="Example: surfaceviz sharpness resnet20-digits resnet20-plain-digits --samples 300")
def sharpness(
    targets: Annotated[
        list[str], typer.Argument(metavar="FILE.h5|PROBLEM", help="Slices' files, for their theta; or problems.")
    ],
    weights: Annotated[
        list[str] | None, typer.Option(metavar="FILE[:KEY]", help="A checkpoint of the one problem; several times.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="Whose loss [the first split].")] = None,
    samples: Annotated[int | None, typer.Option(help="Use a seeded subset of so many samples [all].")] = None,
    problem: Annotated[str | None, typer.Option(help="The slice's problem, where its file does not name it.")] = None,
    data: slice_options.Data = None,
    batch: Annotated[int | None, typer.Option(help="Samples in a batch [128].")] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="For graphs and vectors, such as 4G [half of what is free].")
    ] = None,
    device: Annotated[str, typer.Option(help="As torch names it; auto: a GPU where there is one.")] = "auto",
    seed: Annotated[int, typer.Option(help="Of directions, probes and factors.")] = 0,
    rescale: Annotated[
        bool, typer.Option("--rescale/--no-rescale", help="Whether to see what survives rescaling, for the first.")
    ] = True,
    all_: Annotated[bool, typer.Option("--all", help="Rescale every checkpoint, not the first alone.")] = False,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write all figures there, as JSON.")] = None,
    quiet: slice_options.QuietReporter = False,
    debug: slice_options.Debug = False,
) -> None:
    """Measure how sharp minima are, in every way that is usual, and which of them survive rescaling.

    Layers, neurons and batch norms are rescaled so that the function stays the same, which is verified; a measure that
    changes then says something of the parameters' scale, not of the function. All is computed in float64.
    """
    from surfaceviz.cli.progress import Terminal
    from surfaceviz.pipeline.hessian.request import parse_memory
    from surfaceviz.pipeline.sharpness.run import SharpnessRequest, measure
    from surfaceviz.sharpness_measures import CAUTION, changes_table, measurements_table

    request = SharpnessRequest(
        targets=tuple(targets), weights=tuple(weights or ()), problem=problem, split=split, samples=samples, data=data,
        batch=batch, memory=None if memory is None else parse_memory(memory), seed=seed,
        rescaled=0 if not rescale else None if all_ else 1,
        json=json, device=device,
    )  # fmt: skip
    with Terminal(quiet=quiet) as terminal:
        found = measure(request, terminal)
    for lines in [measurements_table(found), *(changes_table(each) for each in found if each.rescalings)]:
        typer.echo("\n" + "\n".join(lines))
    typer.echo(f"\n{CAUTION}")
    if json is not None:
        typer.echo(f"file        {json}")
