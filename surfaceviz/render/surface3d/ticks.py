"""Axes of a 3-D picture: the edges of the box that carry them, and their texts at projected positions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.text import Text
from matplotlib.ticker import MaxNLocator

from surfaceviz.records import FloatArray
from surfaceviz.render.contours.levels import Levels
from surfaceviz.render.style import scaled
from surfaceviz.render.surface3d.camera import Projection
from surfaceviz.render.surface3d.scene import FLOOR, HEIGHT, Scene

_TICKS, _LEVELS = 5, 6  # along the floor, upwards; at most
_SEEN = 0.1  # of the picture: from above there is no height to read
_LINE, _WORD = 11.0, 22.0  # points that a line of type takes, and a number along the floor
_STEEP = 0.35  # of its length: an edge that leads across no further leads away from the camera
_SLANT = 0.25  # of an edge, from which on its texts stand to one side
_GREY = "#444444"


def draw_ticks(ax: Axes, scene: Scene, projection: Projection, label: str, *, pixels: float) -> list[Text]:
    """Write the axes of a scene's box over its picture and return the texts.

    Alpha and beta stand along the floor's edges that are lowest in the picture, the height along the leftmost
    upright edge.

    Args:
        ax: axes in pixels, rows downwards.
        scene: what is in the picture.
        projection: of the picture.
        label: of the height.
        pixels: of a typographic point, about.
    """
    middle = projection(np.array([[0.0, 0.0, (FLOOR + HEIGHT) / 2]]))[0]
    texts, upright = [], _rise(projection) > _SEEN
    for k, symbol in enumerate((r"$\alpha$", r"$\beta$")):
        ends = projection(np.stack(_floor_edge(scene, projection, k)))
        if upright and abs(ends[1, 0] - ends[0, 0]) < _STEEP * np.linalg.norm(ends[1] - ends[0]):
            continue  # seen from its end: its texts would stand among those of the height
        start, end = _floor_edge(scene, projection, k)
        room = float(np.linalg.norm(ends[1] - ends[0])) / pixels
        shares, words = floor_ticks(scene.ranges[k], _TICKS - 1 if room > (_TICKS - 1) * scaled(_WORD) else 2)
        texts += _draw_edge(ax, projection, start, end, shares=shares, words=words, label=symbol, middle=middle)
    if upright:
        low, high = _upright_edge(scene, projection)
        room = float(np.ptp(projection(np.stack([low, high]))[:, 1])) * HEIGHT / (HEIGHT - FLOOR) / pixels
        places, words = level_ticks(scene.levels, max(2, min(_LEVELS, int(room / scaled(_LINE)))))
        texts += _draw_edge(
            ax, projection, low, high, shares=places, words=words, label=label, middle=middle, upright=True
        )
    return texts


def _rise(projection: Projection) -> float:
    """Return how much of the picture's height the box's own height takes."""
    rows = projection(np.array([[0.0, 0.0, FLOOR], [0.0, 0.0, HEIGHT]]))[:, 1]
    return float(np.ptp(rows)) / projection.height


def floor_ticks(ends: tuple[float, float], most: int = _TICKS - 1) -> tuple[FloatArray, list[str]]:
    """Return the tick positions of an axis as shares of its length, and their texts; at most ``most`` intervals."""
    ticks = np.asarray(MaxNLocator(most).tick_values(*ends), float)
    inside = ticks[(ticks >= ends[0] - 1e-12) & (ticks <= ends[1] + 1e-12)]
    return (inside - ends[0]) / (ends[1] - ends[0]), [f"{value:g}" for value in inside]


def level_ticks(levels: Levels, most: int = _LEVELS) -> tuple[FloatArray, list[str]]:
    """Return the tick positions of the upright edge as shares of its length, and their texts."""
    chosen = levels.ticks(most)
    norm = levels.norm()
    heights = np.asarray(norm(chosen), float) * HEIGHT
    return (heights - FLOOR) / (HEIGHT - FLOOR), [levels.label(place) for place in chosen]


def _floor_edge(scene: Scene, projection: Projection, k: int) -> tuple[FloatArray, FloatArray]:
    """Return the ends of the edge along axis ``k`` that is lowest in the picture."""
    edges = []
    for side in (-1.0, 1.0):
        ends = np.full((2, 3), FLOOR)
        ends[:, k] = -scene.half[k], scene.half[k]
        ends[:, 1 - k] = side * scene.half[1 - k]
        edges.append(ends)
    lowest = max(edges, key=lambda ends: float(projection(ends)[:, 1].mean()))
    return lowest[0], lowest[1]


def _upright_edge(scene: Scene, projection: Projection) -> tuple[FloatArray, FloatArray]:
    corners = [(x * scene.half[0], y * scene.half[1]) for x in (-1, 1) for y in (-1, 1)]
    edges = [np.array([[x, y, FLOOR], [x, y, HEIGHT]]) for x, y in corners]
    leftmost = min(edges, key=lambda ends: float(projection(ends)[:, 0].mean()))
    return leftmost[0], leftmost[1]


def _draw_edge(
    ax: Axes, projection: Projection, start: FloatArray, end: FloatArray, *, shares: Sequence[float] | FloatArray,
    words: Sequence[str], label: str, middle: FloatArray, upright: bool = False,
) -> list[Text]:  # fmt: skip
    """Write ticks along an edge of the box, and its label beyond them; outwards is away from the picture's middle."""
    ends = projection(np.stack([start, end]))
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    outward = np.array([along[1], -along[0]])
    outward *= np.sign(outward @ (ends.mean(axis=0) - middle)) or 1.0
    points = projection(np.asarray(start + np.asarray(shares)[:, None] * (end - start)))
    side = 0.0 if abs(outward[0]) < _SLANT else outward[0]  # ends of two edges at one corner stand apart
    where = {"ha": "right" if upright or side < 0 else "left" if side > 0 else "center", "va": "center", "color": _GREY}
    texts: list[Text] = [
        ax.annotate(word, point, xytext=_points(outward, 3 if upright else 8), textcoords="offset points",
                    fontsize="small", **where)  # type: ignore[arg-type]
        for point, word in zip(points, words, strict=True)
    ]  # fmt: skip
    angle = 90.0 if upright else 0.0
    texts.append(
        ax.annotate(label, ends.mean(axis=0), xytext=_points(outward, 34 if upright else 22), rotation=angle,
                    textcoords="offset points", ha="center", va="center")
    )  # fmt: skip
    return texts


def _points(direction: FloatArray, length: float) -> tuple[float, float]:
    """Return an offset in points; the picture's rows count downwards."""
    return float(direction[0] * scaled(length)), float(-direction[1] * scaled(length))
