"""The application that commands belong to, and what they share."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

_JOINED = 3  # files of which a name is made
_COLLECTIVE = ("slice", "hessian")  # commands that all ranks of an MPI job run

app = typer.Typer(
    name="surfaceviz",
    help="See the loss surface of a neural network: slices around trained minima, drawn.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


class GroupedCommand(TyperCommand):
    """A command whose help lists options under headings, in plain text."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, each under the heading that its ``rich_help_panel`` names."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            if (record := parameter.get_help_record(ctx)) is not None:
                groups.setdefault(_heading(parameter), []).append(record)
        for heading, records in groups.items():
            with formatter.section(heading):
                formatter.write_dl(records)


def _heading(parameter: Any) -> str:
    named = getattr(parameter, "rich_help_panel", None)
    return str(named or ("Arguments" if parameter.param_type_name == "argument" else "Other"))


def _show_version(value: bool) -> None:
    if value:
        from importlib.metadata import version

        typer.echo(f"surfaceviz {version('surfaceviz')}")
        raise typer.Exit


@app.callback()
def _common(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and leave."),
    ] = False,
) -> None:
    """See the loss surface of a neural network: slices around trained minima, drawn."""
    from surfaceviz.execute import launched

    place = launched()
    if place is not None and place.rank and context.invoked_subcommand not in _COLLECTIVE:
        raise typer.Exit  # once is enough


def number_or_auto(name: str, given: str) -> int | None:
    """Return a number of at least 1; None for ``auto``."""
    if given == "auto":
        return None
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"{name}: expected a number of at least 1, or auto, got {given!r}")
    return int(given)


def command_line() -> str:
    """Return the command that was typed."""
    return shlex.join(["surfaceviz", *sys.argv[1:]])


def joined_stem(files: Sequence[Path]) -> str:
    """Return the name, without an ending, of what is made of several files: those of the first three, joined."""
    return "-".join(path.stem if path.suffix.lower() in (".h5", ".hdf5") else path.name for path in files[:_JOINED])
