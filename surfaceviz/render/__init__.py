"""Drawing, from records alone: `draw`, `draw_spectra`, `draw_courses` compose a figure, `save` writes it."""

from surfaceviz.render.figure import Picture, check_format, draw, save
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.spectra.spectrum_panels import draw_courses, draw_spectra
from surfaceviz.render.surface3d import View, animate, check_movie, draw_surfaces, parse_camera, show

__all__ = [
    "Picture",
    "PlotOptions",
    "View",
    "animate",
    "check_format",
    "check_movie",
    "draw",
    "draw_courses",
    "draw_spectra",
    "draw_surfaces",
    "parse_camera",
    "save",
    "show",
]  # fmt: skip
