"""Pictures, movies and windows; these functions need no torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from surfaceviz.notebook import default_reporter
from surfaceviz.pipeline.defaults import defaults_of
from surfaceviz.pipeline.plot.request import AnimationRequest, PlotRequest, ViewRequest
from surfaceviz.pipeline.plot.run import Movie, run_animation, run_plot, run_view
from surfaceviz.records import Curvature, Edge, Slice
from surfaceviz.records.studies import StudyResult
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.plot_options import AnimationOptions, PlotOptions
from surfaceviz.reporting import QuietReporter

Names = str | Sequence[str]
_PLOT, _ANIMATION = defaults_of(PlotOptions), defaults_of(AnimationOptions)


def plot(
    *slices: Slice | Curvature | Edge | StudyResult | str | Path,
    output: str | Path | None = None,
    kind: str = _PLOT.kind,
    levels: str = _PLOT.levels,
    of: str | None = _PLOT.of,
    clip: float | None = _PLOT.clip,
    points: bool = _PLOT.points,
    spectrum: bool = _PLOT.spectrum,
    map: str | None = _PLOT.map,  # noqa: A002  the name of the option
    explain: bool = _PLOT.explain,
    size: str = _PLOT.size,
    camera: str = _PLOT.camera,
    label: Names = _PLOT.label,
    title: str = _PLOT.title,
    axis_name: Names = _PLOT.axis_name,
    overwrite: bool = False,
    warn: Callable[[str], None] = warnings.warn,
) -> Picture:
    """Return a figure of slices, all 1-D or all 2-D, of curvature or stability along trainings, or of a study.

    Args:
        slices: records, or files.
        output: a PNG, SVG or PDF to write as well.
        kind: for surfaces: ``lines``, ``filled`` (the default) or ``heat`` from above, ``surface`` in 3-D, ``cuts``
            along axes and diagonals; for any slice: ``spectrum``, only the spectra.
        levels: ``linear``; ``log``; ``auto`` (the default): log where a loss spans more than a factor of 20; or
            ``paper``: 0.1 to 10 in steps of 0.5.
        of: ``<split>_<metric>``, a metric of the first split that has it, or ``rise``; by default the loss of the first
            split (curves: of all).
        clip: values above it are clipped and hatched.
        points: whether the evaluated points of surfaces are dotted.
        spectrum: whether points with a spectrum are numbered, with the local curvature, and their spectra drawn below
            (of kind surface: with their largest eigenvalue).
        map: the quantity of the Hessian map behind the contours: ``ratio``, ``max``, ``min`` or ``gradient``.
        explain: whether it is written below, for each point with a spectrum, how far the quadratic model of the slice
            is right to 10%, and how many times larger lambda_max is than the curvature shown.
        size: the width and font size: ``column`` (3.4 in), ``page`` (6.8 in), ``slide`` (10 in), or ``auto``.
        camera: of kind surface: ``corner``, ``front``, ``side``, ``back``, ``low``, ``top`` or
            ``AZIMUTH,ELEVATION[,ZOOM]`` in degrees.
        label: names of the slices, one for each, instead of their problems'.
        title: of the picture.
        axis_name: names of alpha and beta, instead of their directions.
        overwrite: whether an output that is not an earlier picture is replaced; what is read never is.
        warn: called with a message where kind surface finds no OpenGL and matplotlib draws it.

    Raises:
        ValueError: nothing to draw, mixed dimensions, an unknown kind, levels, metric, size or camera, or an option
            that the kind does not use.
        SchemaError: a file that can't be read.
        StoreError: a picture that can't be written.
    """
    request = PlotRequest.of(
        *slices, output=output, kind=kind, levels=levels, of=of, clip=clip, points=points, spectrum=spectrum, map=map,
        explain=explain, size=size, camera=camera, label=label, title=title, axis_name=axis_name, overwrite=overwrite,
    )  # fmt: skip
    return run_plot(request, warn=warn)


def animate(
    *slices: Slice | str | Path,
    output: str | Path,
    way: str = _ANIMATION.way,
    kind: str = _PLOT.kind,
    levels: str = _PLOT.levels,
    of: str | None = _PLOT.of,
    clip: float | None = _PLOT.clip,
    spectrum: bool = _PLOT.spectrum,
    size: str = _PLOT.size,
    camera: str = _PLOT.camera,
    frames: int = _ANIMATION.frames,
    label: Names = _PLOT.label,
    title: str = _PLOT.title,
    axis_name: Names = _PLOT.axis_name,
    overwrite: bool = False,
    advance: Callable[[int, int], None] | None = None,
) -> Movie:
    """Write a GIF or MP4 of surfaces, and return its path; a notebook shows it.

    Args:
        slices: 2-D slices, or their files.
        output: ends in ``.gif`` or ``.mp4``.
        way: ``orbit``: once around the surface; ``trajectory``: one iterate of the training after another.
        kind: ``surface`` draws a trajectory in 3-D; by default it is from above, with the loss beside it.
        levels: see `plot`.
        of: see `plot`.
        clip: see `plot`.
        spectrum: see `plot`.
        size: see `plot`.
        camera: see `plot`; an orbit starts there.
        frames: number of frames of an orbit (default 90); at most so many of a trajectory.
        label: see `plot`.
        title: see `plot`; of a movie of one surface.
        axis_name: see `plot`.
        overwrite: whether an output that is not a movie is replaced; what is read never is.
        advance: called with the number of finished frames and of all frames; by default a bar in a notebook.

    Raises:
        ValueError: an unknown ending or way, no trajectory to follow, or nothing to draw.
        GraphicsError: there is no OpenGL.
        MissingPackageError: imageio is not installed.
        SchemaError: a file that can't be read.
        StoreError: the movie can't be written.
    """
    request = AnimationRequest.of(
        *slices,
        output=output,
        way=way,
        kind=kind,
        levels=levels,
        of=of,
        clip=clip,
        spectrum=spectrum,
        size=size,
        camera=camera,
        frames=frames,
        label=label,
        title=title,
        axis_name=axis_name,
        overwrite=overwrite,
    )
    return run_animation(request, advance=advance or _bar())


def _bar() -> Callable[[int, int], None] | None:
    """Return the bar of a notebook for frames; None elsewhere."""
    reporter = default_reporter()
    if isinstance(reporter, QuietReporter):
        return None
    return lambda done, total: reporter.advance(done, total, done)


def view(
    *slices: Slice | str | Path,
    levels: str = _PLOT.levels,
    of: str | None = _PLOT.of,
    clip: float | None = _PLOT.clip,
    spectrum: bool = _PLOT.spectrum,
    camera: str = _PLOT.camera,
) -> None:
    """Open a window in which surfaces turn with the mouse, and return when it is closed.

    Args:
        slices: 2-D slices, or their files.
        levels: see `plot`.
        of: see `plot`.
        clip: see `plot`.
        spectrum: see `plot`.
        camera: see `plot`; the first view.

    Raises:
        ValueError: nothing to draw.
        GraphicsError: there is no screen, or no OpenGL.
        SchemaError: a file that can't be read.
    """
    run_view(ViewRequest.of(*slices, levels=levels, of=of, clip=clip, spectrum=spectrum, camera=camera))
