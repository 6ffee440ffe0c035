"""Worst-case sharpness: Keskar's phi over a box, SAM's m-sharpness over a ball."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from scipy.optimize import Bounds, minimize

from surfaceviz.records import FloatArray
from surfaceviz.sharpness_measures.measurements import Measurement, mean_over
from surfaceviz.sharpness_measures.objective import Objective, Theta
from surfaceviz.signals import raise_if_interrupted

_REACH = 1e4  # length of the first step in box widths; the maximum found is the same from 100 on; ours


def phi(objective: Objective, theta: Theta, *, eps: float = 1e-3, iterations: int = 10) -> Measurement:
    """Return Keskar's sharpness, in per cent: the highest rise of the loss f in a box around the parameters x.

        phi = 100 (max_{y in C} f(x + y) - f(x)) / (1 + f(x)),   C = {y: |y_i| <= eps (|x_i| + 1)}.

    L-BFGS-B searches for the maximum in the full space from x; the best value seen is a lower bound. Unknowns are
    scaled by the box and f by its gradient, so that the first step reaches the walls. Without this scaling, ten
    iterations end far below on networks with small gradients (by a third on ResNet-20).

    Costs about ``iterations`` forward and backward passes.

    Source: Keskar et al., arXiv 1609.04836, metric 2.1 (equation 3) and section 2.2.2: eps 1e-3 and 5e-4, ten
    iterations of L-BFGS-B, A the identity. The units are ours.
    """
    x = objective.layout.of(theta)
    box = eps * (x.abs() + 1)
    loss, _, gradient = objective.gradient(theta)
    steepness = float(torch.linalg.vector_norm(box * gradient))
    if steepness == 0 or loss <= -1:
        why = "the gradient is 0, L-BFGS-B does not move" if steepness == 0 else "the loss is below -1"
        return Measurement(value=0.0 if loss > -1 else math.nan, note=why)
    unit = _REACH * math.sqrt(len(x)) / steepness
    seen = [loss]

    def negative(u: FloatArray) -> tuple[float, Any]:
        raise_if_interrupted()
        if not u.any():
            return -unit * loss, (-unit * box * gradient).cpu().numpy()
        here, _, here_gradient = objective.gradient(
            objective.with_parameters(theta, x + box * torch.from_numpy(np.array(u)).to(box))
        )
        seen.append(here)
        return -unit * here, (-unit * box * here_gradient).cpu().numpy()

    ones = np.ones(len(x))
    minimize(
        negative, 0 * ones, jac=True, method="L-BFGS-B", bounds=Bounds(-ones, ones),
        options={"maxiter": iterations, "ftol": 0.0, "gtol": 0.0},
    )  # fmt: skip
    best = max(value for value in seen if math.isfinite(value))
    note = "" if best > loss else "L-BFGS-B found nothing higher than theta itself"
    note = note if all(map(math.isfinite, seen)) else "the loss is not finite everywhere in the box"
    return Measurement(value=100 * (best - loss) / (1 + loss), note=note)


def m_sharpness(objective: Objective, theta: Theta, *, m: int = 128, rho: float = 0.05) -> Measurement:
    """Return SAM's m-sharpness: the mean rise in a ball, by one step uphill, over batches B of m samples each.

        L_B(w + rho g_B / ||g_B||) - L_B(w),   g_B the gradient of L_B.

    Batches are consecutive samples (or as given), weighted by their sizes. The standard error treats batches as random
    draws. A change by rescaling uses the same batches and has no error. Costs three passes.

    Source: Foret et al., arXiv 2010.01412, section 4.2 and equation 2; rho = 0.05 is its default, m = 128 its
    usual batch on one device.
    """
    x = objective.layout.of(theta)
    rises, weights = [], []
    for chunk in objective.chunks(m):
        raise_if_interrupted()
        loss, weight, gradient = chunk.gradient(theta)
        norm = torch.linalg.vector_norm(gradient)
        rises.append(
            chunk.loss(objective.with_parameters(theta, x + rho * gradient / norm)) - loss if norm > 0 else 0.0
        )
        weights.append(weight)
    note = "" if len(rises) > 1 else "one batch, so that there is no standard error"
    return mean_over(np.array(rises), np.array(weights), note)
