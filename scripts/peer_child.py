"""A process in which one library does one job: ``python scripts/peer_child.py JOB LIBRARY TASK [COUNT] [PICTURE]``.

A line with ``ready`` follows the imports and what is built once, and then, for each line on stdin, one with the seconds
that the job took and what it found. An exception becomes a line with its text. The job `picture` is done at once. What
libraries print themselves is dropped.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from peer_slices import PLANES, Task, draw_plane


def _job(name: str, library: str, task: Task, count: int) -> Callable[[], Any]:
    if name == "plane":
        return PLANES[library](task, count)
    if name == "feature":
        from peer_features import FEATURES  # noqa: PLC0415  a picture's time is not that of other imports

        return lambda: {"has": bool(FEATURES[count].check(library))}
    from peer_hessians import DENSITIES, TOPS, exact_top  # noqa: PLC0415  likewise

    if name == "exact":
        return lambda: exact_top(task)
    return {"top": TOPS, "density": DENSITIES}[name][library](task)


def main(name: str, library: str, problem: str, count: int = 0, picture: str = "") -> None:
    """Do a job as often as lines come."""
    answers = os.fdopen(os.dup(1), "w")
    quiet = os.open(os.devnull, os.O_WRONLY)
    os.dup2(quiet, 1)
    os.dup2(quiet, 2)

    def answer(**told: Any) -> None:
        answers.write(json.dumps(told) + "\n")
        answers.flush()

    torch.set_num_threads(1)
    torch.manual_seed(0)
    try:
        task = Task.of(problem)
        if name == "picture":
            draw_plane(library, PLANES[library](task, count)(), Path(picture))
            answer(done=True)
            return
        job = _job(name, library, task, count)
        answer(ready=True)
        for _ in sys.stdin:
            begun = time.perf_counter()
            found = job()
            seconds = time.perf_counter() - begun
            answer(seconds=seconds, found=found if isinstance(found, list | dict) else None)
    except Exception as error:  # noqa: BLE001  it is told, as what the library printed
        answer(error=f"{type(error).__name__}: {' '.join(str(error).split())}"[:300])


if __name__ == "__main__":
    _, job_name, library_name, task_name, *others = sys.argv
    main(job_name, library_name, task_name, int(others[0]) if others else 0, *others[1:])
