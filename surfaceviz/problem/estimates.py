"""Means and standard errors of metrics from sums over batches, for several weight sets at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz.errors import ProblemError
from surfaceviz.problem.losses import Measured, PerSample


@dataclass(frozen=True, slots=True)
class MeanEstimate:
    """The means of one metric of one split for k weight sets, with the residual of each sample.

    ``residuals`` are r_i = (v_i - R w_i) / W for R = sum v / sum w and W = sum w: the linearised
    deviation of the ratio, whose squares add up to its variance. None without per-sample values.
    """

    mean: Tensor  # (k,) float64
    residuals: Tensor | None = None  # (k, n) float64

    @property
    def first(self) -> MeanEstimate:
        """The estimate for the first weight set."""
        return MeanEstimate(self.mean[:1], None if self.residuals is None else self.residuals[:1])

    @property
    def stderr(self) -> Tensor | None:
        """The standard errors of the means over samples, as draws from their population, shape (k,)."""
        return None if self.residuals is None else self._spread(self.residuals)

    def rise_stderr(self, centre: MeanEstimate) -> Tensor | None:
        """Return the standard errors of the paired differences to ``centre`` (of one weight set), shape (k,)."""
        if self.residuals is None or centre.residuals is None:
            return None
        return self._spread(self.residuals - centre.residuals.to(self.residuals))

    def _spread(self, residuals: Tensor) -> Tensor:
        n = residuals.shape[1]
        if n < 2:  # noqa: PLR2004
            return torch.full_like(self.mean, math.nan)
        spread: Tensor = torch.linalg.vector_norm(residuals, dim=1).mul_(math.sqrt(n / (n - 1)))
        return spread.add_(self.mean * 0)  # NaN where the mean diverged


MeanEstimates = dict[str, MeanEstimate]  # <split>_<metric> -> estimate


def estimate_from_samples(values: Tensor, weights: Tensor) -> MeanEstimate:
    """Return the estimate from per-sample numerators and weights, shapes (k, n)."""
    weight = weights.sum(1, keepdim=True)
    mean = values.sum(1, keepdim=True) / weight
    return MeanEstimate(mean[:, 0], torch.addcmul(values, mean, weights, value=-1).div_(weight))


def estimate_from_sums(pairs: Sequence[tuple[float | Tensor, float | Tensor]]) -> MeanEstimate:
    """Return the estimate from one (sum, weight) pair per batch: numbers, or tensors (k,) for k weight sets."""
    if any(isinstance(x, Tensor) and x.ndim for pair in pairs for x in pair):
        total, weight = (sum(torch.as_tensor(pair[i], dtype=torch.float64) for pair in pairs) for i in (0, 1))
        return MeanEstimate(torch.atleast_1d(torch.as_tensor(total / weight)))
    totals = [float(total) for total, _ in pairs]
    summed = math.fsum(totals) if all(map(math.isfinite, totals)) else sum(totals)
    weights = math.fsum(float(weight) for _, weight in pairs)
    return MeanEstimate(torch.tensor([summed / weights if weights else math.nan], dtype=torch.float64))


def estimate_means(parts: Sequence[Measured], counts: Sequence[int], name: str) -> list[MeanEstimate]:
    """Return the estimate of a metric for each split; the samples of the splits follow one another in ``parts``.

    Args:
        parts: the result of each batch; samples have shape (n,), or (k, n) for k weight sets.
        counts: the number of samples of each split, or () for a single split; later samples
            only pad the last batch.
        name: for the message.

    Raises:
        ProblemError: some batches gave sums, others values for each sample.
    """
    samples = [part for part in parts if isinstance(part, PerSample)]
    if len(samples) == len(parts):
        values, weights = _concatenated([p.values for p in samples]), _concatenated([p.weights for p in samples])
        counts = counts or [values.shape[1]]
        sizes = [*counts, values.shape[1] - sum(counts)]
        return [
            estimate_from_samples(v, w)
            for v, w in zip(values.split(sizes, 1)[:-1], weights.split(sizes, 1)[:-1], strict=True)
        ]
    if samples:
        raise ProblemError(f"{name}: some batches gave (sum, weight), others values for each sample; give one kind")
    return [estimate_from_sums([(total, weight) for total, weight in parts])]


def _concatenated(parts: Sequence[Tensor]) -> Tensor:
    """Return the samples of all batches, (k, n); those of one batch are not copied."""
    rows = [part if part.ndim > 1 else part[None] for part in parts]
    return rows[0] if len(rows) == 1 else torch.cat(rows, 1)
