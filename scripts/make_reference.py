"""Write docs/reference/command-line.md from the program, and the list of docs/reference/python.md from the docstrings.

python scripts/make_reference.py [--check]
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import Any

from typer.main import get_command

import surfaceviz
from surfaceviz import cli
from surfaceviz.cli.app import app

REFERENCE = Path(__file__).resolve().parent.parent / "docs" / "reference"
_HEAD = """# Command line

This page is written by `python scripts/make_reference.py` from the program; a test compares both.
`surfaceviz COMMAND --help` prints the same.
"""
_PYTHON = """# Python interface

This page lists the public names of `surfaceviz`, each with the first line of its docstring; `help(surfaceviz.NAME)`
has the rest, and the site shows it here. The page is written by `python scripts/make_reference.py`.
"""
_GROUPS = {
    "Problems": ("Problem", "PerSample"),
    "Slices": ("slice", "trajectory", "weights_at", "directions_of"),
    "Pictures and files": ("plot", "animate", "view", "report", "export", "import_reference", "merge"),
    "Curvature, sharpness, minima": ("hessian", "hessian_map", "sharpness", "edge", "minima", "critical_points"),
    "Networks compared": ("compare", "study"),
    "Trainings": ("train", "Recorder", "lightning_callback", "transformers_callback"),
    "Reading files": ("read", "read_curvature", "read_edge", "read_study", "read_reference"),
    "Records": ("Slice", "Spectrum", "HessianMap", "Curvature", "Edge", "Minima", "CriticalPoints", "StudyResult"),
}


def command_line() -> str:
    """Return the page of the command line: a section for each command, a table for each heading of its help."""
    cli._register([])  # noqa: SLF001  the same door as that of --help
    parts = [_HEAD]
    commands: dict[str, Any] = get_command(app).commands  # type: ignore[attr-defined]
    for name, command in sorted(commands.items()):
        parts.append(f"## {name}\n\n{_cleaned(inspect.cleandoc(command.help))}\n")
        tables: dict[str, list[str]] = {}
        context = command.context_class(command, info_name=f"surfaceviz {name}")
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None and "--help" not in record[0]:
                is_option = parameter.param_type_name == "option"
                heading = (getattr(parameter, "rich_help_panel", None) or "Options") if is_option else "Arguments"
                tables.setdefault(heading, []).append(f"| `{record[0].replace('|', _BAR)}` | {_cleaned(record[1])} |")
        headings = sorted(tables, key="Options".__eq__)
        parts += ["\n".join([f"| {heading} | |", "|---|---|", *tables[heading], ""]) for heading in headings]
    return "\n".join(parts)


_BAR = "\\|"


def _cleaned(text: str) -> str:
    """Return the text of a help as Markdown."""
    return text.replace("|", _BAR).replace("*", "\\*").replace("<", "\\<").replace("[", "\\[")


def python_interface() -> str:
    """Return the page of the Python interface: every public name, with the first line of its docstring."""
    listed = {name for names in _GROUPS.values() for name in names}
    groups = {**_GROUPS, "Messages and errors": tuple(sorted(set(surfaceviz.__all__) - listed))}
    parts = [_PYTHON]
    for title, names in groups.items():
        lines = [f"- `surfaceviz.{name}`: {_first_line(getattr(surfaceviz, name))}" for name in names]
        parts.append("\n".join([f"## {title}\n", *lines, ""]))
    return "\n".join(parts)


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").split("\n\n", maxsplit=1)[0].replace("\n", " ")


def main() -> int:
    """Write both pages; with ``--check``, return 1 if one of them differs."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    stale = []
    for name, text in (("command-line.md", command_line()), ("python.md", python_interface())):
        path = REFERENCE / name
        if check and (not path.is_file() or path.read_text() != text):
            stale.append(name)
        elif not check:
            path.write_text(text)
    if stale:
        print(f"run scripts/make_reference.py: {', '.join(stale)} differs from the program")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
