"""The sampling error of the gradient at a point, from one further pass over random groups of samples."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from surfaceviz.curvature import SamplingError, sampling_error
from surfaceviz.curvature.critical_points.sampling_error import GroupGradient
from surfaceviz.curvature.hvp import summed_gradient
from surfaceviz.errors import MemoryShortError, ProblemError
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.functional import error_context
from surfaceviz.pytree import leaves, map_tensors
from surfaceviz.records import Spectrum

_GROUPS = 16  # random groups: the result is off by some 18% if one direction varies, by less if many do; ours
_BATCH = 128  # most samples in one backward pass; ours
_AGREES = 1e-3  # of the gradient: a larger difference means that the loss is not a mean over samples; ours


def gradient_error(targets: HessianTargets, number: int) -> SamplingError | None:
    """Return the sampling error of the gradient at a point; None without memory, or where there is one sample."""
    try:
        with error_context("the gradient"):
            return sampling_error(_group_gradients(targets, number))
    except (MemoryShortError, ProblemError):  # what is wrong with the problem, its spectrum tells
        return None


def with_gradient_error(record: Spectrum, error: SamplingError | None) -> Spectrum:
    """Return a spectrum with the sampling error of its gradient, where the loss is a mean over samples."""
    if error is None:
        return record
    groups_norm = float(torch.linalg.vector_norm(error.gradient))
    if not math.isclose(groups_norm, record.gradient_norm, rel_tol=_AGREES, abs_tol=_AGREES * error.stderr):
        return record
    return replace(record, gradient_stderr=error.stderr, gradient_groups=error.groups)


def _group_gradients(targets: HessianTargets, number: int) -> Iterator[GroupGradient]:
    state, layout = targets.state(number), targets.layout
    names = [targets.own_names[name] for name in layout.names]
    for batches, samples in _groups(targets.split):
        total, weight = torch.zeros(layout.dimension, dtype=torch.float64), 0.0
        for batch in batches:
            _, w, parts = summed_gradient(targets.problem, state, names, batch)
            total += layout.flat(parts).double().cpu()
            weight += w
        yield GroupGradient(total, weight, samples)


def _groups(split: DataSplit) -> Iterator[tuple[list[Any], int]]:
    """Yield the batches and the number of samples of each random group; a batch that the user gave is one group."""
    if split.given:
        yield from (([batch], len(leaves(batch)[0])) for batch in split.given)
        return
    order = torch.randperm(split.count, generator=torch.Generator().manual_seed(0))
    for group in order.tensor_split(min(_GROUPS, split.count)):
        yield [_rows_of(split, samples) for samples in group.split(_BATCH)], len(group)


def _rows_of(split: DataSplit, samples: Tensor) -> Any:
    return map_tensors(lambda rows: rows[samples.to(rows.device)], split.rows)
