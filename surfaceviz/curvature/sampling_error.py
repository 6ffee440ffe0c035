"""The sampling error of a mean gradient, from the gradients of random groups of samples."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_GROUPS = 16  # the result is off by some 18% if one direction varies, by less if many do; ours


class GroupGradient(NamedTuple):
    """The gradient (P,) float64 of the loss summed over a group, its weight in the mean, and its number of samples."""

    gradient: Tensor
    weight: float
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingError:
    """The standard error of a mean gradient.

    Attributes:
        stderr: sqrt of the trace of the covariance of the mean gradient.
        groups: number of groups that it was computed from.
        terms: mean of the norms of the groups' gradients, the size of what the mean gradient is a sum of.
        gradient: the mean gradient, (P,).
    """

    stderr: float
    groups: int
    terms: float
    gradient: Tensor


def random_groups(count: int, *, single: bool) -> list[NDArray[np.int64]]:
    """Return indices of ``count`` samples in random groups; one sample in each if there are few, or if ``single``."""
    order = np.random.default_rng(0).permutation(count).astype(np.int64)
    return np.array_split(order, count if single else min(_GROUPS, count))


def sampling_error(groups: Iterable[GroupGradient]) -> SamplingError | None:
    """Return the sampling error of the mean gradient g = sum_b G_b / W; None from fewer than two groups.

    For a random partition of N samples into groups of n_b, with R_b = G_b - w_b g,

        E ||R_b||^2 = n_b (N - n_b) / (N - 1) mean_n ||r_n||^2,   stderr^2 = N / (N - 1) N mean_n ||r_n||^2 / W^2,

    where r_n is R of one sample. Groups of one sample give the usual standard error.

    Source: sampling without replacement, Cochran, Sampling Techniques (1977), theorem 2.2.
    """
    sizes: list[int] = []
    weight = squares = weights_squared = terms = 0.0
    total = weighted = torch.zeros(())
    for gradient, w, n in groups:
        sizes.append(n)
        weight, weights_squared = weight + w, weights_squared + w * w
        squares, terms = squares + float(gradient @ gradient), terms + float(torch.linalg.vector_norm(gradient))
        total, weighted = total + gradient, weighted + w * gradient
    if len(sizes) < 2 or not weight:  # noqa: PLR2004
        return None
    mean, count = total / weight, sum(sizes)
    spread = max(squares - 2 * float(mean @ weighted) + float(mean @ mean) * weights_squared, 0.0)
    of_one = spread / (sum(n * (count - n) for n in sizes) / (count - 1))
    stderr = math.sqrt(count / (count - 1) * count * of_one) / weight
    return SamplingError(stderr=stderr, groups=len(sizes), terms=terms / weight, gradient=mean)
