"""What has been found of curvature, and the file that it is kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Protocol, TypeAlias

from surfaceviz import store
from surfaceviz.errors import StoreError
from surfaceviz.interrupt import shielded
from surfaceviz.pipeline.ground import Ground
from surfaceviz.pipeline.inquiry import Inquiry
from surfaceviz.records import Curvature, Slice, Spectrum

Key: TypeAlias = tuple[object, ...]

# What tells spectra apart.
_KEYS = ("place", "source", "weights_sha256", "operator", "parameters", "normalised", "split", "samples")


class Book(Protocol):
    """Spectra by what they are of, put into a file one by one."""

    spectra: tuple[Spectrum, ...]

    def put(self, record: Spectrum) -> None:
        """Take a spectrum in, and save."""


class SliceBook:
    """The spectra and the map of a slice, in its file."""

    def __init__(self, path: Path) -> None:
        self._path, self._tensors = path, store.read_directions(path)
        self.surface: Slice = store.read(path)
        self.spectra = self.surface.spectra

    def put(self, record: Spectrum) -> None:
        """Take a spectrum in, in place of one of the same, and save."""
        self.spectra = joined(self.spectra, record)
        self.surface = replace(self.surface, spectra=self.spectra)
        self.save()

    def save(self) -> None:
        """Write the slice with all that belongs to it; a signal waits until that is done."""
        with shielded():
            store.write(self._path, self.surface, self._tensors)


class CourseBook:
    """The spectra along a training, in a file of their own, or in memory alone.

    Args:
        path: the file, or None.
        provenance: for its root.
        order: the keys of the checkpoints, as they were named.
        overwrite: whether to begin anew, whatever the file holds.

    Raises:
        StoreError: the file holds those of another problem or of other data.
    """

    def __init__(
        self, path: Path | None, provenance: Mapping[str, str | int | float], order: Sequence[Key], *, overwrite: bool
    ) -> None:
        self._path, self._provenance, self._order = path, provenance, list(order)
        self.spectra: tuple[Spectrum, ...] = ()
        if path is not None and path.exists() and not overwrite:
            before = store.read_curvature(path)
            _refuse_other(path, before, provenance)
            self.spectra = before.spectra

    def put(self, record: Spectrum) -> None:
        """Take a spectrum in, and save."""
        self.spectra = joined(self.spectra, record)
        if self._path is None:
            return
        place = {key: i for i, key in enumerate(self._order)}
        ordered = sorted(self.spectra, key=lambda each: (each.step or 0.0, place.get(key_of(each), 0)))
        with shielded():
            store.write_curvature(self._path, Curvature(tuple(ordered), self._provenance))


def _refuse_other(path: Path, before: Curvature, provenance: Mapping[str, str | int | float]) -> None:
    for name in ("problem", "data_sha256"):
        if before.provenance.get(name) != provenance[name]:
            raise StoreError(
                f"{path} holds the curvature of another run ({name} is {str(before.provenance.get(name))[:24]} there, "
                f"{str(provenance[name])[:24]} here) and is kept; give another -o, or --overwrite"
            )


def key_of(record: Spectrum) -> Key:
    """Return what tells a spectrum from others."""
    return tuple(getattr(record, name) for name in _KEYS)


def key_at(inquiry: Inquiry, ground: Ground, number: int) -> Key:
    """Return the key of the spectrum that is asked for at a point."""
    wanted, given = inquiry.wanted, ground.spots[number].fields
    return (
        given.get("place", ()), given.get("source", ""), given.get("weights_sha256", ""), wanted.operator,
        wanted.parameters, wanted.normalised, ground.split.name, ground.split.count,
    )  # fmt: skip


def joined(records: Sequence[Spectrum], new: Spectrum) -> tuple[Spectrum, ...]:
    """Return records with a new one, in place of that of the same key, of which it keeps what it lacks itself."""
    for i, old in enumerate(records):
        if key_of(old) == key_of(new):
            lacking = [f.name for f in fields(Spectrum) if getattr(new, f.name) is None]
            both = replace(new, **{name: getattr(old, name) for name in lacking})
            return (*records[:i], both, *records[i + 1 :])
    return (*records, new)


def holds(record: Spectrum, inquiry: Inquiry) -> bool:
    """Return whether a spectrum has all that is asked for."""
    wanted = inquiry.wanted
    top, bottom = wanted.counts(record.dimension)
    enough = record.whole or (len(record.eigenvalues) - record.bottom >= top and record.bottom >= bottom)
    by_probes = wanted.trace or wanted.density or wanted.by_layer
    nodes = None if record.density is None else record.density.nodes.shape
    return (
        enough
        and (record.rtol, record.seed) == (wanted.rtol, wanted.seed)
        and (not by_probes or record.probes == wanted.probes)
        and (not wanted.density or nodes == (wanted.probes, min(wanted.steps, record.dimension)))
        and (not wanted.by_layer or record.layers is not None)
        and (wanted.weight_decay is None or record.weight_decay == wanted.weight_decay)
    )
