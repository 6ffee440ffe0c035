"""Chunks: groups of grid points that one worker evaluates between two messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import EVALUATED, FloatArray


@dataclass(frozen=True, slots=True)
class Chunk:
    """Points that one worker evaluates at a stretch."""

    indices: tuple[int, ...]  # flat, C order
    coordinates: tuple[tuple[float, ...], ...]  # one tuple of (alpha[, beta]) for each
    whole: bool = False  # on all samples, where points are otherwise evaluated on a subset


def chunks(
    axes: Sequence[FloatArray],
    indices: NDArray[np.intp],
    origin: NDArray[np.uint8],
    size: int,
    group: int = 1,
    *,
    whole: bool = False,
) -> list[Chunk]:
    """Return the points among ``indices`` that are not evaluated yet, ``size`` to a chunk.

    Args:
        axes: coordinates.
        indices: flat, C order, what is to be done in all.
        origin: of the grid's points.
        size: points to a chunk, at most.
        group: points that are evaluated at once: counted from the first of ``indices``, so that the groups
            of a continued run are those of an undisturbed one; a group comes whole, or not at all.
        whole: as of `Chunk`.

    >>> chunks([np.array([0.0, 1.0]), np.array([5.0, 6.0])], np.arange(4), np.array([[1, 0], [0, 0]], np.uint8), 2)[0]
    Chunk(indices=(1, 2), coordinates=((0.0, 6.0), (1.0, 5.0)), whole=False)
    """
    missing = origin.reshape(-1)[indices] != EVALUATED
    if group > 1:
        starts = np.arange(0, len(indices), group)
        missing = np.repeat(np.logical_or.reduceat(missing, starts), group)[: len(indices)] if len(indices) else missing
    left = indices[missing]
    places = np.unravel_index(left, origin.shape)
    coordinates = list(zip(*(axis[i].tolist() for axis, i in zip(axes, places, strict=True)), strict=True))
    flat, size = left.tolist(), max(group, size // group * group)
    return [
        Chunk(tuple(flat[start : start + size]), tuple(coordinates[start : start + size]), whole)
        for start in range(0, len(flat), size)
    ]
