"""The commands. Whatever is heavy is imported inside them, so that --help answers at once."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from surfaceviz.cli.progress import Terminal
    from surfaceviz.pipeline.plan import Plan
    from surfaceviz.pipeline.run import Outcome

app = typer.Typer(
    name="surfaceviz",
    help="See the loss surface of a neural network: slices around trained minima, drawn.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_DEBUG = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]


Normalise = Literal["filter", "layer", "weight", "dfilter", "dlayer", "none"]
Ignore = Literal["biasbn", "none"]
BatchNorm = Literal["fixed", "recalibrate"]
Dtype = Literal["float64", "float32", "bf16", "float16"]
Engine = Literal["eager"]
Kind = Literal["filled", "lines", "heat"]
Scale = Literal["auto", "linear", "log"]


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"surfaceviz {version('surfaceviz')}")
        raise typer.Exit


@app.callback()
def _common(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave."),
    ] = False,
) -> None:
    """See the loss surface of a neural network: slices around trained minima, drawn."""


@app.command(epilog="Example: surfaceviz slice train.py:problem --weights best.pt --axis -1:1:51 --axis -1:1:51")
def slice(  # noqa: A001  the field's word for a cut
    problem: Annotated[
        str,
        typer.Argument(
            help="A catalogue name, FILE.py:FACTORY or PACKAGE.MODULE:FACTORY; the factory returns a Problem."
        ),
    ] = "resnet20-digits",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="The HDF5 file [PROBLEM.h5].")] = None,
    weights: Annotated[
        str | None,
        typer.Option(metavar="FILE[:KEY]", help="Weights: safetensors or .pt; the problem's own without."),
    ] = None,
    axis: Annotated[
        list[str] | None,
        typer.Option(metavar="MIN:MAX:NUM", help="Once: a curve; twice: a surface [-1:1:25 twice]."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the random directions.")] = 0,
    normalise: Annotated[Normalise, typer.Option(help="What random directions are scaled by.")] = "filter",
    ignore: Annotated[Ignore, typer.Option(help="biasbn: biases and norms' gains stay still.")] = "biasbn",
    orthogonal: Annotated[
        bool,
        typer.Option("--orthogonal", help="Make the second direction orthogonal to the first, filter by filter."),
    ] = False,
    only: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Move these parameters or modules alone.")
    ] = None,
    freeze: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Keep these parameters or modules still.")
    ] = None,
    toward: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:KEY]",
            help="Once: the line to these weights; twice: the plane through three models, alpha toward the second.",
        ),
    ] = None,
    split: Annotated[list[str] | None, typer.Option(help="A split to measure [all].")] = None,
    samples: Annotated[int | None, typer.Option(help="Use a seeded subset of so many samples of each split.")] = None,
    bn: Annotated[BatchNorm, typer.Option(help="Batch norms' running statistics.")] = "fixed",
    dtype: Annotated[Dtype | None, typer.Option(help="Compute in this [float32; float64 for a float64 model].")] = None,
    device: Annotated[str, typer.Option(help="As torch names it; auto: a GPU where there is one.")] = "auto",
    engine: Annotated[Engine | None, typer.Option(help="How points are evaluated [eager].")] = None,
    batch: Annotated[int | None, typer.Option(help="Samples in a batch [128].")] = None,
    data: Annotated[str | None, typer.Option(metavar="FOLDER", help="Where a problem's data lie.")] = None,
    workers: Annotated[str, typer.Option(metavar="N|auto", help="Local processes, of one thread each.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Start anew, whatever the file holds.")] = False,
    no_plot: Annotated[bool, typer.Option("--no-plot", help="Draw no picture.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done and how long it would take.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but warnings and errors.")] = False,
    debug: _DEBUG = False,
) -> None:
    """Cut a slice of the loss around a trained minimum into an HDF5 file and a picture.

    The same command goes on from where it was stopped.
    """
    count = _workers(workers)
    from surfaceviz.cli.progress import Terminal
    from surfaceviz.directions import RandomSpec
    from surfaceviz.grid import Axis
    from surfaceviz.pipeline.plan import Request, make_plan
    from surfaceviz.pipeline.report import still
    from surfaceviz.pipeline.run import run

    request = Request(
        problem=problem,
        axes=tuple(Axis.parse(given) for given in axis) if axis else None,
        weights=weights,
        data=data,
        random=RandomSpec(seed, normalise, ignore, orthogonal),
        only=tuple(only or ()),
        freeze=tuple(freeze or ()),
        toward=tuple(toward or ()),
        splits=tuple(split or ()),
        samples=samples,
        bn=bn,
        dtype=dtype,
        device=device,
        engine=engine,
        batch_size=batch,
        output=output,
        default_output=output is None,
        overwrite=overwrite,
    )
    with Terminal(quiet=quiet) as terminal:
        plan = make_plan(request, terminal.say)
        if dry_run:
            _print_estimate(plan, count)
            return
        for line in still(plan):
            terminal.say(line)
        outcome = run(plan, workers=count, listener=terminal, command=_command_line())
    _finish(outcome, terminal, draw=not no_plot)


@app.command(epilog="Example: surfaceviz info resnet20-digits.h5")
def info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of slices.")],
    debug: _DEBUG = False,
) -> None:
    """Print what a file holds."""
    from surfaceviz.records import describe
    from surfaceviz.store import read

    for path in files:
        surface = read(path)
        rows = [("file", str(path)), *describe(surface)]
        if surface.directions:
            rows += [("rule", f"{name}: {rule}") for name, rule in surface.directions[0].rule.items()]
        width = max(len(label) for label, _ in rows)
        for label, text in rows:
            typer.echo(f"{label:<{width}}  {text}")


@app.command(epilog="Example: surfaceviz plot plain.h5 skip.h5 --kind lines -o both.pdf")
def plot(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="FILE...", help="Curves are overlaid, surfaces drawn side by side."),
    ],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="PNG, SVG or PDF [FILE.png].")] = None,
    kind: Annotated[Kind, typer.Option(help="Of surfaces.")] = "filled",
    levels: Annotated[Scale, typer.Option(help="Spacing of levels, or the scale of a curve.")] = "auto",
    of: Annotated[str | None, typer.Option(metavar="SPLIT_METRIC", help="What to draw [the loss].")] = None,
    debug: _DEBUG = False,
) -> None:
    """Draw slices: curves overlaid, surfaces side by side with one set of levels."""
    from surfaceviz import render
    from surfaceviz.store import read

    picture = output or Path("-".join(_picture_beside(path).stem for path in files[:3]) + ".png")
    render.check_format(picture)
    surfaces = [read(path) for path in files]
    names = [path.stem for path in files]
    render.save(render.draw(surfaces, kind=kind, levels=levels, of=of, names=names), picture)
    typer.echo(f"picture: {picture}")


def _workers(given: str) -> int | None:
    if given == "auto":
        return None
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"workers: expected a number of at least 1, or auto, got {given!r}")
    return int(given)


def _command_line() -> str:
    return shlex.join(["surfaceviz", *sys.argv[1:]])


def _print_estimate(plan: Plan, workers: int | None) -> None:
    from surfaceviz.pipeline.report import estimate

    for label, text in estimate(plan, workers):
        typer.echo(f"{label:<10} {text}")


def _finish(outcome: Outcome, terminal: Terminal, *, draw: bool) -> None:
    """Draw the picture and print the closing lines."""
    from surfaceviz import render
    from surfaceviz.pipeline.report import closing_lines

    assert outcome.path is not None
    picture = _picture_beside(outcome.path) if draw else None
    if picture is not None and (outcome.fresh or not picture.exists()):
        try:
            render.save(render.draw([outcome.surface]), picture)
        except ValueError as error:  # every point diverged: the file is whole all the same
            terminal.warn(f"no picture: {error}")
            picture = None
    for label, text in closing_lines(outcome, picture):
        terminal.say(f"{label:<8} {text}")


def _picture_beside(path: Path) -> Path:
    """Return the picture's name for a file: its own with ``.png`` for ``.h5``, whatever dots it has."""
    stem = path.stem if path.suffix.lower() in (".h5", ".hdf5") else path.name
    return path.with_name(f"{stem}.png")
