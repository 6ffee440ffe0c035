"""HDF5 files: atomic writing, and reading of files that may be broken or hostile."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from surfaceviz import atomic_write
from surfaceviz.errors import SchemaError, StoreError
from surfaceviz.start_folder import shown

SCHEMA_VERSION = 1
_LARGEST_DATASET = 2**27  # entries: more than any slice has, but a broken or hostile file may declare more; ours
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


@contextmanager
def open_surfaceviz(path: Path, *, holding: str = "slice") -> Iterator[h5py.File]:
    """Open a surfaceviz file that has the group ``holding``, for a ``with`` block.

    Raises:
        SchemaError: the file is missing, truncated, not a surfaceviz file, of a later version, or has links.
    """
    with open_hdf5(path) as file:
        version = file.attrs.get("schema_version")
        if version is None or holding not in file:
            raise SchemaError(f"{path}: HDF5, but no surfaceviz {holding} (it has {', '.join(file) or 'nothing'})")
        if int(version) != SCHEMA_VERSION:
            raise SchemaError(f"{path}: schema version {version}, expected {SCHEMA_VERSION}; update surfaceviz")
        refuse_links(path, file)
        yield file


@contextmanager
def open_hdf5(path: Path, what: str = "surfaceviz file") -> Iterator[h5py.File]:
    """Open an HDF5 file for a ``with`` block, and turn what h5py raises in the block into a `SchemaError`.

    Args:
        path: the file.
        what: the kind of file expected, for the message.

    Raises:
        SchemaError: the file is missing, truncated or malformed.
    """
    if not path.exists():
        raise SchemaError(f"{path}: no such file")
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise SchemaError(f"{path}: no whole HDF5 file ({error})") from error
    with file:
        try:
            yield file
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            # what h5py raises where parts of a file are missing, corrupt or of another kind
            raise SchemaError(f"{path}: no whole {what} ({type(error).__name__}: {error})") from error


def refuse_links(path: Path, group: h5py.Group) -> None:
    """Refuse soft and external links in a group and its subgroups: they could lead to other files.

    Raises:
        SchemaError: there is a link.
    """
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise SchemaError(f"{path}: {group.name}/{name} is a {type(link).__name__}, which is not followed")
        if isinstance(group[name], h5py.Group):
            refuse_links(path, group[name])


def read_dataset(dataset: h5py.Dataset) -> Any:
    """Return a data set's contents.

    Raises:
        SchemaError: it is a group, keeps its data outside the file, or declares more entries than a slice has.
    """
    if not isinstance(dataset, h5py.Dataset):
        raise SchemaError(f"{shown(dataset.file.filename)}: {dataset.name} is a group, expected a data set")
    if dataset.external or dataset.is_virtual:
        raise SchemaError(f"{shown(dataset.file.filename)}: {dataset.name} keeps its data outside the file")
    if math.prod(dataset.shape) > _LARGEST_DATASET:
        raise SchemaError(
            f"{shown(dataset.file.filename)}: {dataset.name} declares shape {dataset.shape}, which no slice has"
        )
    return dataset[()]


def python_scalar(value: Any) -> str | int | float:
    """Return an attribute's value as a Python scalar."""
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value  # type: ignore[no-any-return]


def encode_provenance(group: h5py.Group, provenance: Mapping[str, str | int | float]) -> None:
    """Write provenance into a group's attributes."""
    for key, value in provenance.items():
        group.attrs[key] = as_text(value) if isinstance(value, str) else value


def as_text(value: str) -> str:
    """Return text that can be stored as UTF-8: bytes of a file's name that are not text become escapes."""
    return value.encode("utf-8", "backslashreplace").decode()


def decode_provenance(group: h5py.Group) -> dict[str, str | int | float]:
    """Return a group's attributes, but the file's schema version."""
    return {key: python_scalar(value) for key, value in group.attrs.items() if key != "schema_version"}
