"""Spectra and maps in HDF5: ``spectra/0, 1, ...`` and ``hessian_map/``."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import h5py
import numpy as np

from surfaceviz.records import AXIS_NAMES, Density, HessianMap, Layers, Spectrum
from surfaceviz.store.files import plain, scalar

# What a spectrum has as data sets, as attributes, and as attributes that may be missing.
_ARRAYS = ("eigenvalues", "residuals", "converged")
_MAYBE_ARRAYS = ("along", "slope", "differences", "negative_bounds")
_ATTRIBUTES = (
    "dimension", "bottom", "norm", "loss", "gradient_norm", "kind", "reason", "split", "samples", "operator",
    "parameters", "dtype", "block", "beyond", "normalised", "rtol", "seed", "products", "source", "weights_sha256",
)  # fmt: skip
_MAYBE = (
    "trace", "trace_stderr", "probes", "negative_share", "negative_share_stderr", "expected", "expected_stderr",
    "weight_decay", "decayed_gradient_norm", "decay_norm", "step",
)  # fmt: skip
_MAP_ARRAYS = ("lambda_max", "lambda_min", "residual_max", "residual_min", "gradient_norm", "products", "origin")


def encode_spectra(file: h5py.File, spectra: Sequence[Spectrum]) -> None:
    """Write spectra into a file, one group each, in order."""
    for number, spectrum in enumerate(spectra):
        _encode(file.create_group(f"spectra/{number}"), spectrum)


def _encode(group: h5py.Group, spectrum: Spectrum) -> None:
    for name in _ATTRIBUTES:
        group.attrs[name] = getattr(spectrum, name)
    for name in _MAYBE:
        if getattr(spectrum, name) is not None:
            group.attrs[name] = getattr(spectrum, name)
    for name, x in zip(AXIS_NAMES, spectrum.place, strict=False):
        group.attrs[name] = x
    group.attrs["notes"] = json.dumps(spectrum.notes)
    for name in (*_ARRAYS, *_MAYBE_ARRAYS):
        if getattr(spectrum, name) is not None:
            group.create_dataset(name, data=getattr(spectrum, name))
    _encode_parts(group, spectrum)


def _encode_parts(group: h5py.Group, spectrum: Spectrum) -> None:
    if spectrum.density is not None:
        group.create_dataset("density/nodes", data=spectrum.density.nodes)
        group.create_dataset("density/weights", data=spectrum.density.weights)
    if spectrum.layers is not None:
        layers = group.create_group("by_layer")
        layers.create_dataset("name", data=list(spectrum.layers.names), dtype=h5py.string_dtype())
        for name in ("sizes", "trace", "trace_stderr", "top", "residual"):
            layers.create_dataset(name, data=getattr(spectrum.layers, name))


def decode_spectra(file: h5py.File) -> tuple[Spectrum, ...]:
    """Return the spectra in a file, in order."""
    group = file.get("spectra", {})
    return tuple(_decode(group[key]) for key in sorted(group, key=int))


def _decode(group: h5py.Group) -> Spectrum:
    attrs = {key: scalar(value) for key, value in group.attrs.items()}
    given: dict[str, Any] = {name: attrs[name] for name in _ATTRIBUTES}
    given |= {name: attrs[name] for name in _MAYBE if name in attrs}
    given |= {name: plain(group[name]) for name in _ARRAYS}
    given |= {name: plain(group[name]) for name in _MAYBE_ARRAYS if name in group}
    given["normalised"] = bool(given["normalised"])
    given["place"] = tuple(float(attrs[name]) for name in AXIS_NAMES if name in attrs)
    given["notes"] = tuple(json.loads(str(attrs["notes"])))
    if "density" in group:
        given["density"] = Density(plain(group["density/nodes"]), plain(group["density/weights"]))
    if "by_layer" in group:
        layers = {key: plain(group["by_layer"][key]) for key in group["by_layer"]}
        names = tuple(name.decode() for name in layers.pop("name"))
        given["layers"] = Layers(names, **layers)
    return Spectrum(**given)


def encode_map(group: h5py.Group, found: HessianMap) -> None:
    """Write a map into its group."""
    for key, value in found.provenance.items():
        group.attrs[key] = value
    for name, axis in zip(AXIS_NAMES, found.axes, strict=False):
        group.create_dataset(name, data=axis).make_scale(name)
    for name in _MAP_ARRAYS:
        dataset = group.create_dataset(name, data=getattr(found, name))
        for dimension, axis_name in zip(dataset.dims, AXIS_NAMES, strict=False):
            dimension.attach_scale(group[axis_name])


def decode_map(group: h5py.Group) -> HessianMap:
    """Return the map in a group.

    Raises:
        ValueError: arrays of other shapes than the axes'.
    """
    axes = tuple(np.asarray(plain(group[name])) for name in AXIS_NAMES if name in group)
    arrays = {name: plain(group[name]) for name in _MAP_ARRAYS}
    shape = tuple(len(axis) for axis in axes)
    for name, array in arrays.items():
        if array.shape != shape:
            raise ValueError(f"hessian_map/{name} has shape {array.shape}, its axes {shape}")
    return HessianMap(axes, **arrays, provenance={key: scalar(value) for key, value in group.attrs.items()})
