"""Messages that the graphics library writes to stderr below Python, held back unless drawing fails."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[Callable[[], str]]:
    """Hold back what the process writes to file descriptor 2, for a ``with`` block, which gets its last line.

    Where that descriptor is closed nothing is held back.
    """
    if sys.stderr is None:
        yield lambda: ""
        return
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)

        def last_words() -> str:
            said.seek(0)
            lines = [line.strip() for line in said.read().decode(errors="replace").split("\n")]
            return next((line for line in reversed(lines) if line), "")

        try:
            yield last_words
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
