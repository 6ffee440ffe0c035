"""Worst-case sharpness: Keskar's phi over a box, SAM's m-sharpness over a ball."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.sharpness_measures.measurements import Measurement, mean_over
from surfaceviz.sharpness_measures.search import (
    Region,
    SearchSpec,
    box_starts,
    climb_box,
    search,
    sphere_starts,
    to_sphere,
    to_vertex,
)
from surfaceviz.signals import raise_if_interrupted

_PAPER = 10  # iterations of L-BFGS-B in the paper
_BATCH_SAMPLES = 16  # single samples of a batch that are tried as starts; ours
_NOT_FINITE = "the loss is not finite at every point that was tried; the highest finite value"


def phi_in_boxes(
    objective: Objective, theta: Theta, sizes: Sequence[float], search_spec: SearchSpec
) -> list[tuple[Measurement, Measurement]]:
    """Return `phi` of boxes of several sizes, from small to large; each starts also from the last one's best point."""
    quick, found, warm = objective.in_float32(theta), [], None
    for eps in sizes:
        region = _box(objective, theta, eps, quick)
        found.append(_phi(region, search_spec, warm))
        warm = region.best_at * (eps / sizes[min(len(found), len(sizes) - 1)])
    return found


def phi(
    objective: Objective, theta: Theta, search_spec: SearchSpec, *, eps: float = 1e-3
) -> tuple[Measurement, Measurement]:
    """Return Keskar's sharpness, in per cent: the highest rise of the loss f in a box around the parameters x.

        phi = 100 (max_{y in C} f(x + y) - f(x)) / (1 + f(x)),   C = {y: |y_i| <= eps (|x_i| + 1)}.

    The maximum is searched for in the full space; the highest value seen is a lower bound of it. The second measurement
    is that of the paper's procedure: ten iterations of L-BFGS-B from x. It does not move where the gradient is 0, and
    often ends at half of the maximum. The first is the highest of it and of ascents over the box's vertices (where a
    convex or a piecewise linear loss has its maximum), from the vertex uphill of x, from random vertices and random
    points inside, and from points where the loss of a single sample is high, with L-BFGS-B from the highest of all.

    Costs about 25 forward and backward passes in float64, and 7 for each start, in float32 where it does.

    Source: Keskar et al., arXiv 1609.04836, metric 2.1 (equation 3) and section 2.2.2: eps 1e-3 and 5e-4, ten
    iterations of L-BFGS-B, A the identity. Units, scaling and the further starts are ours.
    """
    return _phi(_box(objective, theta, eps, objective.in_float32(theta)), search_spec, None)


def _box(objective: Objective, theta: Theta, eps: float, quick: Objective) -> Region:
    return Region(objective, theta, eps * (objective.layout.of(theta).abs() + 1), quick)


def _phi(region: Region, spec: SearchSpec, warm: Tensor | None) -> tuple[Measurement, Measurement]:
    if not region.loss > -1:
        nothing = Measurement(value=math.nan, note=f"the loss is {region.loss:.3g}; phi needs a loss above -1")
        return nothing, nothing
    climb_box(region, torch.zeros_like(region.best_at), _PAPER)
    still = "" if region.gradient.any() else "the gradient is 0, so that L-BFGS-B does not move"
    paper = replace(_of_region(region, still or "L-BFGS-B found nothing higher than theta itself"), at_least=False)
    uphill = to_vertex(torch.zeros_like(region.best_at), region.gradient)
    starts = [uphill, *(u.to(uphill) for u in box_starts(len(uphill), spec))]
    if warm is not None:
        region.value(warm)
        starts.append(warm)
    search(region, starts, to_vertex, spec)
    climb_box(region, region.best_at, _PAPER)
    return _of_region(region, "the search found nothing higher than theta itself"), paper


def _of_region(region: Region, nothing: str) -> Measurement:
    note = "" if region.best > region.loss else nothing
    value = 100 * (region.best - region.loss) / (1 + region.loss)
    return Measurement(value=value, note=note if region.finite else _NOT_FINITE, at_least=True)


def m_sharpness(
    objective: Objective, theta: Theta, search_spec: SearchSpec, *, m: int = 128, rho: float = 0.05
) -> tuple[Measurement, Measurement]:
    """Return SAM's m-sharpness: the mean over batches B of m samples each of the highest rise in a ball.

        max_{|e| <= rho} L_B(w + e) - L_B(w).

    The second measurement is SAM's own estimate, one step uphill: e = rho g_B / ||g_B||, g_B the gradient of L_B. It
    is 0 where g_B is 0. The first is the mean of the highest of it and of ascents on the sphere from it and from random
    points, and so a lower bound.

    Batches are consecutive samples (or as given), weighted by their sizes. The standard error treats batches as random
    draws. A change by rescaling uses the same batches and has no error. Costs three passes, and for each start about 7
    forward and backward passes, in float32 where it does.

    Source: Foret et al., arXiv 2010.01412, section 4.2 and equation 2; rho = 0.05 is its default, m = 128 its
    usual batch on one device. The ascents are ours.
    """
    rises, steps, weights, finite = [], [], [], True
    spec = replace(search_spec, samples=min(search_spec.samples, _BATCH_SAMPLES))
    for chunk in objective.chunks(m):
        raise_if_interrupted()
        region = Region(chunk, theta, rho, chunk.in_float32(theta))
        zero = torch.zeros_like(region.best_at)
        step = to_sphere(zero, region.gradient)
        steps.append(region.value(step) - region.loss if step.any() else 0.0)
        search(region, [step, *(u.to(zero) for u in sphere_starts(len(zero), spec))], to_sphere, spec)
        rises.append(region.best - region.loss)
        weights.append(region.weight)
        finite = finite and region.finite
    remarks = {"one batch, so that there is no standard error": len(rises) == 1, _NOT_FINITE: not finite}
    note = "; ".join(words for words, true in remarks.items() if true)
    each = (np.array(rises), True), (np.array(steps), False)
    high, sam = (mean_over(draws, np.array(weights), note, at_least=bound) for draws, bound in each)
    return high, sam
