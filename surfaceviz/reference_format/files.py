"""HDF5 files of the reference code: safe opening and atomic writing."""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np

from surfaceviz import store
from surfaceviz.errors import SchemaError
from surfaceviz.records import FloatArray

AXES = ("xcoordinates", "ycoordinates")
GROUPS = ("xdirection", "ydirection")
PROJECTED = ("proj_xcoord", "proj_ycoord")
METRICS = {"loss": ("loss", 1.0), "accuracy": ("acc", 100.0)}  # our name -> theirs, and what ours is multiplied by
SPLITS = ("train", "test")
BLANK = -1.0  # a missing value
BLANK_MIN_EIG = 1.0  # what min_eig holds where max_eig holds -1

MOST = 2 * 10**7  # numbers of a surface


@contextmanager
def open_reference(path: Path, what: str) -> Iterator[h5py.File]:
    """Open a file of the reference code, for a ``with`` block.

    Raises:
        SchemaError: missing, truncated, with links out of it, or whatever h5py raises in the block.
    """
    with store.open_hdf5(path, f"{what} of the reference code") as file:
        yield file


def contents(group: h5py.Group) -> str:
    """Return the names in a group, the first few."""
    return ", ".join(list(group)[:8]) or "nothing"


def check_numbers(path: Path, group: h5py.Group, name: str) -> tuple[int, ...]:
    """Return the shape of a data set of numbers, nothing of which is read.

    Raises:
        SchemaError: it is missing, or something else.
    """
    if name not in group:
        raise SchemaError(f"{path}: {name} is missing")
    dataset = group[name]
    if not isinstance(dataset, h5py.Dataset) or dataset.shape is None or dataset.dtype.kind not in "fiu":
        what = f"holds {dataset.dtype}" if isinstance(dataset, h5py.Dataset) else "is a group"
        raise SchemaError(f"{path}: {dataset.name.lstrip('/')} {what}, expected numbers")
    return tuple(map(int, dataset.shape))


def numbers(path: Path, group: h5py.Group, name: str) -> FloatArray:
    """Return a data set of numbers, float64.

    Raises:
        SchemaError: it is missing, something else, or declares more of them than a surface has.
    """
    shape = check_numbers(path, group, name)
    if math.prod(shape) > MOST:
        raise SchemaError(f"{path}: {name} declares shape {shape}, which no surface has")
    return np.asarray(store.read_dataset(group[name]), np.float64)


def word(file: h5py.File, name: str) -> str:
    """Return a text, if it is one."""
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset) or dataset.shape != () or h5py.check_string_dtype(dataset.dtype) is None:
        return ""
    text = bytes(store.read_dataset(dataset)).decode(errors="replace")
    return "".join(c if c.isprintable() else " " for c in text)


@contextmanager
def write_reference_file(path: Path) -> Iterator[h5py.File]:
    """Build a file in memory, and write it atomically when the ``with`` block ends without an error.

    Raises:
        StoreError: the file can't be written; the old file stays.
    """
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        yield file
    store.write_bytes(path, buffer.getvalue())
