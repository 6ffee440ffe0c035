"""The command ``surfaceviz study``. It imports heavy libraries inside functions, so that --help stays fast."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfaceviz.cli.app import app
from surfaceviz.cli.options import shared as options
from surfaceviz.cli.terminal.lines import aligned, show
from surfaceviz.pipeline.defaults import defaults_of, options_for
from surfaceviz.pipeline.study.request import StudyRequest
from surfaceviz.studies.registry import STUDIES

_DEFAULT = defaults_of(StudyRequest.of)
_ALL = "all"


@app.command(epilog="Example: surfaceviz study five-points --quick")
def study(
    context: typer.Context,
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Name of a study, or all; without it, the studies are listed.")
    ] = None,
    *,
    quick: Annotated[bool, typer.Option("--quick", help="Short variant, with smaller samples.")] = _DEFAULT.quick,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="Folder of the HDF5 file, the figure and the table [.]."),
    ] = _DEFAULT.output,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replacement of files that are not earlier outputs of this command.")
    ] = _DEFAULT.overwrite,
    debug: options.Debug = False,
) -> None:
    """Run a study: a small world whose loss surface is known, measured and compared with what is known.

    Writes an HDF5 file, a figure and a table as CSV, and prints the table, what to see, and what would mislead.
    """
    if name is None:
        for line in aligned([(each, study.title) for each, study in STUDIES.items()]):
            show(line)
        return
    given = {key: value for key, value in context.params.items() if key != "name"}
    for each in STUDIES if name == _ALL else (name,):
        _run(StudyRequest.of(each, **options_for(StudyRequest.of, given), default_output=output is None))


def _run(request: StudyRequest) -> None:
    """Run a study and print its table."""
    from surfaceviz.records.studies import study_rows
    from surfaceviz.studies.run import run_study

    result, files = run_study(request)
    show(f"{result.name}: {result.question}")
    for line in aligned(study_rows(result)):
        show(f"  {line}")
    for label, text in [("see", result.see), ("misleads", result.misleads), ("sources", result.sources)]:
        show(f"{label:<8} {text}")
    for label, path in files:
        show(f"{label:<8} {path}")
