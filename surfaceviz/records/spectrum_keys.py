"""What tells one spectrum from another, and how two of the same point and specification are joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, TypeAlias

import numpy as np

from surfaceviz.records.curvature import Spectrum

Key: TypeAlias = tuple[object, ...]

# The fields that identify a spectrum.
_KEYS = (
    "place", "source", "weights_sha256", "operator", "parameters", "normalised", "split", "samples", "dtype", "rtol",
    "seed", "block",
)  # fmt: skip


def record_key(record: Spectrum) -> Key:
    """Return the key of a spectrum."""
    return tuple(getattr(record, name) for name in _KEYS)


def merge_record(records: Sequence[Spectrum], new: Spectrum, *, keep_more: bool = False) -> tuple[Spectrum, ...]:
    """Add a spectrum, or replace the one with the same key and probes, keeping fields that the new one lacks.

    Args:
        records: the spectra so far.
        new: the spectrum to add.
        keep_more: whether the one with more eigenvalues is kept, and not the new one.
    """
    for i, old in enumerate(records):
        if record_key(old) == record_key(new) and same_probes(old, new.probes):
            kept, other = (old, new) if keep_more and len(old.eigenvalues) >= len(new.eigenvalues) else (new, old)
            lacking = [f.name for f in fields(Spectrum) if getattr(kept, f.name) is None]
            both = replace(kept, **{name: getattr(other, name) for name in lacking})
            return (*records[:i], both, *records[i + 1 :])
    return (*records, new)


def same_probes(record: Spectrum, probes: int | None) -> bool:
    """Return whether a spectrum has this number of probes, or one of both has none."""
    return record.probes is None or probes is None or record.probes == probes


def equal_records(a: Any, b: Any) -> bool:
    """Return whether two records hold the same bits; NaN equals NaN."""
    if is_dataclass(a) and is_dataclass(b):
        return type(a) is type(b) and all(equal_records(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(equal_records(a[key], b[key]) for key in a)
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(map(equal_records, a, b))
    return bool(a == b)
