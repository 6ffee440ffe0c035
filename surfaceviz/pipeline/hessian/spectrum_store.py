"""Stored spectra: those of a slice in its file, those of a training in a file of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from surfaceviz import store
from surfaceviz.curvature import SpectrumSpec
from surfaceviz.errors import StoreError
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.records import Curvature, Slice, Spectrum
from surfaceviz.records.spectrum_keys import Key, merge_record, record_key, same_probes
from surfaceviz.signals import deferred_signals

__all__ = [
    "Key", "SliceSpectrumStore", "SpectrumStore", "TrainingSpectrumStore", "find_record", "keep_known_eigenvalues",
    "merge_record", "record_key", "requested_key", "satisfies",
]  # fmt: skip


# Attributes that files of earlier versions lack, and what they stand for there.
_BEFORE = {"draws": 1, "noise_seed": 0}


class SpectrumStore(Protocol):
    """Spectra that are saved to a file one by one."""

    spectra: tuple[Spectrum, ...]

    def put(self, record: Spectrum) -> None:
        """Add a spectrum and save."""


class SliceSpectrumStore:
    """The spectra and the map of a slice, in its file."""

    def __init__(self, path: Path) -> None:
        self._output = store.OutputFile(path)
        self._tensors = store.read_directions(path)
        self.surface: Slice = store.read(path)
        self.spectra = self.surface.spectra

    def put(self, record: Spectrum) -> None:
        """Add a spectrum, or replace the one with the same key, and save."""
        self.spectra = merge_record(self.spectra, record)
        self.surface = replace(self.surface, spectra=self.spectra)
        self.save()

    def drop(self, keys: Sequence[Key]) -> None:
        """Remove the spectra with some keys, so that they are recomputed."""
        self.spectra = tuple(record for record in self.spectra if record_key(record) not in keys)

    def save(self) -> None:
        """Write the slice with its directions, spectra and map; a signal waits until this is done."""
        with deferred_signals():
            store.write(self._output, self.surface, self._tensors)


class TrainingSpectrumStore:
    """The spectra along a training, in a file of their own or only in memory.

    Args:
        path: the file; None to keep the spectra in memory.
        provenance: root attributes; others that the file holds are kept.
        order: the keys of the checkpoints, in the order of the request.
        overwrite: whether the spectra of these checkpoints are recomputed, and the curvature of another problem or of
            other data is replaced.

    Raises:
        StoreError: the file is a slice's, or without ``overwrite`` holds the curvature of another problem or data.
    """

    def __init__(
        self, path: Path | None, provenance: Mapping[str, str | int | float], order: Sequence[Key], *, overwrite: bool
    ) -> None:
        self._output = None if path is None else store.OutputFile(path)
        self._provenance, self._order = dict(provenance), list(order)
        self.spectra: tuple[Spectrum, ...] = ()
        if path is None or not path.exists():
            return
        if not store.holds_training_curvature(path):
            raise StoreError(f"{path} is not a file of curvature along checkpoints, and is kept; give another -o")
        stored = store.read_curvature(path)
        if differing := _differences(stored, provenance):
            if overwrite:
                return  # the file is replaced as soon as the first spectrum is there
            raise StoreError(
                f"{path} holds the curvature of another run ({'; '.join(differing)}) and is kept; give another -o, or "
                "--overwrite"
            )
        self._provenance = {**stored.provenance, **provenance}
        self.spectra = tuple(s for s in stored.spectra if not (overwrite and record_key(s) in self._order))

    def put(self, record: Spectrum) -> None:
        """Add a spectrum and save."""
        self.spectra = merge_record(self.spectra, record)
        self._save()

    def _save(self) -> None:
        if self._output is None:
            return
        place = {key: i for i, key in enumerate(self._order)}
        ordered = sorted(self.spectra, key=lambda each: (each.step or 0.0, place.get(record_key(each), 0)))
        with deferred_signals():
            store.write_curvature(self._output, Curvature(tuple(ordered), self._provenance))


def _differences(stored: Curvature, provenance: Mapping[str, str | int | float]) -> list[str]:
    compared = [
        (name, stored.provenance.get(name, _BEFORE.get(name)), provenance.get(name, _BEFORE.get(name)))
        for name in ("problem", "data_sha256", "draws", "noise_seed")
    ]
    return [
        f"{name} is {str(before)[:24]} there, {str(now)[:24]} here" for name, before, now in compared if before != now
    ]


def requested_key(request: HessianRequest, targets: HessianTargets, number: int) -> Key:
    """Return the key of the requested spectrum at a point."""
    wanted, given = request.spectrum, targets.points[number].fields
    return (
        given.get("place", ()), given.get("source", ""), given.get("weights_sha256", ""), wanted.operator,
        wanted.parameters, wanted.normalised, targets.split.name, targets.split.count,
        str(targets.dtype).removeprefix("torch."), wanted.rtol, wanted.seed, wanted.block,
    )  # fmt: skip


def find_record(records: Sequence[Spectrum], key: Key, wanted: SpectrumSpec) -> Spectrum | None:
    """Return the spectrum with this key and, if both have probes, the same number of probes; None if there is none."""
    probes = wanted.probes if needs_probes(wanted) else None
    return next((r for r in records if record_key(r) == key and same_probes(r, probes)), None)


def needs_probes(wanted: SpectrumSpec) -> bool:
    """Return whether the specification needs random probe vectors."""
    return wanted.trace or wanted.density or wanted.by_layer


def keep_known_eigenvalues(wanted: SpectrumSpec, known: Spectrum | None) -> SpectrumSpec:
    """Return the specification widened to the eigenvalues that are already stored, so that none is lost."""
    if known is None or known.whole:
        return wanted
    top, bottom = wanted.counts(known.dimension)
    return replace(wanted, top=max(top, len(known.eigenvalues) - known.bottom), bottom=max(bottom, known.bottom))


def satisfies(record: Spectrum, wanted: SpectrumSpec) -> bool:
    """Return whether a spectrum with the right key holds everything that is requested."""
    top, bottom = wanted.counts(record.dimension)
    enough = record.whole or (len(record.eigenvalues) - record.bottom >= top and record.bottom >= bottom)
    nodes = None if record.density is None else record.density.nodes.shape
    return (
        enough
        and (not needs_probes(wanted) or record.probes == wanted.probes)
        and (
            not wanted.density or nodes in ((wanted.probes, min(wanted.steps, record.dimension)), (1, record.dimension))
        )
        and (not wanted.by_layer or record.layers is not None)
        and (wanted.weight_decay is None or record.weight_decay == wanted.weight_decay)
    )
