"""The command ``surfaceviz edge``. It imports heavy libraries inside functions, so that --help stays fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from surfaceviz.cli.app import app, command_line, number_or_auto
from surfaceviz.cli.options import edge_options as own
from surfaceviz.cli.options import hessian_options
from surfaceviz.cli.options import shared as common
from surfaceviz.cli.terminal.lines import show
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.edge.request import EdgeRequest

if TYPE_CHECKING:
    from surfaceviz.cli.terminal.progress import Terminal
    from surfaceviz.pipeline.edge.run import EdgeResult

_DEFAULT = defaults_of(EdgeRequest.of)


@app.command(epilog="Example: surfaceviz edge run -o edge.h5")
def edge(
    context: typer.Context,
    folder: own.Folder,
    *,
    learning_rate: own.LearningRate = _DEFAULT.learning_rate,
    critical: own.Critical = _DEFAULT.critical,
    checkpoints: own.Checkpoints = _DEFAULT.checkpoints,
    batches: own.Batches = _DEFAULT.batches,
    batch_size: own.BatchSize = _DEFAULT.batch_size,
    rtol: own.Rtol = _DEFAULT.rtol,
    seed: own.Seed = _DEFAULT.seed,
    problem: own.Problem = _DEFAULT.problem,
    data: common.Data = _DEFAULT.data,
    split: common.Split = _DEFAULT.split,
    samples: common.Samples = _DEFAULT.samples,
    dtype: hessian_options.Dtype = _DEFAULT.dtype,
    device: own.Device = _DEFAULT.device,
    memory: common.Memory = _DEFAULT.memory,
    workers: common.Workers = "auto",
    output: own.Output = _DEFAULT.output,
    overwrite: own.Overwrite = _DEFAULT.overwrite,
    no_plot: common.NoPlot = False,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Compare the sharpness along a training with the threshold of its optimiser: the edge of stability.

    The thresholds are those of a quadratic with the optimiser's state frozen. The learning rate is that of each
    checkpoint. Batch sharpness is in training mode of batch norm, without dropout. The same command resumes a run that
    was stopped.
    """
    count = number_or_auto("workers", workers)
    request = EdgeRequest.of(**options_for(EdgeRequest.of, context.params), default_output=output is None)
    from surfaceviz.cli.terminal.progress import Terminal
    from surfaceviz.pipeline.edge.run import run_edge

    with Terminal(quiet=quiet) as terminal:
        result = run_edge(request, workers=count, reporter=terminal, command=command_line())
    _finish(result, terminal, draw=not no_plot)


def _finish(result: EdgeResult, terminal: Terminal, *, draw: bool) -> None:
    """Print the table, and draw the picture next to the file."""
    from surfaceviz import render
    from surfaceviz.errors import StoreError
    from surfaceviz.pipeline.slice.live_plot import picture_path
    from surfaceviz.records import edge_rows, edge_table

    assert result.path is not None
    for line in edge_table(result.edge):
        show(line)
    rows = [*edge_rows(result.edge), ("file", f"{result.path}{'' if result.fresh else ', nothing to recompute'}")]
    if draw:
        picture = picture_path(result.path)
        try:
            render.save(render.draw_edges([result.edge]), picture)
            rows.append(("picture", str(picture)))
        except (StoreError, ValueError) as error:  # the file is complete nevertheless
            terminal.warn(f"no picture: {error}")
    for label, text in rows:
        show(f"{label:<10} {text}")
