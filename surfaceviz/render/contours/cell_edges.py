"""Cells around the points of a grid."""

from __future__ import annotations

import numpy as np

from surfaceviz.records import FloatArray


def edges(axis: FloatArray, lone: tuple[float, float] | None = None) -> FloatArray:
    """Return the bounds of the cells around an axis's points, half way between them, (n + 1,).

    >>> edges(np.array([0.0, 1.0, 3.0])).tolist()
    [-0.5, 0.5, 2.0, 4.0]

    Args:
        axis: rising, (n,).
        lone: the bounds of a single point's cell, half a unit to either side without.
    """
    if len(axis) == 1:
        return np.array([axis[0] - 0.5, axis[0] + 0.5] if lone is None else lone)
    between = (axis[1:] + axis[:-1]) / 2
    return np.concatenate([[2 * axis[0] - between[0]], between, [2 * axis[-1] - between[-1]]])


def stepped(axis: FloatArray, z: FloatArray, k: int) -> tuple[FloatArray, FloatArray]:
    """Return an axis's cells as pairs of bounds, (2n,), and z with each entry along axis ``k`` twice."""
    bounds = edges(axis)
    return np.repeat(bounds, 2)[1:-1], np.repeat(z, 2, axis=k)
