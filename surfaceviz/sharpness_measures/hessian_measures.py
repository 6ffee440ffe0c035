"""Largest eigenvalue and trace of the Hessian, plain and scaled to filters."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from surfaceviz.curvature import (
    ExtremeEigenpairs,
    Operator,
    SpectrumPoint,
    SpectrumSpec,
    eigenpairs,
    loss_gradient_at,
    spectrum,
    spectrum_matvec,
)
from surfaceviz.curvature.density import rademacher
from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.curvature.trace import HutchinsonTraces
from surfaceviz.records import FloatArray
from surfaceviz.sharpness_measures.measurements import Measurement, mean_of
from surfaceviz.signals import raise_if_interrupted

_STRIDE = 1_000_003  # between the seeds of random streams, as for the probes of a spectrum


def measure_hessian(
    objective: Objective, theta: Theta, *, seed: int, vectors: int, groups: int = 0, copies: bool = True
) -> dict[str, Measurement]:
    """Return largest eigenvalue and trace of H and of D H D, D = ||w_i|| / sqrt(n_i) on each filter.

    With ``groups``, the draws of a largest eigenvalue are v' H_g v for consecutive groups of samples g, v being the
    eigenvector: to first order the eigenvalue moves by their mean where samples are exchanged (the infinitesimal
    jackknife). Costs some 30 to 100 products, and with groups two more.

    Args:
        objective: the loss.
        theta: the weights and buffers.
        seed: of start vectors and probes.
        vectors: bytes for the Lanczos basis.
        groups: number of groups of samples.
        copies: whether a second search looks for a larger eigenvalue that the first one missed, and for copies of it.

    Source: Lanczos, see `surfaceviz.curvature.spectrum`, and Hutchinson, with the defaults of both. The separate
    estimate of each probe, which compares changes probe by probe, is ours.
    """
    flat, scales = objective.layout.of(theta).cpu(), objective.scales(theta)
    point = SpectrumPoint(
        number=0, judged=False, all_parameters=True, theta=flat, filter_scales=scales, directions=None,
        fields={"place": ()},
    )  # fmt: skip
    operator = objective.operator(theta)
    measurements = {}
    for end, normalised in (("", False), ("_normalised", True)):
        raise_if_interrupted()
        spec = SpectrumSpec(top=1, bottom=0, normalised=normalised, seed=seed, memory=vectors)
        pairs = _largest(operator, point, spec, copies=copies)
        note = "" if pairs.converged[-1] else f"has not converged: residual {float(pairs.residuals[-1]):.2g}"
        parts = _by_samples(objective, theta, pairs.vectors[-1], scales=scales if normalised else None, groups=groups)
        measurements[f"lambda_max{end}"] = Measurement(value=float(pairs.eigenvalues[-1]), note=note, draws=parts)
        measurements[f"trace{end}"] = mean_of(_traces(spectrum_matvec(operator, point, spec), pairs, spec))
    return measurements


def _largest(operator: Operator, point: SpectrumPoint, spec: SpectrumSpec, *, copies: bool) -> ExtremeEigenpairs:
    """Move the operator to the point, and return its largest eigenvalue with the eigenvector."""
    if copies:
        return spectrum(operator, point, spec)[1]
    loss_gradient_at(operator, point)
    return eigenpairs(spectrum_matvec(operator, point, spec), operator, spec)


def _traces(matvec: Callable[[Tensor], Tensor], pairs: ExtremeEigenpairs, spec: SpectrumSpec) -> FloatArray:
    """Return an estimate of the trace for each probe, (probes,)."""
    generator = torch.Generator().manual_seed(_STRIDE * spec.seed + 2)  # another stream than the start vectors
    estimates = []
    for _ in range(spec.probes):
        raise_if_interrupted()
        probe = rademacher(1, pairs.vectors.shape[1], generator, pairs.vectors.dtype)
        traces = HutchinsonTraces(pairs.eigenvalues, pairs.vectors)
        traces.add(probe[0], matvec(probe)[0])
        estimates.append(traces.trace().mean)
    return np.array(estimates)


def _by_samples(
    objective: Objective, theta: Theta, vector: Tensor, *, scales: Tensor | None, groups: int
) -> FloatArray | None:
    """Return v' H_g v, or v' D H_g D v, for groups of samples, (G,); None without groups.

    Args:
        objective: the loss.
        theta: the weights and buffers.
        vector: v, (P,), of length 1.
        scales: D, (P,).
        groups: their number; fewer where the samples are fewer or come in given batches.
    """
    if not groups:
        return None
    direction = vector if scales is None else vector * scales
    parts = []
    for piece in objective.chunks(math.ceil(objective.split.count / groups)):
        raise_if_interrupted()
        operator = piece.operator(theta)
        operator.set_point(0)
        parts.append(float(direction @ operator(direction[None])[0]))
    return np.array(parts)
