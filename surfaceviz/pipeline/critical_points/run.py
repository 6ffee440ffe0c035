"""The search for critical points: starts, ends, distinct points, and the kind of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from surfaceviz import start_folder
from surfaceviz.curvature import Operator, SpectrumSpec, random_groups, spectrum
from surfaceviz.curvature.critical_points import NOT_CRITICAL, SearchEnd, search_critical, zero_level
from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.errors import ProblemError
from surfaceviz.notebook import default_reporter
from surfaceviz.pipeline.critical_points.request import CriticalPointsRequest
from surfaceviz.pipeline.hessian.float64_objective import float64_objective, float64_theta
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.spectra import check_at, kinks_at
from surfaceviz.pipeline.hessian.targets import HessianTargets, TargetPoint, checkpoint_targets
from surfaceviz.problem.functional import borrowed
from surfaceviz.records import Spectrum
from surfaceviz.records.studies import CriticalPoints
from surfaceviz.reporting import Reporter
from surfaceviz.signals import interruptible, raise_if_interrupted
from surfaceviz.symmetry.unit_permutations import hidden_units, match_units

_MOST = 1000  # parameters: the Hessian of each start is decomposed at each step; ours
_PROMISING = 1e-4  # |g| over max(1, |g| at the start's median): larger ones are not looked at; ours
_SAME = 1e-4  # of max(1, ||theta||): nearer points are one; a hundred times the step that counts as 0; ours
_SAME_LOSS = 1e-7  # relative; of points that are one


def run_critical_points(request: CriticalPointsRequest, reporter: Reporter | None = None) -> CriticalPoints:
    """Return the critical points that searches from random starts reach.

    Raises:
        ValueError: an option is invalid.
        SurfacevizError: problem or data can't be used, there are too many parameters, or the loss can't be mapped over
            weights by `torch.func.vmap`.
        Interrupted: a signal arrived.
    """
    reporter = reporter or default_reporter()
    with interruptible(), start_folder.fixed():
        given = HessianRequest.of(
            request.problem, parameters=request.parameters, data=request.data, split=request.split,
            samples=request.samples, dtype="float64", device="cpu",
        )  # fmt: skip
        targets = checkpoint_targets(given, reporter.say, 0)
        if targets.layout.dimension > _MOST:
            raise ProblemError(
                f"got {targets.layout.dimension} parameters; expected at most {_MOST}, as every step decomposes the "
                "Hessian of every start. Name fewer by parameters="
            )
        with borrowed(targets.problem.model, targets.device), torch.enable_grad():
            check_at(targets, 0, reporter)
            return _found(targets, request, reporter)


def _found(targets: HessianTargets, request: CriticalPointsRequest, reporter: Reporter) -> CriticalPoints:
    objective, _ = float64_objective(targets)
    theta = float64_theta(targets, 0)
    centre = targets.layout.of(theta)
    noise = torch.Generator().manual_seed(request.seed)
    starts = centre + request.spread * torch.randn(
        (request.starts, len(centre)), generator=noise, dtype=torch.float64
    )  # fmt: skip
    end = _search(objective, theta, starts)
    layers = hidden_units(objective, theta) if request.permuted and targets.problem.has_loss else []
    places, group = _distinct(objective, theta, end, layers)
    judged = _judge(targets, objective, theta, places)
    kept = [k for k, each in enumerate(judged) if each.kind != NOT_CRITICAL]
    reached = np.bincount(group[group >= 0], minlength=len(places))[kept]
    lost = group < 0
    lost[np.isin(group, [k for k in range(len(places)) if k not in kept])] = True
    reporter.say(f"critical points: {len(kept)} from {request.starts} starts, {int(lost.sum())} without one")
    return _record(
        [judged[k] for k in kept], [places[k] for k in kept], reached, starts=request.starts,
        unconverged=int(lost.sum()), flat=int((end.flat.numpy() & lost).sum()), request=request, targets=targets,
    )  # fmt: skip


def _search(objective: Objective, theta: Theta, starts: Tensor) -> SearchEnd:
    try:
        return search_critical(
            objective.loss_of_vector(theta), starts, between=lambda _step: raise_if_interrupted()
        )  # fmt: skip
    except RuntimeError as error:
        raise ProblemError(
            f"the loss can't be mapped over weights by torch.func.vmap: {str(error).splitlines()[0]} Write it without "
            "branches and .item() on values"
        ) from error


def _distinct(
    objective: Objective, theta: Theta, end: SearchEnd, layers: Sequence[Tensor]
) -> tuple[list[Tensor], np.ndarray]:
    """Return the distinct ends, and for each search the number of its end; -1 where the gradient is far from 0."""
    loss = objective.loss_of_vector(theta)
    places: list[Tensor] = []
    losses: list[float] = []
    group = np.full(len(end.theta), -1)
    for k in torch.argsort(end.gradient_norm).tolist():
        if not float(end.gradient_norm[k]) <= _PROMISING:
            break
        here, value = end.theta[k], float(loss(end.theta[k]))
        near = (i for i, other in enumerate(losses) if abs(other - value) <= _SAME_LOSS * max(1.0, abs(value)))
        same = next((i for i in near if _is_same(places[i], here, layers)), None)
        if same is None:
            places.append(here)
            losses.append(value)
        group[k] = len(places) - 1 if same is None else same
    order = np.argsort(losses, kind="stable")
    rank = np.argsort(order, kind="stable")
    return [places[i] for i in order], np.where(group >= 0, rank[group] if len(rank) else -1, -1)


def _is_same(place: Tensor, other: Tensor, layers: Sequence[Tensor]) -> bool:
    near = _SAME * max(1.0, float(torch.linalg.vector_norm(place)))
    matched = match_units(place, other, layers) if layers else other
    return float(torch.linalg.vector_norm(place - matched)) <= near


def _judge(targets: HessianTargets, objective: Objective, theta: Theta, places: Sequence[Tensor]) -> list[Spectrum]:
    """Return the whole spectrum of each point, with its kind by the rules of every other command."""
    points = [TargetPoint(lambda v=v: objective.with_parameters(theta, v), {"place": ()}) for v in places]  # type: ignore[misc]
    there = replace(targets, points=points)
    dimension, found = targets.layout.dimension, []
    spec = SpectrumSpec(top=dimension, bottom=0)
    given = targets.split.given
    groups = random_groups(len(given) or targets.split.count, single=bool(given))
    for number, vector in enumerate(places):
        raise_if_interrupted()
        operator: Operator = objective.operator(objective.with_parameters(theta, vector))
        site = replace(there.site(number), kinks=kinks_at(there, number), groups=groups)
        found.append(spectrum(operator, site, spec)[0])
    return found


def _record(
    spectra: Sequence[Spectrum], places: Sequence[Tensor], reached: np.ndarray, *, starts: int, unconverged: int,
    flat: int, request: CriticalPointsRequest, targets: HessianTargets,
) -> CriticalPoints:  # fmt: skip
    dimension = targets.layout.dimension
    values = np.array([each.eigenvalues for each in spectra]).reshape(-1, dimension)
    zero = np.array([zero_level(each.norm) + each.residuals for each in spectra]).reshape(-1, dimension)
    return CriticalPoints(
        theta=np.array([each.numpy() for each in places]).reshape(-1, dimension),
        loss=np.array([each.loss for each in spectra]),
        gradient_norm=np.array([each.gradient_norm for each in spectra]),
        index=(values < -zero).sum(1), zeros=(np.abs(values) <= zero).sum(1), eigenvalues=values,
        kinds=tuple(each.kind for each in spectra), reasons=tuple(each.reason for each in spectra), reached=reached,
        starts=starts, unconverged=unconverged, flat=flat, seed=request.seed, spread=request.spread,
        permuted=request.permuted, names=targets.layout.names, problem=targets.name,
    )  # fmt: skip
