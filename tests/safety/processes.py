"""Progress and ends of commands, and of the processes that they started."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path


class ViolationError(Exception):
    """An invariant does not hold."""


def exit_code_of(child: int) -> int:
    """Return the exit code of a child that leads a group of processes.

    Raises:
        ViolationError: it hangs, or a process of the group stays.
    """
    for _ in range(6000):
        number, status = os.waitpid(child, os.WNOHANG)
        if number:
            _wait_for_group(child)
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    raise ViolationError("the command hangs")


def _wait_for_group(leader: int) -> None:
    """Wait for the other processes of a group: the system ends those of a killed one, which takes a moment."""
    for _ in range(1000):
        try:
            os.killpg(leader, 0)
        except ProcessLookupError:
            return
        time.sleep(0.01)
    raise ViolationError("a process stays")


def seen(name: str) -> tuple[int, int] | None:
    """Return inode and time of a file; None where there is none."""
    with contextlib.suppress(FileNotFoundError):
        found = Path(name).lstat()
        return found.st_ino, found.st_mtime_ns
    return None


def until(child: int, reached: Callable[[], bool]) -> None:
    """Wait until something is reached or a command has ended, at most for 20 seconds."""
    for _ in range(20_000):
        if reached() or os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0.001)
