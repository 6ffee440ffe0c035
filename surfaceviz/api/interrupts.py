"""Signals as callers in Python expect them."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager

from surfaceviz import start_folder
from surfaceviz.errors import Interrupted, ProblemError, user_code_location
from surfaceviz.inputs import forget_opened
from surfaceviz.reporting import QuietReporter, Reporter


@contextmanager
def python_interrupts(reporter: Reporter | None) -> Iterator[None]:
    """Raise `KeyboardInterrupt` for SIGINT and `SystemExit` for SIGTERM."""
    forget_opened()
    try:
        with start_folder.fixed():
            yield
    except Interrupted as error:
        if error.signum == signal.SIGINT:
            raise KeyboardInterrupt(*error.args) from None
        (reporter or QuietReporter()).warn(str(error))
        raise SystemExit(128 + error.signum) from None
    except SystemExit as error:  # only signals end the caller's program
        raise ProblemError(f"the problem's code raised SystemExit: {error}{user_code_location(error)}") from error
