"""The HDF5 file, schema version 1: snapshots and reading.

A snapshot is made in memory, written beside the file, fsynced and renamed over it, so that at any instant
the path holds a whole, valid file, whatever kills the run.
"""

from __future__ import annotations

import io
import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from surfaceviz.errors import SchemaError, StoreError
from surfaceviz.records import AXIS_NAMES, Audit, Direction, FloatArray, Mark, Slice

SCHEMA_VERSION = 1
LARGEST_DIRECTIONS = 64 * 2**20  # bytes; above it directions are not kept, and made again from their seed
_LARGEST_DATASET = 2 * 2**30  # bytes; no slice is as large as this, a broken or hostile file may claim to be

_PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg")
_STDERR, _RISE = "_stderr", "_rise_stderr"

ValueT = TypeVar("ValueT")
Arrays = Mapping[str, NDArray[Any]]


def check_name(path: Path) -> None:
    """Refuse the name of a picture for a file."""
    if path.suffix.lower() in _PICTURES:
        raise ValueError(f"{path}: the output is an HDF5 file, its picture is drawn beside it; end it in .h5")


def write(path: Path, surface: Slice, tensors: Sequence[Arrays] = ()) -> None:
    """Put a whole snapshot at ``path``, atomically.

    Args:
        path: the file; what is there is replaced.
        surface: the slice so far.
        tensors: the directions' arrays, one mapping for each; kept while under 64 MB in all.

    Raises:
        StoreError: the folder is missing, the disk is full, or may not be written; the old file stays.
    """
    image = encode(surface, tensors)
    target = Path(os.path.realpath(path))
    beside = target.with_name(f".{target.name}.part")
    try:
        try:
            _write_synced(beside, image)
            os.replace(beside, target)  # noqa: PTH105  fault injection patches os
        finally:
            beside.unlink(missing_ok=True)
        _sync_folder(target.parent)
    except OSError as error:
        kept = "; the last good snapshot is kept" if target.exists() else ""
        raise StoreError(f"{path} can't be written: {error.strerror or error}{kept}") from error


def _write_synced(path: Path, image: bytes) -> None:
    with path.open("wb") as stream:
        stream.write(image)
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


def encode(surface: Slice, tensors: Sequence[Arrays] = ()) -> bytes:
    """Return the file's bytes."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        file.attrs["schema_version"] = SCHEMA_VERSION
        for key, value in surface.provenance.items():
            file.attrs[key] = value
        _encode_slice(file.create_group("slice"), surface)
        keep = sum(array.nbytes for arrays in tensors for array in arrays.values()) <= LARGEST_DIRECTIONS
        for number, direction in enumerate(surface.directions):
            group = file.create_group(f"directions/{number}")
            _encode_direction(group, direction)
            if keep and number < len(tensors):
                for name, array in tensors[number].items():
                    group.create_dataset(name, data=array)
        if surface.marks:
            _encode_marks(file.create_group("points"), surface.marks)
        if surface.audit is not None:
            audit = file.create_group("audit")
            for field in fields(surface.audit):
                audit.attrs[field.name] = getattr(surface.audit, field.name)
    return buffer.getvalue()


def _encode_slice(group: h5py.Group, surface: Slice) -> None:
    for name, axis in zip(AXIS_NAMES, surface.axes, strict=False):
        group.create_dataset(name, data=axis).make_scale(name)
    arrays: dict[str, NDArray[Any]] = dict(surface.values)
    arrays |= {name + _STDERR: array for name, array in surface.stderr.items()}
    arrays |= {name + _RISE: array for name, array in surface.rise_stderr.items()}
    arrays["origin"] = surface.origin
    for name, array in arrays.items():
        dataset = group.create_dataset(name, data=array)
        for dimension, axis_name in zip(dataset.dims, AXIS_NAMES, strict=False):
            dimension.attach_scale(group[axis_name])
    for name, centre in surface.centre.items():
        group.attrs[f"centre_{name}"] = centre


def _encode_direction(group: h5py.Group, direction: Direction) -> None:
    group.attrs["kind"] = direction.kind
    group.attrs["sha256"] = direction.sha256
    group.attrs["rule"] = json.dumps(dict(direction.rule))
    for key in ("seed", "normalise", "ignore", "source"):
        given = getattr(direction, key)
        if given is not None:
            group.attrs[key] = given


def _encode_marks(group: h5py.Group, marks: Sequence[Mark]) -> None:
    group.create_dataset("name", data=[mark.name for mark in marks], dtype=h5py.string_dtype())
    for k, axis in enumerate(AXIS_NAMES[: len(marks[0].coordinates)]):
        group.create_dataset(axis, data=[mark.coordinates[k] for mark in marks])
    for name in marks[0].values:
        group.create_dataset(name, data=[mark.values[name] for mark in marks])


def read(path: str | Path) -> Slice:
    """Return the slice in a file.

    Raises:
        SchemaError: missing, truncated, no surfaceviz file, of a later version, or with links out of it.
    """
    with _opened(Path(path)) as file:
        group = file["slice"]
        arrays = {name: np.asarray(_plain(group[name])) for name in group}
        names = [name for name in AXIS_NAMES if name in arrays]
        axes: tuple[FloatArray, ...] = tuple(arrays.pop(name) for name in names)
        origin = arrays.pop("origin")
        rise = {name: arrays.pop(name) for name in list(arrays) if name.endswith(_RISE)}
        stderr = {name: arrays.pop(name) for name in list(arrays) if name.endswith(_STDERR)}
        _check_shapes(Path(path), axes, {"origin": origin, **arrays, **rise, **stderr})
        return Slice(
            axes=axes,
            values=_in_order(arrays, str(file.attrs.get("splits", ""))),
            origin=origin,
            centre=_in_order(_centre(group), str(file.attrs.get("splits", ""))),
            directions=tuple(_direction(file["directions"][k]) for k in sorted(file.get("directions", ()), key=int)),
            stderr={name.removesuffix(_STDERR): array for name, array in stderr.items()},
            rise_stderr={name.removesuffix(_RISE): array for name, array in rise.items()},
            marks=_marks(file["points"]) if "points" in file else (),
            provenance={k: _scalar(v) for k, v in file.attrs.items() if k != "schema_version"},
            audit=_audit(file["audit"]) if "audit" in file else None,
        )


def _centre(group: h5py.Group) -> dict[str, float]:
    return {k.removeprefix("centre_"): float(v) for k, v in group.attrs.items() if k.startswith("centre_")}


def _in_order(arrays: Mapping[str, ValueT], splits: str) -> dict[str, ValueT]:
    """Return values as they were made: by split, the loss first (HDF5 sorts by name)."""
    order = splits.split(",")

    def place(name: str) -> tuple[int, bool, str]:
        split = next((i for i, split in enumerate(order) if name.startswith(f"{split}_")), len(order))
        return split, not name.endswith("_loss"), name

    return {name: arrays[name] for name in sorted(arrays, key=place)}


def read_directions(path: str | Path) -> list[dict[str, NDArray[Any]]]:
    """Return the arrays of each direction by tensor name; empty mappings where they are not kept."""
    with _opened(Path(path)) as file:
        groups = [file["directions"][k] for k in sorted(file.get("directions", ()), key=int)]
        return [{name: np.asarray(_plain(group[name])) for name in group} for group in groups]


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.exists():
        raise SchemaError(f"{path}: no such file")
    try:
        file = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise SchemaError(f"{path}: no whole HDF5 file ({error})") from error
    with file:
        try:
            version = file.attrs.get("schema_version")
            if version is None or "slice" not in file:
                raise SchemaError(f"{path}: HDF5, but no surfaceviz slice (it has {', '.join(file) or 'nothing'})")
            if int(version) != SCHEMA_VERSION:
                raise SchemaError(f"{path}: schema version {version}, expected {SCHEMA_VERSION}; update surfaceviz")
            _refuse_outside(path, file)
            yield file
        except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
            # what h5py raises on a file with parts missing, garbled or of other kinds
            raise SchemaError(f"{path}: no whole surfaceviz file ({type(error).__name__}: {error})") from error


def _refuse_outside(path: Path, group: h5py.Group) -> None:
    """Refuse links: a file of ours has none, and following them would read other files."""
    for name in group:
        link = group.get(name, getlink=True)
        if not isinstance(link, h5py.HardLink):
            raise SchemaError(f"{path}: {group.name}/{name} is a {type(link).__name__}, which is not followed")
        if isinstance(group[name], h5py.Group):
            _refuse_outside(path, group[name])


def _plain(dataset: h5py.Dataset) -> Any:
    """Return a data set's contents; refuse what lies outside the file or claims to be vast."""
    if not isinstance(dataset, h5py.Dataset):
        raise SchemaError(f"{dataset.file.filename}: {dataset.name} is a group, expected a data set")
    if dataset.external or dataset.is_virtual:
        raise SchemaError(f"{dataset.file.filename}: {dataset.name} keeps its data outside the file")
    if math.prod(dataset.shape) * dataset.dtype.itemsize > _LARGEST_DATASET:
        raise SchemaError(f"{dataset.file.filename}: {dataset.name} declares shape {dataset.shape}, which no slice has")
    return dataset[()]


def _check_shapes(path: Path, axes: Sequence[FloatArray], arrays: Arrays) -> None:
    shape = tuple(len(axis) for axis in axes)
    for name, array in arrays.items():
        if array.shape != shape:
            raise SchemaError(f"{path}: slice/{name} has shape {array.shape}, its axes {shape}")


def _direction(group: h5py.Group) -> Direction:
    attrs = {key: _scalar(value) for key, value in group.attrs.items()}
    return Direction(
        kind=str(attrs["kind"]),
        sha256=str(attrs["sha256"]),
        rule=json.loads(str(attrs["rule"])),
        seed=None if "seed" not in attrs else int(attrs["seed"]),
        normalise=_optional(attrs, "normalise"),
        ignore=_optional(attrs, "ignore"),
        source=_optional(attrs, "source"),
    )


def _optional(attrs: Mapping[str, str | int | float], key: str) -> str | None:
    return str(attrs[key]) if key in attrs else None


def _marks(group: h5py.Group) -> tuple[Mark, ...]:
    arrays = {name: _plain(group[name]) for name in group}
    names = [name.decode() for name in arrays.pop("name")]
    coordinates = list(zip(*(arrays.pop(axis) for axis in AXIS_NAMES if axis in arrays), strict=True))
    return tuple(
        Mark(name, tuple(map(float, coordinates[i])), {key: float(array[i]) for key, array in arrays.items()})
        for i, name in enumerate(names)
    )


def _audit(group: h5py.Group) -> Audit:
    attrs = {key: _scalar(value) for key, value in group.attrs.items()}
    return Audit(
        float(attrs["tolerance"]), int(attrs["count"]), int(attrs["over"]), float(attrs["share_upper95"]),
        float(attrs["worst"]), float(attrs["confidence"]),
    )  # fmt: skip


def _scalar(value: Any) -> str | int | float:
    if isinstance(value, bytes):
        return value.decode()
    return value.item() if isinstance(value, np.generic) else value  # type: ignore[no-any-return]
