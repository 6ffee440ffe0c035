"""Wiring of pictures: read the files, check what they hold, draw, write."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from surfaceviz import render
from surfaceviz.pipeline.outputs import claimed, refuse_inputs
from surfaceviz.pipeline.plot.request import SURFACE, AnimationRequest, PlotRequest, ViewRequest, inputs_of
from surfaceviz.records import Curvature, Edge, Slice
from surfaceviz.records.studies import StudyResult
from surfaceviz.render.figure import SPECTRUM, check_options, draw_figure, finished_part, with_distinct_titles
from surfaceviz.render.labels import check_labels, plain, with_names
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.signals import raise_if_interrupted
from surfaceviz.store import holds_edge, holds_training_curvature, read, read_curvature, read_edge
from surfaceviz.store.study import holds_study, read_study

if TYPE_CHECKING:
    from surfaceviz.pipeline.plot.request import Source

Record = Slice | Curvature | Edge | StudyResult
Warn = Callable[[str], None]


def run_plot(request: PlotRequest, *, warn: Warn) -> render.Picture:
    """Return the picture of a request, and write it where it has an output.

    Raises:
        ValueError: the sources or options don't fit together, or the output's ending is unknown.
        SchemaError: a file can't be read.
        StoreError: the picture can't be written.
    """
    if request.output is not None:
        render.check_format(request.output)
    records, names = _records(request.sources)
    render.parse_camera(request.options.camera)
    check_labels(request.options.label, len(records))
    trainings = [record for record in records if isinstance(record, Curvature)]
    surfaces = [record for record in records if isinstance(record, Slice)]
    edges = [record for record in records if isinstance(record, Edge)]
    studies = [record for record in records if isinstance(record, StudyResult)]
    if len({type(record) for record in records}) > 1:
        raise ValueError("got files of different kinds, which don't go into one picture; draw them apart")
    if studies:
        figure = _study_figure(studies, request.options)
    elif edges:
        check_options(request.options, (), "a picture of the edge of stability")
        if request.options.kind != PlotOptions().kind:
            raise ValueError(
                f"a file of surfaceviz edge has one picture, not of kind {request.options.kind}; leave it out"
            )
        figure = render.draw_edges(edges, names=names, size=request.options.size)
    elif trainings:
        figure = _training_figure(trainings, names, request.options)
    else:
        figure = draw_figure(surfaces, request.options, names=names, warn=warn)
    if request.output is not None:
        with claimed(request.output, inputs=inputs_of(request.sources)):
            render.save(figure, request.output, overwrite=request.overwrite)
    return figure


def _study_figure(studies: Sequence[StudyResult], options: PlotOptions) -> render.Picture:
    """Return the figure of a study, which is the one that ``surfaceviz study`` wrote."""
    if len(studies) > 1:
        raise ValueError(f"got {len(studies)} studies; each has a picture of its own. Draw them apart")
    check_options(options, (), "a picture of a study")
    if options.kind != PlotOptions().kind or options.label:
        raise ValueError("a file of surfaceviz study has one picture, without --kind and --label; leave them out")
    figure = render.draw_study(studies[0], size=options.size)
    if options.title:
        figure.suptitle(plain(options.title))
    return figure


def _training_figure(trainings: Sequence[Curvature], names: Sequence[str], options: PlotOptions) -> render.Picture:
    """Return a figure of curvature along trainings; of kind ``spectrum``, of the spectra in them."""
    names = options.label or names
    if options.kind == SPECTRUM:
        check_options(options)
        spectra = [(name, s) for name, training in zip(names, trainings, strict=True) for s in training.spectra]
        figure = render.draw_spectra(spectra, size=options.size)
    else:
        check_options(options, (), "a picture of curvature along a training")
        named = [
            replace(t, provenance={**t.provenance, "problem": name}) for t, name in zip(trainings, names, strict=True)
        ]
        shown = named if options.label else trainings
        figure = render.draw_training_curvature(shown, names=names, size=options.size)
    if options.title:
        figure.suptitle(plain(options.title))
    return figure


def run_animation(request: AnimationRequest, *, advance: Callable[[int, int], None] | None = None) -> Movie:
    """Write the movie of a request, and return it.

    Args:
        request: the movie.
        advance: called with the number of finished frames and of all frames.

    Raises:
        ValueError: an unknown ending or way, no trajectory to follow, or nothing to draw.
        GraphicsError: there is no OpenGL.
        MissingPackageError: imageio is not installed.
        SchemaError: a file can't be read.
        StoreError: the movie can't be written.
    """
    render.check_movie(request.output, request.animation.way)
    refuse_inputs([request.output], inputs_of(request.sources))
    check_options(request.options)
    render.parse_camera(request.options.camera)
    surfaces = _surfaces(request.sources, request.options)

    def frame_finished(done: int, frames: int) -> None:
        raise_if_interrupted()
        if advance is not None:
            advance(done, frames)

    with claimed(request.output, inputs=inputs_of(request.sources)):
        render.animate(
            surfaces, request.options, request.output, animation=request.animation, advance=frame_finished,
            overwrite=request.overwrite,
        )  # fmt: skip
    return Movie(request.output)


@dataclass(frozen=True, slots=True)
class Movie:
    """A written movie, which a notebook shows.

    Attributes:
        path: of the GIF or MP4.
    """

    path: Path

    def _repr_html_(self) -> str:
        content = base64.b64encode(self.path.read_bytes()).decode()
        if self.path.suffix.lower() == ".gif":
            return f"<img src='data:image/gif;base64,{content}'>"
        return f"<video controls loop src='data:video/mp4;base64,{content}'></video>"


def run_view(request: ViewRequest) -> None:
    """Open the window of a request, and return when it is closed.

    Raises:
        ValueError: nothing to draw.
        GraphicsError: there is no screen, or no OpenGL.
        SchemaError: a file can't be read.
    """
    render.show(_surfaces(request.sources, request.options), request.options)


def _surfaces(sources: Sequence[Source], options: PlotOptions) -> list[Slice]:
    """Return 2-D slices with distinct or given names, of unfinished ones their finished part."""
    records, names = _records(sources)
    surfaces = []
    for record, name in zip(records, names, strict=True):
        if not isinstance(record, Slice):
            what = "a study" if isinstance(record, StudyResult) else "sharpness along a training"
            raise ValueError(f"{name} holds {what}, and no slice to draw in 3-D")  # noqa: TRY004
        if record.ndim == 1:
            raise ValueError(f"{name} holds a curve, and no surface to draw in 3-D")
        surfaces.append(record)
    labels = (options.title,) if options.title else options.label
    shown = with_names(with_distinct_titles(surfaces, names), labels, options.axis_name)
    return [finished_part(surface, SURFACE) for surface in shown]


def _records(sources: Sequence[Source]) -> tuple[list[Record], list[str]]:
    """Return the records, and names that distinguish those of one problem: the names of their files, or numbers."""
    if not sources:
        raise ValueError("nothing to draw: give at least one slice")
    records = [each if isinstance(each, Record) else _read(each) for each in sources]
    names = [str(i + 1) if isinstance(each, Record) else Path(each).stem for i, each in enumerate(sources)]
    return records, names


def _read(path: str | Path) -> Record:
    if holds_study(path):
        return read_study(path)
    if holds_edge(path):
        return read_edge(path)
    return read_curvature(path) if holds_training_curvature(path) else read(path)
