"""All measures at a checkpoint, and again at its rescaled weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surfaceviz.curvature import Extremes, SpectrumPoint, SpectrumSpec, matrix, spectrum
from surfaceviz.curvature.density import rademacher
from surfaceviz.curvature.trace import Traces
from surfaceviz.records import FloatArray
from surfaceviz.sharpness_measures.along import expected_rise, width
from surfaceviz.sharpness_measures.measurements import Figure, change_of, mean_of
from surfaceviz.sharpness_measures.objective import Objective, Theta
from surfaceviz.sharpness_measures.record import Rescaled, Sharpness
from surfaceviz.sharpness_measures.rescale import Rescaling, rescalings
from surfaceviz.sharpness_measures.worst_case import m_sharpness, phi
from surfaceviz.signals import raise_if_interrupted

Say = Callable[[str], None]

_STRIDE = 1_000_003  # between the streams of seeds: those of a spectrum's probes


@dataclass(frozen=True, slots=True)
class Label:
    """What a checkpoint is called."""

    name: str
    problem: str


def all_measures(
    objective: Objective, theta: Theta, label: Label, *, seed: int, vectors: int, rescale: bool, say: Say
) -> Sharpness:
    """Return every measure at ``theta``, and what rescalings do to it.

    Args:
        objective: the loss.
        theta: the weights and buffers.
        label: what it is called.
        seed: of all that is drawn: the same before and after a rescaling.
        vectors: bytes for the basis of Lanczos.
        rescale: whether to rescale; each kind that is possible takes all measures again.
        say: told of each stage.
    """
    say(f"{label.name}: measuring")
    loss, _, gradient = objective.slope(theta)
    before = figures(objective, theta, seed=seed, vectors=vectors)
    found: list[Rescaled] = []
    for each in rescalings(objective, theta, seed=seed) if rescale else ():
        raise_if_interrupted()
        say(f"{label.name}: {f'measuring, rescaled by {each.kind}' if each.theta else f'no rescaling by {each.kind}'}")
        found.append(_rescaled(objective, each, before, seed=seed, vectors=vectors))
    return Sharpness(
        label.name, label.problem, objective.split.name, objective.split.count, loss,
        float(torch.linalg.vector_norm(gradient)), objective.layout.dimension, seed, before, tuple(found),
    )  # fmt: skip


def _rescaled(objective: Objective, each: Rescaling, before: dict[str, Figure], *, seed: int, vectors: int) -> Rescaled:
    after = {} if each.theta is None else figures(objective, each.theta, seed=seed, vectors=vectors)
    return Rescaled(each.kind, each.words, each.deviation, {k: change_of(before[k], f) for k, f in after.items()})


def figures(objective: Objective, theta: Theta, *, seed: int, vectors: int) -> dict[str, Figure]:
    """Return every measure at given weights.

    Costs about 150 passes, 25 passes there and back, and some 30 to 100 products with the Hessian.
    """
    return {
        **curvatures(objective, theta, seed=seed, vectors=vectors),
        "phi_1e-3": phi(objective, theta, eps=1e-3),
        "phi_5e-4": phi(objective, theta, eps=5e-4),
        "m_sharpness": m_sharpness(objective, theta),
        "expected_rise": expected_rise(objective, theta, seed=seed),
        "width": width(objective, theta, seed=seed),
    }


def curvatures(objective: Objective, theta: Theta, *, seed: int, vectors: int) -> dict[str, Figure]:
    """Return largest eigenvalue and trace of H and of D H D, D = ||w_i|| / sqrt(n_i) on each filter.

    Source: Lanczos as of `surfaceviz.curvature.spectrum`, Hutchinson as there, with the defaults of both; an estimate
    for each probe by itself, that changes can be compared probe by probe, is ours.
    """
    site = SpectrumPoint(0, 1.0, True, objective.layout.of(theta).cpu(), objective.scales(theta), None, {"place": ()})
    operator = objective.operator(theta)
    found = {}
    for end, normalised in (("", False), ("_normalised", True)):
        raise_if_interrupted()
        wanted = SpectrumSpec(top=1, bottom=0, normalised=normalised, seed=seed, memory=vectors)
        record, known = spectrum(operator, site, wanted)  # opens the operator, which then multiplies
        note = "" if record.converged[-1] else f"has not converged: residual {record.residuals[-1]:.2g}"
        found[f"lambda_max{end}"] = Figure(record.lambda_max, note=note)
        found[f"trace{end}"] = mean_of(_traces(matrix(operator, site, wanted), known, wanted))
    return found


def _traces(matvec: Callable[[Tensor], Tensor], known: Extremes, wanted: SpectrumSpec) -> FloatArray:
    """Return an estimate of the trace for each probe, (probes,)."""
    generator = torch.Generator().manual_seed(_STRIDE * wanted.seed + 2)  # Lanczos's start vectors have others
    estimates = []
    for _ in range(wanted.probes):
        raise_if_interrupted()
        probe = rademacher(1, known.vectors.shape[1], generator, known.vectors.dtype)
        traces = Traces(known.eigenvalues, known.vectors)
        traces.add(probe[0], matvec(probe)[0])
        estimates.append(traces.weighted().mean)
    return np.array(estimates)
