"""A window to turn surfaces in, where there is a screen."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

from surfaceviz.errors import GraphicsError
from surfaceviz.records import Slice
from surfaceviz.render import style
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.surface3d.camera import View
from surfaceviz.render.surface3d.draw import scenes_of
from surfaceviz.render.surface3d.quiet import quiet
from surfaceviz.render.surface3d.scene import Scene

_LINE = 2.0  # pixels


def show(surfaces: Sequence[Slice], look: PlotOptions, view: View) -> None:
    """Open a window of surfaces side by side with linked cameras, and return when it is closed.

    Args:
        surfaces: 2-D slices.
        look: of, levels and clip count.
        view: to begin with.

    Raises:
        ValueError: a curve, or nothing to draw.
        GraphicsError: there is no screen, or no OpenGL.
    """
    with style.applied(look.size):
        scenes, _ = scenes_of(surfaces, look)
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise GraphicsError(
                "no screen to open a window on (DISPLAY is not set); `surfaceviz report` writes a page that turns in a "
                "browser, `surfaceviz plot --kind surface` a picture"
            )
        with quiet():
            from surfaceviz.render.surface3d.opengl import check_opengl

            check_opengl()
            build(surfaces, scenes, view).show()


def build(surfaces: Sequence[Slice], scenes: Sequence[Scene], view: View, **window: Any) -> Any:
    """Return the window's plotter, not shown yet; ``window`` are pyvista's own options."""
    import pyvista as pv

    from surfaceviz.render.surface3d.stage import aim, draw_path, furnish, walls

    plotter = pv.Plotter(shape=(1, len(scenes)), border=False, title="surfaceviz", lighting="none", **window)
    for k, (surface, scene) in enumerate(zip(surfaces, scenes, strict=True)):
        plotter.subplot(0, k)
        furnish(plotter, scene, _LINE)
        draw_path(plotter, scene, None, _LINE)
        for line in walls(scene.half, view):
            plotter.add_mesh(line, color="#aaaaaa", lighting=False)
        plotter.add_text(surface.title, font_size=10, color="black")
        aim(plotter, scene, view, 1.0)
    plotter.link_views()
    return plotter
