"""Movies: surfaces in 3-D, or the path of a training from above; GIF and MP4 files."""

from __future__ import annotations

import io
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from surfaceviz.errors import MissingPackageError, missing_package
from surfaceviz.records import Slice
from surfaceviz.render.figure_io import Picture, put
from surfaceviz.render.plot_options import AnimationOptions, PlotOptions

WAYS = ("orbit", "trajectory")
FORMATS = ("gif", "mp4")
FROM_ABOVE = "trajectory"  # the kind of picture whose movie is from above; all others are in 3-D
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
        options: ``of``, ``levels``, ``clip``, ``size`` are used, and in 3-D ``camera``; of kind trajectory, the movie
            is of the path from above.
        path: the movie, ending in .gif or .mp4.
        animation: how it moves.
        advance: called with the number of finished frames and of all frames.
        overwrite: whether a file that is not a movie is replaced.

    Raises:
        ValueError: another format or way; no trajectory to follow; nothing to draw.
        GraphicsError: there is no OpenGL, for a movie in 3-D.
        MissingPackageError: imageio is not installed, or for MP4 its ffmpeg.
        StoreError: it can't be written.
    """
    kind = check_movie(path, animation.way)
    if options.kind == FROM_ABOVE:
        from surfaceviz.render.contours.trajectory_movie import frames_of  # noqa: PLC0415  it imports this module
    else:
        from surfaceviz.render.surface3d.animate import frames_of  # noqa: PLC0415  likewise
    count, images = frames_of(surfaces, options, animation)
    with tempfile.TemporaryDirectory() as folder:
        movie = Path(folder) / f"movie.{kind}"
        with _writer(movie, kind) as writer:
            for k, image in enumerate(images):
                writer.append_data(image)
                if advance is not None:
                    advance(k + 1, count)
        put(path, movie.read_bytes(), overwrite=overwrite)


def iterates_shown(lengths: Sequence[int], frames: int) -> list[int]:
    """Return the numbers of iterates that frames show, at most ``frames``.

    Raises:
        ValueError: there is no trajectory.

    >>> iterates_shown([5], 3)
    [1, 3, 5]
    """
    if not lengths:
        raise ValueError("animate trajectory: no file has a trajectory; --animate orbit needs none")
    shown = np.unique(np.linspace(1, max(lengths), min(max(lengths), frames)).round().astype(int))
    return [int(k) for k in shown]


def box_of(figure: Picture) -> Bbox:
    """Return the bounding box of a figure's artists in inches, shared by all frames of a movie."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return figure.get_tightbbox(canvas.get_renderer()).padded(_MARGIN)


def pixels(figure: Picture, size: str, box: Bbox) -> NDArray[np.uint8]:
    """Return the part of a figure in a box as an image with even sides, as video requires."""
    import imageio.v3 as iio  # noqa: PLC0415  the extra "movie"

    FigureCanvasAgg(figure)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI[size], bbox_inches=box, pil_kwargs={"compress_level": 1})
    image = np.asarray(iio.imread(buffer.getvalue(), extension=".png"))[..., :3]
    return image[: image.shape[0] // 2 * 2, : image.shape[1] // 2 * 2].copy()


def _writer(path: Path, kind: str) -> Any:
    """Return a writer that takes one frame after another.

    Raises:
        MissingPackageError: see `animate`.
    """
    try:
        import imageio.v2 as iio  # noqa: PLC0415  the extra "movie"

        if kind == "mp4":
            import imageio_ffmpeg  # noqa: F401, PLC0415  likewise
    except ImportError as error:
        raise MissingPackageError(f"a movie can't be written: {missing_package(error, 'movie')}") from error
    if kind == "mp4":
        settings = {"codec": "libx264", "macro_block_size": 2, "output_params": ["-crf", "18"]}
        return iio.get_writer(path, format="FFMPEG", mode="I", fps=RATE, **settings)
    return iio.get_writer(path, mode="I", duration=1000 / RATE, loop=0)
