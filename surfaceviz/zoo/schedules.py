"""Schedules of the learning rate, as functions of the step alone: a resumed training needs no state of theirs."""

from __future__ import annotations

import math
from collections.abc import Callable

# One-cycle: share of the rise, and the ratios of the peak to the first rate and of the first to the last: torch's
# OneCycleLR, after arXiv 1708.07120.
_RISE, _FIRST, _LAST = 0.3, 25.0, 1e4
_DROPS, _FACTOR = (0.5, 0.75), 0.1  # arXiv 1512.03385, section 4.2: after 32k and 48k of 64k steps


def constant(_step: int, _total: int) -> float:
    """Return 1."""
    return 1.0


def steps(step: int, total: int) -> float:
    """Return the factor of the paper's steps: a tenth from half of the training, a hundredth from three quarters.

    >>> [round(steps(step, 100), 4) for step in (0, 49, 50, 75)]
    [1.0, 1.0, 0.1, 0.01]

    Source: He et al., arXiv 1512.03385, section 4.2.
    """
    return _FACTOR ** sum(step >= drop * total for drop in _DROPS)


def one_cycle(step: int, total: int) -> float:
    """Return the factor of one cycle: a cosine from 1/25 to 1 over 30% of the steps, then one down to 4e-6.

    Source: Smith & Topin, arXiv 1708.07120, as in `torch.optim.lr_scheduler.OneCycleLR`.
    """
    peak, end = _RISE * total - 1, total - 1
    if step <= peak:
        return _cosine(1 / _FIRST, 1.0, step / peak)
    return _cosine(1.0, 1 / (_FIRST * _LAST), (step - peak) / (end - peak) if end > peak else 0.0)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))


SCHEDULES: dict[str, Callable[[int, int], float]] = {"one-cycle": one_cycle, "steps": steps, "constant": constant}
