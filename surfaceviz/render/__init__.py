"""Drawing, from records alone: `draw` composes a figure, `save` writes it."""

from surfaceviz.render.figure import Picture, check_format, draw, save

__all__ = ["Picture", "check_format", "draw", "save"]
