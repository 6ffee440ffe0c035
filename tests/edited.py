"""Edits of files that get a new checksum, so that tests see the edit and not that there was one."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from surfaceviz.store.verify.checksum import with_checksum


@contextmanager
def edited(path: str | Path) -> Iterator[h5py.File]:
    """Open a file of ours for writing, and renew its checksum at the end of the ``with`` block."""
    with h5py.File(path, "r+") as file:
        yield file
    renew_checksum(path)


def renew_checksum(path: str | Path) -> None:
    """Give a file the checksum of its present bytes."""
    Path(path).write_bytes(with_checksum(io.BytesIO(Path(path).read_bytes())))
