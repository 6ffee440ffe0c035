"""The command line: parse options, call the pipeline, print the path of the result."""

from __future__ import annotations

import signal
import sys

_IS_COMMAND = any(argument.endswith("surfaceviz") for argument in sys.orig_argv[1:3])
if _IS_COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until `main` runs, Ctrl-C ends the command without a traceback

import importlib  # noqa: E402
import os  # noqa: E402
import warnings  # noqa: E402
from collections.abc import Sequence  # noqa: E402

from surfaceviz import start_folder  # noqa: E402
from surfaceviz.cli.terminal.lines import show_error, show_warnings_as_lines  # noqa: E402
from surfaceviz.errors import Interrupted, SurfacevizError, user_code_location  # noqa: E402
from surfaceviz.signals import exit_on_signals, interruptible, received_signal  # noqa: E402

USAGE, FAILURE = 2, 1
_FILES = ("export", "import", "info", "merge", "view")  # commands on files, in a folder of their own
COMMANDS = (
    "catalogue",
    "compare",
    "edge",
    "export",
    "hessian",
    "import",
    "info",
    "merge",
    "minima",
    "plot",
    "report",
    "sharpness",
    "slice",
    "study",
    "train",
    "trajectory",
    "view",
)


def main() -> None:
    """Run the command line and exit with its code."""
    from surfaceviz.cli.terminal.streams import open_closed_descriptors

    open_closed_descriptors()
    exit_on_signals()
    code = run(sys.argv[1:])
    from surfaceviz.execute import leave_mpi_job

    if leave_mpi_job(code) or code:
        # A normal exit waits for threads and for torch's clean-up, for a second or more.
        os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Return the exit code of a command; an error becomes one line on stderr, with ``--debug`` a traceback."""
    from surfaceviz.cli.terminal.streams import tolerant_streams

    with tolerant_streams() as (out, _), interruptible(), start_folder.fixed(), warnings.catch_warnings():
        show_warnings_as_lines()
        code = _run(arguments)
        out.flush()
        if out.error and not code:
            return _print_error(f"the output can't be written: {out.error}", FAILURE)
        return code


def _run(arguments: Sequence[str]) -> int:
    try:
        _register(arguments)
        from surfaceviz.cli.app import app

        return int(app(list(arguments) or ["--help"], standalone_mode=False) or 0)
    except (Interrupted, SurfacevizError, ValueError) as error:
        if "--debug" in arguments:
            raise
        return _print_error(str(error) or type(error).__name__, _code(error))
    except Exception as error:
        if "--debug" in arguments and getattr(error, "format_message", None) is None:
            raise
        return _print_unexpected(error)
    except (SystemExit, KeyboardInterrupt) as error:
        if (signum := received_signal()) is not None:
            return _print_error(str(Interrupted(signum)), 128 + signum)
        code = f" with {error.code!r}" if isinstance(error, SystemExit) else ""
        return _print_error(
            f"{type(error).__name__}{code} was raised{user_code_location(error)}; the run has not finished", FAILURE
        )


def _register(arguments: Sequence[str]) -> None:
    """Import the module of the command that is run, or of all for their help: a module registers its command."""
    names = arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS
    for name in names:
        importlib.import_module(module_of(name))


def module_of(command: str) -> str:
    """Return the module of a command.

    >>> module_of("import"), module_of("slice")
    ('surfaceviz.cli.files.import_', 'surfaceviz.cli.slice')
    """
    own = "import_" if command == "import" else command  # a keyword
    return f"surfaceviz.cli.{'files.' if command in _FILES else ''}{own}"


def _print_unexpected(error: Exception) -> int:
    if (signum := received_signal()) is not None:
        # The signal arrived during an import in C, which replaced its exception by another one.
        return _print_error(str(Interrupted(signum)), 128 + signum)
    if isinstance(error, OSError) and error.strerror and isinstance(error.filename, str):
        return _print_error(f"{start_folder.shown(error.filename)}: {error.strerror}", FAILURE)
    # errors of the parser; typer does not export their class
    message = getattr(error, "format_message", None)
    if message is None:
        return _print_error(f"{type(error).__name__}: {error} (--debug shows where)", FAILURE)
    command = getattr(getattr(error, "ctx", None), "info_name", None) or "surfaceviz"
    called = "surfaceviz" if command.endswith("surfaceviz") else f"surfaceviz {command}"
    return _print_error(f"{message().replace('Value error, ', '')} (see {called} --help)", USAGE)


def _code(error: BaseException) -> int:
    if isinstance(error, Interrupted):
        return 128 + error.signum
    return FAILURE if isinstance(error, SurfacevizError) else USAGE


def _print_error(message: str, code: int) -> int:
    from surfaceviz.execute import mpi_placement, silent_exit_code

    place = mpi_placement()
    where = ""
    if place is not None and place.rank:
        for signum in (signal.SIGINT, signal.SIGTERM):
            signal.signal(signum, signal.SIG_DFL)  # the launcher's signal ends a rank that waits for rank 0
        if (silent := silent_exit_code()) is not None:
            return silent
        where = f"rank {place.rank}: "
    show_error(f"surfaceviz: {where}{' '.join(message.split())}")
    return code
