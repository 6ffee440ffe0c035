"""Progress of a run on the terminal: a bar, or plain lines if the output is not a terminal."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from surfaceviz.execute import mpi_placement
from surfaceviz.printable import printable

_LINE_SECONDS = 10.0  # between two plain lines


class Terminal:
    """Reports a run on stdout, warnings on stderr.

    Args:
        quiet: whether to print only warnings.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self._console = Console(highlight=False, soft_wrap=True)
        self._errors = Console(stderr=True, highlight=False, soft_wrap=True)
        self._quiet = quiet
        self._bar: Progress | None = None
        self._task = None
        self._started = self._last_line = time.monotonic()
        # A launcher forwards output line by line: a bar would appear only at the end.
        self._bars = self._console.is_terminal and mpi_placement() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def say(self, line: str) -> None:
        """Print a line of information."""
        if not self._quiet:
            self._console.print(printable(line), markup=False)

    def warn(self, line: str) -> None:
        """Print a line of warning."""
        self._errors.print(f"warning: {printable(line)}", markup=False)

    def advance(self, done: int, total: int | None, fresh: int) -> None:
        """Show the number of points, the rate and, if the total is known, the time left."""
        if self._quiet:
            return
        if fresh == 0:
            self._started = self._last_line = time.monotonic()
            if done:
                self.say(f"resuming from {done}{f' of {total}' if total else ''} points")
        rate = fresh / max(time.monotonic() - self._started, 1e-9)
        if self._bars:
            self._draw(done, total, rate)
        elif fresh and (time.monotonic() - self._last_line > _LINE_SECONDS or done == total):
            self._last_line = time.monotonic()
            left = f", {_duration((total - done) / rate)} left" if total else ""
            self.say(f"{done}{f'/{total}' if total else ''} points, {rate:.3g}/s{left}")
            sys.stdout.flush()

    def _draw(self, done: int, total: int | None, rate: float) -> None:
        if self._bar is None:
            left = [TimeRemainingColumn(), TextColumn("left")] if total else []
            self._bar = Progress(
                TextColumn("points"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), *left,
                console=self._console,
            )  # fmt: skip
            self._bar.start()
            self._bar.add_task("points", total=total, completed=done, rate="")
        self._bar.update(self._bar.task_ids[0], completed=done, rate=f"{rate:.3g}/s" if rate else "")


def _duration(seconds: float) -> str:
    """Return a time as text.

    >>> _duration(75.4), _duration(4000), _duration(8)
    ('1 min 15 s', '1 h 6 min', '8 s')
    """
    whole = round(seconds)
    if whole >= 3600:  # noqa: PLR2004
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"  # noqa: PLR2004
