"""Standard output and error that may be closed, broken, full, or of an encoding that lacks characters."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from surfaceviz.atomic_write import DurabilityWarning


def open_closed_descriptors() -> None:
    """Open standard descriptors that are closed on the null device; the next file would get their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)


class TolerantStream:
    """A text stream whose reader may go away; a run does not end because nobody listens.

    Args:
        inner: the stream; None if it was closed.

    Attributes:
        error: why text was lost, such as a full disk; empty also for a reader that has closed its pipe.
    """

    def __init__(self, inner: TextIO | None) -> None:
        self._inner = inner
        self.error = ""

    @property
    def encoding(self) -> str:
        """The encoding of the stream."""
        return getattr(self._inner, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write text, characters that the encoding lacks as escapes."""
        if not isinstance(text, str):
            raise TypeError(f"expected text, got {type(text).__name__}")
        if self._inner is not None:
            try:
                try:
                    self._inner.write(text)
                except UnicodeEncodeError:
                    self._inner.write(text.encode(self.encoding, "backslashreplace").decode(self.encoding))
            except (OSError, ValueError) as error:
                self._give_up(error)
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        if self._inner is not None:
            try:
                self._inner.flush()
            except (OSError, ValueError) as error:
                self._give_up(error)

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        try:
            return self._inner is not None and self._inner.isatty()
        except ValueError:
            return False

    def writable(self) -> bool:
        """Return True: what can't be written is dropped."""
        return True

    def fileno(self) -> int:
        """Return the descriptor of the stream."""
        if self._inner is None:
            raise OSError("the stream is closed")
        return self._inner.fileno()

    def _give_up(self, error: OSError | ValueError) -> None:
        """Send the rest to the null device, with what is still buffered."""
        inner, self._inner = self._inner, None
        if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
            self.error = error.strerror or str(error)
        with suppress(OSError, ValueError, AttributeError):
            null = os.open(os.devnull, os.O_WRONLY)
            os.dup2(null, inner.fileno())  # type: ignore[union-attr]
            os.close(null)


@contextmanager
def tolerant_streams() -> Iterator[tuple[TolerantStream, TolerantStream]]:
    """Write standard output and error through `TolerantStream` for a ``with`` block, and warnings as one line."""
    before = sys.stdout, sys.stderr
    out, error = TolerantStream(sys.stdout), TolerantStream(sys.stderr)
    sys.stdout, sys.stderr = out, error
    show = warnings.showwarning

    def show_line(message: Warning | str, category: type[Warning], *where: Any, **named: Any) -> None:
        if issubclass(category, DurabilityWarning):
            error.write(f"warning: {message}\n")
        else:
            show(message, category, *where, **named)

    warnings.showwarning = show_line
    try:
        yield out, error
    finally:
        out.flush()
        error.flush()
        sys.stdout, sys.stderr = before
        warnings.showwarning = show
