"""Merging of the parts (shards) of one slice that different runs evaluated."""

from __future__ import annotations

import json
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import surfaceviz.lock
from surfaceviz import store
from surfaceviz.errors import MergeError, StoreError
from surfaceviz.inputs import Inputs, refuse_inputs
from surfaceviz.records import MISSING, FloatArray, Slice, Spectrum
from surfaceviz.records.rounding import TENSOR_ATOL, TENSOR_RTOL, within_rounding
from surfaceviz.records.spectrum_keys import equal_records, merge_record
from surfaceviz.start_folder import anchored

# Provenance that may differ between parts of one slice: it describes the run.
_RUN_KEYS = {
    "created",
    "command",
    "worker_points",
    "seconds",
    "shard",
    "engine_timings",
    "engine_asked",
    "rounding",
    "made_from",
    "folder",
    "made_from_mark",
}
_RUN_KEYS |= {"cosine", "range_level"}  # they follow from what is compared, as levels do
# Attributes that files of earlier versions lack, and what they stand for there.
_BEFORE = {"draws": 1, "noise_seed": 0, "repeat": 1}
# Provenance by which values differ within rounding.
_ROUNDING_KEYS = {"engine", "batch_size", "group", "torch", "numpy", "surfaceviz"}

_WAIT = 10.0  # seconds for another writer of the output
Part = tuple[str, Slice]  # a file's name, and what it holds


def merge(
    *parts: str | Path, output: str | Path | None = None, partial: bool = False, overwrite: bool = False
) -> Slice:
    """Return the slice whose parts, made with ``shard``, are in several files.

    Args:
        parts: the files.
        output: the HDF5 file to write too; the command without ``shard`` resumes from it.
        partial: whether points may be missing.
        overwrite: whether to overwrite an existing output.

    Raises:
        MergeError: the parts are not of one slice, differ in a point that both hold, or leave points out.
        SchemaError: a file that can't be read.
        StoreError: the output exists, or can't be written.
    """
    if not parts:
        raise ValueError("merge: no part was given")
    whole = join([(str(part), store.read(part)) for part in parts], partial=partial)
    if output is None:
        return whole
    path = anchored(output)
    store.check_name(path)
    refuse_inputs([path], Inputs(files=parts))
    with surfaceviz.lock.held(path, wait=_WAIT):
        if path.exists() and not overwrite:
            raise StoreError(f"{path} is there already, and kept; give another name, or --overwrite")
        file = store.OutputFile(path, keep=False)
        for part in parts:
            file.additions = file.additions.joined(store.read_additions(anchored(part)))
        store.write(file, whole, store.read_directions(parts[0]))
    return whole


def join(parts: Sequence[Part], *, partial: bool = False) -> Slice:
    """Return the slice of parts that are checked to fit together.

    Raises:
        MergeError: see `merge`.
    """
    (first, like), *others = parts
    if twice := [name for name, count in Counter(name for name, _ in parts).items() if count > 1]:
        raise MergeError(f"{twice[0]} is given twice")
    notes = [note for name, part in others if (note := _checked(first, like, name, part))]
    whole = replace(
        like,
        values=_copied(like.values), stderr=_copied(like.stderr), rise_stderr=_copied(like.rise_stderr),
        origin=like.origin.copy(), provenance=_provenance(parts, notes),
        spectra=_joined_spectra(parts),
        hessian_map=_only(parts, "hessian_map", "Hessian maps"), trajectory=_only(parts, "trajectory", "trajectories"),
        minima=None,  # of a part, whose missing points may hold lower ones
    )  # fmt: skip
    holders = np.where(whole.origin != MISSING, 0, -1)
    for number, (name, part) in enumerate(others, start=1):
        there = part.origin != MISSING
        _refuse_disagreement(whole, part, there & (whole.origin != MISSING), (parts, holders, name))
        for kind in ("values", "stderr", "rise_stderr"):
            for metric, array in getattr(whole, kind).items():
                array[there] = getattr(part, kind)[metric][there]
        whole.origin[there] = part.origin[there]
        holders[there] = number
    if not whole.complete and not partial:
        raise MergeError(_missing(parts, whole))
    return whole


def _joined_spectra(parts: Sequence[Part]) -> tuple[Spectrum, ...]:
    """Return the spectra of all parts; of those at one point with one specification, one with the fields of both."""
    found: tuple[Spectrum, ...] = ()
    for _, part in parts:
        for spectrum in part.spectra:
            found = merge_record(found, spectrum, keep_more=True)
    return found


def _only(parts: Sequence[Part], name: str, plural: str) -> Any:
    """Return the map or the trajectory that parts hold; None where none does.

    Raises:
        MergeError: two parts hold different ones.
    """
    holders = [(file, getattr(part, name)) for file, part in parts if getattr(part, name) is not None]
    for file, record in holders[1:]:
        if not equal_records(record, holders[0][1]):
            raise MergeError(f"{file} and {holders[0][0]} hold different {plural}; leave one out")
    return holders[0][1] if holders else None


def _copied(arrays: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    return {name: array.copy() for name, array in arrays.items()}


def _checked(first: str, like: Slice, name: str, part: Slice) -> str:
    """Return a note where two parts differ within rounding; refuse where they are of other slices."""
    a, b = like.provenance, part.provenance
    keys = sorted(k for k in (a.keys() | b.keys()) - _RUN_KEYS - _ROUNDING_KEYS if not _describes_the_run(k))
    both = [(k, *(x.get(k, _BEFORE.get(k)) for x in (a, b))) for k in keys]
    differing = [f"{k} is {_short(there)} there, {_short(own)} in {first}" for k, own, there in both if own != there]
    if not differing and not _same(like.axes, part.axes, np.array_equal):
        differing = ["its axes are others"]
    if not differing and like.seeds != part.seeds:
        differing = ["the seeds of its rays are others"]
    if not differing and (like.values.keys() != part.values.keys() or like.stderr.keys() != part.stderr.keys()):
        differing = [f"it holds {', '.join(part.values)}, not {', '.join(like.values)}"]
    if not differing and not within_rounding(like.centre, part.centre):
        differing = ["its values at the centre are others: the code has changed"]
    same_directions = [d.sha256 for d in like.directions] == [d.sha256 for d in part.directions]
    if not differing and not same_directions and not _directions_within_rounding(first, name):
        differing = ["its directions are others, by sha256, or may be: they are not kept in the files"]
    if differing:
        raise MergeError(f"{name} is not a part of the same slice ({'; '.join(differing[:4])})")
    how = sorted(key for key in _ROUNDING_KEYS if a.get(key) != b.get(key))
    if not how and not (same_directions and like.centre == part.centre):
        how.append("kind of machine")
    return f"parts differ in {', '.join(how)}: values agree within rounding" if how else str(b.get("rounding", ""))


def _describes_the_run(key: str) -> bool:
    """Return whether an attribute follows from what is compared, or tells of a part's own check in float64."""
    return key.endswith(("_loss_level", "_loss_noise")) or "float64_" in key


def _directions_within_rounding(first: str, name: str) -> bool:
    """Return whether the directions in two files are equal within rounding; False where they are not stored."""
    a, b = store.read_directions(first), store.read_directions(name)
    return len(a) == len(b) and all(
        bool(d) and within_rounding(d, e, rtol=TENSOR_RTOL, atol=TENSOR_ATOL) for d, e in zip(a, b, strict=True)
    )


def _same(a: Sequence[Any], b: Sequence[Any], equal: Callable[[Any, Any], bool]) -> bool:
    return len(a) == len(b) and all(map(equal, a, b))


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text  # noqa: PLR2004  a sha256


def _refuse_disagreement(
    whole: Slice, part: Slice, both: NDArray[np.bool_], named: tuple[Sequence[Part], NDArray[np.int_], str]
) -> None:
    """Refuse a point that two parts hold with different values."""
    parts, holders, name = named
    for metric, array in whole.values.items():
        differs = both & ~((array == part.values[metric]) | (np.isnan(array) & np.isnan(part.values[metric])))
        if differs.any():
            place = np.unravel_index(int(np.argmax(differs)), differs.shape)
            where = ", ".join(f"{axis[i]:g}" for axis, i in zip(whole.grid, place, strict=True))
            raise MergeError(
                f"{name} and {parts[holders[place]][0]} both hold {int(differs.sum())} points, in which they differ: "
                f"{metric} at ({where}) is {part.values[metric][place]:.9g} and {array[place]:.9g}; leave one out"
            )


def _missing(parts: Sequence[Part], whole: Slice) -> str:
    """Return the words on missing points: which shard was not given, and whose file is not complete."""
    missing = int(np.count_nonzero(whole.origin == MISSING))
    shards = [str(part.provenance.get("shard", "none")) for _, part in parts]
    count = next((int(shard.partition("/")[2]) for shard in shards if "/" in shard), 0)
    absent = [f"{i}/{count}" for i in range(1, count + 1) if f"{i}/{count}" not in shards]
    advice = f"no part {', '.join(absent[:8])} was given" if absent else "a part is not finished: run its command again"
    return f"{missing} of {whole.origin.size} points are in no part ({advice}), or take what there is by --partial"


def _provenance(parts: Sequence[Part], notes: Sequence[str]) -> dict[str, str | int | float]:
    counts: Counter[str] = Counter()
    for name, part in parts:
        shard = str(part.provenance.get("shard", "none"))
        for worker, points in json.loads(str(part.provenance.get("worker_points", "{}"))).items():
            counts[f"{name if shard == 'none' else shard}, worker {worker}"] += points
    made = dict(parts[0][1].provenance)
    made |= {
        "shard": "none",
        "command": shlex.join(["surfaceviz", "merge", *(name for name, _ in parts)]),
        "worker_points": json.dumps(counts),
        "seconds": sum(float(part.provenance.get("seconds", 0.0)) for _, part in parts),
    }
    return made | ({"rounding": notes[0]} if notes else {})
