"""Reporters: the receivers of a run's messages and progress."""

from __future__ import annotations

import warnings
from typing import Protocol

from surfaceviz.printable import printable


class Reporter(Protocol):
    """The receiver of a run's messages; the command line displays them."""

    def say(self, line: str) -> None:
        """Take a line of information."""

    def warn(self, line: str) -> None:
        """Take a line that the user should not miss."""

    def advance(self, done: int, total: int | None, fresh: int) -> None:
        """Take the progress: points done of total (None: not known), ``fresh`` of them in this run."""


class QuietReporter:
    """The reporter of the Python interface: it drops messages and warns by `warnings.warn`."""

    def say(self, line: str) -> None:
        """Drop the line."""

    def warn(self, line: str) -> None:
        """Warn with the line."""
        warnings.warn(printable(line), stacklevel=2)

    def advance(self, done: int, total: int | None, fresh: int) -> None:
        """Drop the progress."""
