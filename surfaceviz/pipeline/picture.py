"""The Python interface to pictures, which needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from surfaceviz import render
from surfaceviz.records import Curvature, Slice
from surfaceviz.store import holds_course, read, read_curvature


def plot(
    *slices: Slice | Curvature | str | Path,
    output: str | Path | None = None,
    kind: str = "filled",
    levels: str = "auto",
    of: str | None = None,
    points: bool = False,
    spectrum: bool = False,
    shade: str | None = None,
) -> render.Picture:
    """Return a figure of one or several slices, all 1-D or all 2-D, or of courses of curvature along trainings.

    Args:
        slices: records, or files.
        output: a PNG, SVG or PDF to write as well.
        kind: for surfaces: ``lines``, ``filled`` or ``heat``; ``spectrum`` draws the spectra in them alone.
        levels: ``linear``, ``log``, or ``auto``: log where a loss spans more than a factor of 20.
        of: ``<split>_<metric>``; by default the loss of the first split (curves: of all).
        points: whether the evaluated points of surfaces are dotted.
        spectrum: whether the spectra of points are drawn beneath, and the slice's own curvature at these.
        shade: ``ratio``, ``max``, ``min`` or ``gradient``: of the Hessian map, under the contours.

    Raises:
        ValueError: nothing to draw, mixed dimensions, unknown kind, levels or metric.
        SchemaError: a file that can't be read.
        StoreError: a picture that can't be written.
    """
    records = [given if isinstance(given, Slice | Curvature) else _read(given) for given in slices]
    names = [str(i + 1) if isinstance(given, Slice | Curvature) else Path(given).stem for i, given in enumerate(slices)]
    courses = [record for record in records if isinstance(record, Curvature)]
    if courses and len(courses) < len(records):
        raise ValueError("slices and courses of curvature don't go into one picture; draw them apart")
    figure = (
        _courses(courses, names, kind)
        if courses
        else render.draw(
            [record for record in records if isinstance(record, Slice)], kind=kind, levels=levels, of=of, names=names,
            points=points, spectrum=spectrum, shade=shade,
        )
    )  # fmt: skip
    if output is not None:
        render.save(figure, Path(output))
    return figure


def _read(path: str | Path) -> Slice | Curvature:
    return read_curvature(path) if holds_course(path) else read(path)


def _courses(courses: Sequence[Curvature], names: Sequence[str], kind: str) -> render.Picture:
    """Return a figure of courses; of kind ``spectrum``, of the spectra in them."""
    if kind != "spectrum":
        return render.draw_courses(courses, names=names)
    return render.draw_spectra([(name, s) for name, course in zip(names, courses, strict=True) for s in course.spectra])
