"""Movies of surfaces: around the box, or along a training."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from surfaceviz.records import Slice
from surfaceviz.render import style
from surfaceviz.render.figure_io import Picture, put
from surfaceviz.render.plot_options import AnimationOptions, PlotOptions
from surfaceviz.render.surface3d.camera import RATIO, Camera, parse_camera
from surfaceviz.render.surface3d.draw import scenes_of
from surfaceviz.render.surface3d.offscreen import offscreen_renderer
from surfaceviz.render.surface3d.scene import floor_half_lengths

WAYS = ("orbit", "trajectory")
FORMATS = ("gif", "mp4")
RATE = 15  # frames a second
_MARGIN = 0.15  # inches around the first frame; texts of others reach a little further
_DPI = {"auto": 110, "column": 200, "page": 130, "slide": 100}


def check_movie(path: Path, way: str) -> str:
    """Return the format that a movie's name asks for.

    Raises:
        ValueError: the ending is not in `FORMATS`, or the way not in `WAYS`.
    """
    if way not in WAYS:
        raise ValueError(f"animate: expected one of {', '.join(WAYS)}, got {way!r}")
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise ValueError(f"{path}: movies are written as {' or '.join(FORMATS)}; end the name in one of them")
    return kind


def animate(
    surfaces: Sequence[Slice],
    options: PlotOptions,
    path: Path,
    *,
    animation: AnimationOptions,
    advance: Callable[[int, int], None] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a GIF or MP4 of surfaces, atomically.

    Args:
        surfaces: 2-D slices.
        options: ``of``, ``levels``, ``clip``, ``size`` and ``camera`` are used.
        path: the movie, ending in .gif or .mp4.
        animation: how it moves; an orbit starts at the camera of the options.
        advance: called with the number of finished frames and of all frames.
        overwrite: whether a file that is not a movie is replaced.

    Raises:
        ValueError: another format or way; no trajectory to follow; nothing to draw.
        GraphicsError: there is no OpenGL.
        StoreError: it can't be written.
    """
    kind = check_movie(path, animation.way)
    camera, frames = parse_camera(options.camera), animation.frames
    cameras = _orbit(surfaces, camera, frames) if animation.way == "orbit" else _along(surfaces, camera, frames)
    with tempfile.TemporaryDirectory() as folder:
        movie = Path(folder) / f"movie.{kind}"
        with _writer(movie, kind) as writer:
            for k, image in enumerate(_images(surfaces, options, cameras)):
                writer.append_data(image)
                if advance is not None:
                    advance(k + 1, len(cameras))
        put(path, movie.read_bytes(), overwrite=overwrite)


def _orbit(surfaces: Sequence[Slice], camera: Camera, frames: int) -> list[tuple[Camera, int | None]]:
    """Return the views of one turn, all from so far away that the box fits each of them."""
    around = [replace(camera, azimuth=camera.azimuth + 360 * k / frames) for k in range(frames)]
    away = max(each.fitting(floor_half_lengths(surface), RATIO) for each in around for surface in surfaces)
    return [(replace(each, away=away), None) for each in around]


def _along(surfaces: Sequence[Slice], camera: Camera, frames: int) -> list[tuple[Camera, int | None]]:
    lengths = [len(surface.trajectory.with_gaps.step) for surface in surfaces if surface.trajectory is not None]
    if not lengths:
        raise ValueError("animate trajectory: no file has a trajectory; --animate orbit needs none")
    shown = np.unique(np.linspace(1, max(lengths), min(max(lengths), frames)).round().astype(int))
    return [(camera, int(k)) for k in shown] + [(camera, None)] * RATE  # a second to look at the end


def _images(
    surfaces: Sequence[Slice], options: PlotOptions, cameras: Sequence[tuple[Camera, int | None]]
) -> Iterator[NDArray[np.uint8]]:
    with style.applied(options.size) as size:
        from surfaceviz.render.surface3d.compose import Panel, compose, panel_pixels

        scenes, shown = scenes_of(surfaces, options)
        box: Bbox | None = None
        with offscreen_renderer(scenes, panel_pixels(len(surfaces), size)) as render:
            for camera, until in cameras:
                panels = [Panel(*three) for three in zip(surfaces, scenes, render(camera, until), strict=True)]
                figure = compose(panels, shown, size)
                box = box or _box(figure)
                yield _pixels(figure, _DPI[options.size], box)


def _box(figure: Picture) -> Bbox:
    """Return the bounding box of a figure's artists in inches, shared by all frames of a movie."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return figure.get_tightbbox(canvas.get_renderer()).padded(_MARGIN)


def _pixels(figure: Picture, dpi: int, box: Bbox) -> NDArray[np.uint8]:
    """Return the part of a figure in a box as an image with even sides, as video requires."""
    import imageio.v3 as iio

    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches=box, pil_kwargs={"compress_level": 1})
    image = np.asarray(iio.imread(buffer.getvalue(), extension=".png"))[..., :3]
    return image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2].copy()


def _writer(path: Path, kind: str) -> Any:
    """Return a writer that takes one frame after another."""
    import imageio.v2 as iio

    if kind == "mp4":
        settings = {"codec": "libx264", "macro_block_size": 2, "output_params": ["-crf", "18"]}
        return iio.get_writer(path, format="FFMPEG", mode="I", fps=RATE, **settings)
    return iio.get_writer(path, mode="I", duration=1000 / RATE, loop=0)
