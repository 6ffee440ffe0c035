"""Surfaces in 3-D by matplotlib, without light: the fallback where there is no OpenGL."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from matplotlib import colormaps

from surfaceviz.records import FloatArray, Slice
from surfaceviz.render import style
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.labels import title_of
from surfaceviz.render.layout import columns_of, surfaces_layout
from surfaceviz.render.quantity import Quantity
from surfaceviz.render.style import Size, scaled
from surfaceviz.render.surface3d.camera import RATIO, Camera
from surfaceviz.render.surface3d.compose import draw_bars, write_directions
from surfaceviz.render.surface3d.scene import FLOOR, HEIGHT, Scene
from surfaceviz.render.surface3d.ticks import floor_ticks, level_ticks


def compose_flat(
    surfaces: Sequence[Slice], scenes: Sequence[Scene], shown: Sequence[Quantity], camera: Camera, *, size: Size
) -> Picture:
    """Return a figure of coarse scenes side by side, as matplotlib draws them."""
    columns = columns_of(len(surfaces), size)
    rows = math.ceil(len(surfaces) / columns)
    figure = surfaces_layout(rows, columns, 1 / RATIO, size, spectra=()).figure
    axes = []
    for k, (surface, scene) in enumerate(zip(surfaces, scenes, strict=True)):
        ax: Any = figure.add_subplot(rows, columns, k + 1, projection="3d", computed_zorder=False)
        _draw(ax, scene, camera)
        ax.set_title(title_of(surface))
        axes.append(ax)
    draw_bars(figure, axes, scenes[0].levels, shown[0].label, surfaces=surfaces)
    write_directions(figure, surfaces)
    return figure


def _draw(ax: Any, scene: Scene, camera: Camera) -> None:
    colours = colormaps[style.MAP](scene.levels.norm()(scene.scalars[scene.triangles].mean(axis=1)))
    x, y, z = scene.vertices.T
    mesh = ax.plot_trisurf(x, y, z, triangles=scene.triangles, linewidth=0, antialiased=False, zorder=1)
    mesh.set_facecolor(colours)
    for place, colour, name in _marks(scene):
        ax.plot(*place[:, None], "o", color=colour, markersize=scaled(4), zorder=2)
        ax.text(*place, f"  {name}", fontsize="small", zorder=3)
    if len(scene.path):
        ax.plot(*scene.track.T, color=style.INK, linewidth=scaled(1), zorder=2)
        colours = scene.distance if scene.colours is not None else "white"
        ax.scatter(*scene.path.T, c=colours, cmap=style.PATH_MAP, norm=scene.colours, s=scaled(4) ** 2, zorder=2.5)
    ax.view_init(camera.elevation, camera.azimuth)
    ax.set_box_aspect((scene.half[0], scene.half[1], HEIGHT / 2), zoom=0.95 * camera.zoom)
    for k, (axis, symbol) in enumerate(((ax.xaxis, r"$\alpha$"), (ax.yaxis, r"$\beta$"))):
        shares, words = floor_ticks(scene.ranges[k])
        axis.set_ticks((2 * shares - 1) * scene.half[k], labels=words)
        axis.set_label_text(symbol)
    shares, words = level_ticks(scene.levels)
    ax.zaxis.set_ticks(FLOOR + shares * (HEIGHT - FLOOR), labels=words)


def _marks(scene: Scene) -> list[tuple[FloatArray, str, str]]:
    theta = [] if scene.theta is None else [(scene.theta, style.INK, "")]
    return theta + [
        (point.place, style.MARK if point.number is None else style.INK, point.text) for point in scene.points
    ]
