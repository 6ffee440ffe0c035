"""The share of a plane on which the surface is not convex, from second differences."""

from __future__ import annotations

import math

import numpy as np

from surfaceviz.records import FloatArray

_ROUNDING = 1e-7  # of the largest loss around: second differences below it are rounding in float32; ours


def share_not_convex(alpha: FloatArray, beta: FloatArray, losses: FloatArray) -> float:
    """Return the share of the inner points at which the smaller eigenvalue of the second differences is negative.

    The 2 x 2 matrix has the central second differences along both axes, and the mixed one over the four diagonal
    neighbours. A point counts where all nine losses are finite; below zero means by more than rounding in float32.

    Args:
        alpha: equally spaced coordinates, (n,).
        beta: equally spaced coordinates, (m,).
        losses: shape (n, m).

    Returns:
        the share; NaN if no point has nine finite losses.

    >>> x = np.linspace(-1, 1, 5)
    >>> share_not_convex(x, x, x[:, None] ** 2 - x[None, :] ** 2), share_not_convex(x, x, x[:, None] ** 2 + x**2)
    (1.0, 0.0)
    """
    if min(losses.shape) < 3:  # noqa: PLR2004  a second difference takes three points
        return math.nan
    h, k = float(alpha[1] - alpha[0]), float(beta[1] - beta[0])
    with np.errstate(invalid="ignore", over="ignore"):
        centre = losses[1:-1, 1:-1]
        a = (losses[2:, 1:-1] - 2 * centre + losses[:-2, 1:-1]) / h**2
        c = (losses[1:-1, 2:] - 2 * centre + losses[1:-1, :-2]) / k**2
        b = (losses[2:, 2:] - losses[2:, :-2] - losses[:-2, 2:] + losses[:-2, :-2]) / (4 * h * k)
        smallest = (a + c) / 2 - np.hypot((a - c) / 2, b)
        largest = np.max(np.abs(_neighbours(losses)), axis=0)
    known = np.isfinite(smallest) & np.isfinite(largest)
    if not known.any():
        return math.nan
    rounding = 4 * _ROUNDING * largest / min(h, k) ** 2
    return float(np.mean(smallest[known] < -rounding[known]))


def _neighbours(losses: FloatArray) -> FloatArray:
    """Return the nine losses around each inner point, (9, n - 2, m - 2)."""
    n, m = losses.shape
    return np.stack([losses[i : n - 2 + i, j : m - 2 + j] for i in range(3) for j in range(3)])
