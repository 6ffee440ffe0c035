"""The end of the ranks of an MPI job whose launcher was killed."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from surfaceviz import signals
from surfaceviz.errors import Interrupted

_INTERVAL = 2.0  # seconds between two looks at the launcher
_LAST_SNAPSHOT = 8.0  # seconds for rank 0 to save what is finished
_GONE = "the launcher of the MPI job has gone"
_LAUNCHERS = (
    "mpirun",
    "mpiexec",
    "mpiexec.hydra",
    "orterun",
    "prterun",
    "prte",
    "prted",
    "orted",
    "hydra_pmi_proxy",
    "hydra_bstrap_pr",
    "srun",
    "slurmstepd",
)  # fmt: skip  names as the system shortens them, to 15 characters


class _State:
    thread: threading.Thread | None = None


def watch_launcher(rank: int) -> None:
    """End this rank within 15 seconds when the launcher is killed, even if it could not tell its ranks.

    Rank 0 raises `Interrupted` in the main thread first, so that a run saves its points. Further calls do nothing.

    Args:
        rank: number of this process.
    """
    if _State.thread is None:
        watched = list(_launcher_processes())
        _State.thread = threading.Thread(
            target=_watch, args=(rank, os.getppid(), watched), name="surfaceviz-launcher-watch", daemon=True
        )
        _State.thread.start()


def _watch(rank: int, parent: int, watched: list[tuple[int, str]]) -> None:
    while os.getppid() == parent and all(_process(number)[0] == start for number, start in watched):
        time.sleep(_INTERVAL)
    if rank == 0:
        signals.raise_in_main_thread(_raise)
        time.sleep(_LAST_SNAPSHOT)
    os._exit(128 + signal.SIGTERM)


def _raise() -> None:
    raise Interrupted(signal.SIGTERM, f"{Interrupted(signal.SIGTERM).args[0]}: {_GONE}")


def _launcher_processes() -> Iterator[tuple[int, str]]:
    """Yield number and start time of the launcher's processes on this node, and of those between it and this one."""
    number, between = os.getppid(), []
    while number > 1:
        start, name, parent = _process(number)
        between.append((number, start))
        if name in _LAUNCHERS:
            yield from between
            between = []
        number = parent


def _process(number: int) -> tuple[str, str, int]:
    """Return start time, name and parent of a process; empty where there is none or the system does not say."""
    if sys.platform != "linux":
        return "", "", 0
    try:
        line = Path(f"/proc/{number}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "", "", 0
    name, fields = line[line.index("(") + 1 : line.rindex(")")], line[line.rindex(")") + 2 :].split()
    dead = fields[0] in "ZX"
    return ("" if dead else fields[19]), name, int(fields[1])
