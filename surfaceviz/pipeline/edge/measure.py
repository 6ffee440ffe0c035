"""Sharpness at checkpoints: eigenvalues and batch sharpness, or critical sharpness by forward passes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from surfaceviz.curvature import Operator, SampleShare, SpectrumSpec, eigenpairs
from surfaceviz.curvature.krylov import Matvec
from surfaceviz.curvature.products.hvp import summed_gradient
from surfaceviz.curvature.stability.batch_sharpness import batch_sharpness
from surfaceviz.curvature.stability.critical_sharpness import critical_sharpness
from surfaceviz.curvature.stability.state import OptimiserState
from surfaceviz.execute import WorkerSpec, map_workers
from surfaceviz.pipeline.hessian.operators import MemoryBudget, build_hvp
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.problem.functional import loss_sums
from surfaceviz.signals import raise_if_interrupted

_BATCH = 512  # samples in a forward pass; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgePoint:
    """The sharpness at a checkpoint; the fields are those of `Edge`, one number each."""

    step: float
    learning_rate: float
    threshold: float
    loss: float = math.nan
    lambda_max: float = math.nan
    preconditioned: float = math.nan
    batch_sharpness: float = math.nan
    batch_sharpness_stderr: float = math.nan
    critical_sharpness: float = math.nan
    converged: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Measures:
    """What is computed at checkpoints.

    Attributes:
        targets: the checkpoints by number, on the samples of the training split.
        request: the options for products.
        spec: the eigenvalue to compute.
        memory: for graphs and vectors.
        batches: mini-batches for batch sharpness; none leaves it out.
    """

    targets: HessianTargets
    request: HessianRequest
    spec: SpectrumSpec
    memory: MemoryBudget
    batches: Sequence[Any] = field(default_factory=list)

    @contextmanager
    def second_derivatives(self, workers: WorkerSpec) -> Iterator[Callable[[int, OptimiserState], dict[str, Any]]]:
        """Provide a function that computes loss, eigenvalues and batch sharpness; processes share the samples."""
        make = lambda number: build_hvp(  # noqa: E731
            self.targets, self.request, self.memory, SampleShare(number, workers.count)
        )
        with map_workers(make, workers) as each:
            operator = Operator(each, self.targets.layout, self.targets.dtype)
            yield lambda number, state: self._eigenvalues(operator, number, state)

    def _eigenvalues(self, operator: Operator, number: int, state: OptimiserState) -> dict[str, Any]:
        layout = self.targets.layout
        here, penalty = operator.set_point(number), state.penalty(layout)
        theta = layout.of(self.targets.points[number].make()).double().cpu()
        loss = here.loss + _penalty_of(penalty, theta)
        if not here.finite:
            return {"loss": loss, "converged": False}
        top = eigenpairs(_scaled(operator, penalty, None), operator, self.spec)
        found: dict[str, Any] = {
            "loss": loss,
            "lambda_max": float(top.eigenvalues[-1]),
            "converged": bool(top.converged[-1]),
        }
        if state.is_scaled and (scales := state.scales(layout)) is not None:
            scaled = eigenpairs(_scaled(operator, penalty, scales), operator, self.spec)
            found["preconditioned"] = float(scaled.eigenvalues[-1])
            found["converged"] = bool(top.converged[-1] and scaled.converged[-1])
        if self.batches:
            mean, error = batch_sharpness(
                self.targets.problem, self.targets.state(number), self._own_names(), batches=self.batches,
                penalty=penalty,
            )  # fmt: skip
            found |= {"batch_sharpness": mean, "batch_sharpness_stderr": error}
        return found

    def critical(self, number: int, state: OptimiserState) -> dict[str, Any]:
        """Return the loss and critical sharpness: one gradient for the direction, then forward passes alone."""
        layout, names, weights = self.targets.layout, self._own_names(), self.targets.state(number)
        theta = layout.flat([weights[name] for name in names]).double().cpu()
        penalty, batches = state.penalty(layout), self.targets.split.batches(_BATCH)
        loss_of = loss_sums(self.targets.problem)

        def loss_at(at: Tensor) -> float:
            raise_if_interrupted()
            moved = {n: x.to(weights[n]) for n, x in zip(names, layout.split(at), strict=True)}
            with torch.no_grad():
                pairs = [loss_of({**weights, **moved}, batch) for batch in batches]
            total = math.fsum(float(loss) for loss, _ in pairs) if pairs else math.nan
            return total / math.fsum(weight for _, weight in pairs) + _penalty_of(penalty, at)

        loss = loss_at(theta)
        if not math.isfinite(loss) or not state.learning_rate > 0:
            return {"loss": loss}
        sums = [summed_gradient(self.targets.problem, weights, names, batch) for batch in batches]
        weight = math.fsum(w for _, w, _ in sums)
        gradient = torch.stack([layout.flat(parts).double().cpu() for *_, parts in sums]).sum(0) / weight
        u = state.step(layout, theta, gradient)
        return {
            "loss": loss,
            "critical_sharpness": critical_sharpness(lambda s: loss_at(theta - s * u), state.learning_rate),
        }

    def _own_names(self) -> list[str]:
        return [self.targets.own_names[name] for name in self.targets.layout.names]


def _penalty_of(penalty: Tensor, theta: Tensor) -> float:
    return float((penalty * theta * theta).sum()) / 2


def _scaled(operator: Operator, penalty: Tensor, scales: Tensor | None) -> Matvec:
    """Return the matvec of S (A + diag(penalty)) S, rows (b, P)."""
    factors = penalty.to(operator.dtype)
    if scales is None:
        return lambda rows: operator(rows) + factors * rows
    s = scales.to(operator.dtype)
    return lambda rows: s * (operator(s * rows) + factors * (s * rows))
