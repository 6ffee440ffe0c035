"""HDF5 files: atomic writing, and attributes."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from surfaceviz import atomic_write
from surfaceviz.errors import StoreError
from surfaceviz.store.typed import ContentError
from surfaceviz.store.verify.checksum import BLOCK_BYTES, with_checksum

SCHEMA_VERSION = 1
_PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg")


def check_name(path: Path) -> None:
    """Refuse the name of a picture for a file."""
    if path.suffix.lower() in _PICTURES:
        raise ValueError(f"{path}: the output is an HDF5 file, its picture is drawn beside it; end it in .h5")


def write_bytes(
    path: Path, image: bytes, *, expected: atomic_write.Expected = atomic_write.ANY
) -> atomic_write.Identity:
    """Write a file's bytes to ``path``, atomically, and return the identity of the new file.

    Args:
        path: the file.
        image: its bytes.
        expected: the file that is replaced; None: there is none; by default any.

    Raises:
        StoreError: the folder is missing or not writable, or the disk is full; the old file stays.
        ChangedError: the file is not the expected one; it stays.
    """
    try:
        return atomic_write.write_bytes(path, image, expected=expected)
    except atomic_write.ChangedError:
        raise
    except OSError as error:
        kept = "; the last good snapshot is kept" if path.exists() else ""
        raise StoreError(f"{path} can't be written: {error.strerror or error}{kept}") from error


@dataclass(slots=True)
class NewFile:
    """An HDF5 file that is built in memory, and its bytes once the block of `new_file` has ended."""

    root: h5py.File
    image: bytes = b""


@contextmanager
def new_file(template: bytes = b"") -> Iterator[NewFile]:
    """Build an HDF5 file in memory, which has its checksum at the end of the ``with`` block.

    Args:
        template: the bytes of a file to start from, made by this function as well.
    """
    buffer = io.BytesIO(template)
    with h5py.File(buffer, "r+") if template else h5py.File(buffer, "w", userblock_size=BLOCK_BYTES) as root:
        made = NewFile(root)
        yield made
    made.image = with_checksum(buffer)


def python_scalar(value: Any) -> str | int | float:
    """Return an attribute's value as a Python scalar.

    Raises:
        ContentError: it is neither text nor a real number.
    """
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    found = value.item() if isinstance(value, np.generic) else value
    if not isinstance(found, str | int | float):
        raise ContentError(f"holds {type(found).__name__}, expected a number or text")
    return found


def read_attribute(group: h5py.Group, name: str) -> str | int | float:
    """Return an attribute as a Python scalar.

    Raises:
        ContentError: it is neither text nor a real number.
    """
    try:
        return python_scalar(group.attrs[name])
    except (ContentError, TypeError, OSError) as error:
        raise ContentError(f"{group.name}: the attribute {name} {error}") from error


def read_number(group: h5py.Group, name: str) -> int | float:
    """Return an attribute that is a number.

    Raises:
        ContentError: it is not one.
    """
    found = read_attribute(group, name)
    if isinstance(found, str):
        raise ContentError(f"{group.name}: the attribute {name} is {found[:40]!r}, expected a number")
    return found


def encode_provenance(group: h5py.Group, provenance: Mapping[str, str | int | float]) -> None:
    """Write provenance into a group's attributes."""
    for key, value in provenance.items():
        group.attrs[key] = as_text(value) if isinstance(value, str) else value


def as_text(value: str) -> str:
    """Return text that can be stored as UTF-8: bytes of a file's name that are not text become escapes."""
    return value.encode("utf-8", "backslashreplace").decode()


def decode_provenance(group: h5py.Group) -> dict[str, str | int | float]:
    """Return a group's attributes that are numbers or text, but the file's schema version."""
    found: dict[str, str | int | float] = {}
    for key in group.attrs:
        if key != "schema_version" and group.attrs.get_id(key).shape == ():
            with contextlib.suppress(ContentError):
                found[key] = read_attribute(group, key)
    return found
