"""What this machine is, and how a process of it keeps its memory."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys


def keep_memory() -> None:
    """Let this process keep what it frees from now on, where the C library is glibc; it stays so.

    By default large blocks go back to the system as they are freed, and the next ones come as zeroed pages, one
    fault each, which convolutions with megabytes of output spend much of their time on.
    """
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    libc.malloc_trim(0)  # what was freed before goes back
    libc.mallopt(mmap_threshold, 1 << 30)
    libc.mallopt(trim_threshold, (1 << 31) - 1)
    libc.mallopt(top_pad, 64 << 20)


def cores() -> int:
    """Return the number of cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def can_fork() -> bool:
    """Return whether a process can be copied with all it holds: on Linux; macOS's libraries don't bear it."""
    return "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"
