"""Drawing, from records alone: `draw`, `draw_spectra`, `draw_courses` compose a figure, `save` writes it."""

from surfaceviz.render.figure import Picture, check_format, draw, save
from surfaceviz.render.panels import draw_courses, draw_spectra

__all__ = ["Picture", "check_format", "draw", "draw_courses", "draw_spectra", "save"]
