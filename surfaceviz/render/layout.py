"""Empty figures of a size: panels for slices above, panels for spectra below."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.figure import FigureBase

from surfaceviz.records import Slice
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.spectra.spectrum_panels import spectrum_stacks_height
from surfaceviz.render.style import Size, scaled

_PANEL, _BAR, _LABELS = 3.9, 0.9, 0.6  # inches of a 9 point font: a panel with its labels, a colour bar, labels below
_NARROW, _STRIP = 2.3, 1.4  # a panel, at least; one of a strip of several rows, whose labels stand at its edges
_MOST = 4  # panels in a row
_FILLED = 0.85  # of a panel's width that its axes take


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureLayout:
    """A figure, the part of it for slices, the part below for spectra; a panel's width in inches of a 9 point font."""

    figure: Picture
    above: FigureBase
    below: FigureBase | None
    panel: float


def columns_of(count: int, size: Size, *, strip: bool = False) -> int:
    """Return how many of ``count`` panels stand side by side.

    Args:
        count: of panels.
        size: of the whole.
        strip: whether panels in several rows share the labels at the picture's edges, so that they may be narrower.
    """
    if size.width is None:
        return min(count, _MOST)
    least = _STRIP if strip and count > _MOST else _NARROW
    return max(1, min(count, _MOST, int((size.width - scaled(_BAR)) / scaled(least))))


def surfaces_layout(
    rows: int, columns: int, ratio: float, size: Size, *, spectra: Sequence[Slice], more: float = 0.0
) -> FigureLayout:
    """Return an empty figure for rows of panels.

    Args:
        rows: of panels.
        columns: of panels.
        ratio: of a panel's height to its width.
        size: of the whole.
        spectra: the slices whose spectra stand below; empty for none.
        more: height for what stands below all panels, in inches of a 9 point font.
    """
    panel = scaled(_PANEL) if size.width is None else (size.width - scaled(_BAR)) / columns
    height = (scaled(_LABELS) + _FILLED * panel * ratio) * rows + scaled(more)
    return figure_layout(scaled(_BAR) + panel * columns, height, spectra, columns, exact=size.width is not None)


def figure_layout(width: float, height: float, spectra: Sequence[Slice], columns: int, *, exact: bool) -> FigureLayout:
    """Return an empty figure of a width, whose upper part has a height; both in inches.

    With ``exact`` what is written of it has just this width.
    """
    if not spectra:
        figure = Picture(figsize=(width, height), layout="constrained")
        figure.exact_width = width if exact else None
        return FigureLayout(figure=figure, above=figure, below=None, panel=width / columns / scaled(1))
    more = spectrum_stacks_height(spectra, columns)
    figure = Picture(figsize=(width, height + more), layout="constrained")
    figure.exact_width = width if exact else None
    parts: Any = figure.subfigures(2, 1, height_ratios=[height, more])
    return FigureLayout(figure=figure, above=parts[0], below=parts[1], panel=width / columns / scaled(1))
