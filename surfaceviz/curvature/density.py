"""Spectral density by stochastic Lanczos quadrature, from a ``matvec`` only."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz.curvature.krylov import BREAKDOWN, Matvec, require_finite


@dataclass(frozen=True, slots=True, kw_only=True)
class QuadratureRules:
    """One quadrature rule for each probe, and the products of the probes, which also give traces.

    Attributes:
        nodes: float64 (b, steps), NaN after the end of an exhausted Krylov space.
        weights: float64 (b, steps), rows that sum to 1.
        products: A z for each probe z, (b, P).
        diagonal: of the tridiagonal matrices, float64 (b, steps).
        off_diagonal: likewise; the last one of each is the length of the next direction, 0 at the end of the space.
        lengths: number of nodes of each.
    """

    nodes: Tensor
    weights: Tensor
    products: Tensor
    diagonal: Tensor
    off_diagonal: Tensor
    lengths: list[int]


def rademacher(count: int, dimension: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Return random signs (count, dimension), the independent entries of least variance in Hutchinson's estimator."""
    return torch.randint(2, (count, dimension), generator=generator, dtype=torch.int8).to(dtype).mul_(2).sub_(1)


def quadrature(matvec: Matvec, probes: Tensor, steps: int) -> QuadratureRules:
    """Return the Gauss quadrature rules of the spectral measures of some vectors, by simultaneous Lanczos runs.

    For a probe z, the eigenvalues of the tridiagonal matrix are the nodes, the squared first components of its
    eigenvectors the weights: sum_j w_j f(t_j) ~ z'f(A)z / z'z, exact for polynomials up to degree 2 ``steps`` - 1.
    Averaged over Rademacher probes this is tr f(A) / P. Vectors are fully reorthogonalised, twice.

    Source: Ubaru, Chen & Saad, SIAM J. Matrix Anal. Appl. 38 (2017); Ghorbani et al., arXiv 1901.10159.

    Args:
        matvec: multiplies rows of vectors.
        probes: rows (b, P).
        steps: nodes of each probe, at most P.
    """
    count, dimension = probes.shape
    steps = min(steps, dimension)
    basis = probes.new_empty((count, steps, dimension))
    diagonal = torch.zeros((count, steps), dtype=torch.float64)
    off_diagonal = torch.zeros((count, steps), dtype=torch.float64)
    ends = [steps] * count
    lengths = torch.linalg.vector_norm(probes, dim=1, keepdim=True)
    q, products = probes / lengths, probes
    for j in range(steps):
        basis[:, j] = q
        w = require_finite(matvec(q))
        if j == 0:
            products = w * lengths
        for i in range(count):
            if j >= ends[i]:
                continue
            known, new = basis[i, : j + 1], w[i].clone()
            for k in range(2):
                along = known @ new
                new.addmv_(known.T, along, alpha=-1)
                diagonal[i, j] += float(along[-1]) if k == 0 else 0.0
            off_diagonal[i, j] = float(torch.linalg.vector_norm(new))
            norm = float(torch.hypot(diagonal[i], off_diagonal[i]).max())
            if off_diagonal[i, j] <= BREAKDOWN * torch.finfo(w.dtype).eps * norm:
                ends[i], off_diagonal[i, j] = j + 1, 0.0
                q[i] = 0
            else:
                q[i] = new / off_diagonal[i, j]
        if max(ends) <= j + 1:
            break
    rules = [_rule(diagonal[i, : ends[i]], off_diagonal[i, : ends[i] - 1], steps) for i in range(count)]
    return QuadratureRules(
        nodes=torch.stack([nodes for nodes, _ in rules]), weights=torch.stack([weights for _, weights in rules]),
        products=products, diagonal=diagonal, off_diagonal=off_diagonal, lengths=ends,
    )  # fmt: skip


def _rule(diagonal: Tensor, off_diagonal: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of a tridiagonal matrix, padded to ``steps``."""
    matrix = torch.diag(diagonal) + torch.diag(off_diagonal, 1) + torch.diag(off_diagonal, -1)
    values, vectors = torch.linalg.eigh(matrix)
    nodes = torch.full((steps,), torch.nan, dtype=torch.float64)
    weights = torch.zeros(steps, dtype=torch.float64)
    nodes[: len(values)], weights[: len(values)] = values, vectors[0].square()
    return nodes, weights
