"""Points at which curvature is computed: the requested points first, then the points of the map."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from surfaceviz import store
from surfaceviz.errors import ProblemError
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import HessianTargets, checkpoint_targets, slice_targets
from surfaceviz.records import FloatArray, Slice


def targets_of(request: HessianRequest, say: Callable[[str], None], local: int) -> HessianTargets:
    """Return the targets of a request: the points of the spectra, then the points of the map row by row.

    Raises:
        SurfacevizError: the problem, weights, data or file can't be used.
    """
    if request.file is None:
        return checkpoint_targets(request, say, local)
    surface = store.read(request.file)
    places = [*points_of(request, surface), *_grid_points(axes_of(request, surface))]
    return slice_targets(request, surface, places, say, local=local)


def points_of(request: HessianRequest, surface: Slice) -> tuple[tuple[float, ...], ...]:
    """Return the points whose spectra are computed: the requested ones; by default theta.

    With a map and no points there are none, unless an option asks for something that only a spectrum has.
    """
    return request.at or (() if request.grid and not request.asks_for_spectra else ((0.0,) * surface.ndim,))


def axes_of(request: HessianRequest, surface: Slice) -> list[FloatArray]:
    """Return the coordinates of the map over the slice's range; an empty list if no map is requested.

    Raises:
        ProblemError: the map and the slice have different numbers of axes, or the slice is of rays.
    """
    if request.grid and surface.seeds:
        raise ProblemError(
            f"got a map and {len(surface.seeds)} rays; a map lies on one curve or surface. Leave out map, or take a "
            "slice of the seed of one ray"
        )
    if request.grid and len(request.grid) != surface.ndim:
        given = ":".join(map(str, request.grid))
        raise ProblemError(
            f"map {given} has {len(request.grid)} axes, but the slice has {surface.ndim}; give P:Q for two, P for one"
        )
    ends = [(float(axis[0]), float(axis[-1])) for axis in surface.axes]
    return [
        np.linspace(*end, count) if count > 1 else np.array([sum(end) / 2])
        for end, count in zip(ends, request.grid, strict=False)
    ]


def _grid_points(axes: Sequence[FloatArray]) -> list[tuple[float, ...]]:
    if not axes:
        return []
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(axes))
    return [tuple(map(float, point)) for point in points]
