"""Points at which curvature is computed: those that were asked for, then those of the map."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from surfaceviz import store
from surfaceviz.errors import ProblemError
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import HessianTargets, checkpoint_targets, slice_targets
from surfaceviz.records import FloatArray, Slice


def targets_of(request: HessianRequest, say: Callable[[str], None], local: int) -> HessianTargets:
    """Return the ground of all points that are asked for, the spectra's first, then the map's row by row.

    Raises:
        SurfacevizError: problem, weights, data or file are not as they should be.
    """
    if request.file is None:
        return checkpoint_targets(request, say, local)
    surface = store.read(request.file)
    places = [*points_of(request, surface), *_places(axes_of(request, surface))]
    return slice_targets(request, surface, places, say, local)


def points_of(request: HessianRequest, surface: Slice) -> tuple[tuple[float, ...], ...]:
    """Return the points whose spectra are asked for: those named, else theta unless a map is asked for."""
    return request.at or (() if request.grid else ((0.0,) * surface.ndim,))


def axes_of(request: HessianRequest, surface: Slice) -> list[FloatArray]:
    """Return the coordinates of the map, over the slice's range; () without one.

    Raises:
        ProblemError: as many axes as the slice has not.
    """
    if request.grid and len(request.grid) != surface.ndim:
        given = ":".join(map(str, request.grid))
        raise ProblemError(
            f"map {given} has {len(request.grid)} axes, the slice {surface.ndim}; give P:Q for two, P for one"
        )
    ends = [(float(axis[0]), float(axis[-1])) for axis in surface.axes]
    return [
        np.linspace(*end, count) if count > 1 else np.array([sum(end) / 2])
        for end, count in zip(ends, request.grid, strict=False)
    ]


def _places(axes: Sequence[FloatArray]) -> list[tuple[float, ...]]:
    if not axes:
        return []
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return [tuple(map(float, point)) for point in points]
