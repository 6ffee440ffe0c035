"""Spectra and Hessian maps in HDF5: the groups ``spectra/0, 1, ...`` and ``hessian_map``."""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from surfaceviz.records import AXIS_NAMES, HessianMap, Spectrum
from surfaceviz.store.fields import array_fields, decode_fields, encode_fields
from surfaceviz.store.files import decode_provenance, encode_provenance, read_dataset


def encode_spectra(file: h5py.File, spectra: Sequence[Spectrum]) -> None:
    """Write spectra into a file, a group each, in order."""
    for number, spectrum in enumerate(spectra):
        encode_fields(file.create_group(f"spectra/{number}"), spectrum)


def decode_spectra(file: h5py.File) -> tuple[Spectrum, ...]:
    """Return the spectra in a file, in order."""
    group = file.get("spectra", {})
    return tuple(decode_fields(group[key], Spectrum) for key in sorted(group, key=int))


def encode_map(group: h5py.Group, hessian_map: HessianMap) -> None:
    """Write a Hessian map into its group."""
    encode_provenance(group, hessian_map.provenance)
    for name, axis in zip(AXIS_NAMES, hessian_map.axes, strict=False):
        group.create_dataset(name, data=axis).make_scale(name)
    encode_fields(group, hessian_map, skip=("axes", "provenance"))
    for name in _present(hessian_map):
        for dimension, axis_name in zip(group[name].dims, AXIS_NAMES, strict=False):
            dimension.attach_scale(group[axis_name])


def decode_map(group: h5py.Group) -> HessianMap:
    """Return the Hessian map in a group.

    Raises:
        ValueError: an array has another shape than the axes.
    """
    axes = tuple(np.asarray(read_dataset(group[name])) for name in AXIS_NAMES if name in group)
    hessian_map = decode_fields(group, HessianMap, axes=axes, provenance=decode_provenance(group))
    shape = tuple(len(axis) for axis in axes)
    for name in _present(hessian_map):
        found = getattr(hessian_map, name).shape
        if found != shape:
            raise ValueError(f"got hessian_map/{name} of shape {found}; expected the shape of its axes, {shape}")
    return hessian_map


def _present(hessian_map: HessianMap) -> list[str]:
    """Return the names of the arrays of a map; older files lack some."""
    return [name for name in array_fields(HessianMap) if getattr(hessian_map, name) is not None]
