"""The width along rays, one number for each random direction, and the range that rays show."""

from __future__ import annotations

import math

import numpy as np

from surfaceviz.comparison.measures import RISE
from surfaceviz.records import FloatArray


def widths(alpha: FloatArray, losses: FloatArray, centre: float) -> FloatArray:
    """Return the distance at which the rise along each direction first reaches `RISE`, linear between points, (K,).

    It is the geometric mean of both sides, infinite if a side does not reach it.

    Args:
        alpha: coordinates, rising, (n,).
        losses: along each direction, (K, n).
        centre: the loss at theta.
    """
    right, left = _sides(alpha, losses - centre)
    return np.sqrt(right * left)


def widest(alpha: FloatArray, losses: FloatArray, centre: float) -> float:
    """Return the longest distance, over directions and both sides, at which the rise first reaches `RISE`.

    >>> widest(np.array([-1.0, 0.0, 1.0]), np.array([[0.2, 0.0, 0.4]]), 0.0)
    0.5
    """
    return float(max(side.max() for side in _sides(alpha, losses - centre)))


def _sides(alpha: FloatArray, rises: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return for each direction the distance at which the rise first reaches `RISE`, (K,), to the right and left."""
    right, left = alpha >= 0, alpha <= 0
    return _first_reached(alpha[right], rises[:, right]), _first_reached(-alpha[left][::-1], rises[:, left][:, ::-1])


def common_reach(alpha: FloatArray, losses: FloatArray, level: float) -> float:
    """Return the distance at which the median over directions reaches a level, on either side; the longest if none.

    >>> common_reach(np.array([-1.0, 0.0, 1.0, 2.0]), np.array([[1.0, 0.0, 1.0, 4.0]]), 2.0)
    2.0
    """
    above = np.median(np.where(np.isfinite(losses), losses, np.inf), axis=0) >= level
    reached = np.abs(alpha[above])
    return float(reached.min()) if len(reached) else float(np.abs(alpha).max())


def _first_reached(distance: FloatArray, rises: FloatArray) -> FloatArray:
    """Return for each direction the distance at which the rise first reaches `RISE`, (K,)."""
    return np.array([_crossing(distance, each) for each in rises])


def _crossing(distance: FloatArray, rise: FloatArray) -> float:
    beyond = np.flatnonzero(~(rise < RISE))
    if not len(beyond):
        return math.inf
    k = int(beyond[0])
    if k == 0 or not math.isfinite(rise[k]):
        return float(distance[max(k, 0)])
    share = (RISE - rise[k - 1]) / (rise[k] - rise[k - 1])
    return float(distance[k - 1] + share * (distance[k] - distance[k - 1]))
