"""The command ``surfaceviz info``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surfaceviz.cli.app import app
from surfaceviz.cli.options import shared as options
from surfaceviz.cli.terminal.lines import aligned, show


@app.command(epilog="Example: surfaceviz info resnet20-digits.h5")
def info(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Files of slices, or of checkpoints.")],
    *,
    trust: Annotated[
        bool, typer.Option("--trust", help="Accept files although their checksums do not fit, now and later.")
    ] = False,
    debug: options.Debug = False,
) -> None:
    """Print what a file holds."""
    from surfaceviz.errors import StoreError
    from surfaceviz.records import describe, describe_spectrum, edge_rows, edge_table
    from surfaceviz.records.studies import study_rows
    from surfaceviz.store import holds_edge, holds_training_curvature, read, read_curvature, read_edge, trust_file
    from surfaceviz.store.comparison import holds_comparison
    from surfaceviz.store.study import holds_study, read_study

    for path in files:
        if trust and not trust_file(path):
            raise StoreError(f"{path} can't be remembered as trusted: the configuration folder is not writable")
        if holds_training_curvature(path):
            training = read_curvature(path)
            attributes = [(key.replace("_", " "), str(value)) for key, value in training.provenance.items()]
            found = [row for spectrum in training.spectra for row in describe_spectrum(spectrum)]
            _print_rows([("file", str(path)), *attributes, *found])
            continue
        if holds_edge(path):
            course = read_edge(path)
            _print_rows([("file", str(path)), *edge_rows(course), *(("", line) for line in edge_table(course))])
            continue
        if holds_comparison(path):
            _print_comparison(path)
            continue
        if holds_study(path):
            result = read_study(path)
            texts = [(key, str(getattr(result, key))) for key in ("name", "question", "see", "misleads", "sources")]
            _print_rows([("file", str(path)), *texts, *(("", line) for line in aligned(study_rows(result)))])
            continue
        surface = read(path)
        rows = [("file", str(path)), *describe(surface)]
        if surface.directions:
            rows += [("rule", f"{name}: {rule}") for name, rule in surface.directions[0].rule.items()]
        for spectrum in surface.spectra:
            rows += describe_spectrum(spectrum)
        _print_rows(rows)


def _print_comparison(path: Path) -> None:
    """Print how a comparison was made, its tables and their notes."""
    from surfaceviz.comparison.table import notes_of, table_head, table_rows
    from surfaceviz.pipeline.compare.stored import read_verdicts

    found = read_verdicts(path)
    attributes = [(key.replace("_", " "), str(value)) for key, value in found.provenance.items()]
    _print_rows([("file", str(path)), *attributes])
    for pair in found.pairs:
        for line in ["", *aligned([table_head(pair), *table_rows(pair)])]:
            show(line)
    show()
    for note in notes_of(found):
        show(note)


def _print_rows(rows: list[tuple[str, str]]) -> None:
    width = max(len(label) for label, _ in rows)
    for label, text in rows:
        show(f"{label:<{width}}  {text}")
