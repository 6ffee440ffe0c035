"""The quadratic model of a slice around a point with a spectrum: how far it is right, and what its curvature hides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from surfaceviz.records.arrays import EVALUATED, FloatArray
from surfaceviz.records.curvature import Spectrum
from surfaceviz.records.rounding import VALUE_ATOL, VALUE_RTOL
from surfaceviz.records.slices import Slice

TOLERANCE = 0.1  # of the largest change that the model predicts: the largest error of a model that is right; ours
_SAME_POINT = 1e-9  # distance, as a share of the range, up to which a point counts as a grid point
_ROUNDINGS = 4.0  # times the rounding error that a run measured at a few points, which is seldom exceeded; ours
_FLOAT32, _FLOAT64 = 1e-6, 1e-12  # relative error of a loss where the file does not hold it; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class QuadraticModel:
    """The quadratic model of a slice's loss around a point.

    Attributes:
        spectrum: of the point.
        loss_name: ``<split>_loss``, the loss that it is of.
        radius: the largest distance of a grid point, in units of the axes, up to which the model is right at all
            evaluated points; 0 if it is wrong at the nearest ones; NaN if it is not known.
        beyond: distance of the nearest point at which it is not right; infinite if there is none.
        points: number of evaluated points that were compared.
        curvature: d'Hd / ||d||^2 along each axis, (ndim,); NaN where the file does not hold ||d||.
        ratios: lambda_max over it, (ndim,); NaN where one of them is not known, it is not positive, or the spectrum is
            that of D H D.
        reason: why the radius is not known; else empty.
    """

    spectrum: Spectrum
    loss_name: str
    radius: float
    beyond: float
    points: int
    curvature: FloatArray
    ratios: FloatArray
    reason: str = ""


def quadratic_models(surface: Slice) -> tuple[QuadraticModel, ...]:
    """Return the quadratic model at each point of a slice that has the spectrum of a Hessian with d'Hd.

    Of several spectra at a point, that of H comes before that of D H D, and that of all parameters before others.
    """
    found: dict[tuple[float, ...], Spectrum] = {}
    known = [s for s in surface.spectra if len(s.place) == surface.ndim and s.source == "" and s.operator == "hessian"]
    for spectrum in sorted(known, key=lambda s: (s.normalised, s.parameters != "all", -s.samples)):
        if spectrum.along is not None and spectrum.slope is not None and np.isfinite(spectrum.along).all():
            found.setdefault(spectrum.place, spectrum)
    return tuple(quadratic_model(surface, spectrum) for spectrum in found.values())


def quadratic_model(surface: Slice, spectrum: Spectrum) -> QuadraticModel:
    r"""Return the quadratic model of a slice around a point, compared with the slice's own values.

    The model is q(x) = L + g'x + x'Ax / 2 with the slope g and A = (d_i'Hd_j) of the spectrum, x the coordinates less
    those of the point. It is right within r if at every evaluated grid point with ||x|| <= r

        |L(x) - q(x)|  <=  0.1 max_{||y|| <= r} |q(y) - L|,

    the maximum over these grid points: its error is a tenth of the largest change that it predicts so far, or less. A
    smaller error than the rounding of the losses does not count. ||x|| is in units of the axes.

    Along an axis d, H has the curvature d'Hd / ||d||^2 per squared length of weights, at most lambda_max. The ratio of
    both is how many times more the loss curves along its sharpest direction than along the axis.

    Args:
        surface: the slice.
        spectrum: of a point of it, with ``along`` and ``slope``.

    Source: ours; the tenth is that of the figure's caption.
    """
    assert spectrum.along is not None
    name = f"{spectrum.split}_loss"
    reason = _obstacle(surface, spectrum, name)
    radius, beyond, points = (math.nan, math.nan, 0) if reason else _radius(surface, spectrum, spectrum.along)
    curvature = _curvature(surface, spectrum.along)
    known = (curvature > 0) & (not spectrum.normalised)
    return QuadraticModel(
        spectrum=spectrum, loss_name=name, radius=radius, beyond=beyond, points=points, curvature=curvature,
        ratios=spectrum.lambda_max / np.where(known, curvature, np.nan), reason=reason,
    )  # fmt: skip


def _obstacle(surface: Slice, spectrum: Spectrum, name: str) -> str:
    """Return why a slice's losses and a spectrum don't compare; empty if they do."""
    if name not in surface.values:
        return f"the slice has no {name.replace('_', ' ')}"
    here = _stored(surface, name, spectrum.place)
    if math.isnan(here):
        return "it is not an evaluated point of the grid"
    if abs(here - spectrum.loss) > VALUE_ATOL + VALUE_RTOL * abs(here) + _rounding(surface, name, here):
        return f"the spectrum is on {spectrum.samples} samples, with another loss than the slice"
    return ""


def _stored(surface: Slice, name: str, place: tuple[float, ...]) -> float:
    """Return the value at theta or at a grid point; NaN elsewhere."""
    if not any(place) and name in surface.centre:
        return surface.centre[name]
    index = tuple(int(np.argmin(np.abs(axis - x))) for axis, x in zip(surface.axes, place, strict=True))
    near = all(
        math.isclose(axis[i], x, abs_tol=_SAME_POINT * float(np.ptp(axis)))
        for axis, i, x in zip(surface.axes, index, place, strict=True)
    )
    return float(surface.values[name][index]) if near and surface.origin[index] == EVALUATED else math.nan


def _rounding(surface: Slice, name: str, largest: float) -> float:
    """Return a bound on the error of rises by rounding: from what the run measured against float64, else the dtype."""
    share = _FLOAT64 if surface.provenance.get("dtype") == "float64" else _FLOAT32
    measured = surface.provenance.get(f"{name}_float64_rise_error")
    return share * largest if measured is None else _ROUNDINGS * float(measured)


def _radius(surface: Slice, spectrum: Spectrum, hessian: FloatArray) -> tuple[float, float, int]:
    """Return radius, the distance of the nearest point where the model is wrong, and the number of points."""
    name, known = f"{spectrum.split}_loss", surface.origin == EVALUATED
    grids = np.meshgrid(*surface.axes, indexing="ij")
    x = np.stack([(grid - at)[known] for grid, at in zip(grids, spectrum.place, strict=True)], 1)
    order = np.argsort(np.linalg.norm(x, axis=1), kind="stable")
    x, losses = x[order], surface.values[name][known][order]
    distance = np.linalg.norm(x, axis=1)
    change = x @ np.asarray(spectrum.slope) + np.einsum("ni,ij,nj->n", x, hessian, x) / 2
    with np.errstate(invalid="ignore"):
        error = np.abs(losses - spectrum.loss - change)
    finite = losses[np.isfinite(losses)]
    least = _rounding(surface, name, float(np.abs(finite).max(initial=0.0)))
    largest = _up_to(distance, np.abs(change))
    wrong = ~(error <= np.maximum(TOLERANCE * largest, least))  # a diverged loss is wrong
    if not wrong.any():
        return float(distance[-1]) if len(distance) else math.nan, math.inf, len(distance)
    beyond = float(distance[np.argmax(wrong)])
    inside = distance[distance < beyond * (1 - _SAME_POINT)]
    return float(inside.max(initial=0.0)), beyond, len(distance)


def _up_to(distance: FloatArray, values: FloatArray) -> FloatArray:
    """Return the largest value at points at most as far away as each one, (n,), for rising distances."""
    ends = np.searchsorted(distance, distance * (1 + _SAME_POINT), side="right")
    return np.maximum.accumulate(values)[ends - 1]


def _curvature(surface: Slice, along: FloatArray) -> FloatArray:
    """Return d'Hd / ||d||^2 along each axis, (ndim,); NaN where a norm is not known."""
    norms = [direction.norm or math.nan for direction in surface.directions] or [math.nan] * surface.ndim
    return np.asarray(np.diagonal(along) / np.square(norms))
