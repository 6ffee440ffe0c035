"""Files whole or not at all: written beside their place, then renamed into it."""

from __future__ import annotations

import os
import threading
from pathlib import Path


def write_bytes(path: Path, content: bytes, *, shared: bool = False) -> None:
    """Put a file's bytes at ``path``, atomically and lasting; through a link, at what it leads to.

    Args:
        path: the file.
        content: its bytes.
        shared: whether another may write it at the same time, as no lock forbids it. Whoever is alone overwrites what
            a killed run has left beside the file.

    Raises:
        OSError: the folder is missing, the disk is full, or may not be written; what was there stays.
    """
    target = Path(os.path.realpath(path))
    own = f".{os.getpid()}-{threading.get_ident()}" if shared else ""
    beside = target.with_name(f".{target.name}{own}.part")
    try:
        _write_synced(beside, content)
        os.replace(beside, target)  # noqa: PTH105  fault injection patches os
    finally:
        beside.unlink(missing_ok=True)
    _sync_folder(target.parent)


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(content)
        stream.flush()
        os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    """Make a rename last through a power cut, where the system lets folders be synced."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
