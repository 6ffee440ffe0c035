"""Curves: 1-D slices, and curvature along a training."""
