"""Hutchinson's estimator of traces, of a matrix and of its diagonal blocks, with eigenvectors as control variates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ProbeEstimate:
    """An estimate from random probes and its standard error (NaN for a single probe)."""

    mean: float
    stderr: float


class HutchinsonTraces:
    """Estimates of sum_j d_j A_jj for any weights d, from Rademacher probes z and their products A z.

    z_j (A z)_j has the mean A_jj. Approximate eigenpairs (t_i, u_i) give the control variate
    z_j sum_i t_i u_ij (u_i'z), whose mean is sum_i t_i u_ij^2. The estimate is unbiased for any pairs, and
    good pairs reduce its variance.

    Source: Hutchinson, Commun. Stat. Simul. 19 (1990); removing known eigenvectors is the idea of Hutch++ (Meyer et
    al., arXiv 2010.09649); doing so by a control variate is ours.

    Args:
        values: t_i, float64 (k,).
        vectors: u_i, rows (k, P).
    """

    def __init__(self, values: Tensor, vectors: Tensor) -> None:
        self._values, self._vectors = values.to(vectors), vectors
        self._samples: list[Tensor] = []
        self._squares: list[float] = []  # of ||A z||^2 - sum_i t_i^2 (u_i'z)^2
        self._control_mean = (self._values[:, None] * vectors.square()).sum(0).double()  # (P,)

    @property
    def count(self) -> int:
        """The number of probes so far."""
        return len(self._samples)

    def add(self, probe: Tensor, product: Tensor) -> None:
        """Add a probe (P,) and its product (P,)."""
        control = self._values * (self._vectors @ probe)
        residual = product - self._vectors.T @ control
        self._samples.append((probe * residual).double())
        self._squares.append(float(product.double().square().sum() - control.double().square().sum()))

    def trace(self, weights: Tensor | None = None) -> ProbeEstimate:
        """Return the estimate of sum_j d_j A_jj for weights d (P,), or of the trace by default."""
        samples = torch.stack([sample.sum() if weights is None else weights @ sample for sample in self._samples])
        control = self._control_mean.sum() if weights is None else weights @ self._control_mean
        return _mean_estimate(samples, float(control))

    def effective_rank(self) -> ProbeEstimate | None:
        """Return the effective rank R = tr(A)^2 / tr(A^2), the participation ratio of the eigenvalues; None for A = 0.

        tr(A^2) = E ||A z||^2, with sum_i t_i^2 (u_i'z)^2 as a control variate. The standard error is that of the ratio
        to first order, over the same probes in both traces.

        Source: ours; the delta method.
        """
        traces = torch.stack([sample.sum() for sample in self._samples]) + self._control_mean.sum()
        known = (self._values * torch.linalg.vector_norm(self._vectors, dim=1)).double().square().sum()
        squares = torch.tensor(self._squares, dtype=torch.float64) + known.cpu()
        trace, square = traces.mean(), squares.mean()
        if square <= 0:
            return None
        slope = trace / square  # dR = 2 slope d tr(A) - slope^2 d tr(A^2)
        changes = 2 * slope * (traces - trace) - slope**2 * (squares - square)
        return _mean_estimate(changes, float(trace**2 / square))

    def block_trace(self, entries: slice) -> ProbeEstimate:
        """Return the estimate of the trace of a diagonal block."""
        samples = torch.stack([sample[entries].sum() for sample in self._samples])
        return _mean_estimate(samples, float(self._control_mean[entries].sum()))


def random_directions(scales: Tensor, numbers: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Return random filter-normalised directions, rows (count, P) float64: on each filter, noise of the filter's norm.

    Source: Li et al., arXiv 1712.09913, section 4.

    Args:
        scales: the diagonal of D, (P,): ||w_i|| / sqrt(n_i) on each filter.
        numbers: the number of each entry's filter, int64 (P,).
        count: how many.
        generator: random numbers.
    """
    noise = torch.randn((count, len(scales)), generator=generator, dtype=torch.float64)
    sums = torch.zeros((count, int(numbers.max()) + 1), dtype=torch.float64)
    sums.index_add_(1, numbers, noise.square())
    sizes = torch.bincount(numbers, minlength=sums.shape[1]).double()
    return scales * noise * (sizes / sums).sqrt()[:, numbers]


def _mean_estimate(samples: Tensor, control_mean: float) -> ProbeEstimate:
    count = len(samples)
    stderr = float(samples.std()) / math.sqrt(count) if count > 1 else math.nan
    return ProbeEstimate(float(samples.mean()) + control_mean, stderr)
