"""The command line: parse options, call the pipeline, print the path of the result."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from surfaceviz.errors import Interrupted, SurfacevizError
from surfaceviz.signals import interruptible, received_signal

USAGE, FAILURE = 2, 1


def main() -> None:
    """Run the command line and exit with its code."""
    code = run(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    from surfaceviz.execute import leave_mpi_job

    if leave_mpi_job(code) or code:
        # A normal exit waits for threads and for torch's clean-up, for a second or more.
        os._exit(code)


def run(arguments: Sequence[str]) -> int:
    """Return the exit code of a command; an error becomes one line on stderr, with ``--debug`` a traceback."""
    with interruptible():
        try:
            from surfaceviz.cli import (  # noqa: F401  these modules register their commands
                export,
                hessian,
                import_,
                info,
                merge,
                plot,
                report,
                sharpness,
                slice,  # noqa: A004
                trajectory,
                view,
            )
            from surfaceviz.cli.app import app

            return int(app(list(arguments) or ["--help"], standalone_mode=False) or 0)
        except (Interrupted, SurfacevizError, ValueError) as error:
            if "--debug" in arguments:
                raise
            return _print_error(str(error) or type(error).__name__, _code(error))
        except Exception as error:
            if (signum := received_signal()) is not None:
                # The signal arrived during an import in C, which replaced its exception by another one.
                return _print_error(str(Interrupted(signum)), 128 + signum)
            # errors of the parser; typer does not export their class
            message = getattr(error, "format_message", None)
            if message is not None:
                command = getattr(getattr(error, "ctx", None), "info_name", None) or "surfaceviz"
                called = "surfaceviz" if command.endswith("surfaceviz") else f"surfaceviz {command}"
                return _print_error(f"{message().replace('Value error, ', '')} (see {called} --help)", USAGE)
            if "--debug" in arguments:
                raise
            return _print_error(f"{type(error).__name__}: {error} (--debug shows where)", FAILURE)


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
    print(f"surfaceviz: {where}{' '.join(message.split())}", file=sys.stderr, flush=True)
    return code
