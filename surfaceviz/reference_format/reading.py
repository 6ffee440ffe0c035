"""Surfaces and projected trajectories of the reference code as slices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from surfaceviz.errors import SchemaError
from surfaceviz.records import EVALUATED, MISSING, DirectionRecord, FloatArray, HessianMap, Slice, Trajectory
from surfaceviz.reference_format.files import (
    AXES,
    BLANK,
    BLANK_MIN_EIG,
    METRICS,
    MOST,
    PROJECTED,
    SPLITS,
    contents,
    numbers,
    open_reference,
    word,
)

_NEAR = 1e-9  # of the range: so close to 0 a coordinate is 0


def read_reference(surface_file: str | Path, projection: str | Path | None = None) -> Slice:
    """Return the slice in a surface file of the reference code.

    The centre is the value at 0, where the grid has that point. Extreme eigenvalues become the Hessian map.

    Args:
        surface_file: the file; ``dir_file`` in it is a name, and is not open_reference.
        projection: a projection file, whose points become the trajectory.

    Raises:
        SchemaError: the file is missing, broken, hostile, or of another kind.
    """
    path = Path(surface_file)
    with open_reference(path, "surface file") as file:
        axes = _axes(path, file)
        values, origin = _metrics(path, file, axes)
        found = None if "max_eig" not in file else _eigenvalues(path, file, axes)
        source = Path(word(file, "dir_file")).name
    splits = [split for split in SPLITS if f"{split}_loss" in values]
    return Slice(
        axes=axes,
        values=values,
        origin=origin,
        centre=_centre(axes, values),
        directions=tuple(DirectionRecord(kind="file", sha256="", rule={}, source=source) for _ in axes)
        if source
        else (),
        provenance={"problem": _text(path.stem), "imported_from": _text(path.name), "splits": ",".join(splits)},
        hessian_map=found,
        trajectory=None if projection is None else _projected(Path(projection), len(axes)),
    )


def _text(name: str) -> str:
    """Return a file's name as a text can hold it, whatever bytes it has."""
    return "".join(c if c.isprintable() else "?" for c in name)


def _axes(path: Path, file: h5py.File) -> tuple[FloatArray, ...]:
    if "xcoordinates" not in file:
        hint = "; `slice --directions` takes a direction file" if "xdirection" in file else ""
        raise SchemaError(f"{path}: HDF5, but no surface file of the reference code (it has {contents(file)}){hint}")
    axes = tuple(numbers(path, file, name) for name in AXES if name in file)
    for name, axis in zip(AXES, axes, strict=False):
        if axis.ndim != 1 or not len(axis) or not np.isfinite(axis).all() or (np.diff(axis) <= 0).any():
            raise SchemaError(f"{path}: {name}, of shape {axis.shape}, are no rising finite coordinates")
    if math.prod(map(len, axes)) > MOST:
        raise SchemaError(f"{path}: its coordinates declare {' x '.join(str(len(a)) for a in axes)} points")
    return axes


def _metrics(
    path: Path, file: h5py.File, axes: Sequence[FloatArray]
) -> tuple[dict[str, FloatArray], NDArray[np.uint8]]:
    """Return the metrics, NaN where missing, and the origin: a point is there where it has any of them."""
    values: dict[str, FloatArray] = {}
    origin = np.full([len(axis) for axis in axes], MISSING, np.uint8)
    for split in SPLITS:
        for metric, (theirs, scale) in METRICS.items():
            if f"{split}_{theirs}" in file:
                array = _alpha_first(path, file, f"{split}_{theirs}", axes)
                there = array != BLANK
                origin[there] = EVALUATED
                values[f"{split}_{metric}"] = np.where(there, array / scale, np.nan)
    if not any(name.endswith("_loss") for name in values):
        raise SchemaError(f"{path}: a surface file of the reference code without train_loss or test_loss")
    return values, origin


def _alpha_first(path: Path, file: h5py.File, name: str, axes: Sequence[FloatArray]) -> FloatArray:
    """Return an array as [i, j] at (x[i], y[j]): the file numbers points with x the fastest, whatever its shape."""
    array, shape = numbers(path, file, name), tuple(len(axis) for axis in axes)
    if array.shape != shape:
        raise SchemaError(f"{path}: {name} has shape {array.shape}, its coordinates {shape}")
    return array.ravel().reshape(shape[::-1]).T.copy()


def _eigenvalues(path: Path, file: h5py.File, axes: tuple[FloatArray, ...]) -> HessianMap:
    largest, smallest = (_alpha_first(path, file, name, axes) for name in ("max_eig", "min_eig"))
    there = (largest != BLANK) | ~np.isin(smallest, (BLANK_MIN_EIG, BLANK))
    unknown = np.full(largest.shape, np.nan)
    return HessianMap(
        axes=axes,
        lambda_max=np.where(there, largest, np.nan),
        lambda_min=np.where(there, smallest, np.nan),
        residual_max=unknown,
        residual_min=unknown,
        gradient_norm=unknown,
        products=np.zeros(largest.shape, np.int64),
        origin=np.where(there, EVALUATED, MISSING).astype(np.uint8),
        provenance={"split": "train", "operator": "hessian", "parameters": "weights", "normalised": 0},
    )


def _centre(axes: Sequence[FloatArray], values: Mapping[str, FloatArray]) -> dict[str, float]:
    """Return the values at the origin; an empty mapping if the grid does not contain it or it is missing."""
    place = tuple(int(np.argmin(np.abs(axis))) for axis in axes)
    if any(abs(axis[i]) > _NEAR * float(np.ptp(axis)) for axis, i in zip(axes, place, strict=True)):
        return {}
    return {name: float(array[place]) for name, array in values.items() if not math.isnan(array[place])}


def _projected(path: Path, ndim: int) -> Trajectory:
    """Return the points of a projection file, in its order."""
    if ndim != len(PROJECTED):
        raise SchemaError(f"{path}: a projection file goes with a surface, not with a curve")
    with open_reference(path, "projection file") as file:
        columns = [numbers(path, file, name) for name in PROJECTED]
    if columns[0].ndim != 1 or columns[0].shape != columns[1].shape:
        raise SchemaError(f"{path}: {' and '.join(PROJECTED)} have shapes {columns[0].shape} and {columns[1].shape}")
    count = len(columns[0])
    if not count:
        raise SchemaError(f"{path}: a projection file without a point")
    return Trajectory(
        coordinates=np.stack(columns, axis=1), step=np.arange(count, dtype=np.float64), distance=np.full(count, np.nan)
    )
