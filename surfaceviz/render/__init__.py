"""Drawing, from records alone: `draw`, `draw_spectra`, `draw_courses` compose a figure, `save` writes it."""

from surfaceviz.render.figure import Picture, check_format, draw, save
from surfaceviz.render.look import Look
from surfaceviz.render.panels import draw_courses, draw_spectra
from surfaceviz.render.surface3d import View, animate, check_movie, draw_surfaces, parse_camera, show

__all__ = [
    "Look", "Picture", "View", "animate", "check_format", "check_movie", "draw", "draw_courses", "draw_spectra",
    "draw_surfaces", "parse_camera", "save", "show",
]  # fmt: skip
