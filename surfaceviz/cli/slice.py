"""The command ``surfaceviz slice``. It imports heavy libraries inside functions, so that --help stays fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from surfaceviz.cli.app import app, command_line, number_or_auto
from surfaceviz.cli.options import shared as common
from surfaceviz.cli.options import slice_options as options
from surfaceviz.cli.terminal.lines import show
from surfaceviz.errors import StoreError
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.slice.request import Request

if TYPE_CHECKING:
    from surfaceviz.cli.terminal.progress import Terminal
    from surfaceviz.pipeline.slice.run import SliceResult

_DEFAULT = defaults_of(Request.of)


@app.command(
    epilog="Example: surfaceviz slice train.py:problem --weights best.pt --axis -1:1:51 --axis -1:1:51",
)
def slice(  # noqa: A001  the name of the command
    context: typer.Context,
    problem: options.Problem = "resnet20-digits",
    seed: options.Seed = _DEFAULT.seed,
    normalise: options.Normalise = _DEFAULT.normalise,
    *,
    ignore: options.Ignore = _DEFAULT.ignore,
    orthogonal: options.Orthogonal = _DEFAULT.orthogonal,
    only: options.Only = _DEFAULT.only,
    freeze: options.Freeze = _DEFAULT.freeze,
    repeat: options.Repeat = _DEFAULT.repeat,
    toward: options.Toward = _DEFAULT.toward,
    along: options.Along = _DEFAULT.along,
    radius: options.Radius = _DEFAULT.radius,
    directions: options.Directions = _DEFAULT.directions,
    regenerate: options.Regenerate = _DEFAULT.regenerate,
    axes: options.Axes = _DEFAULT.axes,
    reach: Annotated[
        float | None,
        typer.Option(
            help="Half of the range of both axes, instead of --axis: 25 x 25 points over -REACH .. REACH.",
            rich_help_panel=options.GRID,
        ),
    ] = _DEFAULT.reach,
    tol: options.Tol = _DEFAULT.tol,
    level: options.Level = _DEFAULT.level,
    shard: options.Shard = _DEFAULT.shard,
    weights: options.Weights = _DEFAULT.weights,
    data: common.Data = _DEFAULT.data,
    splits: options.Splits = _DEFAULT.splits,
    samples: options.Samples = _DEFAULT.samples,
    draws: options.Draws = _DEFAULT.draws,
    noise_seed: options.NoiseSeed = _DEFAULT.noise_seed,
    bn: options.Bn = _DEFAULT.bn,
    dtype: options.Dtype = _DEFAULT.dtype,
    device: common.Device = _DEFAULT.device,
    engine: options.Engine = _DEFAULT.engine,
    batch_size: options.BatchSize = _DEFAULT.batch_size,
    workers: common.Workers = "auto",
    output: options.Output = _DEFAULT.output,
    overwrite: options.Overwrite = _DEFAULT.overwrite,
    watch: options.Watch = _DEFAULT.watch,
    no_plot: common.NoPlot = False,
    dry_run: options.DryRun = False,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Compute a slice of the loss around a trained minimum, into an HDF5 file and a picture.

    The same command resumes a run that was stopped.
    """
    count = number_or_auto("workers", workers)
    request = Request.of(**options_for(Request.of, context.params), default_output=output is None)
    from surfaceviz.cli.terminal.progress import Terminal
    from surfaceviz.pipeline.slice.ranks import run_slice

    with Terminal(quiet=quiet) as terminal:
        if dry_run:
            print_estimate(request, terminal, count)
            return
        result = run_slice(request, workers=count, reporter=terminal, command=command_line())
    if result.path is not None:  # on rank 0
        _finish(result, terminal, request, draw=not no_plot and shard is None)


def print_estimate(request: Request, terminal: Terminal, workers: int | None) -> None:
    """Print what a slice would take, without computing it."""
    from surfaceviz.execute import mpi_placement
    from surfaceviz.pipeline.slice.planning.make_plan import make_plan
    from surfaceviz.pipeline.slice.summary import estimate

    place = mpi_placement()
    if place is not None and place.rank:
        return
    for label, text in estimate(make_plan(request, terminal.say), place.size if place else workers):
        show(f"{label:<10} {text}")


def _finish(result: SliceResult, terminal: Terminal, request: Request, *, draw: bool) -> None:
    """Draw the picture and print the closing lines."""
    from surfaceviz import render
    from surfaceviz.pipeline.outputs import claimed
    from surfaceviz.pipeline.request_inputs import inputs_of_slice
    from surfaceviz.pipeline.slice.live_plot import picture_path
    from surfaceviz.pipeline.slice.summary import closing_lines

    assert result.path is not None
    picture = picture_path(result.path) if draw else None
    inputs = inputs_of_slice(request)
    if picture is not None and (result.fresh or not picture.exists()):
        try:
            with claimed(picture, inputs=inputs):
                render.save(render.draw([result.surface]), picture)
        except (OSError, StoreError, ValueError) as error:  # such as no finite point; the file is complete nevertheless
            terminal.warn(f"no picture: {error}")
            picture = None
    for label, text in closing_lines(result, picture):
        terminal.say(f"{label:<8} {text}")
