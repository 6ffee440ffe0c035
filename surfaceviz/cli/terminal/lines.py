"""The one door for lines to the terminal, in which names from files can neither act nor make another line."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from typing import TextIO

from surfaceviz.errors import UnverifiedFileWarning
from surfaceviz.printable import printable


def show(line: str = "") -> None:
    """Print a line on the standard output."""
    print(printable(line))


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table whose columns start at the same place.

    >>> aligned([["loss", "1"], ["accuracy", "0.5"]])
    ['loss      1', 'accuracy  0.5']
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def warn(line: str) -> None:
    """Print a line of warning on the standard error."""
    print(f"warning: {printable(line)}", file=sys.stderr, flush=True)


def show_error(line: str) -> None:
    """Print a line on the standard error."""
    print(printable(line), file=sys.stderr, flush=True)


def show_warnings_as_lines() -> None:
    """Print warnings about files as one line each, once."""
    usual, shown = warnings.showwarning, set[str]()

    def show_warning(
        message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
        line: str | None = None,
    ) -> None:  # fmt: skip
        if not issubclass(category, UnverifiedFileWarning):
            usual(message, category, filename, lineno, file, line)
        elif str(message) not in shown:
            shown.add(str(message))
            warn(str(message))

    warnings.simplefilter("always", UnverifiedFileWarning)
    warnings.showwarning = show_warning
