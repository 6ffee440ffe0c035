"""Baseline: numpy on the samples themselves."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from surfaceviz.errors import ProblemError
from surfaceviz.problem.batching import batch_jointly, batch_separately
from surfaceviz.problem.data import load
from surfaceviz.problem.estimates import estimate_from_samples, estimate_from_sums, estimate_means
from surfaceviz.problem.losses import PerSample


def _splits(*counts: int) -> list[object]:
    return [load(f"s{n}", (torch.arange(n * 3.0).reshape(n, 3) + n, torch.arange(n))) for n in counts]


def test_splits_in_a_row_are_cut_evenly_and_filled_with_the_last_sample() -> None:
    (section,) = batch_jointly(_splits(14, 4), 5)  # type: ignore[arg-type]
    assert section.names == ("s14", "s4")
    assert section.counts == (14, 4)
    assert [len(x) for x, _ in section.batches] == [5, 5, 5, 5]
    labels = torch.cat([y for _, y in section.batches])
    assert labels.tolist() == [*range(14), *range(4), 3, 3]
    assert [len(x) for x, _ in batch_jointly(_splits(9), 4)[0].batches] == [3, 3, 3]  # type: ignore[arg-type]


def test_splits_of_other_shapes_or_dtypes_stand_apart() -> None:
    one, two = _splits(6, 3)
    other = load("other", (torch.zeros(4, 2), torch.zeros(4, dtype=torch.long)))
    assert [s.names for s in batch_jointly([one, other, two], 8)] == [("s6", "s3"), ("other",)]  # type: ignore[list-item]
    assert [s.names for s in batch_separately([one, two], 4)] == [("s6",), ("s3",)]  # type: ignore[list-item]


def test_tallies_are_means_and_standard_errors_of_the_samples() -> None:
    random = np.random.default_rng(0)
    values, weights = random.exponential(size=(3, 40)), random.integers(1, 4, 40).astype(float)
    parts = [
        PerSample(torch.tensor(values[:, a:b]), torch.tensor(weights[a:b]).expand(3, b - a))
        for a, b in ((0, 16), (16, 32), (32, 40))
    ]
    first, second = estimate_means(parts, (25, 10), "loss")  # five only fill the last batch
    for found, rows in ((first, slice(0, 25)), (second, slice(25, 35))):
        v, w = values[:, rows], weights[rows]
        mean = v.sum(1) / w.sum()
        np.testing.assert_allclose(found.mean, mean, rtol=1e-12)
        residuals = (v - mean[:, None] * w) / w.sum()
        n = v.shape[1]
        assert found.stderr is not None
        np.testing.assert_allclose(found.stderr, np.sqrt(n / (n - 1) * (residuals**2).sum(1)), rtol=1e-12)
        rise = found.rise_stderr(found.first)
        assert rise is not None
        paired = residuals - residuals[:1]
        np.testing.assert_allclose(rise, np.sqrt(n / (n - 1) * (paired**2).sum(1)), rtol=1e-9, atol=1e-15)


def test_sums_keep_what_diverged_and_mixed_kinds_are_refused() -> None:
    assert estimate_from_sums([(1.0, 2.0), (3.0, 2.0)]).mean.tolist() == [1.0]
    assert math.isinf(estimate_from_sums([(1.0, 1.0), (math.inf, 1.0)]).mean)
    assert math.isnan(estimate_from_sums([(1.0, 0.0)]).mean)
    assert torch.isnan(estimate_from_samples(torch.ones(1, 1), torch.ones(1, 1)).stderr)  # type: ignore[arg-type]
    with pytest.raises(ProblemError, match="train loss: some batches gave"):
        estimate_means([(1.0, 1.0), PerSample(torch.ones(2), torch.ones(2))], (), "train loss")
