"""Slices as files of the reference code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import MISSING, FloatArray, Slice, Trajectory
from surfaceviz.reference_format.directions import numbered, write_direction_file
from surfaceviz.reference_format.files import (
    AXES,
    BLANK,
    BLANK_MIN_EIG,
    METRICS,
    PROJECTED,
    SPLITS,
    write_reference_file,
)

Tensors = Sequence[Mapping[str, NDArray[Any]]]


def write_reference(surface: Slice, path: str | Path, tensors: Tensors = ()) -> list[Path]:
    """Write a slice as the reference code does, and return the files: the surface first, then those next to it.

    Interpolated points are written like evaluated ones, those that are not resolved as missing; of metrics, those that
    its files have. Where any direction moves a buffer, directions are in the order of ``state_dict()``, else of
    ``parameters()``.

    Args:
        surface: the slice.
        path: the surface file; those of directions and of a trajectory are next to it, as `companions` names them.
        tensors: the directions' arrays, as `store.read_directions` returns them; without all of them, or without the
            layout of their model, there is no direction file.

    Raises:
        ValueError: a value that those files take for a missing one, or no loss under a name that they have.
        StoreError: a file can't be written; the old file stays.
    """
    path = Path(path)
    beside = companions(surface, path, tensors)
    arrays = {**dict(zip(AXES, surface.axes, strict=False)), **_metrics(surface), **_eigenvalues(surface)}
    if "directions" in beside:
        moved = {name for each in tensors for name in each}
        buffers = any(e.is_buffer and e.name in moved for e in surface.directions[0].layout)
        made_of = zip(surface.directions, tensors, strict=True)
        write_direction_file(beside["directions"], [numbered(d, each, buffers=buffers) for d, each in made_of])
    if surface.trajectory is not None and "projection" in beside:
        _write_projection(beside["projection"], surface.trajectory)
    with write_reference_file(path) as file:
        file["dir_file"] = beside["directions"].name if "directions" in beside else ""
        for name, array in arrays.items():
            file[name] = array
    return [path, *beside.values()]


def companions(surface: Slice, path: Path, tensors: Tensors) -> dict[str, Path]:
    """Return the files that would be written next to a surface file: ``directions``, ``projection``, or neither."""
    known = len(tensors) == surface.ndim == len(surface.directions) and all(tensors)
    names = ["directions"] if known and all(direction.layout for direction in surface.directions) else []
    names += ["projection"] if surface.trajectory is not None and surface.ndim == len(PROJECTED) else []
    return {name: path.with_name(f"{path.stem}-{name}{path.suffix}") for name in names}


def _metrics(surface: Slice) -> dict[str, FloatArray]:
    arrays: dict[str, FloatArray] = {}
    for split in SPLITS:
        for metric, (theirs, scale) in METRICS.items():
            if f"{split}_{metric}" in surface.values:
                arrays[f"{split}_{theirs}"] = _filled(surface, f"{split}_{metric}", scale)
    if not any(name.endswith("loss") for name in arrays):
        has = ", ".join(surface.values)
        raise ValueError(f"files of the reference code hold train_loss or test_loss; this slice has {has}")
    return arrays


def _filled(surface: Slice, name: str, scale: float) -> FloatArray:
    there = (surface.origin != MISSING) & ~surface.unresolved(name)
    array = surface.values[name] * scale
    if clash := int(np.count_nonzero(array[there] == BLANK)):
        raise ValueError(f"{name} is {BLANK / scale:g} at {clash} points, which the reference code takes for missing")
    return _numbered(np.where(there, array, BLANK))


def _eigenvalues(surface: Slice) -> dict[str, FloatArray]:
    """Return the Hessian map's arrays, where it has the slice's own grid."""
    found = surface.hessian_map
    if found is None or len(found.axes) != surface.ndim or not all(map(np.array_equal, found.axes, surface.axes)):
        return {}
    there = found.origin != MISSING
    return {
        "max_eig": _numbered(np.where(there, found.lambda_max, BLANK)),
        "min_eig": _numbered(np.where(there, found.lambda_min, BLANK_MIN_EIG)),
    }


def _numbered(array: FloatArray) -> FloatArray:
    """Return an alpha-first array as the reference code numbers it, alpha the fastest, in its own shape."""
    return array.T.ravel().reshape(array.shape)


def _write_projection(path: Path, trajectory: Trajectory) -> None:
    with write_reference_file(path) as file:
        for name, column in zip(PROJECTED, trajectory.coordinates.T, strict=True):
            file[name] = column
