"""Frames of movies in 3-D: around the box, or along a training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from surfaceviz.records import Slice
from surfaceviz.render import style
from surfaceviz.render.movie import RATE, box_of, iterates_shown, pixels
from surfaceviz.render.plot_options import AnimationOptions, PlotOptions
from surfaceviz.render.surface3d.camera import RATIO, Camera, parse_camera
from surfaceviz.render.surface3d.draw import scenes_of
from surfaceviz.render.surface3d.offscreen import offscreen_renderer
from surfaceviz.render.surface3d.scene import floor_half_lengths


def frames_of(
    surfaces: Sequence[Slice], options: PlotOptions, animation: AnimationOptions
) -> tuple[int, Iterator[NDArray[np.uint8]]]:
    """Return the number of frames of a movie in 3-D, and the frames.

    Args:
        surfaces: 2-D slices.
        options: ``of``, ``levels``, ``clip``, ``size`` and ``camera`` are used.
        animation: how it moves; an orbit starts at the camera of the options.

    Raises:
        ValueError: no trajectory to follow; nothing to draw.
        GraphicsError: there is no OpenGL.
    """
    camera, frames = parse_camera(options.camera), animation.frames
    cameras = _orbit(surfaces, camera, frames) if animation.way == "orbit" else _along(surfaces, camera, frames)
    return len(cameras), _images(surfaces, options, cameras)


def _orbit(surfaces: Sequence[Slice], camera: Camera, frames: int) -> list[tuple[Camera, int | None]]:
    """Return the views of one turn, all from so far away that the box fits each of them."""
    around = [replace(camera, azimuth=camera.azimuth + 360 * k / frames) for k in range(frames)]
    away = max(each.fitting(floor_half_lengths(surface), RATIO) for each in around for surface in surfaces)
    return [(replace(each, away=away), None) for each in around]


def _along(surfaces: Sequence[Slice], camera: Camera, frames: int) -> list[tuple[Camera, int | None]]:
    lengths = [len(surface.trajectory.with_gaps.step) for surface in surfaces if surface.trajectory is not None]
    shown = iterates_shown(lengths, frames)
    return [(camera, k) for k in shown] + [(camera, None)] * RATE  # a second to look at the end


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
                box = box or box_of(figure)
                yield pixels(figure, options.size, box)
