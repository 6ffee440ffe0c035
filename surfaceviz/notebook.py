"""Progress of a run in a notebook, without widgets: one HTML bar that is updated in place."""

from __future__ import annotations

import html
import sys
import time
import warnings
from typing import Any

from surfaceviz.reporting import QuietReporter, Reporter

_INTERVAL = 0.2  # seconds between two updates


def default_reporter() -> Reporter:
    """Return the reporter of a call in Python: a bar in a notebook, else only warnings."""
    shell = _shell()
    return QuietReporter() if getattr(shell, "kernel", None) is None else NotebookReporter()


def _shell() -> Any:
    """Return IPython's shell of this process; None where nothing has imported IPython."""
    module = sys.modules.get("IPython")
    return None if module is None else module.get_ipython()


class NotebookReporter:
    """Shows the progress and the last message of a run as a bar under the cell; warns by `warnings.warn`.

    The bar appears with the first message or points. `surfaceviz.slice` and the other functions take it by default in a
    notebook; give ``reporter=surfaceviz.QuietReporter()`` for none.
    """

    def __init__(self) -> None:
        self._handle: Any = None
        self._line, self._bar = "", ""
        self._begun = time.monotonic()
        self._shown = -_INTERVAL

    def say(self, line: str) -> None:
        """Show a line of information under the bar, in place of the one before."""
        self._line = line
        self._show(force=False)

    def warn(self, line: str) -> None:
        """Warn with the line."""
        warnings.warn(line, stacklevel=2)

    def advance(self, done: int, total: int | None, fresh: int) -> None:
        """Show the number of points, the rate and, if the total is known, the time left."""
        if fresh == 0:
            self._begun = time.monotonic()
        rate = fresh / max(time.monotonic() - self._begun, 1e-9)
        left = f", {(total - done) / rate:.0f} s left" if total and rate else ""
        limit = f"max='{total}'" if total else ""
        self._bar = (
            f"<progress value='{done}' {limit} style='width:24em'></progress> "
            f"{done}{f'/{total}' if total else ''} points{f', {rate:.3g}/s{left}' if fresh else ''}"
        )
        self._show(force=done == total)

    def _show(self, *, force: bool) -> None:
        now = time.monotonic()
        if not force and now - self._shown < _INTERVAL:
            return
        self._shown = now
        page = {"text/html": f"<div>{self._bar}</div><div><small>{html.escape(self._line)}</small></div>"}
        page["text/plain"] = self._line
        if self._handle is None:
            from IPython.display import DisplayHandle  # noqa: PLC0415  only a notebook has it

            self._handle = DisplayHandle()
            self._handle.display(page, raw=True)
        else:
            self._handle.update(page, raw=True)
