"""The commands. Whatever is heavy is imported inside them, so that --help answers at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surfaceviz.cli import slice_options
from surfaceviz.cli.app import app, command_line, number_or_auto

if TYPE_CHECKING:
    from surfaceviz.cli.progress import Terminal
    from surfaceviz.pipeline.slice.request import Request
    from surfaceviz.pipeline.slice.run import SliceResult


@app.command(epilog="Example: surfaceviz slice train.py:problem --weights best.pt --axis -1:1:51 --axis -1:1:51")
def slice(  # noqa: A001  the field's word for a cut
    problem: slice_options.Problem = "resnet20-digits",
    output: slice_options.Output = None,
    weights: slice_options.Weights = None,
    axis: slice_options.Axis = None,
    seed: slice_options.Seed = 0,
    normalise: slice_options.Normalise = "filter",
    ignore: slice_options.Ignore = "biasbn",
    orthogonal: slice_options.Orthogonal = False,
    only: slice_options.Only = None,
    freeze: slice_options.Freeze = None,
    toward: slice_options.Toward = None,
    along: slice_options.Along = None,
    radius: slice_options.Radius = 0.05,
    directions: slice_options.Directions = None,
    split: slice_options.Split = None,
    samples: slice_options.Samples = None,
    bn: slice_options.Bn = "fixed",
    dtype: slice_options.Dtype = None,
    device: slice_options.Device = "auto",
    engine: slice_options.Engine = None,
    batch: slice_options.Batch = None,
    tol: slice_options.Tol = None,
    regenerate: slice_options.Regenerate = False,
    data: slice_options.Data = None,
    workers: slice_options.WorkerSpec = "auto",
    shard: slice_options.Part = None,
    overwrite: slice_options.Overwrite = False,
    watch: slice_options.LivePlot = False,
    no_plot: slice_options.NoPlot = False,
    dry_run: slice_options.DryRun = False,
    quiet: slice_options.QuietReporter = False,
    debug: slice_options.Debug = False,
) -> None:
    """Cut a slice of the loss around a trained minimum into an HDF5 file and a picture.

    The same command goes on from where it was stopped.
    """
    count = number_or_auto("workers", workers)
    from surfaceviz.cli.progress import Terminal
    from surfaceviz.directions.axes import parse_axis
    from surfaceviz.directions.random import RandomSpec
    from surfaceviz.pipeline.slice.ranks import run_slice
    from surfaceviz.pipeline.slice.request import Request, Shard

    request = Request(
        problem=problem,
        axes=tuple(parse_axis(given) for given in axis) if axis else None,
        weights=weights,
        data=data,
        random=RandomSpec(seed, normalise, ignore, orthogonal),
        only=tuple(only or ()),
        freeze=tuple(freeze or ()),
        toward=tuple(toward or ()),
        along=along,
        radius=radius,
        directions=directions,
        splits=tuple(split or ()),
        samples="auto" if samples == "auto" else None if samples is None else number_or_auto("samples", samples),
        bn=bn,
        dtype=dtype,
        device=device,
        engine=None if engine == "auto" else engine,
        batch_size=batch,
        tolerance=tol,
        regenerate=regenerate,
        output=output,
        shard=None if shard is None else Shard.parse(shard),
        default_output=output is None,
        overwrite=overwrite,
        watch=watch,
    )
    with Terminal(quiet=quiet) as terminal:
        if dry_run:
            _print_estimate(request, terminal, count)
            return
        outcome = run_slice(request, workers=count, reporter=terminal, command=command_line())
    if outcome.path is not None:  # on rank 0
        _finish(outcome, terminal, draw=not no_plot and shard is None)


@app.command(epilog="Example: surfaceviz info resnet20-digits.h5")
def info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of slices, or of checkpoints.")],
    debug: slice_options.Debug = False,
) -> None:
    """Print what a file holds."""
    from surfaceviz.records import describe, describe_spectrum
    from surfaceviz.store import holds_training_curvature, read, read_curvature

    for path in files:
        if holds_training_curvature(path):
            course = read_curvature(path)
            noted = [(key.replace("_", " "), str(value)) for key, value in course.provenance.items()]
            found = [row for spectrum in course.spectra for row in describe_spectrum(spectrum)]
            _print_rows([("file", str(path)), *noted, *found])
            continue
        surface = read(path)
        rows = [("file", str(path)), *describe(surface)]
        if surface.directions:
            rows += [("rule", f"{name}: {rule}") for name, rule in surface.directions[0].rule.items()]
        for spectrum in surface.spectra:
            rows += describe_spectrum(spectrum)
        _print_rows(rows)


def _print_rows(rows: list[tuple[str, str]]) -> None:
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        typer.echo(f"{label:<{width}}  {text}")


@app.command(epilog="Example: surfaceviz merge run-*of8.h5 -o run.h5")
def merge(
    parts: Annotated[list[Path], typer.Argument(metavar="PART...", help="Files that slice --shard has made.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="The HDF5 file of the whole.")],
    partial: Annotated[bool, typer.Option("--partial", help="Take what there is, though points are missing.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the output.")] = False,
    no_plot: slice_options.NoPlot = False,
    debug: slice_options.Debug = False,
) -> None:
    """Join the parts of one slice, after checking that they fit and leave nothing out."""
    from surfaceviz.pipeline.slice.live_plot import picture_beside
    from surfaceviz.store.merge import merge

    whole = merge(*parts, output=output, partial=partial, overwrite=overwrite)
    if "rounding" in whole.provenance:
        print(f"warning: {whole.provenance['rounding']}", file=sys.stderr)
    typer.echo(f"file: {output}, {whole.done} of {whole.origin.size} points, of {len(parts)} parts")
    if not no_plot:
        from surfaceviz import render

        render.save(render.draw([whole]), picture_beside(output))
        typer.echo(f"picture: {picture_beside(output)}")


def _print_estimate(request: Request, terminal: Terminal, workers: int | None) -> None:
    from surfaceviz.execute import launched
    from surfaceviz.pipeline.slice.plan import make_plan
    from surfaceviz.pipeline.slice.summary import estimate

    place = launched()
    if place is not None and place.rank:
        return
    for label, text in estimate(make_plan(request, terminal.say), place.size if place else workers):
        typer.echo(f"{label:<10} {text}")


def _finish(outcome: SliceResult, terminal: Terminal, *, draw: bool) -> None:
    """Draw the picture and print the closing lines."""
    from surfaceviz import render
    from surfaceviz.pipeline.slice.live_plot import picture_beside
    from surfaceviz.pipeline.slice.summary import closing_lines

    assert outcome.path is not None
    picture = picture_beside(outcome.path) if draw else None
    if picture is not None and (outcome.fresh or not picture.exists()):
        try:
            render.save(render.draw([outcome.surface]), picture)
        except ValueError as error:  # every point diverged: the file is whole all the same
            terminal.warn(f"no picture: {error}")
            picture = None
    for label, text in closing_lines(outcome, picture):
        terminal.say(f"{label:<8} {text}")
