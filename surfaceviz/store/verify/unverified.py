"""Reading of HDF5 files whose bytes nothing vouches for, by a process of its own: see `sandbox`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from surfaceviz.errors import SchemaError
from surfaceviz.store.verify import sandbox

PROGRAM = Path(sandbox.__file__)
_WAIT_SECONDS = 120  # for the process, also where it waits for a slow disk; and one more for each MiB


def clean_copy(path: Path) -> bytes:
    """Return a clean HDF5 image of what a file holds; empty for a large file, which was only read to its end.

    Links are refused. Dimension scales and what is neither numbers nor text are left out.

    Raises:
        SchemaError: the file is broken or hostile: it has no whole content, or reading it ended or held up the process.
    """
    length = path.stat().st_size
    command = [sys.executable, "-P", str(PROGRAM), os.fspath(path.absolute()), str(os.getpid())]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "HDF5_USE_FILE_LOCKING": "FALSE"}
    try:
        # run() kills the process where an exception, such as that of a signal, leaves it.
        done = subprocess.run(  # noqa: S603  our own program
            command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, check=False,
            timeout=_WAIT_SECONDS + length / sandbox.MEBIBYTE,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SchemaError(f"{path}: reading it takes for ever; it is damaged or hostile") from None
    if done.returncode == 0:
        return done.stdout
    raise SchemaError(f"{path}: {_why(done)}")


def _why(done: subprocess.CompletedProcess[bytes]) -> str:
    if done.returncode == sandbox.REFUSED:
        return done.stderr.decode(errors="replace")
    if done.returncode == sandbox.SHORT_OF_MEMORY:
        return "reading it takes much more memory than it has bytes; it is damaged or hostile"
    if done.returncode in (-getattr(signal, "SIGXCPU", 0), -getattr(signal, "SIGKILL", 0)):
        return "reading it takes for ever; it is damaged or hostile"
    if done.returncode < 0:
        return f"the HDF5 library crashed on it ({signal.Signals(-done.returncode).name}); it is damaged or hostile"
    last = (done.stderr.decode(errors="replace").strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    return f"the process that reads it failed ({last})"
