"""Files whole or not at all: snapshots renamed into place, and reading what may be broken or hostile."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from surfaceviz import atomic_write
from surfaceviz.errors import SchemaError, StoreError

SCHEMA_VERSION = 1
_LARGEST_DATASET = 2**27  # entries; no slice has as many, a broken or hostile file may claim to
_WORDS = {"slice": "slice", "spectra": "spectra"}
_PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg")


def check_name(path: Path) -> None:
    """Refuse the name of a picture for a file."""
    if path.suffix.lower() in _PICTURES:
        raise ValueError(f"{path}: the output is an HDF5 file, its picture is drawn beside it; end it in .h5")


def put(path: Path, image: bytes) -> None:
    """Put a file's bytes at ``path``, atomically.

    Raises:
        StoreError: the folder is missing, the disk is full, or may not be written; the old file stays.
    """
    try:
        atomic_write.write_bytes(path, image)
    except OSError as error:
        kept = "; the last good snapshot is kept" if path.exists() else ""
        raise StoreError(f"{path} can't be written: {error.strerror or error}{kept}") from error


@contextmanager
def opened(path: Path, *, holding: str = "slice") -> Iterator[h5py.File]:
    """Open a file of ours that has a group ``holding``, for a ``with`` block.

    Raises:
        SchemaError: missing, truncated, no surfaceviz file, of a later version, or with links out of it.
    """
    with opened_hdf5(path) as file:
        version = file.attrs.get("schema_version")
        if version is None or holding not in file:
            raise SchemaError(
                f"{path}: HDF5, but no surfaceviz {_WORDS[holding]} (it has {', '.join(file) or 'nothing'})"
            )
        if int(version) != SCHEMA_VERSION:
            raise SchemaError(f"{path}: schema version {version}, expected {SCHEMA_VERSION}; update surfaceviz")
        refuse_outside(path, file)
        yield file


@contextmanager
def opened_hdf5(path: Path, what: str = "surfaceviz file") -> Iterator[h5py.File]:
    """Open an HDF5 file of any kind, for a ``with`` block in which it may turn out to be broken.

    Args:
        path: the file.
        what: it is to be, for a message.

    Raises:
        SchemaError: missing, truncated, or whatever h5py raises in the block.
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
            # what h5py raises on a file with parts missing, garbled or of other kinds
            raise SchemaError(f"{path}: no whole {what} ({type(error).__name__}: {error})") from error


def refuse_outside(path: Path, group: h5py.Group) -> None:
    """Refuse links, in a group and all beneath it: a file of ours has none, and they would lead to other files.

    Raises:
        SchemaError: there is one.
    """
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise SchemaError(f"{path}: {group.name}/{name} is a {type(link).__name__}, which is not followed")
        if isinstance(group[name], h5py.Group):
            refuse_outside(path, group[name])


def plain(dataset: h5py.Dataset) -> Any:
    """Return a data set's contents; refuse what lies outside the file or claims to be vast."""
    if not isinstance(dataset, h5py.Dataset):
        raise SchemaError(f"{dataset.file.filename}: {dataset.name} is a group, expected a data set")
    if dataset.external or dataset.is_virtual:
        raise SchemaError(f"{dataset.file.filename}: {dataset.name} keeps its data outside the file")
    if math.prod(dataset.shape) > _LARGEST_DATASET:
        raise SchemaError(f"{dataset.file.filename}: {dataset.name} declares shape {dataset.shape}, which no slice has")
    return dataset[()]


def scalar(value: Any) -> str | int | float:
    """Return an attribute as Python has it."""
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value  # type: ignore[no-any-return]
