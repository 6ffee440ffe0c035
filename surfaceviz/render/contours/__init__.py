"""Surfaces seen from above: contours, filled levels, Hessian maps under them."""
