"""Traces by Hutchinson's estimator, whole and in parts, with eigenvectors as control variates."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over probes and its standard error (NaN for a single probe)."""

    mean: float
    stderr: float


class Traces:
    """Estimates of sum_j d_j A_jj for any weights d, from Rademacher probes z and their products A z.

    z_j (A z)_j has the mean A_jj. With (approximate) eigenpairs (t_i, u_i) the part z_j sum_i t_i u_ij (u_i'z), whose
    mean is sum_i t_i u_ij^2, is taken out and its mean put back: unbiased however good they are, and what varies is
    only what they leave.

    Source: Hutchinson, Commun. Stat. Simul. 19 (1990); taking known eigenvectors out is the idea of Hutch++ (Meyer et
    al., arXiv 2010.09649), as a control variate ours.

    Args:
        values: t_i, float64 (k,).
        vectors: u_i, rows (k, P).
    """

    def __init__(self, values: Tensor, vectors: Tensor) -> None:
        self._values, self._vectors = values.to(vectors), vectors
        self._parts: list[Tensor] = []
        self.known = (self._values[:, None] * vectors.square()).sum(0).double()  # (P,)

    @property
    def count(self) -> int:
        """The number of probes so far."""
        return len(self._parts)

    def add(self, probe: Tensor, product: Tensor) -> None:
        """Take a probe (P,) and its product."""
        rest = product - self._vectors.T @ (self._values * (self._vectors @ probe))
        self._parts.append((probe * rest).double())

    def weighted(self, weights: Tensor | None = None) -> Estimate:
        """Return sum_j d_j A_jj for weights (P,); the trace without."""
        samples = torch.stack([part.sum() if weights is None else weights @ part for part in self._parts])
        known = self.known.sum() if weights is None else weights @ self.known
        return _estimate(samples, float(known))

    def within(self, where: slice) -> Estimate:
        """Return the trace of a diagonal block."""
        samples = torch.stack([part[where].sum() for part in self._parts])
        return _estimate(samples, float(self.known[where].sum()))


def _estimate(samples: Tensor, known: float) -> Estimate:
    count = len(samples)
    stderr = float(samples.std()) / math.sqrt(count) if count > 1 else math.nan
    return Estimate(float(samples.mean()) + known, stderr)
