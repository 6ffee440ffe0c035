"""A window in which surfaces turn, where there is a screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from surfaceviz.errors import GraphicsError
from surfaceviz.records import Slice
from surfaceviz.render import style
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.surface3d.camera import Camera, parse_camera
from surfaceviz.render.surface3d.draw import scenes_of
from surfaceviz.render.surface3d.quiet import quiet
from surfaceviz.render.surface3d.scene import Scene

_LINE = 2.0  # pixels


def show(surfaces: Sequence[Slice], options: PlotOptions) -> None:
    """Open a window of surfaces side by side with linked cameras, and return when it is closed.

    Args:
        surfaces: 2-D slices.
        options: ``of``, ``levels``, ``clip`` and ``camera`` are used.

    Raises:
        ValueError: a curve, or nothing to draw.
        GraphicsError: there is no screen, or no OpenGL.
    """
    camera = parse_camera(options.camera)
    with style.applied(options.size):
        scenes, _ = scenes_of(surfaces, options)
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise GraphicsError(
                "no screen to open a window on (DISPLAY is not set); `surfaceviz report` writes a page that turns in a "
                "browser, `surfaceviz plot --kind surface` a picture"
            )
        with quiet():
            from surfaceviz.render.surface3d.opengl import check_opengl

            check_opengl()
            build(surfaces, scenes, camera).show()


def build(surfaces: Sequence[Slice], scenes: Sequence[Scene], camera: Camera, **window: Any) -> Any:
    """Return the plotter of the window before it is shown; ``window`` are pyvista's options."""
    import pyvista as pv

    from surfaceviz.render.surface3d.renderer import add_path, add_scene, box_edges, set_camera

    plotter = pv.Plotter(shape=(1, len(scenes)), border=False, title="surfaceviz", lighting="none", **window)
    for k, (surface, scene) in enumerate(zip(surfaces, scenes, strict=True)):
        plotter.subplot(0, k)
        add_scene(plotter, scene, _LINE)
        add_path(plotter, scene, None, _LINE)
        for line in box_edges(scene.half, camera):
            plotter.add_mesh(line, color="#aaaaaa", lighting=False)
        plotter.add_text(surface.title, font_size=10, color="black")
        set_camera(plotter, scene, camera, 1.0)
    plotter.link_views()
    return plotter
