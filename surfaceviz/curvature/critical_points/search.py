"""A search for critical points: |g|^2 is minimised from many starts at once, by Newton's method in a trust region.

Let g be the gradient and H the Hessian. The model of |g|^2 is |g + H p|^2 over |p| <= r; its minimum is
p = -H (H^2 + mu)^-1 g, with mu = 0 inside of the region. So each step is that of Levenberg and Marquardt for the
equations g = 0, and Newton's where it fits. It does not prefer minima. It may stop where H g = 0 and g is not 0, which
is no critical point (Frye et al., arXiv 2003.10397).

Source: ours, after Moré, Lecture Notes in Mathematics 630 (1978); the radii are his.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.func import grad, jacrev, vmap

_STEPS = 500  # ours; a degenerate point is approached by a constant factor a step
_BISECTIONS = 40  # of the logarithm of mu
_SINGULAR = 1e-11  # of ||H||: smaller eigenvalues are damped
_SHORTEST = 1e-14  # of max(1, ||theta||): a shorter radius ends a search
_AWAY = 1e4  # times max(1, ||start||): farther away a search is on its way to infinity, as units saturate
_RADIUS = 0.5  # the first one, of max(1, ||theta||)
_POOR, _GOOD = 0.25, 0.75  # shares of the predicted decrease
_FLAT = 1e-6  # |H g| up to this share of ||H|| |g|, H at the start, ends at a minimum of |g|^2
_ENTRIES = 2**24  # of the Hessians at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchEnd:
    """The ends of searches.

    Attributes:
        theta: (S, P).
        gradient_norm: (S,).
        flat: whether H g is 0 there beside g, (S,).
        steps: steps taken by the longest search.
    """

    theta: Tensor
    gradient_norm: Tensor
    flat: Tensor
    steps: int


def search_critical(
    loss: Callable[[Tensor], Tensor], starts: Tensor, *, between: Callable[[int], None] = lambda _step: None
) -> SearchEnd:
    """Return where searches from the rows of ``starts`` end.

    Args:
        loss: (P,) -> number, which `torch.func` can differentiate twice.
        starts: (S, P) float64.
        between: called before each step with its number; it may raise.
    """
    gradients, hessians = vmap(grad(loss)), vmap(jacrev(grad(loss)))
    size = max(1, _ENTRIES // starts.shape[1] ** 2)
    theta, radius = starts.clone(), _RADIUS * _scale(starts)
    g = gradients(theta)
    active = torch.isfinite(g).all(1) & (g.abs().amax(1) > 0)
    step = 0
    for step in range(_STEPS):
        between(step)
        rows = active.nonzero()[:, 0]
        if not len(rows):
            break
        for some in rows.split(size):
            tried, model = _step(g[some], hessians(theta[some]), radius[some])
            there = gradients(theta[some] + tried)
            before, after = g[some].square().sum(1), there.square().sum(1)
            ratio = (before - after) / (before - model).clamp_min(torch.finfo(before.dtype).tiny)
            better = torch.isfinite(after) & (after < before)
            length = torch.linalg.vector_norm(tried, dim=1)
            grown = torch.where((ratio > _GOOD) & (length > 0.9 * radius[some]), 2 * radius[some], radius[some])
            radius[some] = torch.where(better & (ratio >= _POOR), grown, length / 4)
            theta[some] = torch.where(better[:, None], theta[some] + tried, theta[some])
            g[some] = torch.where(better[:, None], there, g[some])
        here = _scale(theta)
        active = active & (radius > _SHORTEST * here) & (g.abs().amax(1) > 0) & (here < _AWAY * _scale(starts))
    return SearchEnd(
        theta=theta, gradient_norm=torch.linalg.vector_norm(g, dim=1), steps=step,
        flat=_flat(hessians, starts, theta, g, size=size),
    )  # fmt: skip


def _scale(theta: Tensor) -> Tensor:
    scale: Tensor = torch.linalg.vector_norm(theta, dim=1).clamp_min(1.0)
    return scale


def _step(g: Tensor, matrices: Tensor, radius: Tensor) -> tuple[Tensor, Tensor]:
    """Return p, (S, P), of length at most the radius, and |g + H p|^2, (S,)."""
    values, vectors = torch.linalg.eigh((matrices + matrices.mT) / 2)
    c = (vectors.mT @ g[:, :, None])[:, :, 0]
    norm = values.abs().amax(1, keepdim=True).clamp_min(torch.finfo(g.dtype).tiny)
    low = 2 * torch.log(_SINGULAR * norm)
    high = torch.maximum(
        low, torch.log(norm * torch.linalg.vector_norm(c, dim=1, keepdim=True) / radius[:, None] + norm**2)
    )
    coordinates = _damped(values, c, low)
    outside = torch.linalg.vector_norm(coordinates, dim=1, keepdim=True) > radius[:, None]
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        long = torch.linalg.vector_norm(_damped(values, c, middle), dim=1, keepdim=True) > radius[:, None]
        low, high = torch.where(long, middle, low), torch.where(long, high, middle)
    coordinates = torch.where(outside, _damped(values, c, high), coordinates)
    model = (c + values * coordinates).square().sum(1)
    return (vectors @ coordinates[:, :, None])[:, :, 0], model


def _damped(values: Tensor, c: Tensor, log_mu: Tensor) -> Tensor:
    """Return -lambda c / (lambda^2 + mu)."""
    return -values * c / (values.square() + torch.exp(log_mu))


def _flat(hessians: Callable[[Tensor], Tensor], starts: Tensor, theta: Tensor, g: Tensor, *, size: int) -> Tensor:
    """Return whether |H g| is small beside |g| and ||H|| at the start, in rows of finite gradients."""
    found = torch.zeros(len(theta), dtype=torch.bool)
    for some in torch.isfinite(g).all(1).nonzero()[:, 0].split(size):
        matrices, each = hessians(theta[some]), g[some]
        product = torch.linalg.vector_norm((matrices @ each[:, :, None])[:, :, 0], dim=1)
        bound = torch.linalg.matrix_norm(hessians(starts[some])) * torch.linalg.vector_norm(each, dim=1)
        found[some] = product <= _FLAT * bound
    return found
