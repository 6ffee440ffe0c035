"""Spectra and Hessian maps in HDF5: the groups ``spectra/0, 1, ...`` and ``hessian_map``."""

from __future__ import annotations

from collections.abc import Sequence

import h5py

from surfaceviz.records import AXIS_NAMES, HessianMap, Spectrum
from surfaceviz.store.fields import array_fields, decode_fields, encode_fields
from surfaceviz.store.files import decode_provenance, encode_provenance
from surfaceviz.store.typed import ContentError, read_numbers


def encode_spectra(file: h5py.Group, spectra: Sequence[Spectrum]) -> None:
    """Write spectra into a file, a group each, in order."""
    for number, spectrum in enumerate(spectra):
        encode_fields(file.create_group(f"spectra/{number}"), spectrum)


def decode_spectra(file: h5py.Group) -> tuple[Spectrum, ...]:
    """Return the spectra in a file, in order."""
    return tuple(decode_fields(group, Spectrum) for group in numbered_groups(file, "spectra"))


def numbered_groups(file: h5py.Group, name: str) -> list[h5py.Group]:
    """Return the groups "0", "1", ... in a group, in order; an empty list if there is no such group.

    Raises:
        ContentError: it holds something else.
    """
    group = file.get(name, {})
    if name in file and not isinstance(group, h5py.Group):
        raise ContentError(f"{group.name} is a data set, expected a group")
    for key in group:
        if not (key.isascii() and key.isdecimal()) or not isinstance(group[key], h5py.Group):
            raise ContentError(f"{name}/{key} is unexpected there: only groups with numbers for names are")
    return [group[key] for key in sorted(group, key=int)]


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
        ContentError: an array has another shape than the axes.
    """
    axes = tuple(read_numbers(group[name]) for name in AXIS_NAMES if name in group)
    hessian_map = decode_fields(group, HessianMap, axes=axes, provenance=decode_provenance(group))
    shape = tuple(len(axis) for axis in axes)
    for name in _present(hessian_map):
        found = getattr(hessian_map, name).shape
        if found != shape:
            raise ContentError(f"got hessian_map/{name} of shape {found}; expected the shape of its axes, {shape}")
    return hessian_map


def _present(hessian_map: HessianMap) -> list[str]:
    """Return the names of the arrays of a map; older files lack some."""
    return [name for name in array_fields(HessianMap) if getattr(hessian_map, name) is not None]
