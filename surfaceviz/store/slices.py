"""Slices in HDF5."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from surfaceviz.errors import SchemaError
from surfaceviz.records import AXIS_NAMES, Audit, Direction, FloatArray, Mark, Slice, TensorEntry
from surfaceviz.store.files import SCHEMA_VERSION, opened, plain, put, scalar
from surfaceviz.store.spectra import decode_map, decode_spectra, encode_map, encode_spectra
from surfaceviz.store.trajectory import decode_trajectory, encode_trajectory

LARGEST_DIRECTIONS = 64 * 2**20  # bytes; above it directions are not kept, and made again from their seed
_STDERR, _RISE = "_stderr", "_rise_stderr"

ValueT = TypeVar("ValueT")
Arrays = Mapping[str, NDArray[Any]]


def write(path: Path, surface: Slice, tensors: Sequence[Arrays] = ()) -> None:
    """Put a whole snapshot at ``path``, atomically.

    Args:
        path: the file; what is there is replaced.
        surface: the slice so far.
        tensors: the directions' arrays, one mapping for each; kept while under 64 MB in all.

    Raises:
        StoreError: the folder is missing, the disk is full, or may not be written; the old file stays.
    """
    put(path, encode(surface, tensors))


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
        encode_spectra(file, surface.spectra)
        if surface.hessian_map is not None:
            encode_map(file.create_group("hessian_map"), surface.hessian_map)
        if surface.trajectory is not None:
            encode_trajectory(file.create_group("trajectory"), surface.trajectory)
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
    if direction.layout:
        group.attrs["layout"] = json.dumps(direction.layout)


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
    with opened(Path(path)) as file:
        group = file["slice"]
        arrays = {name: np.asarray(plain(group[name])) for name in group}
        names = [name for name in AXIS_NAMES if name in arrays]
        axes: tuple[FloatArray, ...] = tuple(arrays.pop(name) for name in names)
        origin = arrays.pop("origin")
        rise = {name: arrays.pop(name) for name in list(arrays) if name.endswith(_RISE)}
        stderr = {name: arrays.pop(name) for name in list(arrays) if name.endswith(_STDERR)}
        _check_rising(Path(path), axes)
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
            provenance={k: scalar(v) for k, v in file.attrs.items() if k != "schema_version"},
            audit=_audit(file["audit"]) if "audit" in file else None,
            spectra=decode_spectra(file),
            hessian_map=decode_map(file["hessian_map"]) if "hessian_map" in file else None,
            trajectory=decode_trajectory(file["trajectory"]) if "trajectory" in file else None,
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


def holds_slice(path: str | Path) -> bool:
    """Return whether a file is one of ours with a slice; whatever else is wrong with it, reading says."""
    try:
        with h5py.File(path, "r", locking=False) as file:
            return "slice" in file and "schema_version" in file.attrs
    except OSError:
        return False


def read_directions(path: str | Path) -> list[dict[str, NDArray[Any]]]:
    """Return the arrays of each direction by tensor name; empty mappings where they are not kept."""
    with opened(Path(path)) as file:
        groups = [file["directions"][k] for k in sorted(file.get("directions", ()), key=int)]
        return [{name: np.asarray(plain(group[name])) for name in group} for group in groups]


def _check_shapes(path: Path, axes: Sequence[FloatArray], arrays: Arrays) -> None:
    shape = tuple(len(axis) for axis in axes)
    for name, array in arrays.items():
        if array.shape != shape:
            raise SchemaError(f"{path}: slice/{name} has shape {array.shape}, its axes {shape}")


def _check_rising(path: Path, axes: Sequence[FloatArray]) -> None:
    for name, axis in zip(AXIS_NAMES, axes, strict=False):
        if not np.isfinite(axis).all() or (np.diff(axis) <= 0).any():
            raise SchemaError(f"{path}: slice/{name} are no rising finite coordinates")


def _direction(group: h5py.Group) -> Direction:
    attrs = {key: scalar(value) for key, value in group.attrs.items()}
    return Direction(
        kind=str(attrs["kind"]),
        sha256=str(attrs["sha256"]),
        rule=json.loads(str(attrs["rule"])),
        seed=None if "seed" not in attrs else int(attrs["seed"]),
        normalise=_optional(attrs, "normalise"),
        ignore=_optional(attrs, "ignore"),
        source=_optional(attrs, "source"),
        layout=tuple(
            TensorEntry(str(name), tuple(map(int, shape)), bool(is_buffer))
            for name, shape, is_buffer in json.loads(str(attrs.get("layout", "[]")))
        ),
    )


def _optional(attrs: Mapping[str, str | int | float], key: str) -> str | None:
    return str(attrs[key]) if key in attrs else None


def _marks(group: h5py.Group) -> tuple[Mark, ...]:
    arrays = {name: plain(group[name]) for name in group}
    names = [name.decode() for name in arrays.pop("name")]
    coordinates = list(zip(*(arrays.pop(axis) for axis in AXIS_NAMES if axis in arrays), strict=True))
    return tuple(
        Mark(name, tuple(map(float, coordinates[i])), {key: float(array[i]) for key, array in arrays.items()})
        for i, name in enumerate(names)
    )


def _audit(group: h5py.Group) -> Audit:
    attrs = {key: scalar(value) for key, value in group.attrs.items()}
    return Audit(
        float(attrs["tolerance"]), int(attrs["count"]), int(attrs["over"]), float(attrs["share_upper95"]),
        float(attrs["worst"]), float(attrs["confidence"]),
    )  # fmt: skip
