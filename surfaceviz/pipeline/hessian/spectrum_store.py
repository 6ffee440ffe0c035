"""What has been found of curvature, and the file that it is kept in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Protocol, TypeAlias

from surfaceviz import store
from surfaceviz.curvature import SpectrumSpec
from surfaceviz.errors import StoreError
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.records import Curvature, Slice, Spectrum
from surfaceviz.signals import deferred_signals

Key: TypeAlias = tuple[object, ...]

# What tells spectra apart.
_KEYS = (
    "place", "source", "weights_sha256", "operator", "parameters", "normalised", "split", "samples", "dtype", "rtol",
    "seed", "block",
)  # fmt: skip


class SpectrumStore(Protocol):
    """Spectra by what they are of, put into a file one by one."""

    spectra: tuple[Spectrum, ...]

    def put(self, record: Spectrum) -> None:
        """Take a spectrum in, and save."""


class SliceSpectrumStore:
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

    def drop(self, keys: Sequence[Key]) -> None:
        """Let go of the spectra of some keys, which are to be computed anew."""
        self.spectra = tuple(record for record in self.spectra if key_of(record) not in keys)

    def save(self) -> None:
        """Write the slice with all that belongs to it; a signal waits until that is done."""
        with deferred_signals():
            store.write(self._path, self.surface, self._tensors)


class TrainingSpectrumStore:
    """The spectra along a training, in a file of their own, or in memory alone.

    Args:
        path: the file, or None.
        provenance: for its root; a learning rate that the file knows is kept.
        order: the keys of the checkpoints, as they were named.
        overwrite: whether those are to be computed anew.

    Raises:
        StoreError: the file is a slice's, or holds the curvature of another problem or of other data.
    """

    def __init__(
        self, path: Path | None, provenance: Mapping[str, str | int | float], order: Sequence[Key], *, overwrite: bool
    ) -> None:
        self._path, self._provenance, self._order = path, dict(provenance), list(order)
        self.spectra: tuple[Spectrum, ...] = ()
        if path is None or not path.exists():
            return
        if not store.holds_training_curvature(path):
            raise StoreError(f"{path} is no file of curvature along checkpoints, and is kept; give another -o")
        before = store.read_curvature(path)
        _refuse_other(path, before, provenance)
        self._provenance = {**before.provenance, **provenance}
        self.spectra = tuple(s for s in before.spectra if not (overwrite and key_of(s) in self._order))
        if self._provenance.get("learning_rate") != before.provenance.get("learning_rate"):
            self._save()

    def put(self, record: Spectrum) -> None:
        """Take a spectrum in, and save."""
        self.spectra = joined(self.spectra, record)
        self._save()

    def _save(self) -> None:
        if self._path is None:
            return
        place = {key: i for i, key in enumerate(self._order)}
        ordered = sorted(self.spectra, key=lambda each: (each.step or 0.0, place.get(key_of(each), 0)))
        with deferred_signals():
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


def key_at(request: HessianRequest, targets: HessianTargets, number: int) -> Key:
    """Return the key of the spectrum that is asked for at a point."""
    wanted, given = request.spectrum, targets.points[number].fields
    return (
        given.get("place", ()), given.get("source", ""), given.get("weights_sha256", ""), wanted.operator,
        wanted.parameters, wanted.normalised, targets.split.name, targets.split.count,
        str(targets.dtype).removeprefix("torch."), wanted.rtol, wanted.seed, wanted.block,
    )  # fmt: skip


def joined(records: Sequence[Spectrum], new: Spectrum) -> tuple[Spectrum, ...]:
    """Return records with a new one, in place of that of the same key and probes, of which it keeps what it lacks."""
    for i, old in enumerate(records):
        if key_of(old) == key_of(new) and _probed_alike(old, new.probes):
            lacking = [f.name for f in fields(Spectrum) if getattr(new, f.name) is None]
            both = replace(new, **{name: getattr(old, name) for name in lacking})
            return (*records[:i], both, *records[i + 1 :])
    return (*records, new)


def known_of(records: Sequence[Spectrum], key: Key, wanted: SpectrumSpec) -> Spectrum | None:
    """Return the record that has the key, and as many probes where some are wanted or known."""
    probes = wanted.probes if by_probes(wanted) else None
    return next((r for r in records if key_of(r) == key and _probed_alike(r, probes)), None)


def _probed_alike(record: Spectrum, probes: int | None) -> bool:
    return record.probes is None or probes is None or record.probes == probes


def by_probes(wanted: SpectrumSpec) -> bool:
    """Return whether anything is wanted that takes random vectors."""
    return wanted.trace or wanted.density or wanted.by_layer


def widened(wanted: SpectrumSpec, known: Spectrum | None) -> SpectrumSpec:
    """Return what is wanted with the eigenvalues that are known already, so that none gets lost."""
    if known is None or known.whole:
        return wanted
    top, bottom = wanted.counts(known.dimension)
    return replace(wanted, top=max(top, len(known.eigenvalues) - known.bottom), bottom=max(bottom, known.bottom))


def holds(record: Spectrum, wanted: SpectrumSpec) -> bool:
    """Return whether a spectrum of the right key has all that is asked for."""
    top, bottom = wanted.counts(record.dimension)
    enough = record.whole or (len(record.eigenvalues) - record.bottom >= top and record.bottom >= bottom)
    nodes = None if record.density is None else record.density.nodes.shape
    return (
        enough
        and (not by_probes(wanted) or record.probes == wanted.probes)
        and (not wanted.density or nodes == (wanted.probes, min(wanted.steps, record.dimension)))
        and (not wanted.by_layer or record.layers is not None)
        and (wanted.weight_decay is None or record.weight_decay == wanted.weight_decay)
    )
