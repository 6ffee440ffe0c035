"""Batch sharpness: the curvature of mini-batch losses along their own gradients."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from surfaceviz.curvature.flat_parameters import ParameterLayout
from surfaceviz.curvature.products.hvp import graph_builder
from surfaceviz.problem.batching import batch_norms
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.functional import State
from surfaceviz.problem.problem import Problem
from surfaceviz.pytree import map_tensors
from surfaceviz.signals import raise_if_interrupted


@contextmanager
def training_mode(model: nn.Module) -> Iterator[None]:
    """Put batch norms in training mode for a ``with`` block; dropout stays off."""
    norms = [norm for norm in batch_norms(model) if not norm.training]
    try:
        for norm in norms:
            norm.training = True
        yield
    finally:
        for norm in norms:
            norm.training = False


def random_batches(split: DataSplit, size: int, count: int, seed: int) -> list[Any]:
    """Return at most ``count`` disjoint random batches of ``size`` samples; of a loader's batches, some of them.

    Args:
        split: the samples.
        size: samples in a batch.
        count: number of batches; fewer where the split has fewer whole ones.
        seed: of the choice.
    """
    generator = torch.Generator().manual_seed(seed)
    if split.given:
        return [split.given[i] for i in torch.randperm(len(split.given), generator=generator)[:count].tolist()]
    size = min(size, split.count)
    chosen = torch.randperm(split.count, generator=generator).split(size)[: min(count, split.count // size)]
    return [map_tensors(lambda rows, part=part: rows[part.to(rows.device)], split.rows) for part in chosen]  # type: ignore[misc]


def batch_sharpness(
    problem: Problem, state: State, names: Sequence[str], *, batches: Sequence[Any], penalty: Tensor
) -> tuple[float, float]:
    """Return the mean over batches B of g_B' H_B g_B / |g_B|^2, and its standard error.

    g_B and H_B are of the batch's mean loss plus the penalty, with batch norms in training mode and dropout off. The
    error is 0 for a single batch, which is the whole split; batches without a gradient are left out.

    Args:
        problem: the problem; its model is borrowed.
        state: the weights and buffers, by the model's own names.
        names: the parameters that are trained, by the model's own names.
        batches: mini-batches of the training's size.
        penalty: factors of the L2 penalty, (P,) float64.

    Source: Andreyev & Beneventano, arXiv 2412.20553.
    """
    layout = ParameterLayout(tuple(names), tuple(state[name].shape for name in names))
    theta = layout.flat([state[name] for name in names]).double()
    factors, build = penalty.to(theta), graph_builder(problem, "hessian")
    found = []
    with training_mode(problem.model):
        for batch in batches:
            raise_if_interrupted()
            graph = build(state, names, batch)
            if not graph.weight:
                continue
            g = layout.flat(graph.gradient).double() / graph.weight + factors * theta
            along = layout.flat(graph.product(layout.split(g.to(state[names[0]].dtype)))).double()
            squared = float(g @ g)
            if squared > 0:
                found.append(float(g @ (along / graph.weight + factors * g)) / squared)
    return _mean_and_error(found)


def _mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean of values and its standard error.

    >>> _mean_and_error([1.0, 3.0])
    (2.0, 1.0)
    """
    if not values:
        return math.nan, math.nan
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, 0.0
    spread = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, math.sqrt(spread / len(values))
