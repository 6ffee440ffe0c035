"""Size of the smallest subset of the samples that the tolerance permits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from surfaceviz.evaluate import Evaluator
from surfaceviz.problem.data import subset_order
from surfaceviz.records import FloatArray
from surfaceviz.refine import ErrorMetric, LossError, MetricError

# Ours.
SHARE_OF_TOLERANCE = 1 / 3
_DRAWS = 100  # subsets of each size
_SMALLEST, _STEP = 256, 1.25  # smallest size, and ratio of sizes
_WORTH = 0.8  # largest share of the samples that saves time
_SEED = 1


def smallest_subset(
    evaluator: Evaluator,
    places: Sequence[Sequence[float]],
    levels: Mapping[str, float],
    counts: Mapping[str, int],
    *,
    tolerance: float,
) -> int | None:
    """Return the number of samples of each split that is enough; None if nearly all are needed.

    At the given points the rise of a loss on a subset, L_S - L_S(0), is compared with the rise on all samples, whose
    values are known one by one; that of an accuracy likewise. The error (see `LossError`; absolute for an accuracy), in
    the root mean square over the points, must stay
    under a third of the tolerance, both for the nested, seeded subset of the run and for random subsets of its size.
    These are drawn from all samples, because losses are heavy-tailed. Audits on all samples check the result.

    Args:
        evaluator: evaluator on all samples.
        places: coordinates of points on the grid.
        levels: name of each loss -> its level.
        counts: name of each loss -> the samples of its split.
        tolerance: of the interpolation.
    """
    centre = evaluator.centre().first
    points = [evaluator.with_sample_deviations(place) for place in places]
    needed = 0
    for name in (name for loss in levels for name in (loss, f"{loss.removesuffix('loss')}accuracy") if name in centre):
        shares = [shares[name] for _, shares in points if name in shares]
        if len(shares) < len(points):
            return None  # no value for each sample
        values = np.array([values.first[name] for values, _ in points])
        measure = (
            LossError.of(values, level=levels[name], centre=centre[name])
            if name in levels
            else MetricError(scale=1.0, low=0.0, high=1.0)
        )
        enough = enough_samples(np.array(shares), values, measure, SHARE_OF_TOLERANCE * tolerance)
        needed = max(needed, enough)
    return needed if needed < _WORTH * max(counts.values()) else None


def enough_samples(shares: FloatArray, losses: FloatArray, measure: ErrorMetric, limit: float) -> int:
    """Return the smallest number of samples whose rises have an RMS error of at most ``limit``.

    Args:
        shares: (k, n) each sample's share in the deviation of a point's rise, see `Evaluator.with_sample_deviations`.
        losses: (k,) on all samples.
        measure: the error metric.
        limit: largest error, in the unit of ``measure``.
    """
    n = int(shares.shape[1])
    sizes = _sizes(n)
    finite = np.isfinite(losses)
    if not finite.any():
        return n
    shares, losses = shares[finite], losses[finite]
    random = np.random.Generator(np.random.Philox(key=_SEED))
    draws = np.array([_errors(shares, losses, measure, random.permutation(n), sizes=sizes) for _ in range(_DRAWS)])
    typical = np.sqrt(np.mean(draws**2, axis=(0, 1)))
    own = np.sqrt(np.mean(_errors(shares, losses, measure, subset_order(n), sizes=sizes) ** 2, axis=0))
    enough = np.flatnonzero(np.maximum(typical, own) <= limit)
    return int(sizes[enough[0]]) if enough.size else n


def _errors(
    shares: FloatArray, losses: FloatArray, measure: ErrorMetric, samples: NDArray[np.intp], *, sizes: NDArray[np.intp]
) -> FloatArray:
    """Return the errors (k, sizes) of the first of ``samples``."""
    n = len(samples)
    sums = np.cumsum(shares[:, samples], axis=1)[:, sizes - 1]
    truth = np.broadcast_to(losses[:, None], sums.shape)
    return measure.error(truth + sums * (n / sizes), truth)


def _sizes(n: int) -> NDArray[np.intp]:
    """Return the candidate sizes; the last one is n."""
    steps = int(np.ceil(np.log(max(n / _SMALLEST, 1.0)) / np.log(_STEP)))
    return np.unique(np.minimum((_SMALLEST * _STEP ** np.arange(steps + 1)).astype(np.intp), n))
