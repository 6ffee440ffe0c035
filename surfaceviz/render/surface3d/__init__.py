"""Surfaces in 3-D: pictures, movies, a window. pyvista is imported when something is rendered."""
