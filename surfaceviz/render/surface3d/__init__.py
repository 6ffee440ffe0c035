"""Surfaces in 3-D: pictures, movies, a window. pyvista is imported when something is rendered."""

from surfaceviz.render.surface3d.animate import animate, check_movie
from surfaceviz.render.surface3d.camera import View, parse_camera
from surfaceviz.render.surface3d.draw import draw_surfaces
from surfaceviz.render.surface3d.window import show

__all__ = ["View", "animate", "check_movie", "draw_surfaces", "parse_camera", "show"]
