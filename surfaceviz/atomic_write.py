"""Atomic file writes: a temporary file next to the target, fsynced and renamed over it."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_bytes(path: Path, content: bytes, *, shared: bool = False, synced: bool = True) -> None:
    """Write bytes to ``path`` atomically and, if synced, durably; a symbolic link is followed.

    Args:
        path: the file.
        content: its bytes.
        shared: whether several writers may write the file at the same time, without a lock. A single writer
            overwrites the temporary file that a killed run left.
        synced: whether the file is safe from a power failure as well, for which several milliseconds are waited.

    Raises:
        OSError: the folder is missing or not writable, or the disk is full; the previous file stays.
    """
    target = Path(os.path.realpath(path))
    own = f".{os.getpid()}-{threading.get_ident()}" if shared else ""
    beside = target.with_name(f".{target.name}{own}.part")
    try:
        (_write_synced if synced else Path.write_bytes)(beside, content)
        os.replace(beside, target)  # noqa: PTH105  fault injection patches os
    finally:
        beside.unlink(missing_ok=True)
    if synced:
        _sync_folder(target.parent)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename durable over a power failure, on systems that can sync folders."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
