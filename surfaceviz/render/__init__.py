"""Drawing, from records alone: `draw` composes a figure, `save` writes it."""

from surfaceviz.render.figure import check_format, draw, save

__all__ = ["check_format", "draw", "save"]
