"""Stability of optimisers: thresholds of curvature, preconditioners, batch sharpness, critical sharpness."""
