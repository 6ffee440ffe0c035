"""Trajectories in HDF5: the group ``trajectory`` of a slice's file."""

from __future__ import annotations

import h5py
import numpy as np

from surfaceviz.records import AXIS_NAMES, Trajectory
from surfaceviz.store.files import decode_provenance, encode_provenance
from surfaceviz.store.typed import ContentError, read_numbers

_OWN = ("step", "distance", "run", *AXIS_NAMES)  # data sets that are fields of the record; the others are its values


def encode_trajectory(group: h5py.Group, trajectory: Trajectory) -> None:
    """Write a trajectory into an empty group."""
    arrays = {"step": trajectory.step, "distance": trajectory.distance}
    arrays |= dict(zip(AXIS_NAMES, trajectory.coordinates.T, strict=False))
    if trajectory.run is not None:
        arrays["run"] = trajectory.run.astype(np.float64)
    for name, array in (arrays | dict(trajectory.values)).items():
        group.create_dataset(name, data=array)
    encode_provenance(group, trajectory.provenance)


def decode_trajectory(group: h5py.Group) -> Trajectory:
    """Return the trajectory in a group.

    Raises:
        ContentError: its arrays have different lengths.
    """
    arrays = {name: np.asarray(read_numbers(group[name]), np.float64) for name in group}
    shapes = {array.shape for array in arrays.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 1 or (0,) in shapes:
        raise ContentError(f"got arrays of shapes {sorted(shapes)} in trajectory; expected one length for all")
    return Trajectory(
        coordinates=np.stack([arrays[name] for name in AXIS_NAMES if name in arrays], axis=1),
        step=arrays["step"],
        distance=arrays["distance"],
        run=np.unique(arrays["run"], return_inverse=True)[1].astype(np.intp) if "run" in arrays else None,
        values={name: array for name, array in arrays.items() if name not in _OWN},
        provenance=decode_provenance(group),
    )
