"""Points of a slice that have a spectrum: numbered, with the local quadratic model of the slice around them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patheffects import AbstractPathEffect, withStroke
from matplotlib.text import Annotation, Text

from surfaceviz.records import FloatArray, Slice, Spectrum
from surfaceviz.render import style
from surfaceviz.render.labels import has_equal_units
from surfaceviz.render.spectra.spectrum_axes import NUMBER_STYLE
from surfaceviz.render.style import scaled

_SIZE = 0.12  # of an axis: the longest half extent of a model's lines; large enough to tell a shape at 3.3 in; ours
_FLAT = 1e-9  # of the larger |curvature|: below it a direction counts as flat
_RINGS = (0.06, 0.08, 0.11, 0.15, 0.2)  # of an axis: how far from its point a number may stand
_CLEAR = 0.042  # of an axis: a number's radius at 3.3 in, and air
_POINTS = 41  # of a straight line
_DASHED = (0, (2.6, 1.6))


def _halo() -> list[AbstractPathEffect]:
    return [withStroke(linewidth=scaled(2.6), foreground="white")]


def model_legend(spectra: Sequence[Spectrum]) -> list[Line2D]:
    """Return legend entries for the lines that `draw_points` draws."""
    known = [
        spectrum.along for spectrum in spectra if spectrum.along is not None and np.all(np.isfinite(spectrum.along))
    ]
    signs = np.sign([np.linalg.eigvalsh(hessian) for hessian in known]) if known else np.zeros(0)
    entries = []
    if (signs > 0).any():
        entries.append(Line2D([], [], color=style.INK, linewidth=scaled(1.1), label="curvature of the slice, upwards"))
    if (signs < 0).any():
        entries.append(Line2D([], [], color=style.INK, linewidth=scaled(1.1), linestyle=_DASHED, label="downwards"))
    return entries


def spectra_on_slice(surface: Slice) -> list[Spectrum]:
    """Return the spectra of a slice that lie on it."""
    return [spectrum for spectrum in surface.spectra if len(spectrum.place) == surface.ndim]


def point_numbers(surface: Slice, first: int = 1) -> list[int]:
    """Return the number of each of `spectra_on_slice`, from ``first`` on; matrices at one point share one."""
    points = [spectrum.place for spectrum in spectra_on_slice(surface)]
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
    unit = np.full(2, extent.max()) if has_equal_units(surface) else extent  # as far on paper along both axes
    first = {number: spectrum for spectrum, number in reversed(list(zip(spectra, numbers, strict=True)))}
    lines = [line for spectrum in first.values() for line in draw_model(ax, spectrum, extent)]
    marks = [(0.0, 0.0), *(mark.coordinates for mark in surface.marks)]
    taken = [(np.array(line.get_xydata()) - low) / unit for line in lines] + [(np.array(marks) - low) / unit]
    texts = []
    for number, spectrum in sorted(first.items(), key=lambda item: item[0]):
        place = free_position((np.array(spectrum.place) - low) / unit, np.concatenate(taken), extent / unit)
        taken.append(place[None])
        x, y = low + place * unit
        texts.append(ax.text(x, y, str(number), ha="center", va="center", zorder=6, **NUMBER_STYLE))
    return texts


def draw_model(ax: Axes, spectrum: Spectrum, extent: FloatArray) -> list[Line2D]:
    """Draw a dot and the slice's own quadratic model around it, dashed where it curves down, and return the lines.

    Args:
        ax: the axes to draw on, alpha to the right and beta upwards.
        spectrum: of the point; nothing but a dot is drawn where it has no ``along``.
        extent: the lengths of the axes, (2,).
    """
    halo = _halo()
    lines = ax.plot(*spectrum.place, ".", color=style.INK, markersize=scaled(4), path_effects=halo, zorder=5)
    if spectrum.along is None or not np.all(np.isfinite(spectrum.along)):
        return lines
    for points, positive in model_lines(spectrum.along, extent):
        lines += ax.plot(
            *(points + np.array(spectrum.place)).T, color=style.INK, linewidth=scaled(1.1),
            linestyle="-" if positive else _DASHED, path_effects=halo, zorder=4.5, scalex=False, scaley=False,
        )  # fmt: skip
    return lines


def model_lines(hessian: FloatArray, extent: FloatArray) -> list[tuple[FloatArray, bool]]:
    """Return lines (n, 2) of points d that show a 2 x 2 Hessian around 0, each with whether the curvature is positive.

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
    line = np.linspace(-1, 1, _POINTS)  # points enough for a number to keep off it
    if flat.any():
        return [(_fitted(np.outer(line, vectors[:, flat][:, 0]), extent), bool(values[~flat][0] > 0))]
    axes = vectors / np.sqrt(np.abs(values))  # the columns are the half-axes where 2c = 1
    if np.prod(values) > 0:
        t = np.linspace(0, 2 * np.pi, 181)
        return [(_fitted(np.stack([np.cos(t), np.sin(t)], 1) @ axes.T, extent), bool(values[0] > 0))]
    cross = _fitted(np.concatenate([np.outer(line, axis) for axis in axes.T]), extent)
    return [(cross[_POINTS:], True), (cross[:_POINTS], False)]  # eigenvalues ascend


def _fitted(points: FloatArray, extent: FloatArray) -> FloatArray:
    """Return points scaled so that the furthest is 12% of an axis away."""
    return np.asarray(points * _SIZE / (np.abs(points) / extent).max())


def free_position(point: FloatArray, taken: FloatArray, size: FloatArray) -> FloatArray:
    """Return a position near a point where its number covers nothing, (2,).

    Of places on rings around it, the first that is 4.2% of an axis away from all that is taken, else the one that is
    furthest from it.

    Args:
        point: in shares of the axes, (2,), or of the longer axis where both have one unit.
        taken: places in the same shares, (n, 2).
        size: the axes' lengths in the same shares, (2,): a number stays inside.
    """
    turns = np.radians(np.array([45, 135, -45, -135, 90, 0, -90, 180, 22.5, 67.5, 112.5, 157.5, -22.5, -67.5, -112.5]))
    around = np.stack([np.cos(turns), np.sin(turns)], 1)
    tried = np.concatenate([point + radius * around for radius in _RINGS])
    tried = tried[np.all((tried > _CLEAR / 2) & (tried < size - _CLEAR / 2), axis=1)]
    if not len(tried):  # the point lies outside
        return np.clip(point, _CLEAR, size - _CLEAR)
    clear = np.linalg.norm(tried[:, None] - taken, axis=2).min(axis=1)
    return np.asarray(tried[np.argmax(np.minimum(clear, _CLEAR))])


def draw_points_of_curve(
    ax: Axes, surface: Slice, spectra: Sequence[Spectrum], numbers: Sequence[int], *, metric: str
) -> list[Annotation]:
    """Draw points of a 1-D slice with the local parabola of the loss, and their numbers; return the numbers' texts.

    The parabola is y(t) + g d + h d^2 / 2 with the slope g and the curvature h of the slice at the point, over 12% of
    the axis to either side; y(t) is the curve's own value, linear between its points.

    Args:
        ax: the axes that the curves are drawn on.
        surface: the slice.
        spectra: of points of it; the first at each point is drawn, on the curve of its split or else of the first.
        numbers: of the spectra.
        metric: that of the curves; only a loss has the parabola.
    """
    texts: dict[int, Annotation] = {}
    for spectrum, number in zip(spectra, numbers, strict=True):
        if number not in texts:
            point = spectrum.place[0], _height(surface, spectrum, metric)
            ax.plot(*point, ".", color=style.INK, markersize=scaled(4), path_effects=_halo(), zorder=5)
            if metric == "loss":
                _draw_parabola(ax, spectrum, point, _SIZE * float(np.ptp(surface.axes[0])))
            texts[number] = ax.annotate(
                str(number), point, xytext=(0, scaled(11)), textcoords="offset points", ha="center", va="center",
                zorder=6, **NUMBER_STYLE,
            )  # fmt: skip
    return list(texts.values())


def _height(surface: Slice, spectrum: Spectrum, metric: str) -> float:
    """Return the value of the curve at a point."""
    splits = [spectrum.split, *surface.splits]
    values = next(surface.values[f"{split}_{metric}"] for split in splits if f"{split}_{metric}" in surface.values)
    finite = np.isfinite(values)
    return float(np.interp(spectrum.place[0], surface.axes[0][finite], values[finite]))


def _draw_parabola(ax: Axes, spectrum: Spectrum, point: tuple[float, float], reach: float) -> None:
    if spectrum.along is None or spectrum.slope is None:
        return
    d = np.linspace(-reach, reach, 61)
    y = point[1] + spectrum.slope[0] * d + spectrum.along[0, 0] * d**2 / 2
    ax.plot(
        point[0] + d, y, color=style.INK, linewidth=scaled(1.0), path_effects=_halo(), zorder=2.5,
        scalex=False, scaley=False,
    )  # fmt: skip
