"""Draws of measures from rays: one number for each random direction."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from surfaceviz.comparison.measures import RADII, RISE
from surfaceviz.records import FloatArray

_SAME = 1e-9  # of the range: coordinates within it are equal


def draws_of_rays(alpha: FloatArray, losses: FloatArray, centre: float) -> Mapping[str, FloatArray]:
    """Return the rise at each of `RADII` and the width, as a draw for each direction.

    The rise at radius r is the mean of L(theta + r d) and L(theta - r d), minus L(theta). The width is the distance at
    which the rise first reaches `RISE`, linear between points: the geometric mean of both sides, infinite if a side
    does not reach it.

    Args:
        alpha: coordinates, rising, (n,).
        losses: along each direction, (K, n).
        centre: the loss at theta.
    """
    found = {f"rise_{r:g}": _rise_at(alpha, losses - centre, r) for r in RADII if _index(alpha, r) is not None}
    sides = [_first_reached(alpha[alpha >= 0], (losses - centre)[:, alpha >= 0])]
    sides.append(_first_reached(-alpha[alpha <= 0][::-1], (losses - centre)[:, alpha <= 0][:, ::-1]))
    return {**found, "width": np.sqrt(sides[0] * sides[1])}


def common_reach(alpha: FloatArray, losses: FloatArray, level: float) -> float:
    """Return the distance at which the median over directions reaches a level, on either side; the longest if none.

    >>> common_reach(np.array([-1.0, 0.0, 1.0, 2.0]), np.array([[1.0, 0.0, 1.0, 4.0]]), 2.0)
    2.0
    """
    above = np.median(np.where(np.isfinite(losses), losses, np.inf), axis=0) >= level
    reached = np.abs(alpha[above])
    return float(reached.min()) if len(reached) else float(np.abs(alpha).max())


def _index(alpha: FloatArray, radius: float) -> tuple[int, int] | None:
    """Return the places of -radius and radius; None if either is not on the grid."""
    places = [int(np.argmin(np.abs(alpha - x))) for x in (-radius, radius)]
    near = _SAME * (alpha[-1] - alpha[0])
    exact = all(abs(alpha[i] - x) <= near for i, x in zip(places, (-radius, radius), strict=True))
    return (places[0], places[1]) if exact else None


def _rise_at(alpha: FloatArray, rises: FloatArray, radius: float) -> FloatArray:
    places = _index(alpha, radius)
    assert places is not None
    return (rises[:, places[0]] + rises[:, places[1]]) / 2


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
