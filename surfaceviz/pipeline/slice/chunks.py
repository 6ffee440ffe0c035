"""Chunks: groups of grid points that one worker evaluates between two messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import EVALUATED, FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Points that one worker evaluates between two messages."""

    indices: tuple[int, ...]  # flat, C order
    coordinates: tuple[tuple[float, ...], ...]  # one tuple of (alpha[, beta]) for each
    ray: int = 0  # number of the ray that all of them lie on
    whole: bool = False  # whether on all samples although the plan has a subset


def chunks(
    axes: Sequence[FloatArray],
    indices: NDArray[np.intp],
    origin: NDArray[np.uint8],
    size: int,
    *,
    group: int = 1,
    whole: bool = False,
) -> list[Chunk]:
    """Return the points among ``indices`` that are not evaluated yet, in chunks of ``size``.

    Args:
        axes: coordinates.
        indices: flat, C order; all points of the schedule's round.
        origin: origin of each grid point, (n_alpha[, n_beta]), or (K, n_alpha) of rays; see `Slice`.
        size: largest number of points in a chunk.
        group: points that are evaluated at once. Groups are counted from the first of ``indices``, so that a resumed
            run has the groups of an uninterrupted one. A group is evaluated as a whole.
        whole: see `Chunk`.

    >>> chunks([np.array([0.0, 1.0]), np.array([5.0, 6.0])], np.arange(4), np.array([[1, 0], [0, 0]], np.uint8), 2)[0]
    Chunk(indices=(1, 2), coordinates=((0.0, 6.0), (1.0, 5.0)), ray=0, whole=False)
    """
    if origin.ndim > len(axes):
        return _of_rays(axes, indices, origin, size, group=group, whole=whole)
    missing = origin.reshape(-1)[indices] != EVALUATED
    if group > 1:
        starts = np.arange(0, len(indices), group)
        missing = np.repeat(np.logical_or.reduceat(missing, starts), group)[: len(indices)] if len(indices) else missing
    left = indices[missing]
    places = np.unravel_index(left, origin.shape)
    coordinates = list(zip(*(axis[i].tolist() for axis, i in zip(axes, places, strict=True)), strict=True))
    flat, size = left.tolist(), max(group, size // group * group)
    return [
        Chunk(
            indices=tuple(flat[start : start + size]), coordinates=tuple(coordinates[start : start + size]), whole=whole
        )
        for start in range(0, len(flat), size)
    ]


def _of_rays(
    axes: Sequence[FloatArray],
    indices: NDArray[np.intp],
    origin: NDArray[np.uint8],
    size: int,
    *,
    group: int,
    whole: bool,
) -> list[Chunk]:
    """Return chunks of each ray, one ray after another: those that it would have as a curve of its own."""
    found: list[Chunk] = []
    columns = origin.shape[1]
    ends = np.flatnonzero(np.diff(indices // columns)) + 1
    for of_ray in np.split(indices, ends) if len(indices) else []:
        ray = int(of_ray[0]) // columns
        start = ray * columns
        made = chunks(axes, of_ray - start, origin[ray], size, group=group, whole=whole)
        found += [replace(chunk, indices=tuple(start + i for i in chunk.indices), ray=ray) for chunk in made]
    return found
