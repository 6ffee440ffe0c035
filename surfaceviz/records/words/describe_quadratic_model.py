"""What a slice hides, in words: how far its quadratic model is right, and the curvature that it does not show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from surfaceviz.records.arrays import AXIS_NAMES
from surfaceviz.records.local_models.quadratic_model import QuadraticModel, quadratic_models

if TYPE_CHECKING:
    from surfaceviz.records.slices import Slice

NO_SPECTRUM = "has no spectrum, without which nothing is known of its curvature: surfaceviz hessian FILE.h5"
RAYS = "its rays share no axis, so that there is no one curvature to compare; explain a curve or a plane"
NO_CURVATURE = (
    "its spectra hold no d'Hd: the directions move what the matrix leaves out, or batch norms were recalibrated, or "
    "the matrix is the Gauss-Newton one"
)


def explanation(surface: Slice) -> list[str]:
    """Return sentences about each point of a slice with a spectrum: radius of the quadratic model, and the ratio."""
    if surface.seeds:
        return [RAYS]
    if not any(len(spectrum.place) == surface.ndim for spectrum in surface.spectra):
        return [NO_SPECTRUM]
    models = quadratic_models(surface)
    if not models:
        return [NO_CURVATURE]
    return [line for model in models for line in (radius_words(model), ratio_words(model))]


def radius_words(model: QuadraticModel) -> str:
    """Return a sentence on the radius within which a quadratic model is right to 10%."""
    what = f"at {model.spectrum.where} the quadratic model of the {model.loss_name.replace('_', ' ')}"
    if model.reason:
        return f"{what} can't be compared with the slice: {model.reason}"
    if math.isinf(model.beyond):
        return f"{what} is right to 10% on the whole slice, at all {model.points} evaluated points"
    if model.radius == 0:
        return f"{what} is off by more than 10% already at the nearest points, at a distance of {model.beyond:.3g}"
    return f"{what} is right to 10% up to a distance of {model.radius:.3g}, and no longer at {model.beyond:.3g}"


def ratio_words(model: QuadraticModel) -> str:
    """Return a sentence on lambda_max and the curvature along the axes."""
    spectrum = model.spectrum
    if math.isnan(spectrum.lambda_max):
        return "lambda_max was not looked for, with which the curvature shown would be compared"
    doubt = "" if spectrum.converged[-1] else ", not converged"
    if spectrum.normalised:
        return (
            f"lambda_max ({spectrum.lambda_max:.3g}{doubt}) is that of D H D, which is not compared with d'Hd: "
            "surfaceviz hessian FILE.h5 without --normalised gives that of H"
        )
    of = "" if spectrum.parameters == "all" else f" over the parameters {spectrum.parameters}"
    return f"lambda_max ({spectrum.lambda_max:.3g}{doubt}){of} is {_axes_words(model)}"


def _axes_words(model: QuadraticModel) -> str:
    count = len(model.curvature)
    if np.isnan(model.curvature).all():
        return "not compared with the curvature shown: the file does not hold ||d||; slice again with this version"
    return ", ".join(_axis_words(model, k) for k in range(count))


def _axis_words(model: QuadraticModel, k: int) -> str:
    axis, curvature = AXIS_NAMES[k], float(model.curvature[k])
    if not curvature > 0:
        return f"not compared along {axis}, where the curvature is not positive ({curvature:.3g})"
    return f"{model.ratios[k]:.3g} times the curvature shown along {axis} (d'Hd / ||d||^2 = {curvature:.3g})"
