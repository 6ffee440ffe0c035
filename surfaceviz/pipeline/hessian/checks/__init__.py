"""Checks of a point before and beside its curvature."""
