"""The command ``surfaceviz trajectory``. It imports heavy libraries inside functions, so that --help stays fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from surfaceviz.cli.app import app, command_line, number_or_auto
from surfaceviz.cli.options import shared as common
from surfaceviz.cli.options import slice_options as options
from surfaceviz.cli.options import trajectory_options as own
from surfaceviz.cli.slice import print_estimate
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.trajectory.request import TrajectoryRequest

if TYPE_CHECKING:
    from surfaceviz.cli.terminal.progress import Terminal
    from surfaceviz.pipeline.slice.run import SliceResult

_DEFAULT = defaults_of(TrajectoryRequest.of)


@app.command(epilog="Example: surfaceviz trajectory checkpoints --problem train.py:problem --tol 0.05 -o path.h5")
def trajectory(
    context: typer.Context,
    checkpoints: own.Checkpoints,
    problem: own.Problem = _DEFAULT.problem,
    plane: own.Plane = _DEFAULT.plane,
    *,
    centred: own.Centred = _DEFAULT.centred,
    ignore: own.Ignore = _DEFAULT.ignore,
    only: own.Only = _DEFAULT.only,
    freeze: own.Freeze = _DEFAULT.freeze,
    axes: own.Axes = _DEFAULT.axes,
    reach: own.Reach = _DEFAULT.reach,
    tol: options.Tol = _DEFAULT.tol,
    level: options.Level = _DEFAULT.level,
    shard: options.Shard = _DEFAULT.shard,
    data: common.Data = _DEFAULT.data,
    splits: options.Splits = _DEFAULT.splits,
    samples: options.Samples = _DEFAULT.samples,
    bn: options.Bn = _DEFAULT.bn,
    dtype: options.Dtype = _DEFAULT.dtype,
    device: common.Device = _DEFAULT.device,
    engine: options.Engine = _DEFAULT.engine,
    batch_size: options.BatchSize = _DEFAULT.batch_size,
    workers: common.Workers = "auto",
    output: own.Output = _DEFAULT.output,
    overwrite: options.Overwrite = _DEFAULT.overwrite,
    watch: options.Watch = _DEFAULT.watch,
    no_plot: common.NoPlot = False,
    dry_run: options.DryRun = False,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Compute the slice in the plane of a training, with the path of its checkpoints and their losses.

    Several folders are several trainings in one plane. The same command resumes a run that was stopped.
    """
    count = number_or_auto("workers", workers)
    given = options_for(TrajectoryRequest.of, {k: v for k, v in context.params.items() if k != "checkpoints"})
    request = TrajectoryRequest.of(*checkpoints, **given, default_output=output is None)
    from surfaceviz.cli.terminal.progress import Terminal
    from surfaceviz.pipeline.trajectory.run import run_trajectory, slice_request

    with Terminal(quiet=quiet) as terminal:
        if dry_run:
            print_estimate(slice_request(request, terminal.say), terminal, count)
            return
        result = run_trajectory(request, workers=count, reporter=terminal, command=command_line())
    if result.path is not None:  # on rank 0
        _finish(result, terminal, draw=not no_plot and shard is None)


def _finish(result: SliceResult, terminal: Terminal, *, draw: bool) -> None:
    """Draw the picture and print the closing lines."""
    from surfaceviz import render
    from surfaceviz.pipeline.slice.live_plot import picture_path
    from surfaceviz.pipeline.slice.summary import closing_lines
    from surfaceviz.records import trajectory_rows

    assert result.path is not None
    picture = picture_path(result.path) if draw else None
    if picture is not None:
        kind = "trajectory" if result.surface.ndim == 2 else "filled"  # noqa: PLR2004  a line is drawn as a curve
        try:
            render.save(render.draw([result.surface], kind=kind), picture)
        except ValueError as error:  # every point diverged; the file is complete nevertheless
            terminal.warn(f"no picture: {error}")
            picture = None
    for label, text in closing_lines(result, picture):
        terminal.say(f"{label:<8} {text}")
    assert result.surface.trajectory is not None
    for label, text in trajectory_rows(result.surface.trajectory):
        terminal.say(f"{label:<8} {text}")
