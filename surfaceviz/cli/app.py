"""The command-line application and functions that its commands share."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from surfaceviz.cli.options.help_panels import Application
from surfaceviz.cli.terminal.lines import show, show_error

_JOINED = 3  # largest number of files in a joined name
_COLLECTIVE = ("slice", "hessian", "trajectory", "compare")  # commands that all ranks of an MPI job run

app = Application(
    name="surfaceviz",
    help="See the loss surface of a neural network: slices around trained minima, drawn.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _show_version(value: bool) -> None:
    if value:
        from surfaceviz.execute import mpi_placement, mpi_versions
        from surfaceviz.version import VERSION

        place = mpi_placement()
        if place is None or not place.rank:
            show(f"surfaceviz {VERSION}")
            show(f"torch {_torch_version()}")
            if (mpi := mpi_versions()) is not None:
                show(mpi)
        raise typer.Exit


def _torch_version() -> str:
    """Return the version of torch, without its import of seconds where its installation tells it."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("torch")
    except PackageNotFoundError:
        import torch

        return torch.__version__


@app.callback()
def _common(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_show_version,
            is_eager=True,
            help="Print the versions of surfaceviz, torch and MPI, and exit.",
        ),
    ] = False,
) -> None:
    """See the loss surface of a neural network: slices around trained minima, drawn."""
    from surfaceviz.execute import mpi_placement, remove_dead_segments, watch_launcher

    remove_dead_segments()
    place = mpi_placement()
    if place is None:
        return
    watch_launcher(place.rank)
    if (command := context.invoked_subcommand) in _COLLECTIVE:
        return
    if place.rank:
        raise typer.Exit
    show_error(
        f"surfaceviz {command}: of {place.size} ranks, rank 0 works alone; without {place.launcher}, --workers shares "
        "the work of a command that has it"
    )


def number_or_auto(name: str, given: str) -> int | None:
    """Return a number of at least 1; None for ``auto``."""
    if given == "auto":
        return None
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"{name}: expected a number of at least 1, or auto, got {given!r}")
    return int(given)


def command_line() -> str:
    """Return the command as the user typed it."""
    return shlex.join(["surfaceviz", *sys.argv[1:]])


def joined_stem(files: Sequence[Path]) -> str:
    """Return the stems of the first three files, joined by hyphens."""
    from surfaceviz.store.file_names import stem_of

    return "-".join(map(stem_of, files[:_JOINED]))
