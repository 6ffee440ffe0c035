"""Acquisition: the choice of the points to evaluate next."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from scipy.special import ndtr

from surfaceviz.records import FloatArray
from surfaceviz.refine.error_metrics import ErrorMetric
from surfaceviz.refine.interpolant import IntArray

# Ours, tuned on surfaces of two ResNet-20 and a dozen of an MLP (ranges 0.1 to 3, tolerances 0.02 and 0.05).
_START = {1: 9, 2: 5}  # points along each axis; 4 and 5 come out alike, 7 and 9 cost 5-20% more
_GROWTH = 0.07  # of the points evaluated, in a round; twice that costs at most 2% more points
_LATER, _GROWTH_LATER = 800, 0.15  # where so many are evaluated, rounds grow, as they take longer to plan
_FEWEST = 8  # points in a round, so that as many workers have one each; 5 to 8 take as many in all, 12 take 5% more
# A new point lowers the scores of others up to this many times their own distance to the nearest known point; 1 to 3
# give the same.
_REACH = 2.0
# Ours: above sqrt(2), so that all 8 neighbours of a diverged point are evaluated.
_NEAR_DIVERGED = 1.5
_TINY = 1e-100  # keeps quotients finite


def coarse_lattice(axes: Sequence[FloatArray]) -> IntArray:
    """Return the first points, flat and sorted: a coarse lattice with the corners, and the point nearest to 0.

    >>> coarse_lattice([np.linspace(-1, 1, 4), np.linspace(-1, 1, 101)]).size
    20
    """
    shape = [len(axis) for axis in axes]
    along = [np.linspace(0, n - 1, min(n, _START[len(shape)])).round().astype(np.intp) for n in shape]
    lattice = np.ravel_multi_index(np.meshgrid(*along, indexing="ij"), shape).ravel()
    middle = np.ravel_multi_index([int(np.argmin(np.abs(axis))) for axis in axes], shape)
    return np.union1d(lattice, [middle])


def round_size(evaluated: int) -> int:
    """Return how many points the next round takes."""
    return max(_FEWEST, int(evaluated * (_GROWTH if evaluated < _LATER else _GROWTH_LATER)))


def scores(
    metric: ErrorMetric, guess: FloatArray, spread: FloatArray, tolerance: float
) -> tuple[FloatArray, FloatArray]:
    """Return the acquisition score of each point (Q,), and the probability that its error is over the tolerance (Q,).

    The score is the standard error divided by the deviation that the tolerance allows, both in the metric's transformed
    variable. The probability assumes normal errors. Ours.

    Args:
        metric: the error metric of a quantity.
        guess: its interpolated values, (Q,).
        spread: their standard errors, (Q,).
        tolerance: the largest error allowed.
    """
    below, above = metric.allowance(guess, tolerance)
    sigma = np.maximum(spread, _TINY)
    score = sigma / np.maximum(np.minimum(below, above), _TINY)
    return score, ndtr(-below / sigma) + ndtr(-above / sigma)


def nearest(points: FloatArray, rest: IntArray, known: IntArray) -> FloatArray:
    """Return the distance of each of ``rest`` (Q,) to the nearest of ``known`` (n,), both indices of ``points``."""
    return np.asarray(cKDTree(points[known]).query(points[rest])[0])


def select_batch(points: FloatArray, score: FloatArray, distance: FloatArray, count: int) -> IntArray:
    """Return which ``count`` of the ``points`` (Q, ndim) to evaluate together, the highest score first.

    A chosen point lowers the scores around it. The standard error of a cubic spline grows with the 3/2 power of the
    ``distance`` (Q,) to the nearest known point, so the score is multiplied by
    (|x - chosen| / (2 distance))^(3/2) where that is below 1. Ours; the exact covariance of the errors chooses no
    better.
    """
    # Rounded, so that the last bit of a sum doesn't decide between mirrored points.
    score = _rounded(score)
    share = np.ones(len(points))
    chosen = []
    for _ in range(min(count, len(points))):
        best = int(np.argmax(score * share))
        chosen.append(best)
        away = np.sqrt(((points - points[best]) ** 2).sum(axis=1))
        share = np.minimum(share, (away / (_REACH * distance)) ** 1.5)
        share[chosen] = -1.0
    return np.array(chosen, np.intp)


def near_diverged(
    axes: Sequence[FloatArray], rest: IntArray, known: IntArray, diverged: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """Return which of ``rest`` (Q,) lie too near to a diverged point (n,) of ``known`` (n,) to be interpolated.

    Their distance to it, in steps, is less than 1.5 times that to the nearest finite point. So every diverged region
    that is found is evaluated completely, with a rim, and the points become sparser with the distance to it. Ours.
    """
    if not diverged.any() or diverged.all():
        return np.full(len(rest), bool(diverged.any()))
    # in steps, so that a finite neighbour doesn't hide a diverged one beyond a wider step of the other axis
    steps = np.argwhere(np.ones([len(axis) for axis in axes], bool)).astype(np.float64)
    to_diverged, to_finite = (nearest(steps, rest, known[those]) for those in (diverged, ~diverged))
    return to_diverged < _NEAR_DIVERGED * to_finite


def _rounded(x: FloatArray) -> FloatArray:
    """Return x to about 6 significant digits."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa, 6), exponent)
