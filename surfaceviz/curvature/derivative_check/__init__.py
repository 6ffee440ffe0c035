"""Checks of derivatives against what they can't share an error with: differences of losses and of gradients."""

from surfaceviz.curvature.derivative_check.check import DerivativeCheck, check_derivatives

__all__ = ["DerivativeCheck", "check_derivatives"]
