"""Drawing, from records alone.

Names are imported at first use, so that reading options and kinds needs no matplotlib.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from surfaceviz.render.curves.edge_figure import draw_edges
    from surfaceviz.render.curves.training_figure import draw_training_curvature
    from surfaceviz.render.figure import draw
    from surfaceviz.render.figure_io import Picture, check_format, save
    from surfaceviz.render.movie import animate, check_movie
    from surfaceviz.render.plot_options import PlotOptions
    from surfaceviz.render.spectra.spectrum_panels import draw_spectra
    from surfaceviz.render.study_figure import draw_study
    from surfaceviz.render.surface3d.camera import Camera, parse_camera
    from surfaceviz.render.surface3d.draw import draw_surfaces
    from surfaceviz.render.surface3d.window import show

__all__ = [
    "Camera", "Picture", "PlotOptions", "animate", "check_format", "check_movie", "draw", "draw_edges", "draw_spectra",
    "draw_study", "draw_surfaces", "draw_training_curvature", "parse_camera", "save", "show",
]  # fmt: skip

_HOMES = {
    "Camera": "surface3d.camera",
    "Picture": "figure_io",
    "PlotOptions": "plot_options",
    "animate": "movie",
    "check_format": "figure_io",
    "check_movie": "movie",
    "draw": "figure",
    "draw_edges": "curves.edge_figure",
    "draw_spectra": "spectra.spectrum_panels",
    "draw_study": "study_figure",
    "draw_surfaces": "surface3d.draw",
    "draw_training_curvature": "curves.training_figure",
    "parse_camera": "surface3d.camera",
    "save": "figure_io",
    "show": "surface3d.window",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'surfaceviz.render' has no attribute {name!r}")
    return getattr(importlib.import_module(f"surfaceviz.render.{_HOMES[name]}"), name)
