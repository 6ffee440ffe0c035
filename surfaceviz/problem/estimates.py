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
    ``draws`` are the means of K draws of random numbers, and ``mean`` is their mean; None for one draw.
    """

    mean: Tensor  # (k,) float64
    residuals: Tensor | None = None  # (k, n) float64
    draws: Tensor | None = None  # (k, K) float64

    @property
    def first(self) -> MeanEstimate:
        """The estimate for the first weight set."""
        return MeanEstimate(*(None if x is None else x[:1] for x in (self.mean, self.residuals, self.draws)))  # type: ignore[arg-type]

    @property
    def stderr(self) -> Tensor | None:
        """The standard errors of the means over samples, as draws from their population, shape (k,).

        With K draws of random numbers, sqrt(e^2 + s^2 / K): e is the error over samples, of values that are means over
        draws, and s the standard deviation of the draws' means. It covers noise that samples share, and noise of each
        sample, which both terms contain. Ours.
        """
        return self._error(self.residuals, self.draws)

    def rise_stderr(self, centre: MeanEstimate) -> Tensor | None:
        """Return the standard errors of the paired differences to ``centre`` (of one weight set), shape (k,)."""
        return self._error(_rise(self.residuals, centre.residuals), _rise(self.draws, centre.draws))

    def _error(self, residuals: Tensor | None, draws: Tensor | None) -> Tensor | None:
        over_samples = None if residuals is None else self._spread(residuals)
        if draws is None:
            return over_samples
        over_draws = draws.std(1) / math.sqrt(draws.shape[1])
        return over_draws if over_samples is None else torch.hypot(over_samples, over_draws)

    def _spread(self, residuals: Tensor) -> Tensor:
        n = residuals.shape[1]
        if n < 2:  # noqa: PLR2004
            return torch.full_like(self.mean, math.nan)
        spread: Tensor = torch.linalg.vector_norm(residuals, dim=1).mul_(math.sqrt(n / (n - 1)))
        return spread.add_(self.mean * 0)  # NaN where the mean diverged


def _rise(here: Tensor | None, centre: Tensor | None) -> Tensor | None:
    return None if here is None or centre is None else here - centre.to(here)


MeanEstimates = dict[str, MeanEstimate]  # <split>_<metric> -> estimate


def sum_and_weight(given: Measured) -> tuple[Tensor, float]:
    """Return (sum, weight) of a batch's result, the sum in float64 with its graph."""
    total, weight = sums(given)
    return total, float(weight)


def sums(given: Measured) -> tuple[Tensor, Tensor | float]:
    """Return (sum, weight) of a batch's result, in which `vmap` may have put a dimension."""
    total, weight = (given.values.sum(), given.weights.sum()) if isinstance(given, PerSample) else given
    return torch.as_tensor(total).double(), weight


def detach_sums(given: Measured) -> Measured:
    """Return sums in float64, without a graph."""
    if isinstance(given, PerSample):
        return PerSample(given.values.detach().double(), given.weights.detach().double())
    total, weight = (x.detach().double() if isinstance(x, Tensor) else x for x in given)
    return total, weight


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


def mean_over_draws(found: Sequence[MeanEstimates]) -> MeanEstimates:
    """Return the means over draws of random numbers, sample by sample; the estimates themselves for one draw."""
    return found[0] if len(found) == 1 else {name: _mean([each[name] for each in found]) for name in found[0]}


def _mean(found: Sequence[MeanEstimate]) -> MeanEstimate:
    draws = torch.stack([each.mean for each in found], 1)
    residuals = [each.residuals for each in found if each.residuals is not None]
    mean = sum(residuals[1:], residuals[0]) / len(found) if len(residuals) == len(found) else None
    return MeanEstimate(draws.mean(1), mean, draws)


def _concatenated(parts: Sequence[Tensor]) -> Tensor:
    """Return the samples of all batches, (k, n); those of one batch are not copied."""
    rows = [part if part.ndim > 1 else part[None] for part in parts]
    return rows[0] if len(rows) == 1 else torch.cat(rows, 1)
