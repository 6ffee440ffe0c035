"""The graphics library kept from talking on stderr, below Python: what it says is told only where drawing fails."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO


@contextmanager
def quiet() -> Iterator[IO[bytes]]:
    """Hold back what the process writes to file descriptor 2, for a ``with`` block, which gets the file it goes to."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as said:
        os.dup2(said.fileno(), 2)
        try:
            yield said
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def last_words(said: IO[bytes]) -> str:
    """Return the last line that was held back; nothing where there is none."""
    said.seek(0)
    lines = said.read().decode(errors="replace").split("\n")
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
