"""The group ``trajectory`` of a slice's file."""

from __future__ import annotations

import h5py
import numpy as np

from surfaceviz.errors import SchemaError
from surfaceviz.records import AXIS_NAMES, Trajectory
from surfaceviz.store.files import plain, scalar

_OWN = ("step", "distance", *AXIS_NAMES)


def encode_trajectory(group: h5py.Group, trajectory: Trajectory) -> None:
    """Write a trajectory into an empty group."""
    group.create_dataset("step", data=trajectory.step)
    group.create_dataset("distance", data=trajectory.distance)
    for name, column in zip(AXIS_NAMES, trajectory.coordinates.T, strict=False):
        group.create_dataset(name, data=column)
    for name, values in trajectory.values.items():
        group.create_dataset(name, data=values)
    for key, value in trajectory.provenance.items():
        group.attrs[key] = value


def decode_trajectory(group: h5py.Group) -> Trajectory:
    """Return the trajectory in a group.

    Raises:
        SchemaError: its arrays are of several lengths.
    """
    arrays = {name: np.asarray(plain(group[name]), np.float64) for name in group}
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or (0,) in shapes:
        raise SchemaError(
            f"{group.file.filename}: the arrays of trajectory have shapes {sorted(shapes)}, not one length"
        )
    return Trajectory(
        np.stack([arrays[name] for name in AXIS_NAMES if name in arrays], axis=1),
        arrays["step"],
        arrays["distance"],
        {name: array for name, array in arrays.items() if name not in _OWN},
        {key: scalar(value) for key, value in group.attrs.items()},
    )
