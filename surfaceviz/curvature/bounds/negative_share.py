"""The share of negative eigenvalues: counted, or bracketed by quadrature."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from surfaceviz.curvature.density import QuadratureRules
from surfaceviz.curvature.krylov import ROUNDING

CONFIDENCE = 0.95  # of brackets; ours
_DEVIATIONS = 2.6  # standard deviations for it: the normal 99%, since few signs have longer tails


def zero_threshold(norm: float, dimension: int, dtype: torch.dtype) -> float:
    """Return the |eigenvalue| that rounding can't tell from 0: max(32, sqrt(P)) eps ||A||. Ours."""
    return max(ROUNDING, math.sqrt(dimension)) * torch.finfo(dtype).eps * norm


def mass_below(diagonal: Tensor, off_diagonal: Tensor, x: float) -> tuple[float, float]:
    """Return bounds of the mass below ``x`` of a measure, from the Jacobi matrix T of its m Lanczos steps.

    A Gauss-Radau rule with a node at x is exact up to degree 2 m. By the inequalities of Chebyshev, Markov and
    Stieltjes, the weights of its nodes below x are a lower bound; with the weight at x they are an upper bound. These
    moments alone give no closer bounds. If the Krylov space is exhausted, the rule of T is the measure itself.

    Source: Golub & Meurant, Matrices, Moments and Quadrature (2010), section 6.2 (the rule); Karlin & Studden,
    Tchebycheff Systems (1966), chapter 4 (the inequalities).

    Args:
        diagonal: of T, float64 (m,).
        off_diagonal: of T, float64 (m,), and last the coupling to the next step.
        x: the point.
    """
    values, vectors = _eigen(diagonal, off_diagonal[:-1])
    last = float(off_diagonal[-1])
    if last == 0:
        mass = float(vectors[0, values < x].square().sum())
        return mass, mass
    gaps = values - x
    scale = max(float(values.abs().max()), abs(x))
    tiny = torch.finfo(torch.float64).eps * scale or 1.0
    gaps = torch.where(gaps.abs() < tiny, torch.full_like(gaps, tiny), gaps)
    # (T - x) y = last^2 e_m, and the next diagonal entry is x + y_m
    entry = x + last**2 * float((vectors[-1].square() / gaps).sum())
    nodes, vectors = _eigen(torch.cat([diagonal, torch.tensor([entry], dtype=torch.float64)]), off_diagonal)
    weights, at = vectors[0].square(), int((nodes - x).abs().argmin())
    low = float(weights[:at].sum())
    return max(low, 0.0), min(low + float(weights[at]), 1.0)


def _eigen(diagonal: Tensor, off_diagonal: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(
        torch.diag(diagonal) + torch.diag(off_diagonal, 1) + torch.diag(off_diagonal, -1)
    )
    return values, vectors


def share_below(rules: Sequence[QuadratureRules], x: float) -> tuple[float, float]:
    """Return a 95% bracket of the share of eigenvalues below ``x``, from the rules of Rademacher probes.

    Let E project on the eigenvectors of these eigenvalues. For each probe z, `mass_below` bounds z'Ez / P, whose mean
    is the share p. Its variance is 2 (||E||_F^2 - sum_i E_ii^2) / P^2 <= 2 p (1 - p) / P <= 1 / (2 P). So the error of
    the mean over n probes is known without estimating it from few probes; 2.6 of its standard deviations are added.
    """
    bounds = [
        mass_below(each.diagonal[i, :m], each.off_diagonal[i, :m], x)
        for each in rules
        for i, m in enumerate(each.lengths)
    ]
    dimension = rules[0].products.shape[1]
    margin = _DEVIATIONS / math.sqrt(2 * dimension * len(bounds))
    low, high = (sum(each) / len(bounds) for each in zip(*bounds, strict=True))
    return max(low - margin, 0.0), min(high + margin, 1.0)
