"""Positions of the labels of contour lines: on flat ground, away from the rim and from each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from surfaceviz.records import FloatArray

_RIM, _APART = 0.07, 0.13  # of an axis: from the rim, and from another label; a label is about as wide at 3 in
_SPACING = 0.022  # of an axis: the least distance of lines where a label stands
_ROOMY = 0.3  # of an axis; shorter lines are read off the colour bar


def label_positions(
    paths: Sequence[FloatArray], axes: Sequence[FloatArray], z: FloatArray, step: float
) -> list[tuple[float, float] | None]:
    """Return a place for the label of each line, None where it has no room.

    A label stands at the vertex where the surface is flattest, and so the lines are furthest apart. Vertices near the
    rim or near an earlier label are left out; so are those where lines are too close together.

    Args:
        paths: vertices of each level's lines, (n, 2), in the order in which labels are wanted most.
        axes: (n,), (m,).
        z: the values that the lines are levels of, (n, m).
        step: from a level to the next.
    """
    extent = np.array([float(np.ptp(axis)) for axis in axes])
    low = np.array([float(axis[0]) for axis in axes])
    steepness = np.hypot(*(np.gradient(z, axis, axis=k) * extent[k] for k, axis in enumerate(axes)))
    taken: list[FloatArray] = []
    places: list[tuple[float, float] | None] = []
    for path in paths:
        place = _place(path, (path - low) / extent, step / np.maximum(_at(steepness, axes, path), 1e-300), taken)
        places.append(place)
        if place is not None:
            taken.append((np.array(place) - low) / extent)
    return places


def _place(
    path: FloatArray, share: FloatArray, spacing: FloatArray, taken: Sequence[FloatArray]
) -> tuple[float, float] | None:
    if not len(path) or np.ptp(share, axis=0).max() < _ROOMY:
        return None
    free = np.all((share > _RIM) & (share < 1 - _RIM), axis=1) & (spacing > _SPACING)
    for other in taken:
        free &= np.linalg.norm(share - other, axis=1) > _APART
    if not free.any():
        return None
    k = int(np.argmax(np.where(free, spacing, -1)))
    return float(path[k, 0]), float(path[k, 1])


def _at(values: FloatArray, axes: Sequence[FloatArray], points: FloatArray) -> FloatArray:
    """Return values (n, m) at the grid's points nearest to ``points`` (k, 2)."""
    cells = [
        np.clip(np.round(np.interp(points[:, k], axis, np.arange(len(axis)))).astype(int), 0, len(axis) - 1)
        for k, axis in enumerate(axes)
    ]
    return np.asarray(values[tuple(cells)])
