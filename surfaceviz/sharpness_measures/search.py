"""Searches for the highest loss in a box or on a ball around the weights, from several starts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy.optimize import Bounds, minimize
from torch import Tensor

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.errors import ProblemError
from surfaceviz.records import FloatArray
from surfaceviz.signals import raise_if_interrupted

_REACH = 1e4  # length of the first step in box widths; the maximum found is the same from 100 on; ours
_GAIN = 1e-4  # of the rise: an ascent that gains less has ended; ours
_KEPT, _SHORT = 6, 3  # the highest samples kept, steps for a sample; ours
_OFF = 1e-2  # of the highest rise: a larger error of float32 calls for float64; ours
_CLOSE = 1e-3  # of the rise found in float32: the highest starts within it are evaluated in float64; ours

Map = Callable[[Tensor, Tensor], Tensor]  # (u, gradient) -> the next u, on the boundary


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchSpec:
    """The effort of a search for the highest loss.

    Attributes:
        starts: number of random starts, in turn inside and on the boundary.
        iterations: largest number of steps from each start.
        seed: seed of the starts.
        samples: largest number of single samples whose ascents are tried as starts; ours.
    """

    starts: int
    iterations: int
    seed: int
    samples: int = 64


class Region:
    """The loss at theta + size u, where u (P,) is in a box |u_i| <= 1 or in a ball |u| <= 1.

    Attributes:
        loss: the loss at u = 0.
        gradient: its gradient with respect to u, (P,).
        best: the highest finite loss seen, in float64.
        best_at: its u, (P,).
        finite: whether all losses seen were finite.
    """

    def __init__(
        self, objective: Objective, theta: Theta, size: Tensor | float, quick: Objective | None = None
    ) -> None:
        self._objective, self._theta, self._quick = objective, theta, quick or objective
        self._x, self._size = objective.layout.of(theta), size
        self.loss, self.weight, gradient = objective.gradient(theta)
        self.gradient = size * gradient
        self.best, self.best_at, self.finite = self.loss, torch.zeros_like(self._x), True

    def at(self, u: Tensor) -> tuple[float, Tensor]:
        """Return the loss at u (P,) and its gradient (P,), and keep the highest; costs a forward and backward pass."""
        raise_if_interrupted()
        loss, _, gradient = self._objective.gradient(self._weights(u))
        self._keep(loss, u)
        return loss, self._size * gradient

    def value(self, u: Tensor) -> float:
        """Return the loss at u (P,), and keep the highest; costs a forward pass."""
        loss = self._objective.loss(self._weights(u))
        self._keep(loss, u)
        return loss

    def quick(self, u: Tensor) -> tuple[float, Tensor]:
        """Return loss and gradient at u (P,) in the number format of the search."""
        raise_if_interrupted()
        loss, _, gradient = self._quick.gradient(self._weights(u))
        return loss, self._size * gradient

    def quick_loss(self, u: Tensor) -> float:
        """Return the loss at u (P,) in the number format of the search; costs a forward pass."""
        raise_if_interrupted()
        return self._quick.loss(self._weights(u))

    def of_samples(self, count: int, seed: int) -> Iterator[Region]:
        """Yield regions of the loss of single samples (or given batches), ``count`` random ones; none of one sample."""
        pieces = self._quick.chunks(1)
        order = torch.randperm(len(pieces), generator=torch.Generator().manual_seed(seed))[:count].tolist()
        for i in order if len(pieces) > 1 else ():
            yield Region(pieces[i], self._theta, self._size)

    def use_float64(self) -> bool:
        """Search in float64 from now on; return whether it was float32 before."""
        narrow, self._quick = self._quick is not self._objective, self._objective
        return narrow

    def _weights(self, u: Tensor) -> Theta:
        return self._objective.with_parameters(self._theta, self._x + self._size * u.to(self._x))

    def _keep(self, loss: float, u: Tensor) -> None:
        self.finite = self.finite and math.isfinite(loss)
        if math.isfinite(loss) and loss > self.best:
            self.best, self.best_at = loss, u.clone()


def to_vertex(u: Tensor, gradient: Tensor) -> Tensor:
    """Return the vertex of the box that the gradient points to; an entry without slope stays.

    For a convex loss the linear model is a lower bound, so that each step is uphill.

    >>> to_vertex(torch.tensor([0.5, 0.5]), torch.tensor([-2.0, 0.0]))
    tensor([-1.0000,  0.5000])
    """
    return torch.where(gradient == 0, u, torch.sign(gradient))


def to_sphere(u: Tensor, gradient: Tensor) -> Tensor:
    """Return the point of the unit sphere that the gradient points to, as `to_vertex`; u where it is 0."""
    norm = torch.linalg.vector_norm(gradient)
    return gradient / norm if norm > 0 else u


def ascend(region: Region, start: Tensor, step: Map, iterations: int) -> tuple[float, Tensor]:
    """Return the highest loss on the way uphill from a start, and its u (P,), in the number format of the search.

    The ascent ends where a step gains less than 1e-4 of the rise, or leads down, as it can where the loss is not
    convex. Costs at most ``iterations`` forward and backward passes.
    """
    u, high, high_at = start, -math.inf, start
    for _ in range(iterations):
        loss, gradient = region.quick(u)
        if not math.isfinite(loss):
            region.finite = False
            break
        ended = loss - high <= _GAIN * abs(loss - region.loss)
        if loss > high:
            high, high_at = loss, u
        u = step(u, gradient)
        if ended or torch.equal(u, high_at) or not torch.isfinite(u).all():
            break
    return high, high_at


def search(region: Region, given: Sequence[Tensor], step: Map, spec: SearchSpec) -> None:
    """Ascend from given starts and from `sample_starts`, and evaluate the highest points in float64.

    The region keeps the best.

    If float32 is off by more than 1% of a rise, all is done again in float64.
    """
    starts = [*given, *sample_starts(region, step, spec)]
    found = [ascend(region, start, step, spec.iterations) for start in starts]
    high = max(loss for loss, _ in found)
    margin = _CLOSE * abs(high - region.loss)
    off = 0.0
    for loss, u in found:
        if loss >= high - margin:
            off = max(off, abs(region.value(u) - loss))
    if off > _OFF * (region.best - region.loss) and region.use_float64():
        search(region, given, step, spec)


def sample_starts(region: Region, step: Map, spec: SearchSpec) -> list[Tensor]:
    """Return the ends (P,) of ascents of the loss of single samples, the six that are highest for all samples.

    The maximum often belongs to a few samples whose loss is small at theta, where the gradient of the mean does not see
    them, and random starts find it once in forty times.
    """
    zero, ends = torch.zeros_like(region.best_at), []
    try:
        for sample in region.of_samples(spec.samples, spec.seed):
            _, end = ascend(sample, step(zero, sample.gradient), step, _SHORT)
            if end.isfinite().all() and end.any():
                ends.append(end)
    except ProblemError:  # the model does not take single samples, as batch norm without running statistics
        return []
    losses = [region.quick_loss(end) for end in ends]
    order = sorted(range(len(ends)), key=lambda i: losses[i] if math.isfinite(losses[i]) else -math.inf, reverse=True)
    return [ends[i] for i in order[:_KEPT]]


def box_starts(size: int, spec: SearchSpec) -> Iterator[Tensor]:
    """Yield random starts (size,) in a box: in turn a vertex, and uniform inside."""
    generator = torch.Generator().manual_seed(spec.seed)
    for k in range(spec.starts):
        u = 2 * torch.rand(size, generator=generator, dtype=torch.float64) - 1
        yield u if k % 2 else torch.sign(u)


def sphere_starts(size: int, spec: SearchSpec) -> Iterator[Tensor]:
    """Yield random starts (size,) on the unit sphere."""
    generator = torch.Generator().manual_seed(spec.seed)
    for _ in range(spec.starts):
        u = torch.randn(size, generator=generator, dtype=torch.float64)
        yield u / torch.linalg.vector_norm(u)


def climb_box(region: Region, start: Tensor, iterations: int) -> None:
    """Run L-BFGS-B in the box from u = ``start`` (P,); the region keeps the best point.

    f is scaled by its gradient, so that the first step reaches the walls. Without this scaling, ten iterations end far
    below on networks with small gradients (by a third on ResNet-20). Where the gradient is 0, nothing moves.
    """
    loss, gradient = (region.loss, region.gradient) if not start.any() else region.at(start)
    steepness = float(torch.linalg.vector_norm(gradient))
    if not 0 < steepness < math.inf:
        return
    unit, first = _REACH * math.sqrt(len(start)) / steepness, start.cpu().numpy()

    def negative(u: FloatArray) -> tuple[float, Any]:
        here, slope = (loss, gradient) if np.array_equal(u, first) else region.at(torch.from_numpy(np.array(u)))
        return -unit * here, (-unit * slope).cpu().numpy()

    ones = np.ones(len(start))
    minimize(
        negative, first, jac=True, method="L-BFGS-B", bounds=Bounds(-ones, ones),
        options={"maxiter": iterations, "ftol": 0.0, "gtol": 0.0},
    )  # fmt: skip
