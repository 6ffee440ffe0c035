"""The command line: parse, ask the pipeline, say where the result is."""

from __future__ import annotations

import os
import sys

from surfaceviz.errors import Interrupted, SurfacevizError
from surfaceviz.interrupt import interruptible

USAGE, FAILURE = 2, 1


def main() -> None:
    """Run the command line; errors become one line on stderr and an exit code."""
    debug = "--debug" in sys.argv
    with interruptible():
        try:
            from surfaceviz.cli.commands import app

            app()
        except Interrupted as error:
            _leave(error, 128 + error.signum, debug=debug)
        except SurfacevizError as error:
            _leave(error, FAILURE, debug=debug)
        except ValueError as error:
            _leave(error, USAGE, debug=debug)


def _leave(error: BaseException, code: int, *, debug: bool) -> None:
    if debug:
        raise error
    line = " ".join(str(error).split()) or type(error).__name__
    print(f"surfaceviz: {line}", file=sys.stderr, flush=True)
    sys.stdout.flush()
    # The interpreter's own end would wait for threads and tear torch down, for a second or more.
    os._exit(code)
