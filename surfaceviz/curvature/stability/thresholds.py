"""Thresholds of the largest eigenvalue above which optimisers diverge on a quadratic, their state frozen."""

from __future__ import annotations

import math


def gradient_descent(eta: float) -> float:
    """Return 2 / eta; infinite for eta = 0.

    Source: Cohen et al., arXiv 2103.00065.
    """
    return 2 / eta if eta > 0 else math.inf


def heavy_ball(eta: float, beta: float, dampening: float = 0.0) -> float:
    """Return (2 + 2 beta) / ((1 - tau) eta), for v <- beta v + (1 - tau) g and theta <- theta - eta v.

    Args:
        eta: the learning rate.
        beta: the momentum.
        dampening: tau.

    Source: Cohen et al., arXiv 2103.00065, for tau = 0; dampening scales the step.
    """
    return (1 + beta) * gradient_descent((1 - dampening) * eta)


def nesterov(eta: float, beta: float) -> float:
    """Return (2 + 2 beta) / (eta (1 + 2 beta)), for Nesterov's momentum as torch has it.

    Source: Cohen et al., arXiv 2103.00065.
    """
    return (1 + beta) * gradient_descent(eta) / (1 + 2 * beta)


def averaged(eta: float, beta: float) -> float:
    """Return (2 + 2 beta) / ((1 - beta) eta), for m <- beta m + (1 - beta) g and theta <- theta - eta m.

    Decoupled weight decay lambda lowers it by the share eta lambda / 2, which is left out.

    Source: Cohen et al., arXiv 2207.14484: 38 / eta for beta = 0.9.
    """
    return heavy_ball(eta, beta, dampening=beta)
