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
from surfaceviz import interrupt, store
from surfaceviz.curvature import Share, Wanted
from surfaceviz.curvature.sums import Multiply, Open
from surfaceviz.errors import Interrupted, ProblemError, StoreError
from surfaceviz.execute import (
    Job,
    following,
    joined,
    keep_memory,
    leading,
    map_unordered,
)
from surfaceviz.functional import borrowed, coupling_norms
from surfaceviz.interrupt import interruptible
from surfaceviz.listener import Listener, Quiet
from surfaceviz.pipeline.book import Book, CourseBook, Key, SliceBook, holds, key_at, known_of, widened
from surfaceviz.pipeline.ground import Ground, course_ground, slice_ground
from surfaceviz.pipeline.hands import Hands, MapOf
from surfaceviz.pipeline.inquiry import Inquiry
from surfaceviz.pipeline.maps import Row, Rows, batch_of, blank_map, enter_row, map_provenance, rows_of
from surfaceviz.pipeline.plan import file_name
from surfaceviz.pipeline.spectra import divided, make_sums, spectra
from surfaceviz.records import FloatArray, HessianMap, Slice, Spectrum

_WORTH_SHARING = 2**24  # parameters times samples; below it a product takes less than telling others of it; ours


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found, and where it is."""

    spectra: tuple[Spectrum, ...]
    hessian_map: HessianMap | None
    path: Path | None
    fresh: int  # spectra and rows that were computed now


def inquire(
    inquiry: Inquiry, *, workers: int | None = None, listener: Listener | None = None, command: str = ""
) -> Answer:
    """Measure curvature and return it; what a file holds already is not computed again.

    Under an MPI launcher this is a collective call, and each rank returns what was found; only rank 0 writes and
    reports, and has a path.

    Raises:
        ValueError: an option that can't be.
        SurfacevizError: problem, weights, data or file are not as they should be.
        Interrupted: by a signal; the points and rows that were done are in the file.
    """
    listener = listener or Quiet()
    job = joined(listener.warn)
    if job is None:
        with interruptible():
            return _answer(inquiry, Hands(workers, None, listener), command)
    return _lead(job, inquiry, workers, listener, command) if job.rank == 0 else _follow(job, inquiry)


def _lead(job: Job, inquiry: Inquiry, workers: int | None, listener: Listener, command: str) -> Answer:
    with interrupt.interruptible(), leading(job, interrupt.post, listener.warn) as crew:
        hands = Hands(workers, crew, listener, job.local_rank, job.local_size)
        answer = _answer(inquiry, hands, command)
        crew.tell("done")
    job.shared(answer)
    return answer


def _follow(job: Job, inquiry: Inquiry) -> Answer:
    with following(job) as member:
        keep_memory()
        ground = ground_of(inquiry, lambda _line: None, job.local_rank)
        with borrowed(ground.problem.model, ground.device):
            member.report(ground.identity)
            while (word := member.hear()) != "done":
                if word == "spectra":
                    memory = divided(ground, inquiry, bases=1, processes=job.local_size)
                    sums = make_sums(ground, inquiry, memory, Share(job.rank, job.size))
                    word = member.answer(sums, (Open, Multiply))
                elif isinstance(word, MapOf):
                    memory = divided(ground, inquiry, bases=job.local_size, processes=job.local_size)
                    member.serve(Rows(ground, replace(inquiry, batch=word.batch), memory))
    found: Answer = job.shared(None)
    return replace(found, path=None)


def _answer(inquiry: Inquiry, hands: Hands, command: str) -> Answer:
    if hands.asked is not None and hands.asked < 1:
        raise ValueError(f"workers: expected a number of at least 1, or None to choose, got {hands.asked}")
    if hands.crew is not None and hands.asked not in (None, 1):
        raise ValueError(
            f"workers: each of the {hands.crew.size} ranks is one; leave workers out, and start more ranks"
        )
    keep_memory()
    try:
        if inquiry.file is None:
            return _of_problem(inquiry, hands, command)
        with surfaceviz.lock.held(inquiry.file):
            return _of_slice(inquiry, inquiry.file, hands)
    except Interrupted as error:
        kept = "" if inquiry.output is None and inquiry.file is None and not inquiry.default_output else (
            "; the points and rows that were done are in the file, and the same command"
            f"{' without overwrite' if inquiry.overwrite else ''} goes on from there"
        )  # fmt: skip
        raise Interrupted(error.signum, f"{Interrupted(error.signum).args[0]}{kept}") from None


def _measure(inquiry: Inquiry, ground: Ground, missing: Sequence[tuple[int, Wanted]], hands: Hands, book: Book) -> None:
    """Measure the spectra of some points and put each where it is kept."""
    if not missing:
        return
    if coupling_norms(ground.problem.model) and inquiry.batch is None:
        hands.listener.warn(
            "batch norms without running statistics couple the samples of a batch: the matrix depends on how these are "
            "cut into batches; name their size by batch"
        )
    worth = ground.layout.dimension * ground.split.count > _WORTH_SHARING
    where = hands.count(ground, len(ground.split.given) or ground.split.count, worth=worth)
    with hands.others("spectra"):
        memory = divided(ground, inquiry, bases=1, processes=hands.sharing(where))
        for done, record in enumerate(spectra(ground, inquiry, missing, where, memory, hands.listener), start=1):
            book.put(record)
            hands.listener.advance(done, len(missing), done)


def _of_slice(inquiry: Inquiry, path: Path, hands: Hands) -> Answer:
    book = SliceBook(path)
    points, axes = points_of(inquiry, book.surface), axes_of(inquiry, book.surface)
    ground = ground_of(inquiry, hands.listener.say, hands.local)
    hands.meet(ground)
    keys = [key_at(inquiry, ground, number) for number in range(len(points))]
    if inquiry.overwrite:
        book.drop(keys)
    missing = _missing(inquiry, book, keys)
    with borrowed(ground.problem.model, ground.device):
        _measure(inquiry, ground, missing, hands, book)
        fresh = len(missing)
        if axes:
            found = _map_of(inquiry, ground, book.surface, axes)
            book.surface = replace(book.surface, hessian_map=found)
            fresh += _fill(inquiry, ground, found, rows_of(found, len(points)), hands, book)
    return Answer(_found(inquiry, book, keys), book.surface.hessian_map if axes else None, path, fresh)


def _map_of(inquiry: Inquiry, ground: Ground, surface: Slice, axes: Sequence[FloatArray]) -> HessianMap:
    """Return the map to fill: the file's where it is the same, else a blank one.

    Raises:
        StoreError: the file holds another one.
    """
    found = surface.hessian_map
    if found is None or inquiry.overwrite:
        return blank_map(axes, inquiry, ground)
    there, here = found.provenance, map_provenance(inquiry, ground)
    differing = [
        f"{key} is {there.get(key)} there, {word} here" for key, word in here.items() if there.get(key) != word
    ]
    if differing or not (len(found.axes) == len(axes) and all(map(np.array_equal, found.axes, axes))):
        what = "; ".join(differing) or f"of {' x '.join(map(str, found.origin.shape))} points"
        raise StoreError(f"{inquiry.file} holds another map ({what}), which is kept; --overwrite replaces it")
    return found


def _fill(
    inquiry: Inquiry, ground: Ground, found: HessianMap, rows: Sequence[Row], hands: Hands, book: SliceBook
) -> int:
    """Measure the missing rows of a map; return how many those were."""
    if not rows:
        return 0
    where = hands.count(ground, len(rows), worth=True)
    sharing = hands.sharing(where)
    memory = divided(ground, inquiry, bases=sharing, processes=sharing)
    done, total = int(np.count_nonzero(found.origin)), found.origin.size
    before = done
    if before:
        hands.listener.say(f"going on from {done} of the map's {total} points")
    batch = batch_of(found, ground, inquiry, memory, rows[0].numbers[0])
    found = replace(found, provenance={**found.provenance, "batch": batch})
    book.surface = replace(book.surface, hessian_map=found)
    inquiry = replace(inquiry, batch=batch)
    with hands.others(MapOf(batch)), map_unordered(lambda _number: Rows(ground, inquiry, memory), where) as run:
        for each in run(rows):
            enter_row(found, each.chunk, each.result)
            book.save()
            done += len(each.chunk.numbers)
            hands.listener.advance(done, total, done - before)
            interrupt.check()
    return len(rows)


def _of_problem(inquiry: Inquiry, hands: Hands, command: str) -> Answer:
    ground = ground_of(inquiry, hands.listener.say, hands.local)
    hands.meet(ground)
    output = Path(f"{file_name(ground.name)}-curvature.h5") if inquiry.default_output else inquiry.output
    keys = [key_at(inquiry, ground, number) for number in range(len(ground.spots))]
    with _held(output):
        noted = _course_provenance(inquiry, ground, command)
        book = CourseBook(output, noted, keys, overwrite=inquiry.overwrite)
        missing = _missing(inquiry, book, keys)
        with borrowed(ground.problem.model, ground.device):
            _measure(inquiry, ground, missing, hands, book)
    return Answer(_found(inquiry, book, keys), None, output, len(missing))


def _missing(inquiry: Inquiry, book: Book, keys: Sequence[Key]) -> list[tuple[int, Wanted]]:
    """Return the numbers of the points that are to be measured, and what is wanted of each."""
    found = [None if inquiry.overwrite else known_of(book.spectra, key, inquiry.wanted) for key in keys]
    return [
        (i, widened(inquiry.wanted, record))
        for i, record in enumerate(found)
        if record is None or not holds(record, inquiry.wanted)
    ]


def _found(inquiry: Inquiry, book: Book, keys: Sequence[Key]) -> tuple[Spectrum, ...]:
    found = (known_of(book.spectra, key, inquiry.wanted) for key in keys)
    return tuple(record for record in found if record is not None)


@contextmanager
def _held(output: Path | None) -> Iterator[None]:
    if output is None:
        yield
        return
    store.check_name(output)
    with surfaceviz.lock.held(output):
        yield


def _course_provenance(inquiry: Inquiry, ground: Ground, command: str) -> dict[str, str | int | float]:
    noted: dict[str, str | int | float] = {
        "surfaceviz": version("surfaceviz"), "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": command, "problem": ground.name, "data_sha256": ground.identity["data"], "split": ground.split.name,
    }  # fmt: skip
    return noted | ({} if inquiry.learning_rate is None else {"learning_rate": inquiry.learning_rate})


def ground_of(inquiry: Inquiry, say: Callable[[str], None], local: int) -> Ground:
    """Return the ground of all points that are asked for, the spectra's first, then the map's row by row.

    Raises:
        SurfacevizError: problem, weights, data or file are not as they should be.
    """
    if inquiry.file is None:
        return course_ground(inquiry, say, local)
    surface = store.read(inquiry.file)
    places = [*points_of(inquiry, surface), *_places(axes_of(inquiry, surface))]
    return slice_ground(inquiry, surface, places, say, local)


def points_of(inquiry: Inquiry, surface: Slice) -> tuple[tuple[float, ...], ...]:
    """Return the points whose spectra are asked for: those named, else theta unless a map is asked for."""
    return inquiry.at or (() if inquiry.grid else ((0.0,) * surface.ndim,))


def axes_of(inquiry: Inquiry, surface: Slice) -> list[FloatArray]:
    """Return the coordinates of the map, over the slice's range; () without one.

    Raises:
        ProblemError: as many axes as the slice has not.
    """
    if inquiry.grid and len(inquiry.grid) != surface.ndim:
        given = ":".join(map(str, inquiry.grid))
        raise ProblemError(
            f"map {given} has {len(inquiry.grid)} axes, the slice {surface.ndim}; give P:Q for two, P for one"
        )
    ends = [(float(axis[0]), float(axis[-1])) for axis in surface.axes]
    return [
        np.linspace(*end, count) if count > 1 else np.array([sum(end) / 2])
        for end, count in zip(ends, inquiry.grid, strict=False)
    ]


def _places(axes: Sequence[FloatArray]) -> list[tuple[float, ...]]:
    if not axes:
        return []
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return [tuple(map(float, point)) for point in points]
