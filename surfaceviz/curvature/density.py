"""The density of eigenvalues by stochastic Lanczos quadrature. It knows only a ``matvec``."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz.curvature.krylov import NOTHING, Matvec, finite


@dataclass(frozen=True, slots=True)
class Rules:
    """A quadrature rule for each start vector, and the first product, of which traces can be made.

    Attributes:
        nodes: float64 (b, steps), NaN behind the end of an exhausted space.
        weights: float64 (b, steps), rows adding up to 1.
        first: the products of the start vectors, (b, P).
    """

    nodes: Tensor
    weights: Tensor
    first: Tensor


def rademacher(count: int, dimension: int, generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    """Return random signs (count, dimension), of which no vector has less variance in Hutchinson's estimate."""
    return torch.randint(2, (count, dimension), generator=generator, dtype=torch.int8).to(dtype).mul_(2).sub_(1)


def quadrature(matvec: Matvec, probes: Tensor, steps: int) -> Rules:
    """Return the Gauss quadrature rules of the spectral measures of some vectors, by Lanczos in step.

    For a probe z, the eigenvalues of the tridiagonal matrix are the nodes, the squared first components of its
    eigenvectors the weights: sum_j w_j f(t_j) ~ z'f(A)z / z'z, exact for polynomials up to degree 2 ``steps`` - 1.
    Averaged over Rademacher probes this is tr f(A) / P. Vectors are fully reorthogonalised, twice.

    Source: Ubaru, Chen & Saad, SIAM J. Matrix Anal. Appl. 38 (2017); Ghorbani et al., arXiv 1901.10159.

    Args:
        matvec: multiplies rows of vectors.
        probes: rows (b, P).
        steps: nodes a probe, at most P.
    """
    count, dimension = probes.shape
    steps = min(steps, dimension)
    basis = probes.new_empty((count, steps, dimension))
    diagonal = torch.zeros((count, steps), dtype=torch.float64)
    beside = torch.zeros((count, steps), dtype=torch.float64)
    ends = [steps] * count
    lengths = torch.linalg.vector_norm(probes, dim=1, keepdim=True)
    q, first = probes / lengths, probes
    for j in range(steps):
        basis[:, j] = q
        w = finite(matvec(q))
        if j == 0:
            first = w * lengths
        for i in range(count):
            if j >= ends[i]:
                continue
            known, new = basis[i, : j + 1], w[i].clone()
            for k in range(2):
                along = known @ new
                new.addmv_(known.T, along, alpha=-1)
                diagonal[i, j] += float(along[-1]) if k == 0 else 0.0
            beside[i, j] = float(torch.linalg.vector_norm(new))
            norm = float(torch.hypot(diagonal[i], beside[i]).max())
            if beside[i, j] <= NOTHING * torch.finfo(w.dtype).eps * norm:
                ends[i] = j + 1
                q[i] = 0
            else:
                q[i] = new / beside[i, j]
        if max(ends) <= j + 1:
            break
    rules = [_rule(diagonal[i, : ends[i]], beside[i, : ends[i] - 1], steps) for i in range(count)]
    return Rules(torch.stack([nodes for nodes, _ in rules]), torch.stack([weights for _, weights in rules]), first)


def _rule(diagonal: Tensor, beside: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return nodes and weights of a tridiagonal matrix, filled up to ``steps``."""
    matrix = torch.diag(diagonal) + torch.diag(beside, 1) + torch.diag(beside, -1)
    values, vectors = torch.linalg.eigh(matrix)
    nodes = torch.full((steps,), torch.nan, dtype=torch.float64)
    weights = torch.zeros(steps, dtype=torch.float64)
    nodes[: len(values)], weights[: len(values)] = values, vectors[0].square()
    return nodes, weights


def negative_bounds(nodes: Tensor, weights: Tensor, tolerance: float) -> tuple[float, float]:
    """Return between what the share of eigenvalues below -``tolerance`` lies, as far as the rules tell it.

    By the inequalities of Chebyshev, Markov and Stieltjes the mass of a probe's measure below a point between two nodes
    is at least the weights of all nodes before the lower one, and at most those up to the upper one. Means over probes.
    """
    low, high = [], []
    for t, w in zip(nodes, weights, strict=True):
        total = torch.cat([torch.zeros(1, dtype=w.dtype), w.cumsum(0)])  # NaN nodes are last, of weight 0
        below = int((t < -tolerance).sum())
        low.append(float(total[max(below - 1, 0)]))
        high.append(float(total[min(below + 1, len(w))]))
    return sum(low) / len(low), sum(high) / len(high)


def negative_share(nodes: Tensor, weights: Tensor, tolerance: float) -> tuple[float, float]:
    """Return the share of eigenvalues below -``tolerance`` and its standard error over probes (NaN for one)."""
    shares = torch.where(nodes < -tolerance, weights, 0.0).sum(1)
    if len(shares) < 2:  # noqa: PLR2004
        return float(shares.mean()), float("nan")
    return float(shares.mean()), float(shares.std() / len(shares) ** 0.5)
