"""The command ``surfaceviz minima``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfaceviz.cli.app import app
from surfaceviz.cli.options import shared as options
from surfaceviz.cli.terminal.lines import show
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.minima.request import MinimaRequest

_DEFAULT = defaults_of(MinimaRequest.of)
_ROWS = 12  # of the table on the terminal that do not count


@app.command(epilog="Example: surfaceviz minima resnet20-plain-digits.h5")
def minima(
    context: typer.Context,
    surface: Annotated[Path, typer.Argument(metavar="FILE.h5", help="File of a slice, which gets the minima.")],
    *,
    most: Annotated[
        int, typer.Option(help="Largest number of minima that are judged, the most persistent first.")
    ] = _DEFAULT.most,
    problem: options.SliceProblem = _DEFAULT.problem,
    data: options.Data = _DEFAULT.data,
    split: options.Split = _DEFAULT.split,
    trust: options.Trust = _DEFAULT.trust,
    device: options.Device = _DEFAULT.device,
    quiet: options.Quiet = False,
    debug: options.Debug = False,
) -> None:
    """Find the local minima of a slice, and which of them exceed the noise of the samples.

    The few points of minima and passes are evaluated again, sample by sample: on samples that the slice was not
    computed on, where it has a subset (slice --samples), else on its own. Minima and passes are then in the file, for
    plot, plot --kind tree and report.
    """
    request = MinimaRequest.of(**options_for(MinimaRequest.of, context.params))
    from surfaceviz.cli.terminal.progress import Terminal
    from surfaceviz.pipeline.minima.run import run_minima
    from surfaceviz.records import minima_summary, minima_table

    with Terminal(quiet=quiet) as terminal:
        found = run_minima(request, terminal).minima
    assert found is not None
    for line in minima_table(found, rows=_ROWS):
        show(line)
    show(minima_summary(found))
    show(f"file: {surface}")
