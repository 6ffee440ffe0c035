"""Triangles over a grid, and the closed body beneath them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray
from surfaceviz.render.export.height_field import HeightField

Indices = NDArray[np.int64]
KindT = TypeVar("KindT", np.int64, np.bool_)


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles in space, counter-clockwise where they are seen from above or outside."""

    points: FloatArray  # (n, 3), z up
    triangles: Indices  # (m, 3)
    colours: FloatArray  # (n, 3), sRGB from 0 to 1

    def scaled(self, factor: float) -> Mesh:
        """Return the mesh in other units."""
        return Mesh(self.points * factor, self.triangles, self.colours)


def grid_triangles(shown: NDArray[np.bool_]) -> Indices:
    """Return two triangles for each cell of a grid, or one where one of its corners is missing.

    Args:
        shown: whether a point is there, (n_alpha, n_beta).

    Returns:
        Numbers of points, counted with alpha the fastest, (m, 3); none for a single row.
    """
    numbers = np.arange(shown.size).reshape(shown.shape, order="F")
    a, b, c, d = (each.ravel() for each in _corners(numbers))
    at_a, at_b, at_c, at_d = (each.ravel() for each in _corners(shown))
    kinds = (
        (a, b, c, at_a & at_b & at_c),
        (a, c, d, at_a & at_c & at_d),
        (b, c, d, at_b & at_c & at_d & ~at_a),
        (a, b, d, at_a & at_b & at_d & ~at_c),
    )
    return np.concatenate([np.stack([i[where], j[where], k[where]], axis=1) for i, j, k, where in kinds])


def _corners(grid: NDArray[KindT]) -> tuple[NDArray[KindT], ...]:
    """Return the corners of all cells, counter-clockwise from above."""
    return grid[:-1, :-1], grid[1:, :-1], grid[1:, 1:], grid[:-1, 1:]


def surface_mesh(shape: HeightField) -> Mesh:
    """Return the triangles of a surface, centred at 0; only shown points are used.

    Raises:
        ValueError: no three neighbours have values.
    """
    triangles = grid_triangles(shape.shown)
    if not len(triangles):
        raise ValueError("no three neighbouring points have finite values: there is no surface; export vts or a table")
    flat = [np.ravel(each, order="F") for each in (shape.x, shape.y, shape.z)]
    middle = [(float(np.min(each)) + float(np.max(each))) / 2 for each in flat[:2]]
    points = np.stack([flat[0] - middle[0], flat[1] - middle[1], flat[2]], axis=1)
    colours = np.stack([np.ravel(shape.colours[..., k], order="F") for k in range(3)], axis=1)
    return _compact(points, triangles, colours)


def _compact(points: FloatArray, triangles: Indices, colours: FloatArray) -> Mesh:
    used, numbers = np.unique(triangles, return_inverse=True)
    return Mesh(points[used], numbers.reshape(triangles.shape), colours[used])


def solid(mesh: Mesh, base: float) -> Mesh:
    """Return the closed body from a flat bottom at 0 to a surface, lifted by ``base``; its faces look outwards.

    Holes go through. Where two parts of the surface touch in only one point, the triangles around it are left out: no
    body is closed there.

    Raises:
        ValueError: nothing is left.
    """
    triangles = _unpinched(mesh.triangles)
    if not len(triangles):
        raise ValueError("too few neighbouring points have finite values for a body; export gltf or vts")
    count = len(mesh.points)
    top = mesh.points + np.array([0.0, 0.0, base])
    bottom = mesh.points * np.array([1.0, 1.0, 0.0])
    u, v = _rim(triangles).T
    faces = [
        triangles,
        triangles[:, ::-1] + count,
        np.stack([v, u, u + count], axis=1),
        np.stack([v, u + count, v + count], axis=1),
    ]
    return _compact(np.concatenate([top, bottom]), np.concatenate(faces), np.tile(mesh.colours, (2, 1)))


def _rim(triangles: Indices) -> Indices:
    """Return the edges of only one triangle, oriented as in it, (k, 2)."""
    edges = np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]])
    count = int(triangles.max()) + 1
    there, back = edges[:, 0] * count + edges[:, 1], edges[:, 1] * count + edges[:, 0]
    return edges[~np.isin(there, back)]


def _unpinched(triangles: Indices) -> Indices:
    """Return triangles without those around points at which the rim passes twice."""
    while len(triangles):
        pinched = np.flatnonzero(np.bincount(_rim(triangles)[:, 0]) > 1)
        if not len(pinched):
            break
        triangles = triangles[~np.isin(triangles, pinched).any(axis=1)]
    return triangles
