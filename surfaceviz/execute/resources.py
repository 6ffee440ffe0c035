"""Cores and memory of this machine, and the memory settings of a process."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
from pathlib import Path


def retain_freed_memory() -> None:
    """Keep freed memory in this process from now on, where the C library is glibc.

    By default glibc returns large blocks to the system when they are freed, and the next blocks come as zeroed pages
    with one page fault each. Convolutions with megabytes of output spend much of their time on these faults.
    Blocks over 64 MB, such as an embedding, are still returned: holes of their size would fill the heap.
    """
    if sys.platform != "linux" or not hasattr(libc := ctypes.CDLL(None), "mallopt"):
        return
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    libc.malloc_trim(0)  # return the blocks that were freed before
    libc.mallopt(mmap_threshold, 1 << 26)
    libc.mallopt(trim_threshold, (1 << 31) - 1)
    libc.mallopt(top_pad, 64 << 20)


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def can_fork() -> bool:
    """Return whether a process can be forked safely: on Linux, but not with the system libraries of macOS."""
    return "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"


def available_memory() -> int:
    """Return the bytes of memory that are available without swapping; 4 GB where the system does not say."""
    unknown = 4 * 2**30
    if sys.platform != "linux":
        return unknown
    lines = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines())
    free = int(lines["MemAvailable"].split()[0]) * 1024 if "MemAvailable" in lines else unknown
    return min([free, *_cgroup_memory()])


def _cgroup_memory() -> list[int]:
    """Return the bytes that are left under the limits of control groups, which containers and batch systems set."""
    left = []
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            texts = [Path(path).read_text(encoding="ascii").strip() for path in (limit, used)]
        except OSError:
            continue  # another version of control groups, or none
        if all(text.isdecimal() for text in texts):
            left.append(max(0, int(texts[0]) - int(texts[1])))
    return left
