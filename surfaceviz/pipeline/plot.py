"""The Python interface to pictures, which needs no torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from surfaceviz import render
from surfaceviz.records import Curvature, Slice
from surfaceviz.render.figure import so_far, told_apart
from surfaceviz.store import holds_training_curvature, read, read_curvature

_CORNER = "corner"
SURFACE = "surface"  # the kind of picture that is in 3-D
Warn = Callable[[str], None]


def plot(
    *slices: Slice | Curvature | str | Path,
    output: str | Path | None = None,
    kind: str = "filled",
    levels: str = "auto",
    of: str | None = None,
    clip: float | None = None,
    points: bool = False,
    spectrum: bool = False,
    shade: str | None = None,
    size: str = "auto",
    camera: str = _CORNER,
    warn: Warn = warnings.warn,
) -> render.Picture:
    """Return a figure of one or several slices, all 1-D or all 2-D, or of courses of curvature along trainings.

    Args:
        slices: records, or files.
        output: a PNG, SVG or PDF to write as well.
        kind: for surfaces: ``lines``, ``filled`` or ``heat`` from above, ``surface`` in 3-D; ``spectrum`` draws the
            spectra in them alone.
        levels: ``linear``, ``log``, ``auto``: log where a loss spans more than a factor of 20; or ``paper``: 0.1 to 10
            in steps of 0.5.
        of: ``<split>_<metric>``, a metric of the first split that has it, or ``rise``; by default the loss of the first
            split (curves: of all).
        clip: values above it are clipped, and hatched.
        points: whether the evaluated points of surfaces are dotted.
        spectrum: whether the spectra of points are drawn beneath, and the slice's own curvature at these.
        shade: ``ratio``, ``max``, ``min`` or ``gradient``: of the Hessian map, under the contours.
        size: of the picture and its letters: ``column`` (3.4 in), ``page`` (6.8 in), ``slide`` (10 in), or ``auto``.
        camera: of kind surface: ``corner``, ``front``, ``side``, ``back``, ``low``, ``top`` or
            ``AZIMUTH,ELEVATION[,ZOOM]`` in degrees.
        warn: told where there is no OpenGL for kind surface, and matplotlib draws it.

    Raises:
        ValueError: nothing to draw, mixed dimensions, unknown kind, levels, metric, size or camera.
        SchemaError: a file that can't be read.
        StoreError: a picture that can't be written.
    """
    if output is not None:
        render.check_format(Path(output))
    records, names = _records(slices)
    courses = [record for record in records if isinstance(record, Curvature)]
    if courses and len(courses) < len(records):
        raise ValueError("slices and courses of curvature don't go into one picture; draw them apart")
    surfaces = [record for record in records if isinstance(record, Slice)]
    seen_from = render.parse_camera(camera)
    asked = {
        "of": of is not None, "levels": levels != "auto", "clip": clip is not None, "points": points,
        "spectrum": spectrum, "map": shade is not None, "camera": camera != _CORNER,
    }  # fmt: skip
    refuse_unused("course" if courses and kind != "spectrum" else kind, asked)
    if courses:
        figure = _courses(courses, names, kind, size)
    elif kind == SURFACE:
        look = render.PlotOptions(levels=levels, of=of, clip=clip, size=size)
        figure = render.draw_surfaces(_shown(surfaces, names), look, seen_from, warn=warn)
    else:
        figure = render.draw(
            surfaces, kind=kind, levels=levels, of=of, names=names, clip=clip, points=points, spectrum=spectrum,
            shade=shade, size=size,
        )  # fmt: skip
    if output is not None:
        render.save(figure, Path(output))
    return figure


def animate(
    *slices: Slice | str | Path,
    output: str | Path,
    way: str = "orbit",
    levels: str = "auto",
    of: str | None = None,
    clip: float | None = None,
    size: str = "auto",
    camera: str = _CORNER,
    frames: int = 90,
    advance: Callable[[int, int], None] | None = None,
) -> None:
    """Write a GIF or MP4 of surfaces in 3-D.

    Args:
        slices: 2-D slices, or their files.
        output: ends in ``.gif`` or ``.mp4``.
        way: ``orbit``: once around; ``trajectory``: an iterate of the training after the other.
        levels: as in `plot`.
        of: as in `plot`.
        clip: as in `plot`.
        size: as in `plot`.
        camera: as in `plot`; where an orbit begins.
        frames: of a turn; of a trajectory at most.
        advance: told the frames that are done, and of how many.

    Raises:
        ValueError: another ending or way, no trajectory to follow, nothing to draw.
        GraphicsError: there is no OpenGL.
        SchemaError: a file that can't be read.
        StoreError: the movie can't be written.
    """
    render.check_movie(Path(output), way)
    view = render.parse_camera(camera)
    surfaces, names = _slices(slices)
    look = render.PlotOptions(levels=levels, of=of, clip=clip, size=size)
    render.animate(_shown(surfaces, names), look, view, Path(output), way, frames=frames, advance=advance)


def view(
    *slices: Slice | str | Path,
    levels: str = "auto",
    of: str | None = None,
    clip: float | None = None,
    camera: str = _CORNER,
) -> None:
    """Open a window to turn surfaces in, and return when it is closed.

    Args:
        slices: 2-D slices, or their files.
        levels: as in `plot`.
        of: as in `plot`.
        clip: as in `plot`.
        camera: as in `plot`, to begin with.

    Raises:
        ValueError: nothing to draw.
        GraphicsError: there is no screen, or no OpenGL.
        SchemaError: a file that can't be read.
    """
    surfaces, names = _slices(slices)
    look = render.PlotOptions(levels=levels, of=of, clip=clip)
    render.show(_shown(surfaces, names), look, render.parse_camera(camera))


def _shown(surfaces: Sequence[Slice], names: Sequence[str]) -> list[Slice]:
    """Return what is shown of slices in 3-D, told apart by their names."""
    return [so_far(surface, SURFACE) for surface in told_apart(surfaces, names)]


def _slices(given: Sequence[Slice | str | Path]) -> tuple[list[Slice], list[str]]:
    records, names = _records(given)
    for record, name in zip(records, names, strict=True):
        if not isinstance(record, Slice):
            raise ValueError(f"{name} holds spectra along a training, and no slice to draw in 3-D")  # noqa: TRY004
        if record.ndim == 1:
            raise ValueError(f"{name} holds a curve, and no surface to draw in 3-D")
    return [record for record in records if isinstance(record, Slice)], names


def _records(given: Sequence[Slice | Curvature | str | Path]) -> tuple[list[Slice | Curvature], list[str]]:
    """Return records, and what tells those of one problem apart: the names of their files, or numbers."""
    if not given:
        raise ValueError("nothing to draw: give at least one slice")
    records = [each if isinstance(each, Slice | Curvature) else _read(each) for each in given]
    names = [str(i + 1) if isinstance(each, Slice | Curvature) else Path(each).stem for i, each in enumerate(given)]
    return records, names


def _read(path: str | Path) -> Slice | Curvature:
    return read_curvature(path) if holds_training_curvature(path) else read(path)


_UNUSED = {  # the options that a kind of picture has no use for: it refuses them, rather than leave them out in silence
    SURFACE: ("points", "spectrum", "map"),
    "spectrum": ("of", "levels", "clip", "points", "spectrum", "map", "camera"),
    "course": ("of", "levels", "clip", "points", "spectrum", "map", "camera"),
}
_OPTIONS = {"points": "--show-points"}


def refuse_unused(kind: str, given: Mapping[str, bool]) -> None:
    """Refuse options that a kind of picture does not draw by.

    Args:
        kind: of picture, or ``course``.
        given: whether each option was given.

    Raises:
        ValueError: the first that was, in vain.
    """
    for option in _UNUSED.get(kind, ("camera",)):
        if given.get(option):
            what = "a course of checkpoints" if kind == "course" else f"kind {kind}"
            raise ValueError(f"{what} has no {_OPTIONS.get(option, f'--{option}')}: leave it out")


def _courses(courses: Sequence[Curvature], names: Sequence[str], kind: str, size: str) -> render.Picture:
    """Return a figure of courses; of kind ``spectrum``, of the spectra in them."""
    if kind != "spectrum":
        return render.draw_courses(courses, names=names, size=size)
    spectra = [(name, s) for name, course in zip(names, courses, strict=True) for s in course.spectra]
    return render.draw_spectra(spectra, size=size)
