"""The command ``surfaceviz sharpness``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfaceviz.cli.app import app
from surfaceviz.cli.options import shared as options
from surfaceviz.cli.terminal.lines import show
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.sharpness.request import SharpnessRequest

_DEFAULT = defaults_of(SharpnessRequest.of)
_RESCALING, _SEARCH = "Rescaling", "Worst case"


@app.command(
    epilog="Example: surfaceviz sharpness resnet20-digits resnet20-plain-digits --samples 300",
)
def sharpness(
    context: typer.Context,
    targets: Annotated[
        list[str], typer.Argument(metavar="FILE.h5|PROBLEM", help="Files of slices, for their theta; or problems.")
    ],
    rescale: Annotated[
        bool,
        typer.Option(
            "--rescale/--no-rescale",
            help="Test which measures survive rescaling, for the first checkpoint.",
            rich_help_panel=_RESCALING,
        ),
    ] = _DEFAULT.rescale,
    rescale_all: Annotated[
        bool, typer.Option("--all", help="Rescale every checkpoint, not only the first.", rich_help_panel=_RESCALING)
    ] = _DEFAULT.rescale_all,
    *,
    seed: Annotated[
        int, typer.Option(help="Seed of directions, probes, starts and factors.", rich_help_panel=_RESCALING)
    ] = _DEFAULT.seed,
    starts: Annotated[
        int,
        typer.Option(help="Random starts of each search for the worst case.", rich_help_panel=_SEARCH),
    ] = _DEFAULT.starts,
    iterations: Annotated[
        int, typer.Option(help="Largest number of steps from each start.", rich_help_panel=_SEARCH)
    ] = _DEFAULT.iterations,
    weights: options.Checkpoints = _DEFAULT.weights,
    problem: options.SliceProblem = _DEFAULT.problem,
    data: options.Data = _DEFAULT.data,
    split: options.Split = _DEFAULT.split,
    samples: options.Samples = _DEFAULT.samples,
    draws: options.Draws = _DEFAULT.draws,
    noise_seed: options.NoiseSeed = _DEFAULT.noise_seed,
    device: options.Device = _DEFAULT.device,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch", help="Samples in a batch [default: 128].", rich_help_panel=options.COMPUTE),
    ] = _DEFAULT.batch_size,
    memory: options.Memory = _DEFAULT.memory,
    json: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="JSON file for all measurements.", rich_help_panel=options.OUTPUT),
    ] = _DEFAULT.json,
    csv: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="CSV file, a row for each measure.", rich_help_panel=options.OUTPUT),
    ] = _DEFAULT.csv,
    overwrite: options.Overwrite = _DEFAULT.overwrite,
    trust: options.Trust = _DEFAULT.trust,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Measure how sharp minima are, by every usual measure, and which measures survive rescaling.

    Layers, neurons and batch norms are rescaled so that the outputs on all samples stay the same, which is verified; a
    measure that changes then depends on the scale of the parameters, not on the function alone. All values are computed
    in float64.
    """
    request = SharpnessRequest.of(**options_for(SharpnessRequest.of, context.params))
    from surfaceviz.cli.terminal.progress import Terminal
    from surfaceviz.pipeline.sharpness.run import run_sharpness
    from surfaceviz.sharpness_measures import CAUTION, changes_table, measurements_table

    with Terminal(quiet=quiet) as terminal:
        found = run_sharpness(request, terminal)
    for lines in [measurements_table(found), *(changes_table(each) for each in found if each.rescalings)]:
        for line in ["", *lines]:
            show(line)
    show()
    show(CAUTION)
    for path in (json, csv):
        if path is not None:
            show(f"file        {path}")
