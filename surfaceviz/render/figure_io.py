"""Figures for notebooks, and picture files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from surfaceviz import atomic_write
from surfaceviz.errors import StoreError
from surfaceviz.file_kinds import is_own_output
from surfaceviz.render import style

FORMATS = ("png", "svg", "pdf")


class Picture(Figure):
    """A figure that notebooks show without a configured back end.

    Attributes:
        exact_width: width of the written picture in inches; None: as wide as its artists.
        explanation: the sentences below it.
    """

    exact_width: float | None = None
    explanation: tuple[str, ...] = ()

    def _repr_png_(self) -> bytes:
        return _bytes(self, "png")


def check_format(path: Path) -> str:
    """Return the format that a picture's name asks for.

    Raises:
        ValueError: the ending is not in `FORMATS`.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise ValueError(f"{path}: pictures are written as {', '.join(FORMATS)}; end the name in one of them")
    return kind


def save(figure: Figure, path: Path, *, overwrite: bool = False) -> None:
    """Write a figure as PNG, SVG or PDF, chosen by the file's ending, atomically.

    Args:
        figure: the figure.
        path: the file.
        overwrite: whether a file that is not an earlier picture of this program is replaced.

    Raises:
        ValueError: the ending is not in `FORMATS`.
        StoreError: it can't be written.
    """
    image = _bytes(figure, check_format(path))
    put(path, image, overwrite=overwrite)


def picture_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    return _bytes(figure, "png")


def put(path: Path, image: bytes, *, overwrite: bool = False) -> None:
    """Write the bytes of a picture, a page or an export to ``path`` atomically.

    Raises:
        StoreError: it can't be written, or there is a file that is not an earlier output of the same kind, without
            ``overwrite``; the old file stays.
    """
    try:
        atomic_write.write_bytes(path, image, accept=lambda head: overwrite or is_own_output(path, head))
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror or error}") from error


def _bytes(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with style.applied():
        FigureCanvasAgg(figure)
        width = figure.exact_width if isinstance(figure, Picture) else None
        box: Any = "tight" if width is None else _exact(figure, width)
        figure.savefig(buffer, format=kind, metadata=dates, bbox_inches=box)
    return buffer.getvalue()


def _exact(figure: Figure, width: float) -> Bbox:
    """Return the part of a figure to write: all artists, over exactly ``width`` inches."""
    drawn = _fitted(figure, width)
    middle = (drawn.x0 + drawn.x1) / 2
    return Bbox([[middle - width / 2, drawn.y0], [middle + width / 2, drawn.y1]])


def settled_box(figure: Picture) -> Bbox:
    """Draw a figure in the size that it is written in, and return the box around all its artists, in inches."""
    return _drawn(figure) if figure.exact_width is None else _fitted(figure, figure.exact_width, margin=0.0)


def _fitted(figure: Figure, width: float, margin: float | None = None) -> Bbox:
    """Return the box around all artists; a figure whose artists are wider than ``width`` inches shrinks."""
    margin = float(mpl.rcParams["savefig.pad_inches"]) if margin is None else margin
    drawn = _drawn(figure).padded(margin)
    if drawn.width > width:
        figure.set_size_inches(figure.get_figwidth() - (drawn.width - width), figure.get_figheight())
        drawn = _drawn(figure).padded(margin)
    return drawn


def _drawn(figure: Figure) -> Bbox:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Bbox(figure.get_tightbbox(canvas.get_renderer()))
