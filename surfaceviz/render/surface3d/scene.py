"""The scene of a 3-D picture: triangles, lines and points in a box, from a slice, without graphics."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from scipy.interpolate import RegularGridInterpolator

from surfaceviz.records import FloatArray, Slice, Spectrum
from surfaceviz.render.annotate import point_numbers, spectra_on_slice
from surfaceviz.render.contours.levels import Levels
from surfaceviz.render.contours.smooth import refine_grid
from surfaceviz.render.labels import has_equal_units, plain
from surfaceviz.render.quantity import Quantity
from surfaceviz.render.spectra.spectrum_axes import format_number

HEIGHT = 1.0  # of the surfaces; the longer axis of the floor is 2 long
BETWEEN = 16  # steps of a track from one iterate to the next
_FEW = 81  # points of an axis of a coarse scene, at most
FLOOR = -0.45  # where the contours are projected to


@dataclass(frozen=True, slots=True)
class MarkedPoint:
    """A marked point: its place, its text, and the number of its spectrum if it has one."""

    place: FloatArray  # (3,)
    text: str
    number: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A slice in the box.

    Attributes:
        vertices: (V, 3).
        triangles: indices of vertices, (T, 3), counter-clockwise from above.
        scalars: what colours run over at the vertices, as `Levels.transform` has it, (V,).
        half: half the lengths of the floor along alpha and beta.
        ranges: the ends of alpha, and of beta.
        levels: of lines and colours.
        theta: the centre on the surface, (3,); None where its height is not known.
        points: marked models and points with a spectrum.
        path: of a training, on the surface, (t, 3); NaN outside.
        track: the same with `BETWEEN` - 1 points between two iterates, so that lines follow the surface.
        distance: of its iterates, (t,).
        colours: of the distances, shared by all scenes of a picture; None where none is known.
    """

    vertices: FloatArray
    triangles: NDArray[np.int64]
    scalars: FloatArray
    half: tuple[float, float]
    ranges: tuple[tuple[float, float], tuple[float, float]]
    levels: Levels
    theta: FloatArray | None
    points: tuple[MarkedPoint, ...]
    path: FloatArray
    track: FloatArray
    distance: FloatArray
    colours: Normalize | None = None


def make_scene(surface: Slice, shown: Quantity, levels: Levels, *, first: int = 1, coarse: bool = False) -> Scene:
    """Return the scene of a 2-D slice.

    The height is linear in what colours run over: in the logarithm, on a log scale. Where a corner of a cell is not
    finite there is a hole. What lies above the clip is still there, for the renderer to cut off; but of a coarse
    scene, and of marks.

    Args:
        surface: at least 2 x 2.
        shown: what of it.
        levels: shared by all scenes of a picture, as are heights.
        first: the number of the first point that has a spectrum.
        coarse: few triangles, for a back end that draws them one by one.

    Raises:
        ValueError: a surface of a single row, or one without two finite neighbours.
    """
    if min(surface.shape) < 2:  # noqa: PLR2004
        raise ValueError(f"a surface needs 2 x 2 points, got {' x '.join(map(str, surface.shape))}; use --kind heat")
    finite = np.where(np.isfinite(shown.values) & ~shown.hidden(levels.clip), shown.values, np.nan)
    z = levels.transform(finite)
    axes, z = _every_few(surface.axes, z) if coarse else refine_grid(surface.axes, z)
    ranges = tuple((float(axis[0]), float(axis[-1])) for axis in axes)
    half = floor_half_lengths(surface)
    x, y = (h * _unit(axis, ends) for h, axis, ends in zip(half, axes, ranges, strict=True))
    top = float(levels.transform(np.array(levels.top)))
    height = _heights(z, levels)
    below = np.isfinite(z) & (z <= top) if levels.clip is not None else np.isfinite(z)
    triangles = _triangles(below if coarse else np.isfinite(z))
    if not len(triangles):
        raise ValueError("no cell of the surface has four finite corners: nothing to draw in 3-D; use --kind heat")
    vertices = np.stack([*np.meshgrid(x, y, indexing="ij"), height], axis=-1).reshape(-1, 3)
    to_surface = _SurfaceInterpolator(axes, np.where(below, height, np.nan), half, ranges)  # type: ignore[arg-type]
    vertices, triangles, scalars = _used(vertices, triangles, z.ravel())
    path, track, distance = _path(surface, to_surface)
    return Scene(
        vertices=vertices, triangles=triangles, scalars=scalars, half=half, ranges=ranges, levels=levels,  # type: ignore[arg-type]
        theta=_theta(to_surface, shown, levels), points=_points(surface, to_surface, first), path=path, track=track,
        distance=distance,
    )  # fmt: skip


def _every_few(axes: tuple[FloatArray, ...], z: FloatArray) -> tuple[tuple[FloatArray, ...], FloatArray]:
    kept = [np.unique(np.linspace(0, n - 1, min(n, _FEW)).round().astype(int)) for n in z.shape]
    return tuple(axis[k] for axis, k in zip(axes, kept, strict=True)), z[np.ix_(*kept)]


def floor_half_lengths(surface: Slice) -> tuple[float, float]:
    """Return half the lengths of the floor: 1 along the longer axis, or along both where units differ."""
    width, depth = (float(np.ptp(axis)) for axis in surface.axes)
    longest = max(width, depth)
    return (width / longest, depth / longest) if has_equal_units(surface) else (1.0, 1.0)


def _unit(axis: FloatArray, ends: tuple[float, float]) -> FloatArray:
    """Return coordinates over -1 to 1."""
    return np.asarray(2 * (axis - ends[0]) / (ends[1] - ends[0]) - 1)


def _heights(z: FloatArray, levels: Levels) -> FloatArray:
    norm = levels.norm()
    low, high = float(norm.vmin or 0), float(norm.vmax or 0)
    return np.asarray((z - low) / (high - low) * HEIGHT)


def _triangles(known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return two triangles for each cell of a grid whose four corners are known."""
    number = np.arange(known.size).reshape(known.shape)
    corners = [number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]]
    whole = known[:-1, :-1] & known[1:, :-1] & known[1:, 1:] & known[:-1, 1:]
    a, b, c, d = (corner[whole] for corner in corners)
    return np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])


def _used(
    vertices: FloatArray, triangles: NDArray[np.int64], scalars: FloatArray
) -> tuple[FloatArray, NDArray[np.int64], FloatArray]:
    """Return the mesh without the vertices that no triangle has."""
    kept, renumbered = np.unique(triangles, return_inverse=True)
    return vertices[kept], renumbered.reshape(triangles.shape), scalars[kept]


class _SurfaceInterpolator:
    """Maps points of the slice to its surface in the box."""

    def __init__(
        self,
        axes: Sequence[FloatArray],
        height: FloatArray,
        half: tuple[float, float],
        ranges: tuple[tuple[float, float], tuple[float, float]],
    ) -> None:
        self._height = RegularGridInterpolator(tuple(axes), height, bounds_error=False)
        self._half, self._ranges = half, ranges

    def __call__(self, places: FloatArray, height: float | None = None) -> FloatArray:
        """Return places (n, 2) in the box, (n, 3); NaN outside the slice. A known height is taken as it is."""
        flat = [h * _unit(places[:, k], self._ranges[k]) for k, h in enumerate(self._half)]
        z = self._height(places) if height is None else np.full(len(places), height)
        return np.stack([*flat, z], axis=1)


def _theta(to_surface: _SurfaceInterpolator, shown: Quantity, levels: Levels) -> FloatArray | None:
    height = float(_heights(levels.transform(np.array(shown.centre)), levels)) if np.isfinite(shown.centre) else None
    place = to_surface(np.zeros((1, 2)), height)[0]
    inside = np.all(np.isfinite(to_surface(np.zeros((1, 2)))[0]))
    return place if inside else None


def _points(surface: Slice, to_surface: _SurfaceInterpolator, first: int) -> tuple[MarkedPoint, ...]:
    """Return the marked models and the points with a spectrum that lie on the drawn surface."""
    found = [
        MarkedPoint(to_surface(np.array([mark.coordinates], float))[0], plain(mark.name)) for mark in surface.marks
    ]
    spectra = dict(reversed(list(zip(point_numbers(surface, first), spectra_on_slice(surface), strict=True))))
    for number, spectrum in sorted(spectra.items()):
        found.append(MarkedPoint(to_surface(np.array([spectrum.place], float))[0], point_label(spectrum), number))
    return tuple(point for point in found if np.all(np.isfinite(point.place)))


def point_label(spectrum: Spectrum) -> str:
    """Return the text at a point of a 3-D picture: lambda_max and its kind."""
    top = spectrum.lambda_max
    found = rf"$\lambda_{{\max}}$ {format_number(top)}" + "\n" if np.isfinite(top) else ""
    return f"{found}{spectrum.kind}"


def _path(surface: Slice, to_surface: _SurfaceInterpolator) -> tuple[FloatArray, FloatArray, FloatArray]:
    if surface.trajectory is None:
        return np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0)
    path = surface.trajectory.with_gaps
    iterates = path.coordinates
    dense = np.arange(BETWEEN * (len(iterates) - 1) + 1) / BETWEEN
    between = np.stack([np.interp(dense, np.arange(len(iterates)), column) for column in iterates.T], axis=1)
    return to_surface(iterates), to_surface(between), path.distance
