"""Losses in the file of a slice, compared with the losses of spectra at the same points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from surfaceviz.errors import StoreError
from surfaceviz.records import EVALUATED, Slice

# Relative difference (absolute below a loss of 0.01, times 0.01) that may be rounding of the slice's dtype, summed by
# another engine, far from the centre; ours.
_ROUNDING = {"float64": 1e-7, "float32": 1e-3, "tf32": 0.1, "bf16": 0.25, "float16": 0.1}


@dataclass(frozen=True, slots=True)
class StoredValue:
    """A loss in a slice: its place and the dtype in which it was evaluated."""

    place: tuple[float, ...]
    loss: float
    dtype: str


def stored_value(surface: Slice, split: str, place: Sequence[float]) -> StoredValue | None:
    """Return the loss of a slice at a point; None where it was not evaluated, or only on a subset of the samples."""
    if surface.provenance.get("subset", "all") != "all":
        return None
    found = [np.flatnonzero(axis == x) for axis, x in zip(surface.axes, place, strict=True)]
    if not all(len(each) for each in found):
        return None
    index = tuple(int(each[0]) for each in found)
    if surface.origin[index] != EVALUATED:
        return None
    return StoredValue(
        tuple(place), float(surface.values[f"{split}_loss"][index]), str(surface.provenance.get("dtype"))
    )


def refuse_other_value(stored: StoredValue | None, loss: float, *, drawn_in: str | None = None) -> None:
    """Raise if the loss of a spectrum is not that of the slice at the same point.

    Args:
        stored: the loss of the slice; None if there is none.
        loss: that of the spectrum.
        drawn_in: dtype of the spectrum, on which random numbers of the model depend; None if it draws none.

    Raises:
        StoreError: they differ beyond the rounding of the slice's dtype.
    """
    if stored is None or not (math.isfinite(stored.loss) and math.isfinite(loss)):
        return
    if abs(stored.loss - loss) <= _ROUNDING.get(stored.dtype, 1e-3) * max(abs(stored.loss), abs(loss), 1e-2):
        return
    reason = "compute the slice again (the model, or this program, has changed since)"
    if drawn_in not in (None, stored.dtype):
        reason = (
            f"the model draws other random numbers in {drawn_in} than in {stored.dtype}: compute both in one dtype, "
            "float32 or float64"
        )
    where = ", ".join(f"{x:g}" for x in stored.place)
    raise StoreError(
        f"at ({where}) the slice has the loss {stored.loss:.9g} in {stored.dtype}, its Hessian would belong to a loss "
        f"of {loss:.9g}; {reason}"
    )
