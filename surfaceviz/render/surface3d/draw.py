"""Pictures of surfaces in 3-D: rendered by pyvista, or by matplotlib where there is no OpenGL."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from surfaceviz.errors import GraphicsError
from surfaceviz.records import Slice
from surfaceviz.render import style
from surfaceviz.render.contours.contour_figure import levels_of
from surfaceviz.render.contours.path import distance_norm
from surfaceviz.render.figure_io import Picture
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.quantity import Quantity, shared_quantity
from surfaceviz.render.spectra.spectrum_panels import numbers_of_points
from surfaceviz.render.style import Size
from surfaceviz.render.surface3d.camera import Camera, parse_camera
from surfaceviz.render.surface3d.offscreen import offscreen_renderer
from surfaceviz.render.surface3d.scene import Scene, make_scene


def scenes_of(
    surfaces: Sequence[Slice], options: PlotOptions, *, coarse: bool = False
) -> tuple[list[Scene], list[Quantity]]:
    """Return the scenes of surfaces, on one scale of heights and colours, and what they show."""
    if not options.spectrum:  # boxes with eigenvalues would cover the surface
        surfaces = [replace(surface, spectra=()) for surface in surfaces]
    if any(surface.ndim == 1 for surface in surfaces):
        raise ValueError("kind surface draws 2-D slices, and there is a curve among these")
    shown = shared_quantity(surfaces, options.of)
    levels = levels_of(shown, options)
    first = [min(numbers, default=1) for numbers in numbers_of_points(surfaces)]  # they run on from one to the next
    each = zip(surfaces, shown, first, strict=True)
    norm = distance_norm(surfaces)
    scenes = [
        replace(make_scene(surface, what, levels, first=k, coarse=coarse), colours=norm) for surface, what, k in each
    ]
    return scenes, shown


def draw_surfaces(
    surfaces: Sequence[Slice],
    options: PlotOptions,
    *,
    names: Sequence[str] = (),  # noqa: ARG001  titles already tell the slices apart
    warn: Callable[[str], None] | None = None,
) -> Picture:
    """Return a figure of surfaces in 3-D, next to each other, seen by one camera, on one scale.

    Args:
        surfaces: 2-D slices, at least 2 x 2.
        options: ``of``, ``levels``, ``clip``, ``spectrum``, ``size`` and ``camera`` are used.
        names: of the files; unused.
        warn: called with a message where there is no OpenGL and matplotlib draws; without it that is an error.

    Raises:
        ValueError: a curve, or nothing to draw.
        GraphicsError: there is no OpenGL, and no ``warn``.
    """
    camera = parse_camera(options.camera)
    with style.applied(options.size) as size:
        scenes, shown = scenes_of(surfaces, options)
        try:
            return _rendered(surfaces, scenes, shown, camera, size=size)
        except GraphicsError as error:
            if warn is None:
                raise
            warn(f"{error}; drawn by matplotlib instead, without light")
        from surfaceviz.render.surface3d.flat import compose_flat

        scenes, shown = scenes_of(surfaces, options, coarse=True)
        return compose_flat(surfaces, scenes, shown, camera, size=size)


def _rendered(
    surfaces: Sequence[Slice], scenes: Sequence[Scene], shown: Sequence[Quantity], camera: Camera, *, size: Size
) -> Picture:
    from surfaceviz.render.surface3d.compose import Panel, compose, panel_pixels

    pixels = panel_pixels(len(surfaces), size)
    with offscreen_renderer(scenes, pixels) as render:
        images = render(camera, None)
    panels = [Panel(*three) for three in zip(surfaces, scenes, images, strict=True)]
    return compose(panels, shown, size)
