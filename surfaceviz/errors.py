"""The exceptions of the package; each message tells what was given, what was expected and what to do."""

from __future__ import annotations

import signal
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from surfaceviz.printable import printable

_HINT = "surfaceviz: "


class SurfacevizError(Exception):
    """The base class of errors during a run; a misuse by the caller is a `ValueError` instead."""

    def __str__(self) -> str:
        """Return the message as one line, in which names from files can't act on a terminal."""
        return printable(" ".join(super().__str__().split("\n")))


class ProblemError(SurfacevizError):
    """A problem that can't be found, built or measured."""


class MemoryShortError(ProblemError):
    """Measuring took more memory than there is."""


class NotFiniteError(ProblemError):
    """A loss, or a derivative of it, that is NaN or infinite at a point."""


class CheckpointError(SurfacevizError):
    """Weights that can't be read safely, or don't fit the model."""


class DirectionError(SurfacevizError):
    """Directions that can't be computed, or differ from the directions of the stored run."""


class StoreError(SurfacevizError):
    """A file that can't be written: the disk is full, or the file is locked by or belongs to another run."""


class SchemaError(SurfacevizError):
    """A file that isn't a whole surfaceviz file."""


class UnverifiedFileWarning(UserWarning):
    """A file whose bytes no checksum vouches for."""


class MergeError(SurfacevizError):
    """Files that are not the parts of one slice."""


class GraphicsError(SurfacevizError):
    """OpenGL or a display is missing."""


class MissingPackageError(SurfacevizError):
    """An optional package is missing, or it can't be imported here."""


class WorkerError(SurfacevizError):
    """A worker process that died or raised an unexpected exception."""


class Interrupted(BaseException):
    """SIGINT or SIGTERM arrived; not an `Exception`, so that no handler treats it as an error.

    It is not a `KeyboardInterrupt` either, because libraries swallow those; the Python interface converts it into one.

    Attributes:
        signum: the signal's number.
    """

    def __init__(self, signum: int, message: str = "") -> None:
        super().__init__(message or f"interrupted by {signal.Signals(signum).name}")
        self.signum = signum


def missing_package(error: ImportError, extra: str) -> str:
    """Return a line about an optional package whose import failed, with the extra that installs it.

    >>> missing_package(ModuleNotFoundError("No module named 'plotly'", name="plotly.offline"), "report")
    "plotly is not installed: pip install 'surfaceviz[report]'"
    """
    name = (error.name or "a package").partition(".")[0]
    if isinstance(error, ModuleNotFoundError):
        return f"{name} is not installed: pip install 'surfaceviz[{extra}]'"
    return f"{name} can't be imported ({error})"


def user_code_location(error: BaseException) -> str:
    """Return `` (file.py, line 3)`` for the innermost line of the user's code, or an empty string."""
    not_user_code = (Path(__file__).parent, Path(sysconfig.get_path("stdlib")))
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        path = Path(frame.filename)
        library = frame.filename.startswith("<") or "site-packages" in path.parts
        if not library and not any(folder in path.parents for folder in not_user_code):
            return f" ({path.name}, line {frame.lineno})"
    return ""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that there was too little memory, on a device or on the host."""
    short = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"  # torch's, on a device
    return short or "DefaultCPUAllocator" in str(error)


@contextmanager
def error_context(what: str) -> Iterator[None]:
    """Convert exceptions of the user's code in a ``with`` block into errors that begin with ``what``.

    Raises:
        ProblemError: the block raised anything except a `SurfacevizError`.
        MemoryShortError: there was too little memory.
    """
    try:
        yield
    except SurfacevizError:
        raise
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        # sys.exit in a model must not end a run as if it had finished
        if isinstance(error, KeyboardInterrupt) and not _signals_are_ours():
            raise
        kind = MemoryShortError if is_out_of_memory(error) else ProblemError
        line = f"{what} raised {type(error).__name__}: {str(error).strip()}{user_code_location(error)}"
        raise kind("; ".join([line, *hints_of(error)])) from error


def _signals_are_ours() -> bool:
    """Return whether Ctrl-C raises `Interrupted` here, so that a `KeyboardInterrupt` comes from the user's code."""
    return getattr(signal.getsignal(signal.SIGINT), "__module__", "") == "surfaceviz.signals"


def add_hint(error: BaseException, hint: str) -> None:
    """Add a line about what may help to an exception of the user's code; `error_context` shows it."""
    error.add_note(_HINT + hint)


def hints_of(error: BaseException) -> list[str]:
    """Return the lines that `add_hint` added."""
    return [note.removeprefix(_HINT) for note in getattr(error, "__notes__", ()) if note.startswith(_HINT)]
