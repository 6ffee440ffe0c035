"""Figures of surfaces in 3-D: rendered panels, with matplotlib's text at projected positions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.figure import FigureBase
from matplotlib.patheffects import withStroke

from surfaceviz.records import Slice
from surfaceviz.render import style
from surfaceviz.render.contours.contour_figure import mark_levels
from surfaceviz.render.contours.levels import Levels
from surfaceviz.render.contours.path import DISTANCE, distance_norm
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import axis_label, direction_words, title_of
from surfaceviz.render.layout import columns_of, surfaces_layout
from surfaceviz.render.quantity import Quantity
from surfaceviz.render.spectra.spectrum_axes import NUMBER_STYLE
from surfaceviz.render.style import Size, scaled
from surfaceviz.render.surface3d.camera import RATIO
from surfaceviz.render.surface3d.scene import MarkedPoint, Scene
from surfaceviz.render.surface3d.ticks import draw_ticks

if TYPE_CHECKING:  # pyvista may be missing, and matplotlib draws instead
    from surfaceviz.render.surface3d.renderer import RenderedImage

_WIDTH = 3.6  # inches of a 9 point font: a panel, about
_FILLED = 0.75  # of a narrower panel's width that its picture takes
_NARROW = 4.6  # inches of a 9 point font, that one line takes
_RIGHT = 0.5  # of a panel: beyond it names stand to the left
_ABOVE, _LINE = 16.0, 26.0  # points: a name above its mark, and below another name


@dataclass(frozen=True, slots=True)
class Panel:
    """A slice with its scene and its rendered picture."""

    surface: Slice
    scene: Scene
    image: RenderedImage


def panel_pixels(count: int, size: Size) -> tuple[int, int]:
    """Return the width and height in pixels that a panel is rendered at, for 300 dots an inch; both even."""
    columns = columns_of(count, size, strip=True)
    width = scaled(3.9) if size.width is None else size.width / columns
    across = int(min(1600, max(700, 300 * width)))
    return across // 2 * 2, int(across / RATIO) // 2 * 2


def compose(panels: Sequence[Panel], shown: Sequence[Quantity], size: Size) -> Picture:
    """Return a figure of rendered panels side by side, with one colour bar."""
    columns = columns_of(len(panels), size, strip=True)
    rows = math.ceil(len(panels) / columns)
    layout = surfaces_layout(rows, columns, 1 / RATIO, size, spectra=())
    figure, width = layout.figure, _WIDTH if layout.panel >= _WIDTH else _FILLED * layout.panel
    axes: list[Axes] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for ax in axes[len(panels) :]:
        ax.set_visible(False)
    once = len(panels) > columns and _agree([panel.surface for panel in panels])
    for k, (ax, panel, what) in enumerate(zip(axes, panels, shown, strict=False)):
        _draw_panel(ax, panel, what, inches=width, ticks=not once or k % columns == 0)
    kept = axes[: len(panels)]
    draw_bars(figure, kept, panels[0].scene.levels, shown[0].label, surfaces=[panel.surface for panel in panels])
    write_directions(figure, [panel.surface for panel in panels])
    return figure


def draw_bars(
    figure: FigureBase, axes: Sequence[Any], levels: Levels, label: str, *, surfaces: Sequence[Slice]
) -> None:
    """Draw the colour bar of the surfaces, and one below for the distances of trajectories."""
    mappable = ScalarMappable(levels.norm(), style.MAP)
    bar = figure.colorbar(mappable, ax=axes, shrink=0.7, pad=0.02, extend=levels.extend)
    mark_levels(bar, levels, label)
    norm = distance_norm(surfaces)
    if norm is not None:
        distances = ScalarMappable(norm, style.PATH_MAP)
        figure.colorbar(distances, ax=axes, location="bottom", shrink=0.6, pad=0.02, aspect=40, label=DISTANCE)


def write_directions(figure: FigureBase, surfaces: Sequence[Slice]) -> None:
    """Write what alpha and beta are below all panels, where they agree; on two lines in a narrow picture."""
    first = [direction_words(surfaces[0], k) for k in range(2)]
    agree = all(
        [axis_label(s, k) for k in range(2)] == [axis_label(surfaces[0], k) for k in range(2)] for s in surfaces
    )
    narrow = figure.get_figure(root=True).get_figwidth() < scaled(_NARROW)
    words = ("\n" if narrow else "      ").join(first) if agree else "directions differ: see each file's info"
    figure.supxlabel(words, fontsize="small", color="#555555")


def _agree(surfaces: Sequence[Slice]) -> bool:
    """Return whether slices have the same axes, so that the ticks of one tell those of all: heights have one scale."""
    ends = [[(float(axis[0]), float(axis[-1])) for axis in surface.axes] for surface in surfaces]
    return all(each == ends[0] for each in ends)


def _draw_panel(ax: Axes, panel: Panel, what: Quantity, *, inches: float, ticks: bool) -> None:
    height, width = panel.image.pixels.shape[:2]
    ax.imshow(panel.image.pixels, extent=(0, width, height, 0), interpolation="antialiased")
    ax.set_axis_off()
    ax.set_title(title_of(panel.surface))
    pixels = _pixels_of_a_point(panel.image, inches)
    if ticks:
        draw_ticks(ax, panel.scene, panel.image.projection, what.label, pixels=pixels)
    if panel.scene.theta is not None:
        _draw_hidden(ax, panel.image, MarkedPoint(panel.scene.theta, "theta"))
    for point in panel.scene.points:
        _draw_hidden(ax, panel.image, point)
    for point, shift in _spread(panel, pixels):
        _draw_name(ax, panel.image, point, shift)


def _pixels_of_a_point(image: RenderedImage, width: float) -> float:
    """Return about how many pixels of a picture of a width, in inches of a 9 point font, a typographic point takes."""
    return image.projection.width / (72 * scaled(width))


def _spread(panel: Panel, pixels: float) -> list[tuple[MarkedPoint, float]]:
    """Return the points from above to below, each with how far above it, in points, its name covers no other's."""
    rows: list[tuple[MarkedPoint, float]] = []
    last = -np.inf
    for point in sorted(panel.scene.points, key=lambda each: float(panel.image.projection(each.place[None])[0, 1])):
        row = float(panel.image.projection(point.place[None])[0, 1]) / pixels
        last = max(row - scaled(_ABOVE), last + scaled(_LINE))
        rows.append((point, row - last))
    return rows


def _draw_hidden(ax: Axes, image: RenderedImage, point: MarkedPoint) -> None:
    """Draw a ring where a mark is behind the surface."""
    if image.hides(point.place):
        x, y = image.projection(point.place[None])[0]
        halo = [withStroke(linewidth=scaled(2.2), foreground="white")]
        ax.plot([x], [y], "o", color=style.INK, markerfacecolor="none", markersize=scaled(5), path_effects=halo)


def _draw_name(ax: Axes, image: RenderedImage, point: MarkedPoint, above: float) -> None:
    """Write a mark's name next to it; of a point with a spectrum its number, lambda_max and kind."""
    where = image.projection(point.place[None])[0]
    box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "alpha": 0.85, "linewidth": 0}
    side = -1 if where[0] > _RIGHT * image.projection.width else 1  # so that the name stays in its panel
    name = ax.annotate(
        point.text, where, xytext=(side * scaled(16), above), textcoords="offset points", fontsize="small", bbox=box,
        ha="left" if side > 0 else "right",
        arrowprops={"arrowstyle": "-", "color": style.INK, "linewidth": scaled(0.6)}, zorder=5,
    )  # fmt: skip
    name.set_in_layout(False)  # else panels shrink for it
    if point.number is not None:
        ax.annotate(
            str(point.number), where, xytext=(-side * scaled(9), scaled(9)), textcoords="offset points", ha="center",
            va="center", zorder=6, **NUMBER_STYLE,
        )  # fmt: skip
