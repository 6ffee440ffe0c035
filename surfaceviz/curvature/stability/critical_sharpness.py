"""Critical sharpness: the curvature along the optimiser's next step, from values of the loss alone."""

from __future__ import annotations

import math
from collections.abc import Callable

_MOST = 40  # doublings or halvings; ours
_RTOL = 1e-3  # of the critical step; ours


def critical_sharpness(loss: Callable[[float], float], eta: float, *, rtol: float = _RTOL) -> float:
    """Return 2 / eta_c, eta_c the step at which the loss along a direction comes out above where it began.

    The step is doubled from ``eta`` while the loss is not above ``loss(0)``, or halved while it is, and then bisected.
    The result is infinite where the loss rises at once, and 0 where no step brings it above.

    Args:
        loss: the loss at theta - s u, from s; what is not finite counts as above.
        eta: the first step to try, above 0.
        rtol: relative accuracy of eta_c.

    Source: arXiv 2601.16979.

    >>> round(critical_sharpness(lambda s: (1 - 4.0 * s) ** 2, 0.1), 2)
    4.0
    """
    start = loss(0.0)

    def is_above(step: float) -> bool:
        return not loss(step) <= start

    low, high = _bracket(is_above, eta)
    if not low or math.isinf(high):
        return 0.0 if low else math.inf
    while high - low > rtol * low:
        middle = (low + high) / 2
        low, high = (low, middle) if is_above(middle) else (middle, high)
    return 4 / (low + high)


def _bracket(is_above: Callable[[float], bool], eta: float) -> tuple[float, float]:
    """Return steps of which the second is twice the first, and only the second is above; else (0, .) or (., inf)."""
    step = eta
    if is_above(step):
        for _ in range(_MOST):
            step /= 2
            if not is_above(step):
                return step, 2 * step
        return 0.0, step
    for _ in range(_MOST):
        if is_above(2 * step):
            return step, 2 * step
        step *= 2
    return step, math.inf
