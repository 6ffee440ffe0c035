"""Slices in HDF5."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import h5py
import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import (
    AXIS_NAMES,
    EVALUATED,
    INTERPOLATED,
    MISSING,
    Audit,
    DirectionRecord,
    FloatArray,
    Mark,
    Slice,
)
from surfaceviz.start_folder import anchored
from surfaceviz.store.fields import decode_fields, encode_fields
from surfaceviz.store.files import (
    SCHEMA_VERSION,
    as_text,
    decode_provenance,
    encode_provenance,
    new_file,
    read_attribute,
    read_number,
    write_bytes,
)
from surfaceviz.store.groups.minima import decode_minima, encode_minima
from surfaceviz.store.groups.spectra import decode_map, decode_spectra, encode_map, encode_spectra, numbered_groups
from surfaceviz.store.groups.trajectory import decode_trajectory, encode_trajectory
from surfaceviz.store.opening import open_surfaceviz, root_names
from surfaceviz.store.output_file import OutputFile, directions_image
from surfaceviz.store.typed import ContentError, read_numbers, read_texts

LARGEST_DIRECTIONS = 64 * 2**20  # bytes; larger directions are not stored, but made again from their seed; ours
_STDERR, _RISE = "_stderr", "_rise_stderr"
_SEED = "seed"  # of each ray; a reader without it takes it for a metric of another shape, and refuses the file

ValueT = TypeVar("ValueT")
Arrays = Mapping[str, NDArray[Any]]


def write(path: Path | OutputFile, surface: Slice, tensors: Sequence[Arrays] = ()) -> None:
    """Write a snapshot of a slice to ``path``, atomically.

    Args:
        path: the file; an old one is replaced, of a run only what it has read or written.
        surface: the slice so far.
        tensors: the directions' arrays, a mapping for each; stored where they have at most 64 MiB in all.

    Raises:
        StoreError: the folder is missing or not writable, or the disk is full; the old file stays.
    """
    if isinstance(path, OutputFile):
        path.write(encode(surface, tensors, path))
    else:
        write_bytes(path, encode(surface, tensors))


def encode(surface: Slice, tensors: Sequence[Arrays] = (), output: OutputFile | None = None) -> bytes:
    """Return the file's bytes.

    Args:
        surface: the slice.
        tensors: see `write`.
        output: the file of a run, which keeps the additions of users, and encoded directions from one snapshot to the
            next.
    """
    small = sum(array.nbytes for arrays in tensors for array in arrays.values()) <= LARGEST_DIRECTIONS
    kept = tensors[: len(surface.directions)] if small else ()
    whole = kept is tensors or len(kept) == len(tensors)
    template = output.template(tensors) if output is not None and whole else directions_image(kept)
    with new_file(template) as made:
        made.root.attrs["schema_version"] = SCHEMA_VERSION
        encode_into(made.root, surface)
        if output is not None:
            output.additions.apply(made.root)
    return made.image


def encode_into(root: h5py.Group, surface: Slice) -> None:
    """Write a slice into a group, which may be a file's root."""
    encode_provenance(root, surface.provenance)
    _encode_slice(root.create_group("slice"), surface)
    _encode_directions(root, surface.directions)
    if surface.marks:
        _encode_marks(root.create_group("points"), surface.marks)
    if surface.audit is not None:
        encode_fields(root.create_group("audit"), surface.audit)
    encode_spectra(root, surface.spectra)
    if surface.hessian_map is not None:
        encode_map(root.create_group("hessian_map"), surface.hessian_map)
    if surface.trajectory is not None:
        encode_trajectory(root.create_group("trajectory"), surface.trajectory)
    if surface.minima is not None:
        encode_minima(root.create_group("minima"), surface.minima)


def _encode_slice(group: h5py.Group, surface: Slice) -> None:
    along = dict(zip(AXIS_NAMES, surface.axes, strict=False))
    scales = {_SEED: np.array(surface.seeds, np.int64), **along} if surface.seeds else along
    for name, axis in scales.items():
        group.create_dataset(name, data=axis).make_scale(name)
    arrays: dict[str, NDArray[Any]] = dict(surface.values)
    arrays |= {name + _STDERR: array for name, array in surface.stderr.items()}
    arrays |= {name + _RISE: array for name, array in surface.rise_stderr.items()}
    arrays["origin"] = surface.origin
    for name, array in arrays.items():
        dataset = group.create_dataset(name, data=array)
        for dimension, scale in zip(dataset.dims, scales, strict=False):
            dimension.attach_scale(group[scale])
    for name, centre in surface.centre.items():
        group.attrs[f"centre_{name}"] = centre


def _direction(group: h5py.Group) -> DirectionRecord:
    """Return a direction's record; files of version 0.1 have an eigenvalue only in the words of ``source``."""
    record = decode_fields(group, DirectionRecord)
    found = re.match(r"eigenvalue (\S+),", record.source or "")
    return record if record.eigenvalue is not None or found is None else replace(record, eigenvalue=float(found[1]))


def _encode_directions(file: h5py.Group, directions: Sequence[DirectionRecord]) -> None:
    """Write the records of directions next to their arrays, which are in the file already."""
    for number, direction in enumerate(directions):
        encode_fields(file.require_group(f"directions/{number}"), direction)


def _encode_marks(group: h5py.Group, marks: Sequence[Mark]) -> None:
    group.create_dataset("name", data=[as_text(mark.name) for mark in marks], dtype=h5py.string_dtype())
    for k, axis in enumerate(AXIS_NAMES[: len(marks[0].coordinates)]):
        group.create_dataset(axis, data=[mark.coordinates[k] for mark in marks])
    for name in marks[0].values:
        group.create_dataset(name, data=[mark.values[name] for mark in marks])


def read(path: str | Path) -> Slice:
    """Return the slice in a file.

    Raises:
        SchemaError: the file is missing, truncated, not a surfaceviz file, of a later version, or has links.
    """
    with open_surfaceviz(anchored(path)) as file:
        return decode_from(file)


def decode_from(root: h5py.Group) -> Slice:
    """Return the slice in a group, which may be a file's root."""
    group = root["slice"]
    arrays = {name: read_numbers(group[name], "iu" if name in ("origin", _SEED) else "fiu") for name in group}
    names = [name for name in AXIS_NAMES if name in arrays]
    axes: tuple[FloatArray, ...] = tuple(arrays.pop(name) for name in names)
    origin, seeds = arrays.pop("origin"), _seeds(arrays.pop(_SEED, None))
    rise = {name: arrays.pop(name) for name in list(arrays) if name.endswith(_RISE)}
    stderr = {name: arrays.pop(name) for name in list(arrays) if name.endswith(_STDERR)}
    _check_rising(axes)
    _check_shapes(axes, {"origin": origin, **arrays, **rise, **stderr}, rays=len(seeds))
    _check_origin(origin)
    splits = str(read_attribute(root, "splits")) if "splits" in root.attrs else ""
    return Slice(
        axes=axes,
        values=_in_order(arrays, splits),
        origin=origin,
        seeds=seeds,
        centre=_in_order(_centre(group), splits),
        directions=tuple(_direction(group) for group in _direction_groups(root)),
        stderr={name.removesuffix(_STDERR): array for name, array in stderr.items()},
        rise_stderr={name.removesuffix(_RISE): array for name, array in rise.items()},
        marks=_marks(root["points"]) if "points" in root else (),
        provenance=decode_provenance(root),
        audit=decode_fields(root["audit"], Audit) if "audit" in root else None,
        spectra=decode_spectra(root),
        hessian_map=decode_map(root["hessian_map"]) if "hessian_map" in root else None,
        trajectory=decode_trajectory(root["trajectory"]) if "trajectory" in root else None,
        minima=decode_minima(root["minima"], axes) if "minima" in root else None,
    )


def _centre(group: h5py.Group) -> dict[str, float]:
    return {k.removeprefix("centre_"): float(read_number(group, k)) for k in group.attrs if k.startswith("centre_")}


def _in_order(arrays: Mapping[str, ValueT], splits: str) -> dict[str, ValueT]:
    """Return values in the order of the splits, the loss first (HDF5 sorts by name)."""
    order = splits.split(",")

    def place(name: str) -> tuple[int, bool, str]:
        split = next((i for i, split in enumerate(order) if name.startswith(f"{split}_")), len(order))
        return split, not name.endswith("_loss"), name

    return {name: arrays[name] for name in sorted(arrays, key=place)}


def holds_slice(path: str | Path) -> bool:
    """Return whether a file is a surfaceviz file with a slice; False for a broken file."""
    return {"slice", "schema_version"} <= root_names(path)


def read_directions(path: str | Path) -> list[dict[str, NDArray[Any]]]:
    """Return the arrays of each direction by tensor name; empty mappings where they are not stored.

    Raises:
        SchemaError: the file can't be read, or the arrays are not those of the sha256 next to them.
    """
    with open_surfaceviz(anchored(path)) as file:
        return [_tensors(group) for group in _direction_groups(file)]


def _tensors(group: h5py.Group) -> dict[str, NDArray[Any]]:
    arrays = {name: read_numbers(group[name], "fiub") for name in group}
    stated = str(read_attribute(group, "sha256")) if arrays else ""
    if stated and stated != tensors_sha256(arrays):
        raise ContentError(
            f"{group.name} holds other tensors than those whose sha256 it states ({stated[:12]}): it was altered; take "
            "another copy, or compute the slice again"
        )
    return arrays


def tensors_sha256(arrays: Arrays) -> str:
    """Return the fingerprint of a direction: the sha256 over the sorted (name, dtype, shape, bytes) of its tensors."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0torch.{array.dtype}\0{arrays[name].shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def _direction_groups(file: h5py.Group) -> list[h5py.Group]:
    return numbered_groups(file, "directions")


def _seeds(found: NDArray[Any] | None) -> tuple[int, ...]:
    """Return the seeds of rays; an empty tuple where the file holds none."""
    if found is None:
        return ()
    if found.ndim != 1 or not len(found) or len(set(found.tolist())) < len(found):
        raise ContentError(f"slice/{_SEED} is of shape {found.shape}, expected different seeds, one for each ray")
    return tuple(map(int, found.tolist()))


def _check_shapes(axes: Sequence[FloatArray], arrays: Arrays, *, rays: int) -> None:
    shape = (*((rays,) if rays else ()), *(len(axis) for axis in axes))
    if rays and len(axes) != 1:
        raise ContentError(f"slice holds {rays} rays and {len(axes)} axes, expected one axis")
    for name, array in arrays.items():
        if array.shape != shape:
            raise ContentError(f"slice/{name} has shape {array.shape}, its axes {shape}")


def _check_rising(axes: Sequence[FloatArray]) -> None:
    for name, axis in zip(AXIS_NAMES, axes, strict=False):
        if axis.ndim != 1 or not len(axis) or not np.isfinite(axis).all() or (np.diff(axis) <= 0).any():
            raise ContentError(f"slice/{name} are no rising finite coordinates")


def _check_origin(origin: NDArray[Any]) -> None:
    wrong = ~np.isin(origin, (MISSING, EVALUATED, INTERPOLATED))
    if wrong.any():
        raise ContentError(
            f"slice/origin holds {origin[wrong].flat[0]}, expected {MISSING} (missing), {EVALUATED} (evaluated) or "
            f"{INTERPOLATED} (interpolated)"
        )


def _marks(group: h5py.Group) -> tuple[Mark, ...]:
    names = read_texts(group["name"])
    arrays = {name: read_numbers(group[name]) for name in group if name != "name"}
    for name, array in arrays.items():
        if array.shape != (len(names),):
            raise ContentError(f"{group.name}/{name} has shape {array.shape}, expected one number for each name")
    coordinates = list(zip(*(arrays.pop(axis) for axis in AXIS_NAMES if axis in arrays), strict=True))
    return tuple(
        Mark(name, tuple(map(float, coordinates[i])), {key: float(array[i]) for key, array in arrays.items()})
        for i, name in enumerate(names)
    )
