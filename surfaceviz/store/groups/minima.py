"""Minima in HDF5: the group ``minima`` of a slice's file."""

from __future__ import annotations

from collections.abc import Sequence

import h5py
import numpy as np

from surfaceviz.records import FloatArray, Minima, MinimumKind
from surfaceviz.store.fields import array_fields, decode_fields, encode_fields
from surfaceviz.store.typed import ContentError

_PLACES = ("place", "pass_place")  # one row of coordinates for each minimum


def encode_minima(group: h5py.Group, minima: Minima) -> None:
    """Write minima into an empty group."""
    encode_fields(group, minima)


def decode_minima(group: h5py.Group, axes: Sequence[FloatArray]) -> Minima:
    """Return the minima in a group of a slice with these axes.

    Raises:
        ContentError: arrays of different lengths, an unknown verdict, or a parent that does not come first.
    """
    minima = decode_fields(group, Minima)
    count = int(minima.loss.size)
    for name in array_fields(Minima):
        found, expected = getattr(minima, name).shape, (count, len(axes)) if name in _PLACES else (count,)
        if found != expected:
            raise ContentError(f"got minima/{name} of shape {found}; expected {expected}")
    if not np.isin(minima.verdict, list(MinimumKind)).all():
        raise ContentError(f"minima/verdict holds {minima.verdict.max()}, expected at most {max(MinimumKind)}")
    stays = np.isin(minima.verdict, (MinimumKind.LOWEST, MinimumKind.COUNTS, MinimumKind.BORDER, MinimumKind.NO_PASS))
    rootless = (minima.parent < 0) & ~stays
    if (minima.parent >= np.maximum(np.arange(count), 0)).any() or (minima.parent < -1).any() or rootless.any():
        raise ContentError("minima/parent does not name a minimum that comes before")
    return minima
