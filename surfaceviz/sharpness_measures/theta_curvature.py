"""Curvature of the loss along the weights themselves, which no rescaling of the network changes."""

from __future__ import annotations

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.sharpness_measures.measurements import Measurement


def theta_curvature(objective: Objective, theta: Theta) -> Measurement:
    """Return theta' H theta, the second derivative of L((1 + t) theta) at t = 0.

    A rescaling theta -> C theta with a diagonal C that keeps the function turns H into C^-1 H C^-1, so the value stays
    the same, unless some of the parameters are frozen. Costs one product with the Hessian.

    Source: the squared Fisher-Rao norm theta' F theta of Liang et al., arXiv 1711.01530, definition 2, with the Hessian
    H in place of the Fisher matrix F; both agree for a likelihood that fits the data. The replacement is ours.
    """
    operator, flat = objective.operator(theta), objective.layout.of(theta).cpu()
    operator.set_point(0)
    return Measurement(value=float(flat @ operator(flat[None])[0]))
