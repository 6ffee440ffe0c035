"""The studentised bootstrap of a ratio of means, the competitor of Student's t in `scripts/bench_verdicts.py`."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from surfaceviz.comparison.intervals import from_directions
from surfaceviz.records import Difference, FloatArray

_RESAMPLES = 999  # ours


def bootstrap_directions(
    a: ArrayLike, b: ArrayLike, generator: np.random.Generator, *, resamples: int = _RESAMPLES
) -> Difference:
    """Return log(mean a / mean b) over paired draws, with the interval of the studentised bootstrap.

    A resample's error, over its own standard error, takes the place of Student's t. The p-value is the share of
    resamples whose error is at least as far from 0 as the estimate is.

    Args:
        a: draws in network A, (K,).
        b: draws in network B for the same random numbers, (K,).
        generator: of the resamples.
        resamples: number of resamples.

    Source: Efron & Tibshirani, An introduction to the bootstrap (1993), section 12.5.
    """
    plain = from_directions(a, b)
    if not plain.is_known or plain.scale != "log":
        return plain
    x, y = (np.asarray(each, dtype=np.float64) for each in (a, b))
    rows = generator.integers(len(x), size=(resamples, len(x)))
    estimates, errors = _log_ratios(x[rows], y[rows])
    keep = np.isfinite(estimates) & (errors > 0)
    t = (estimates[keep] - plain.estimate) / np.hypot(errors[keep], plain.stderr * 1e-6)
    low, high = plain.estimate - plain.stderr * np.quantile(t, [0.975, 0.025])
    p = (1 + np.sum(np.abs(t) * plain.stderr >= abs(plain.estimate))) / (1 + len(t))
    return Difference(
        scale="log", values=plain.values, estimate=plain.estimate, stderr=plain.stderr, freedom=plain.freedom,
        low=float(low), high=float(high), p=float(p), units=plain.units, counts=plain.counts, stderrs=plain.stderrs,
        paired=plain.paired, method="bootstrap",
    )  # fmt: skip


def _log_ratios(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the estimate of each row (R, K), and its standard error."""
    with np.errstate(invalid="ignore", divide="ignore"):
        means = x.mean(1, keepdims=True), y.mean(1, keepdims=True)
        errors = (x / means[0] - y / means[1]).std(1, ddof=1) / math.sqrt(x.shape[1])
        return np.log(means[0] / means[1])[:, 0], errors
