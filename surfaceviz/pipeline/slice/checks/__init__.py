"""Checks of a slice: its values in float64, noise, and what looks wrong."""
