"""Curvature of slices and trainings: measured, kept safe, gone on with; alone or with all ranks of an MPI job."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

import surfaceviz.lock
from surfaceviz import signals, store
from surfaceviz.curvature import SampleShare, SpectrumSpec
from surfaceviz.curvature.sharded_hvp import ApplyMatrix, SetPoint
from surfaceviz.errors import Interrupted, ProblemError, StoreError
from surfaceviz.execute import (
    MpiJob,
    following,
    joined,
    keep_memory,
    leading,
    map_unordered,
)
from surfaceviz.pipeline.hessian.maps import Row, Rows, batch_of, blank_map, enter_row, map_provenance, rows_of
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
from surfaceviz.pipeline.hessian.targets import HessianTargets, course_ground, slice_ground
from surfaceviz.pipeline.hessian.workers import HessianWorkers, MapOf
from surfaceviz.pipeline.slice.plan import file_name
from surfaceviz.problem.functional import borrowed, coupling_norms
from surfaceviz.records import FloatArray, HessianMap, Slice, Spectrum
from surfaceviz.reporting import QuietReporter, Reporter
from surfaceviz.signals import interruptible

_WORTH_SHARING = 2**24  # parameters times samples; below it a product takes less than telling others of it; ours


@dataclass(frozen=True, slots=True)
class HessianResult:
    """What was found, and where it is."""

    spectra: tuple[Spectrum, ...]
    hessian_map: HessianMap | None
    path: Path | None
    fresh: int  # spectra and rows that were computed now


def run_hessian(
    request: HessianRequest, *, workers: int | None = None, reporter: Reporter | None = None, command: str = ""
) -> HessianResult:
    """Measure curvature and return it; what a file holds already is not computed again.

    Under an MPI launcher this is a collective call, and each rank returns what was found; only rank 0 writes and
    reports, and has a path.

    Raises:
        ValueError: an option that can't be.
        SurfacevizError: problem, weights, data or file are not as they should be.
        Interrupted: by a signal; the points and rows that were done are in the file.
    """
    reporter = reporter or QuietReporter()
    job = joined(reporter.warn)
    if job is None:
        with interruptible():
            return _answer(request, HessianWorkers(workers, None, reporter), command)
    return _lead(job, request, workers, reporter, command) if job.rank == 0 else _follow(job, request)


def _lead(job: MpiJob, request: HessianRequest, workers: int | None, reporter: Reporter, command: str) -> HessianResult:
    with signals.interruptible(), leading(job, signals.post, reporter.warn) as root:
        hands = HessianWorkers(workers, root, reporter, job.local_rank, job.local_size)
        answer = _answer(request, hands, command)
        root.tell("done")
    job.shared(answer)
    return answer


def _follow(job: MpiJob, request: HessianRequest) -> HessianResult:
    with following(job) as member:
        keep_memory()
        targets = ground_of(request, lambda _line: None, job.local_rank)
        with borrowed(targets.problem.model, targets.device):
            member.report(targets.identity)
            while (word := member.hear()) != "done":
                if word == "spectra":
                    memory = divided(targets, request, bases=1, processes=job.local_size)
                    sums = make_sums(targets, request, memory, SampleShare(job.rank, job.size))
                    word = member.answer(sums, (SetPoint, ApplyMatrix))
                elif isinstance(word, MapOf):
                    memory = divided(targets, request, bases=job.local_size, processes=job.local_size)
                    member.serve(Rows(targets, replace(request, batch=word.batch), memory))
    found: HessianResult = job.shared(None)
    return replace(found, path=None)


def _answer(request: HessianRequest, hands: HessianWorkers, command: str) -> HessianResult:
    if hands.asked is not None and hands.asked < 1:
        raise ValueError(f"workers: expected a number of at least 1, or None to choose, got {hands.asked}")
    if hands.root is not None and hands.asked not in (None, 1):
        raise ValueError(
            f"workers: each of the {hands.root.size} ranks is one; leave workers out, and start more ranks"
        )
    keep_memory()
    try:
        if request.file is None:
            return _of_problem(request, hands, command)
        with surfaceviz.lock.held(request.file):
            return _of_slice(request, request.file, hands)
    except Interrupted as error:
        kept = "" if request.output is None and request.file is None and not request.default_output else (
            "; the points and rows that were done are in the file, and the same command"
            f"{' without overwrite' if request.overwrite else ''} goes on from there"
        )  # fmt: skip
        raise Interrupted(error.signum, f"{Interrupted(error.signum).args[0]}{kept}") from None


def _measure(
    request: HessianRequest,
    targets: HessianTargets,
    missing: Sequence[tuple[int, SpectrumSpec]],
    hands: HessianWorkers,
    book: SpectrumStore,
) -> None:
    """Measure the spectra of some points and put each where it is kept."""
    if not missing:
        return
    if coupling_norms(targets.problem.model) and request.batch is None:
        hands.reporter.warn(
            "batch norms without running statistics couple the samples of a batch: the matrix depends on how these are "
            "cut into batches; name their size by batch"
        )
    worth = targets.layout.dimension * targets.split.count > _WORTH_SHARING
    where = hands.count(targets, len(targets.split.given) or targets.split.count, worth=worth)
    with hands.others("spectra"):
        memory = divided(targets, request, bases=1, processes=hands.sharing(where))
        for done, record in enumerate(spectra(targets, request, missing, where, memory, hands.reporter), start=1):
            book.put(record)
            hands.reporter.advance(done, len(missing), done)


def _of_slice(request: HessianRequest, path: Path, hands: HessianWorkers) -> HessianResult:
    book = SliceSpectrumStore(path)
    points, axes = points_of(request, book.surface), axes_of(request, book.surface)
    targets = ground_of(request, hands.reporter.say, hands.local)
    hands.meet(targets)
    keys = [key_at(request, targets, number) for number in range(len(points))]
    if request.overwrite:
        book.drop(keys)
    missing = _missing(request, book, keys)
    with borrowed(targets.problem.model, targets.device):
        _measure(request, targets, missing, hands, book)
        fresh = len(missing)
        if axes:
            found = _map_of(request, targets, book.surface, axes)
            book.surface = replace(book.surface, hessian_map=found)
            fresh += _fill(request, targets, found, rows_of(found, len(points)), hands, book)
    return HessianResult(_found(request, book, keys), book.surface.hessian_map if axes else None, path, fresh)


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
    hands: HessianWorkers,
    book: SliceSpectrumStore,
) -> int:
    """Measure the missing rows of a map; return how many those were."""
    if not rows:
        return 0
    where = hands.count(targets, len(rows), worth=True)
    sharing = hands.sharing(where)
    memory = divided(targets, request, bases=sharing, processes=sharing)
    done, total = int(np.count_nonzero(found.origin)), found.origin.size
    before = done
    if before:
        hands.reporter.say(f"going on from {done} of the map's {total} points")
    batch = batch_of(found, targets, request, memory, rows[0].numbers[0])
    found = replace(found, provenance={**found.provenance, "batch": batch})
    book.surface = replace(book.surface, hessian_map=found)
    request = replace(request, batch=batch)
    with hands.others(MapOf(batch)), map_unordered(lambda _number: Rows(targets, request, memory), where) as run:
        for each in run(rows):
            enter_row(found, each.chunk, each.result)
            book.save()
            done += len(each.chunk.numbers)
            hands.reporter.advance(done, total, done - before)
            signals.check()
    return len(rows)


def _of_problem(request: HessianRequest, hands: HessianWorkers, command: str) -> HessianResult:
    targets = ground_of(request, hands.reporter.say, hands.local)
    hands.meet(targets)
    output = Path(f"{file_name(targets.name)}-curvature.h5") if request.default_output else request.output
    keys = [key_at(request, targets, number) for number in range(len(targets.points))]
    with _held(output):
        noted = _course_provenance(request, targets, command)
        book = TrainingSpectrumStore(output, noted, keys, overwrite=request.overwrite)
        missing = _missing(request, book, keys)
        with borrowed(targets.problem.model, targets.device):
            _measure(request, targets, missing, hands, book)
    return HessianResult(_found(request, book, keys), None, output, len(missing))


def _missing(request: HessianRequest, book: SpectrumStore, keys: Sequence[Key]) -> list[tuple[int, SpectrumSpec]]:
    """Return the numbers of the points that are to be measured, and what is wanted of each."""
    found = [None if request.overwrite else known_of(book.spectra, key, request.wanted) for key in keys]
    return [
        (i, widened(request.wanted, record))
        for i, record in enumerate(found)
        if record is None or not holds(record, request.wanted)
    ]


def _found(request: HessianRequest, book: SpectrumStore, keys: Sequence[Key]) -> tuple[Spectrum, ...]:
    found = (known_of(book.spectra, key, request.wanted) for key in keys)
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


def ground_of(request: HessianRequest, say: Callable[[str], None], local: int) -> HessianTargets:
    """Return the ground of all points that are asked for, the spectra's first, then the map's row by row.

    Raises:
        SurfacevizError: problem, weights, data or file are not as they should be.
    """
    if request.file is None:
        return course_ground(request, say, local)
    surface = store.read(request.file)
    places = [*points_of(request, surface), *_places(axes_of(request, surface))]
    return slice_ground(request, surface, places, say, local)


def points_of(request: HessianRequest, surface: Slice) -> tuple[tuple[float, ...], ...]:
    """Return the points whose spectra are asked for: those named, else theta unless a map is asked for."""
    return request.at or (() if request.grid else ((0.0,) * surface.ndim,))


def axes_of(request: HessianRequest, surface: Slice) -> list[FloatArray]:
    """Return the coordinates of the map, over the slice's range; () without one.

    Raises:
        ProblemError: as many axes as the slice has not.
    """
    if request.grid and len(request.grid) != surface.ndim:
        given = ":".join(map(str, request.grid))
        raise ProblemError(
            f"map {given} has {len(request.grid)} axes, the slice {surface.ndim}; give P:Q for two, P for one"
        )
    ends = [(float(axis[0]), float(axis[-1])) for axis in surface.axes]
    return [
        np.linspace(*end, count) if count > 1 else np.array([sum(end) / 2])
        for end, count in zip(ends, request.grid, strict=False)
    ]


def _places(axes: Sequence[FloatArray]) -> list[tuple[float, ...]]:
    if not axes:
        return []
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return [tuple(map(float, point)) for point in points]
