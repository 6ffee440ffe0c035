"""Points of a slice that have a spectrum: numbered, with the local quadratic model of the slice around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke
from matplotlib.text import Annotation, Text

from surfaceviz.records import FloatArray, Slice, Spectrum
from surfaceviz.render.spectrum import NUMERAL

_SIZE = 0.12  # of an axis: the longest half extent of a model's lines; large enough to tell a shape at 3.3 in; ours
_FLAT = 1e-9  # of the larger |curvature|: below it a direction counts as flat
_RINGS = (0.06, 0.08, 0.11, 0.15, 0.2)  # of an axis: how far from its point a number may stand
_CLEAR = 0.042  # of an axis: a number's radius at 3.3 in, and air
_DASHED = (0, (2.6, 1.6))
_INK = "#111111"
_HALO = [withStroke(linewidth=2.6, foreground="white")]


def places(surface: Slice) -> list[Spectrum]:
    """Return the spectra of a slice that lie on it."""
    return [spectrum for spectrum in surface.spectra if len(spectrum.place) == surface.ndim]


def numerals(surface: Slice, first: int = 1) -> list[int]:
    """Return the number of each of `places`, from ``first`` on; matrices at one point share one."""
    points = [spectrum.place for spectrum in places(surface)]
    order = list(dict.fromkeys(points))
    return [first + order.index(point) for point in points]


def draw_points(ax: Axes, surface: Slice, spectra: Sequence[Spectrum], numbers: Sequence[int]) -> list[Text]:
    """Draw the curvature at points of a 2-D slice, and their numbers; return the numbers' texts.

    Args:
        ax: the axes that the slice is drawn on.
        surface: the slice.
        spectra: of points of it; the first at each point is drawn.
        numbers: of the spectra.
    """
    low = np.array([float(axis[0]) for axis in surface.axes])
    extent = np.array([float(np.ptp(axis)) or 1.0 for axis in surface.axes])
    first = {number: spectrum for spectrum, number in reversed(list(zip(spectra, numbers, strict=True)))}
    lines = [line for spectrum in first.values() for line in draw_model(ax, spectrum, extent)]
    marks = [(0.0, 0.0), *(mark.coordinates for mark in surface.marks)]
    taken = [(np.array(line.get_xydata()) - low) / extent for line in lines] + [(np.array(marks) - low) / extent]
    texts = []
    for number, spectrum in sorted(first.items(), key=lambda item: item[0]):
        place = free_place((np.array(spectrum.place) - low) / extent, np.concatenate(taken))
        taken.append(place[None])
        x, y = low + place * extent
        texts.append(ax.text(x, y, str(number), ha="center", va="center", zorder=6, **NUMERAL))
    return texts


def draw_model(ax: Axes, spectrum: Spectrum, extent: FloatArray) -> list[Line2D]:
    """Draw a dot and the slice's own quadratic model around it, dashed where it curves down, and return the lines.

    Args:
        ax: the axes to draw on, alpha to the right and beta upwards.
        spectrum: of the point; nothing but a dot is drawn where it has no ``along``.
        extent: the lengths of the axes, (2,).
    """
    lines = ax.plot(*spectrum.place, ".", color=_INK, markersize=4, path_effects=_HALO, zorder=5)
    if spectrum.along is None or not np.all(np.isfinite(spectrum.along)):
        return lines
    for points, positive in model_lines(spectrum.along, extent):
        lines += ax.plot(
            *(points + np.array(spectrum.place)).T, color=_INK, linewidth=1.1, linestyle="-" if positive else _DASHED,
            path_effects=_HALO, zorder=4.5, scalex=False, scaley=False,
        )  # fmt: skip
    return lines


def model_lines(hessian: FloatArray, extent: FloatArray) -> list[tuple[FloatArray, bool]]:
    """Return what shows a 2 x 2 Hessian around 0: lines (n, 2) of points d, each with whether curvature is positive.

    Where H is definite this is the level line d'Hd = +-2c of the quadratic model, an ellipse with half-axes
    a_i = (2c / |lambda_i|)^(1/2) q_i along the eigenvectors: d = cos(t) a_1 + sin(t) a_2. Where it has both signs the
    level lines are hyperbolas, which say little at this size: the half-axes themselves are drawn, as a cross. The
    slope is left aside.

    The level c is each point's own, so that the lines are seen: they reach 12% of an axis's length along the axis on
    which they reach furthest. Shape and orientation tell, size does not. Along a flat direction (below 1e-9 of the
    other curvature) the ellipse is a line.
    """
    values, vectors = np.linalg.eigh(hessian)
    steepest = float(np.abs(values).max())
    if steepest == 0:
        return []
    flat = np.abs(values) <= _FLAT * steepest
    if flat.any():
        return [(_fitted(np.outer([-1.0, 1.0], vectors[:, flat][:, 0]), extent), bool(values[~flat][0] > 0))]
    axes = vectors / np.sqrt(np.abs(values))  # the columns are the half-axes where 2c = 1
    if np.prod(values) > 0:
        t = np.linspace(0, 2 * np.pi, 181)
        return [(_fitted(np.stack([np.cos(t), np.sin(t)], 1) @ axes.T, extent), bool(values[0] > 0))]
    cross = _fitted(np.concatenate([axes.T, -axes.T]), extent)  # the negative one comes first, as eigenvalues ascend
    return [(cross[[1, 3]], True), (cross[[0, 2]], False)]


def _fitted(points: FloatArray, extent: FloatArray) -> FloatArray:
    """Return points scaled so that the furthest is 12% of an axis away."""
    return np.asarray(points * _SIZE / (np.abs(points) / extent).max())


def free_place(point: FloatArray, taken: FloatArray) -> FloatArray:
    """Return where near a point a number covers nothing, (2,).

    Of places on rings around it, the first that is 4.2% of an axis away from all that is taken, else the one that is
    furthest from it.

    Args:
        point: in shares of the axes, (2,).
        taken: places in the same shares, (n, 2).
    """
    turns = np.radians(np.array([45, 135, -45, -135, 90, 0, -90, 180, 22.5, 67.5, 112.5, 157.5, -22.5, -67.5, -112.5]))
    around = np.stack([np.cos(turns), np.sin(turns)], 1)
    tried = np.concatenate([point + radius * around for radius in _RINGS])
    tried = tried[np.all((tried > _CLEAR / 2) & (tried < 1 - _CLEAR / 2), axis=1)]
    clear = np.linalg.norm(tried[:, None] - taken, axis=2).min(axis=1)
    return np.asarray(tried[np.argmax(np.minimum(clear, _CLEAR))])


def draw_points_of_curve(
    ax: Axes, surface: Slice, spectra: Sequence[Spectrum], numbers: Sequence[int], name: str
) -> list[Annotation]:
    """Draw the local parabola at points of a 1-D slice, and their numbers; return the numbers' texts.

    The parabola is y(t) + g d + h d^2 / 2 with the slope g and the curvature h of the slice at the point, over 12% of
    the axis to either side; y(t) is the curve's own value, linear between its points.

    Args:
        ax: the axes that the curve is drawn on.
        surface: the slice.
        spectra: of points of it; the first at each point is drawn.
        numbers: of the spectra.
        name: ``<split>_<metric>`` of the curve.
    """
    texts: dict[int, Annotation] = {}
    alpha = surface.axes[0]
    d = np.linspace(-_SIZE, _SIZE, 61) * float(np.ptp(alpha))
    for spectrum, number in zip(spectra, numbers, strict=True):
        if number in texts:
            continue
        (t,) = spectrum.place
        y = float(np.interp(t, alpha, surface.values[name]))
        ax.plot([t], [y], ".", color=_INK, markersize=4, path_effects=_HALO, zorder=5)
        if spectrum.along is not None and spectrum.slope is not None:
            bent = y + spectrum.slope[0] * d + spectrum.along[0, 0] * d**2 / 2
            ax.plot(t + d, bent, color=_INK, linewidth=1.0, path_effects=_HALO, scalex=False, scaley=False, zorder=4.5)
        texts[number] = ax.annotate(
            str(number), (t, y), xytext=(0, 11), textcoords="offset points", ha="center", va="center", zorder=6,
            **NUMERAL,
        )  # fmt: skip
    return list(texts.values())
