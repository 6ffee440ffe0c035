"""Computing spectra and Hessian maps of slices and trainings, storing each as it is finished."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import surfaceviz.lock
from surfaceviz import signals, store
from surfaceviz.curvature import SampleShare, SpectrumSpec
from surfaceviz.curvature.sharded_hvp import ApplyMatrix, SetPoint
from surfaceviz.errors import Interrupted, StoreError
from surfaceviz.execute import MpiJob, MpiWorker, map_unordered, retain_freed_memory
from surfaceviz.pipeline.hessian.maps import Row, Rows, batch_of, blank_map, enter_row, map_provenance, rows_of
from surfaceviz.pipeline.hessian.points import axes_of, points_of, targets_of
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.spectra import divided, make_sums, spectra
from surfaceviz.pipeline.hessian.spectrum_store import (
    Key,
    SliceSpectrumStore,
    SpectrumStore,
    TrainingSpectrumStore,
    holds,
    key_at,
    known_of,
    widened,
)
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.pipeline.hessian.workers import (
    EndSpectra,
    ShareMap,
    ShareSpectra,
    processes_here,
    sharing_spectra,
    worker_spec,
)
from surfaceviz.pipeline.mpi import Fingerprint, Ranks, follow_orders, run_collective
from surfaceviz.pipeline.resolve import file_name
from surfaceviz.problem.functional import borrowed, coupling_norms
from surfaceviz.records import FloatArray, HessianMap, Slice, Spectrum
from surfaceviz.reporting import Reporter

Missing: TypeAlias = list[tuple[int, SpectrumSpec]]  # number of a point, and what to compute there
_WORTH_SHARING = 2**24  # parameters times samples; below it a product takes less than telling others of it; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class HessianResult:
    """Spectra and a map, and the file that they are in."""

    spectra: tuple[Spectrum, ...]
    hessian_map: HessianMap | None
    path: Path | None
    fresh: int  # spectra and rows that were computed now


def run_hessian(
    request: HessianRequest, *, workers: int | None = None, reporter: Reporter | None = None, command: str = ""
) -> HessianResult:
    """Compute spectra and maps and return them; what a file holds already is not computed again.

    Under an MPI launcher this is a collective call, see `run_collective`.

    Raises:
        ValueError: an option has a value that it cannot have.
        SurfacevizError: problem, weights, data or file are not as they should be.
        Interrupted: by a signal; the points and rows that were finished are in the file.
    """
    return run_collective(
        lambda ranks: _result(request, ranks, command),
        lambda worker, job: _follow(worker, job, request),
        workers=workers,
        reporter=reporter,
    )


def _follow(worker: MpiWorker, job: MpiJob, request: HessianRequest) -> None:
    """Build the same targets as rank 0, then multiply on a share of the samples, or measure rows of a map."""
    targets = targets_of(request, lambda _line: None, job.local_rank)

    def multiply(_order: ShareSpectra) -> Any:
        memory = divided(targets, request, bases=1, processes=job.local_size)
        sums = make_sums(targets, request, memory, SampleShare(job.rank, job.size))
        message = worker.answer_messages(sums, (SetPoint, ApplyMatrix))
        return None if isinstance(message, EndSpectra) else message

    def measure_rows(order: ShareMap) -> None:
        memory = divided(targets, request, bases=job.local_size, processes=job.local_size)
        worker.process_chunks(Rows(targets, replace(request, batch_size=order.batch_size), memory))

    with borrowed(targets.problem.model, targets.device):
        worker.report(Fingerprint(contents=targets.identity))
        follow_orders(worker, {ShareSpectra: multiply, ShareMap: measure_rows})


def _result(request: HessianRequest, ranks: Ranks, command: str) -> HessianResult:
    retain_freed_memory()
    try:
        if request.file is None:
            return _of_problem(request, ranks, command)
        with surfaceviz.lock.held(request.file):
            return _of_slice(request, request.file, ranks)
    except Interrupted as error:
        kept = "" if request.output is None and request.file is None and not request.default_output else (
            "; the points and rows that were finished are in the file, and the same command"
            f"{' without overwrite' if request.overwrite else ''} resumes from there"
        )  # fmt: skip
        raise Interrupted(error.signum, f"{Interrupted(error.signum).args[0]}{kept}") from None


def _measure(
    request: HessianRequest, targets: HessianTargets, missing: Missing, ranks: Ranks, store_: SpectrumStore
) -> None:
    """Compute the spectra of some points, and store each."""
    if not missing:
        return
    if coupling_norms(targets.problem.model) and request.batch_size is None:
        ranks.reporter.warn(
            "batch norms without running statistics couple the samples of a batch: the matrix depends on how these are "
            "divided into batches; give their size by batch"
        )
    worth = targets.layout.dimension * targets.split.count > _WORTH_SHARING
    spec = worker_spec(targets, ranks, len(targets.split.given) or targets.split.count, worth=worth)
    with sharing_spectra(ranks):
        memory = divided(targets, request, bases=1, processes=processes_here(ranks, spec))
        for done, record in enumerate(spectra(targets, request, missing, spec, memory, ranks.reporter), start=1):
            store_.put(record)
            ranks.reporter.advance(done, len(missing), done)


def _of_slice(request: HessianRequest, path: Path, ranks: Ranks) -> HessianResult:
    store_ = SliceSpectrumStore(path)
    points, axes = points_of(request, store_.surface), axes_of(request, store_.surface)
    targets = targets_of(request, ranks.reporter.say, ranks.local_rank)
    ranks.compare(Fingerprint(contents=targets.identity))
    keys = [key_at(request, targets, number) for number in range(len(points))]
    if request.overwrite:
        store_.drop(keys)
    missing = _missing(request, store_, keys)
    with borrowed(targets.problem.model, targets.device):
        _measure(request, targets, missing, ranks, store_)
        fresh = len(missing)
        if axes:
            found = _map_of(request, targets, store_.surface, axes)
            store_.surface = replace(store_.surface, hessian_map=found)
            fresh += _fill(request, targets, found, rows_of(found, len(points)), ranks, store_)
    return HessianResult(
        spectra=_found(request, store_, keys), hessian_map=store_.surface.hessian_map if axes else None, path=path,
        fresh=fresh,
    )  # fmt: skip


def _map_of(request: HessianRequest, targets: HessianTargets, surface: Slice, axes: Sequence[FloatArray]) -> HessianMap:
    """Return the map to fill: the file's where it is the same, else a blank one.

    Raises:
        StoreError: the file holds another one.
    """
    found = surface.hessian_map
    if found is None or request.overwrite:
        return blank_map(axes, request, targets)
    there, here = found.provenance, map_provenance(request, targets)
    differing = [
        f"{key} is {there.get(key)} there, {word} here" for key, word in here.items() if there.get(key) != word
    ]
    if differing or not (len(found.axes) == len(axes) and all(map(np.array_equal, found.axes, axes))):
        what = "; ".join(differing) or f"of {' x '.join(map(str, found.origin.shape))} points"
        raise StoreError(f"{request.file} holds another map ({what}), which is kept; --overwrite replaces it")
    return found


def _fill(
    request: HessianRequest,
    targets: HessianTargets,
    found: HessianMap,
    rows: Sequence[Row],
    ranks: Ranks,
    store_: SliceSpectrumStore,
) -> int:
    """Measure the missing rows of a map; return how many those were."""
    if not rows:
        return 0
    spec = worker_spec(targets, ranks, len(rows), worth=True)
    sharing = processes_here(ranks, spec)
    memory = divided(targets, request, bases=sharing, processes=sharing)
    done, total = int(np.count_nonzero(found.origin)), found.origin.size
    before = done
    if before:
        ranks.reporter.say(f"resuming from {done} of the map's {total} points")
    batch = batch_of(found, targets, request, memory, rows[0].numbers[0])
    found = replace(found, provenance={**found.provenance, "batch": batch})
    store_.surface = replace(store_.surface, hessian_map=found)
    request = replace(request, batch_size=batch)
    ranks.tell(ShareMap(batch))
    with map_unordered(lambda _number: Rows(targets, request, memory), spec) as run:
        for each in run(rows):
            enter_row(found, each.chunk, each.result)
            store_.save()
            done += len(each.chunk.numbers)
            ranks.reporter.advance(done, total, done - before)
            signals.raise_if_interrupted()
    return len(rows)


def _of_problem(request: HessianRequest, ranks: Ranks, command: str) -> HessianResult:
    targets = targets_of(request, ranks.reporter.say, ranks.local_rank)
    ranks.compare(Fingerprint(contents=targets.identity))
    output = Path(f"{file_name(targets.name)}-curvature.h5") if request.default_output else request.output
    keys = [key_at(request, targets, number) for number in range(len(targets.points))]
    with _held(output):
        noted = _course_provenance(request, targets, command)
        store_ = TrainingSpectrumStore(output, noted, keys, overwrite=request.overwrite)
        missing = _missing(request, store_, keys)
        with borrowed(targets.problem.model, targets.device):
            _measure(request, targets, missing, ranks, store_)
    return HessianResult(spectra=_found(request, store_, keys), hessian_map=None, path=output, fresh=len(missing))


def _missing(request: HessianRequest, store_: SpectrumStore, keys: Sequence[Key]) -> Missing:
    """Return the numbers of the points that are to be measured, and what is wanted of each."""
    found = [None if request.overwrite else known_of(store_.spectra, key, request.spectrum) for key in keys]
    return [
        (i, widened(request.spectrum, record))
        for i, record in enumerate(found)
        if record is None or not holds(record, request.spectrum)
    ]


def _found(request: HessianRequest, store_: SpectrumStore, keys: Sequence[Key]) -> tuple[Spectrum, ...]:
    found = (known_of(store_.spectra, key, request.spectrum) for key in keys)
    return tuple(record for record in found if record is not None)


@contextmanager
def _held(output: Path | None) -> Iterator[None]:
    if output is None:
        yield
        return
    store.check_name(output)
    with surfaceviz.lock.held(output):
        yield


def _course_provenance(request: HessianRequest, targets: HessianTargets, command: str) -> dict[str, str | int | float]:
    noted: dict[str, str | int | float] = {
        "surfaceviz": version("surfaceviz"), "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": command, "problem": targets.name, "data_sha256": targets.identity["data"],
        "split": targets.split.name,
    }  # fmt: skip
    return noted | ({} if request.learning_rate is None else {"learning_rate": request.learning_rate})
