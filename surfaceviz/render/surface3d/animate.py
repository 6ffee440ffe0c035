"""Moving pictures of surfaces: around the box, or along a training."""

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
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.surface3d.camera import RATIO, View
from surfaceviz.render.surface3d.draw import scenes_of
from surfaceviz.render.surface3d.offscreen import staged
from surfaceviz.render.surface3d.scene import half_of

WAYS = ("orbit", "trajectory")
FORMATS = ("gif", "mp4")
FRAMES, RATE = 90, 15  # of an orbit; a second
_MARGIN = 0.15  # inches around the first frame; texts of others reach a little further
_DPI = {"auto": 110, "column": 200, "page": 130, "slide": 100}


def check_movie(path: Path, way: str) -> str:
    """Return the format that a movie's name asks for.

    Raises:
        ValueError: none of `FORMATS`, or a way that is none of `WAYS`.
    """
    if way not in WAYS:
        raise ValueError(f"animate: expected one of {', '.join(WAYS)}, got {way!r}")
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise ValueError(f"{path}: movies are written as {' or '.join(FORMATS)}; end the name in one of them")
    return kind


def animate(
    surfaces: Sequence[Slice],
    look: PlotOptions,
    view: View,
    path: Path,
    way: str,
    *,
    frames: int = FRAMES,
    advance: Callable[[int, int], None] | None = None,
) -> None:
    """Write a GIF or MP4 of surfaces, whole or not at all.

    Args:
        surfaces: 2-D slices.
        look: of, levels, clip and size count.
        view: of all panels; where an orbit begins.
        path: the movie, ending in .gif or .mp4.
        way: ``orbit``: once around; ``trajectory``: an iterate of the training after the other.
        frames: of an orbit; of a trajectory at most.
        advance: told the frames that are done, and of how many.

    Raises:
        ValueError: another format or way; no trajectory to follow; nothing to draw.
        GraphicsError: there is no OpenGL.
        StoreError: it can't be written.
    """
    kind = check_movie(path, way)
    course = _orbit(surfaces, view, frames) if way == "orbit" else _along(surfaces, view, frames)
    with tempfile.TemporaryDirectory() as folder:
        movie = Path(folder) / f"movie.{kind}"
        with _writer(movie, kind) as writer:
            for k, image in enumerate(_images(surfaces, look, course)):
                writer.append_data(image)
                if advance is not None:
                    advance(k + 1, len(course))
        put(path, movie.read_bytes())


def _orbit(surfaces: Sequence[Slice], view: View, frames: int) -> list[tuple[View, int | None]]:
    """Return the views of one turn, all from so far away that the box fits each of them."""
    around = [replace(view, azimuth=view.azimuth + 360 * k / frames) for k in range(frames)]
    away = max(each.fitting(half_of(surface), RATIO) for each in around for surface in surfaces)
    return [(replace(each, away=away), None) for each in around]


def _along(surfaces: Sequence[Slice], view: View, frames: int) -> list[tuple[View, int | None]]:
    lengths = [len(surface.trajectory.step) for surface in surfaces if surface.trajectory is not None]
    if not lengths:
        raise ValueError("animate trajectory: no file has a trajectory; --animate orbit needs none")
    shown = np.unique(np.linspace(1, max(lengths), min(max(lengths), frames)).round().astype(int))
    return [(view, int(k)) for k in shown] + [(view, None)] * RATE  # a second to look at the end


def _images(
    surfaces: Sequence[Slice], look: PlotOptions, course: Sequence[tuple[View, int | None]]
) -> Iterator[NDArray[np.uint8]]:
    with style.applied(look.size) as size:
        from surfaceviz.render.surface3d.compose import Panel, compose, panel_pixels

        scenes, shown = scenes_of(surfaces, look)
        box: Bbox | None = None
        with staged(scenes, panel_pixels(len(surfaces), size)) as shoot:
            for view, upto in course:
                panels = [Panel(*three) for three in zip(surfaces, scenes, shoot(view, upto), strict=True)]
                figure = compose(panels, shown, size)
                box = box or _box(figure)
                yield _pixels(figure, _DPI[look.size], box)


def _box(figure: Picture) -> Bbox:
    """Return what of a figure is drawn, in inches: the frame of all pictures of a movie."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return figure.get_tightbbox(canvas.get_renderer()).padded(_MARGIN)


def _pixels(figure: Picture, dpi: int, box: Bbox) -> NDArray[np.uint8]:
    """Return what lies in a box of a figure as an image with even sides, which video wants."""
    import imageio.v3 as iio

    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi, bbox_inches=box, pil_kwargs={"compress_level": 1})
    image = np.asarray(iio.imread(buffer.getvalue(), extension=".png"))[..., :3]
    return image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2].copy()


def _writer(path: Path, kind: str) -> Any:
    """Return what takes one frame after another."""
    import imageio.v2 as iio

    if kind == "mp4":
        settings = {"codec": "libx264", "macro_block_size": 2, "output_params": ["-crf", "18"]}
        return iio.get_writer(path, format="FFMPEG", mode="I", fps=RATE, **settings)
    return iio.get_writer(path, mode="I", duration=1000 / RATE, loop=0)
