"""Jobs for spectra and Hessian maps of slices and trainings; each result is stored as soon as it is finished."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

import surfaceviz.lock
from surfaceviz import signals, store
from surfaceviz.curvature import SampleShare, SpectrumSpec
from surfaceviz.curvature.products.sharded_hvp import MESSAGES
from surfaceviz.errors import Interrupted, StoreError
from surfaceviz.execute import MpiJob, MpiWorker, map_unordered, retain_freed_memory
from surfaceviz.pipeline.hessian.checks.float64_check import check_map, map_warning
from surfaceviz.pipeline.hessian.maps import (
    MapRow,
    RowEvaluator,
    empty_map,
    map_batch_size,
    map_provenance,
    missing_rows,
    store_row,
)
from surfaceviz.pipeline.hessian.operators import build_hvp, divide_memory
from surfaceviz.pipeline.hessian.points import axes_of, points_of, targets_of
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.spectra import check_at, compute_spectra
from surfaceviz.pipeline.hessian.spectrum_store import (
    Key,
    SliceSpectrumStore,
    SpectrumStore,
    TrainingSpectrumStore,
    find_record,
    keep_known_eigenvalues,
    requested_key,
    satisfies,
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
from surfaceviz.pipeline.outputs import claimed
from surfaceviz.pipeline.request_inputs import inputs_of_hessian
from surfaceviz.pipeline.resolve import file_name
from surfaceviz.problem.batching import coupling_norms
from surfaceviz.problem.forward.forward_writes import write_lines
from surfaceviz.problem.functional import borrowed
from surfaceviz.records import FloatArray, HessianMap, Slice, Spectrum
from surfaceviz.reporting import Reporter
from surfaceviz.start_folder import anchored
from surfaceviz.version import VERSION

Missing: TypeAlias = list[tuple[int, SpectrumSpec]]  # number of a point, and its specification
_WORTH_SHARING = 2**24  # parameters times samples; below it a message takes longer than a product; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class HessianResult:
    """Spectra, a map, and the file that holds them."""

    spectra: tuple[Spectrum, ...]
    hessian_map: HessianMap | None
    path: Path | None
    fresh: int  # number of spectra and rows that this run computed


def run_hessian(
    request: HessianRequest, *, workers: int | None = None, reporter: Reporter | None = None, command: str = ""
) -> HessianResult:
    """Compute spectra and maps and return them; results that the file already holds are not recomputed.

    Under an MPI launcher this is a collective call, see `run_collective`.

    Raises:
        ValueError: an option is invalid.
        SurfacevizError: the problem, weights, data or file can't be used.
        Interrupted: a signal arrived; finished points and rows are in the file.
    """
    return run_collective(
        lambda ranks: _result(request, ranks, command),
        lambda worker, job: _follow(worker, job, request),
        workers=workers,
        reporter=reporter,
    )


def _follow(worker: MpiWorker, job: MpiJob, request: HessianRequest) -> None:
    """Build the same targets as rank 0, then multiply on a share of the samples, or evaluate rows of a map."""
    targets = targets_of(request, lambda _line: None, job.local_rank)

    def multiply(_order: ShareSpectra) -> Any:
        memory = divide_memory(targets, request, bases=1, processes=job.local_size)
        sums = build_hvp(targets, request, memory, SampleShare(job.rank, job.size))
        message = worker.answer_messages(sums, MESSAGES)
        return None if isinstance(message, EndSpectra) else message

    def evaluate_rows(order: ShareMap) -> None:
        memory = divide_memory(targets, request, bases=job.local_size, processes=job.local_size)
        worker.process_chunks(RowEvaluator(targets, replace(request, batch_size=order.batch_size), memory))

    with borrowed(targets.problem.model, targets.device):
        worker.report(Fingerprint(contents=targets.identity))
        follow_orders(worker, {ShareSpectra: multiply, ShareMap: evaluate_rows})


def _result(request: HessianRequest, ranks: Ranks, command: str) -> HessianResult:
    retain_freed_memory()
    try:
        if request.file is None:
            return _problem_result(request, ranks, command)
        with surfaceviz.lock.held(request.file):
            return _slice_result(request, request.file, ranks)
    except Interrupted as error:
        kept = "" if request.output is None and request.file is None and not request.default_output else (
            "; the points and rows that were finished are in the file, and the same command"
            f"{' without overwrite' if request.overwrite else ''} resumes from there"
        )  # fmt: skip
        raise Interrupted(error.signum, f"{Interrupted(error.signum).args[0]}{kept}") from None


def _compute_spectra(
    request: HessianRequest, targets: HessianTargets, missing: Missing, spectrum_store: SpectrumStore, *, ranks: Ranks
) -> None:
    """Compute the spectra of the missing points and store each."""
    if not missing:
        return
    for line in filter(None, [*write_lines(targets.problem), targets.problem.draws.caveat]):
        ranks.reporter.warn(line)
    if coupling_norms(targets.problem.model) and request.batch_size is None:
        ranks.reporter.warn(
            "batch norms without running statistics couple the samples of a batch: the matrix depends on the batch "
            "size; set it by batch"
        )
    derivatives = check_at(targets, missing[0][0], ranks.reporter, request.spectrum.operator)
    worth = targets.layout.dimension * targets.split.count > _WORTH_SHARING
    spec = worker_spec(targets, ranks, len(targets.split.given) or targets.split.count, worth=worth)
    with sharing_spectra(ranks):
        memory = divide_memory(targets, request, bases=1, processes=processes_here(ranks, spec))
        for done, record in enumerate(
            compute_spectra(
                targets, request, missing, workers=spec, memory=memory, reporter=ranks.reporter, derivatives=derivatives
            ),
            start=1,
        ):
            spectrum_store.put(record)
            ranks.reporter.advance(done, len(missing), done)


def _slice_result(request: HessianRequest, path: Path, ranks: Ranks) -> HessianResult:
    spectrum_store = SliceSpectrumStore(path)
    points, axes = points_of(request, spectrum_store.surface), axes_of(request, spectrum_store.surface)
    targets = targets_of(request, ranks.reporter.say, ranks.local_rank)
    ranks.compare(Fingerprint(contents=targets.identity))
    keys = [requested_key(request, targets, number) for number in range(len(points))]
    if request.overwrite:
        spectrum_store.drop(keys)
    missing = _missing_points(request, spectrum_store, keys)
    with borrowed(targets.problem.model, targets.device):
        _compute_spectra(request, targets, missing, spectrum_store, ranks=ranks)
        fresh = len(missing)
        if axes:
            found = _map_to_fill(request, targets, spectrum_store.surface, axes)
            spectrum_store.surface = replace(spectrum_store.surface, hessian_map=found)
            rows = missing_rows(found, len(points))
            fresh += _fill_map(request, targets, found, rows, spectrum_store=spectrum_store, ranks=ranks)
    return HessianResult(
        spectra=_stored_spectra(request, spectrum_store, keys), path=path, fresh=fresh,
        hessian_map=spectrum_store.surface.hessian_map if axes else None,
    )  # fmt: skip


def _map_to_fill(
    request: HessianRequest, targets: HessianTargets, surface: Slice, axes: Sequence[FloatArray]
) -> HessianMap:
    """Return the map to fill: the stored one if it is the same map, else an empty one.

    Raises:
        StoreError: the file holds another map.
    """
    found = surface.hessian_map
    if found is None or request.overwrite:
        return empty_map(axes, request, targets)
    stored, requested = found.provenance, map_provenance(request, targets)
    differing = [
        f"{key} is {stored.get(key)} there, {word} here" for key, word in requested.items() if stored.get(key) != word
    ]
    if differing or not (len(found.axes) == len(axes) and all(map(np.array_equal, found.axes, axes))):
        what = "; ".join(differing) or f"of {' x '.join(map(str, found.origin.shape))} points"
        raise StoreError(f"{request.file} holds another map ({what}), which is kept; replace it by --overwrite")
    return found


def _fill_map(
    request: HessianRequest,
    targets: HessianTargets,
    found: HessianMap,
    rows: Sequence[MapRow],
    *,
    spectrum_store: SliceSpectrumStore,
    ranks: Ranks,
) -> int:
    """Evaluate the missing rows of a map and return their number."""
    if not rows:
        return 0
    spec = worker_spec(targets, ranks, len(rows), worth=True)
    sharing = processes_here(ranks, spec)
    memory = divide_memory(targets, request, bases=sharing, processes=sharing)
    done, total = int(np.count_nonzero(found.origin)), found.origin.size
    before = done
    if before:
        ranks.reporter.say(f"resuming from {done} of the map's {total} points")
    batch = map_batch_size(found, targets, request, memory, first=rows[0].numbers[0])
    checked = found.provenance.get("derivatives") or check_at(
        targets, rows[0].numbers[0], ranks.reporter, request.spectrum.operator
    )
    notes = {"batch": batch, "derivatives": checked}
    if "float64_check" not in found.provenance:
        notes |= check_map(targets, request, [number for row in rows for number in row.numbers])
    found = replace(found, provenance={**found.provenance, **notes})
    spectrum_store.surface = replace(spectrum_store.surface, hessian_map=found)
    request = replace(request, batch_size=batch)
    ranks.tell(ShareMap(batch))
    with map_unordered(lambda _number: RowEvaluator(targets, request, memory), spec) as run:
        for finished in run(rows):
            store_row(found, finished.chunk, finished.result)
            spectrum_store.save()
            done += len(finished.chunk.numbers)
            ranks.reporter.advance(done, total, done - before)
            signals.raise_if_interrupted()
    if line := map_warning(found):
        ranks.reporter.warn(line)
    return len(rows)


def _problem_result(request: HessianRequest, ranks: Ranks, command: str) -> HessianResult:
    targets = targets_of(request, ranks.reporter.say, ranks.local_rank)
    ranks.compare(Fingerprint(contents=targets.identity))
    output = anchored(f"{file_name(targets.name)}-curvature.h5") if request.default_output else request.output
    keys = [requested_key(request, targets, number) for number in range(len(targets.points))]
    with _file_lock(output, request):
        provenance = _training_provenance(request, targets, command)
        spectrum_store = TrainingSpectrumStore(output, provenance, keys, overwrite=request.overwrite)
        missing = _missing_points(request, spectrum_store, keys)
        with borrowed(targets.problem.model, targets.device):
            _compute_spectra(request, targets, missing, spectrum_store, ranks=ranks)
    return HessianResult(
        spectra=_stored_spectra(request, spectrum_store, keys), hessian_map=None, path=output, fresh=len(missing)
    )


def _missing_points(request: HessianRequest, spectrum_store: SpectrumStore, keys: Sequence[Key]) -> Missing:
    """Return the number and the specification of each point that is not stored yet."""
    found = [None if request.overwrite else find_record(spectrum_store.spectra, key, request.spectrum) for key in keys]
    return [
        (i, keep_known_eigenvalues(request.spectrum, record))
        for i, record in enumerate(found)
        if record is None or not satisfies(record, request.spectrum)
    ]


def _stored_spectra(
    request: HessianRequest, spectrum_store: SpectrumStore, keys: Sequence[Key]
) -> tuple[Spectrum, ...]:
    found = (find_record(spectrum_store.spectra, key, request.spectrum) for key in keys)
    return tuple(record for record in found if record is not None)


@contextmanager
def _file_lock(output: Path | None, request: HessianRequest) -> Iterator[None]:
    if output is None:
        yield
        return
    store.check_name(output)
    with claimed(output, inputs=inputs_of_hessian(request), wait=0.0):
        yield


def _training_provenance(
    request: HessianRequest, targets: HessianTargets, command: str
) -> dict[str, str | int | float]:
    return {
        "surfaceviz": VERSION, "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": command, "problem": targets.name, "data_sha256": targets.identity["data"],
        "split": targets.split.name, "draws": request.draws or 1, "noise_seed": request.noise_seed or 0,
    }  # fmt: skip
