"""Direction files of the reference code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from surfaceviz import store
from surfaceviz.errors import SchemaError
from surfaceviz.records import DirectionRecord
from surfaceviz.reference_format.files import GROUPS, check_numbers, contents, open_reference, write_reference_file

Shape = tuple[int, ...]


def holds_directions(path: str | Path) -> bool:
    """Return whether a file is a direction file of the reference code; False for a broken file."""
    return GROUPS[0] in store.root_names(path)


def direction_shapes(path: str | Path) -> list[list[Shape]]:
    """Return the shapes of the tensors of one or two directions, in the file's order, without reading these.

    Raises:
        SchemaError: the file is missing, broken, hostile, or of another kind.
    """
    path = Path(path)
    with open_reference(path, "direction file") as file:
        if GROUPS[0] not in file:
            raise SchemaError(f"{path}: HDF5, but no direction file of the reference code (it has {contents(file)})")
        return [_shapes(path, file[name], name) for name in GROUPS if name in file]


def _shapes(path: Path, group: h5py.Group, name: str) -> list[Shape]:
    if not isinstance(group, h5py.Group) or set(group) != {str(i) for i in range(len(group))} or not len(group):
        raise SchemaError(f'{path}: {name} is not a group of the data sets "0", "1", ...')
    return [check_numbers(path, group, str(i)) for i in range(len(group))]


def read_direction_file(path: str | Path) -> list[list[NDArray[Any]]]:
    """Return the tensors of one or two directions, in the file's order.

    Raises:
        SchemaError: the file is missing, broken, hostile, or of another kind.
    """
    counts = [len(shapes) for shapes in direction_shapes(path)]
    with open_reference(Path(path), "direction file") as file:
        return [
            [np.asarray(store.read_dataset(file[name][str(i)])) for i in range(count)]
            for name, count in zip(GROUPS, counts, strict=False)
        ]


def write_direction_file(path: str | Path, directions: Sequence[Sequence[NDArray[Any]]]) -> None:
    """Write one or two directions as the reference code does.

    Args:
        path: the file; an old one is overwritten.
        directions: the tensors of each, as `numbered` has them.

    Raises:
        StoreError: the file can't be written; the old file stays.
    """
    with write_reference_file(Path(path)) as file:
        for name, tensors in zip(GROUPS, directions, strict=False):
            group = file.create_group(name)
            for i, tensor in enumerate(tensors):
                group.create_dataset(str(i), data=tensor)


def numbered(direction: DirectionRecord, tensors: Mapping[str, NDArray[Any]], *, buffers: bool) -> list[NDArray[Any]]:
    """Return a direction's tensors as a direction file numbers them, 0 where they stay still.

    Args:
        direction: with the layout of its model.
        tensors: by canonical name.
        buffers: whether in the order of ``state_dict()``, else of ``parameters()``, where tied ones come once.
    """
    entries = direction.layout if buffers else dict.fromkeys(e for e in direction.layout if not e.is_buffer)
    kind = next(iter(tensors.values())).dtype
    return [tensors[e.name] if e.name in tensors else np.zeros(e.shape, kind) for e in entries]
