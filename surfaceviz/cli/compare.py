"""The command ``surfaceviz compare``. It imports heavy libraries inside functions, so that --help stays fast."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surfaceviz.cli.app import app, command_line, number_or_auto
from surfaceviz.cli.options import shared as common
from surfaceviz.cli.options import slice_options as options
from surfaceviz.cli.terminal.lines import show
from surfaceviz.pipeline.compare.request import CompareRequest
from surfaceviz.pipeline.defaults import defaults_of, options_for

if TYPE_CHECKING:
    from surfaceviz.pipeline.compare.run import CompareResult

_DEFAULT = defaults_of(CompareRequest.of)
_NETWORKS = "Networks"


@app.command(epilog="Example: surfaceviz compare resnet20-digits resnet20-plain-digits --quick")
def compare(
    context: typer.Context,
    targets: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE.h5|PROBLEM|FOLDER", help="Networks: slices' files, problems, folders of surfaceviz train."
        ),
    ] = None,
    groups: Annotated[
        list[str] | None,
        typer.Option(
            "--group",
            metavar="NAME=PATTERN",
            rich_help_panel=_NETWORKS,
            help="Trainings that count as one group, such as 'plain=runs/plain-*'; the training is then the unit.",
        ),
    ] = _DEFAULT.groups,
    weights: common.Checkpoints = _DEFAULT.weights,
    problem: common.SliceProblem = _DEFAULT.problem,
    *,
    data: common.Data = _DEFAULT.data,
    split: common.Split = _DEFAULT.split,
    samples: common.Samples = _DEFAULT.samples,
    directions: Annotated[
        int | None,
        typer.Option(
            metavar="K",
            help="Number of random directions [default: 100; 30 with --quick].",
            rich_help_panel=options.GRID,
        ),
    ] = _DEFAULT.directions,
    axes: options.Axes = _DEFAULT.axes,
    seed: Annotated[
        int, typer.Option(help="Seed of directions, probes and subsets.", rich_help_panel=options.GRID)
    ] = _DEFAULT.seed,
    tol: options.Tol = _DEFAULT.tol,
    grid: Annotated[
        int | None,
        typer.Option(
            "--map",
            metavar="P",
            help="Points along each axis of maps of |lambda_min / lambda_max|; 0: none [default: 5; 0 with --quick].",
            rich_help_panel=options.GRID,
        ),
    ] = _DEFAULT.grid,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Leave out the gauge, worst cases, spectra and maps; fewer directions, points and samples.",
            rich_help_panel=options.GRID,
        ),
    ] = _DEFAULT.quick,
    device: common.Device = _DEFAULT.device,
    workers: common.Workers = "auto",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="HDF5 file [default: A-vs-B.h5]; figure, page and table lie next to it.",
            rich_help_panel=common.OUTPUT,
        ),
    ] = _DEFAULT.output,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print the reasons of each verdict.", rich_help_panel=common.OUTPUT)
    ] = False,
    overwrite: options.Overwrite = _DEFAULT.overwrite,
    trust: common.Trust = _DEFAULT.trust,
    no_plot: common.NoPlot = False,
    quiet: common.Quiet = False,
    debug: common.Debug = False,
) -> None:
    """Compare networks: slices on one scale, sharpness by every measure, and a verdict on each difference.

    Writes one HDF5 file, a figure, a web page and a table. The same command resumes a run that was stopped.
    """
    count = number_or_auto("workers", workers)
    given = {name: value for name, value in context.params.items() if name != "targets"}
    request = CompareRequest.of(targets or (), **options_for(CompareRequest.of, given))
    from surfaceviz.cli.terminal.progress import Terminal
    from surfaceviz.pipeline.compare.run import run_compare

    with Terminal(quiet=quiet) as terminal:
        result = run_compare(request, workers=count, reporter=terminal, command=command_line())
    if result.path is not None:  # on rank 0
        _finish(result, explain=explain, draw=not no_plot)


def _finish(result: CompareResult, *, explain: bool, draw: bool) -> None:
    """Write the figure, the page and the table, and print the latter."""
    from surfaceviz.cli.terminal.lines import aligned, warn
    from surfaceviz.comparison.table import explanations, notes_of, table_head, table_rows
    from surfaceviz.pipeline.compare.outputs import write_outputs

    assert result.path is not None
    for pair in result.comparison.pairs:
        for line in ["", *aligned([table_head(pair), *table_rows(pair)])]:
            show(line)
        if explain:
            show()
            for line in explanations(pair):
                show(line)
    show()
    for note in notes_of(result.comparison):
        show(note)
    for label, path in write_outputs(result.comparison, result.path, warn=warn, draw=draw):
        show(f"{label:<8} {path}")
