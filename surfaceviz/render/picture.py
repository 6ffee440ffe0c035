"""Pictures as notebooks show them and as files hold them."""

from __future__ import annotations

import io
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from surfaceviz import whole
from surfaceviz.errors import StoreError
from surfaceviz.render import style

FORMATS = ("png", "svg", "pdf")


class Picture(Figure):
    """A figure that shows itself in a notebook without any back end being set up."""

    def _repr_png_(self) -> bytes:
        return _bytes(self, "png")


def check_format(path: Path) -> str:
    """Return the format that a picture's name asks for.

    Raises:
        ValueError: none of `FORMATS`.
    """
    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise ValueError(f"{path}: pictures are written as {', '.join(FORMATS)}; end the name in one of them")
    return kind


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, SVG or PDF by its name, whole or not at all.

    Raises:
        ValueError: another ending.
        StoreError: it can't be written.
    """
    image = _bytes(figure, check_format(path))
    put(path, image)


def put(path: Path, image: bytes) -> None:
    """Put the bytes of a picture or of an export at ``path``, whole or not at all.

    Raises:
        StoreError: it can't be written; what was there stays.
    """
    try:
        whole.put(path, image)
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror or error}") from error


def _bytes(figure: Figure, kind: str) -> bytes:
    buffer = io.BytesIO()
    dates = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with style.applied():
        FigureCanvasAgg(figure)
        figure.savefig(buffer, format=kind, metadata=dates)
    return buffer.getvalue()
