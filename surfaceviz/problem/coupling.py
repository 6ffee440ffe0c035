"""Losses and metrics that are no mean over samples: found by comparing two batch sizes at the centre.

A macro F1 or a root mean square is a property of a set of samples. Its value on a split is defined by one batch of the
whole split; an average over smaller batches is another number, which depends on their size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from surfaceviz.errors import ProblemError
from surfaceviz.problem.batching import batch_separately, coupling_norms
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.functional import DataPass, State, borrowed, eager, measure_batches
from surfaceviz.problem.losses import PerSample
from surfaceviz.problem.problem import Problem

_SAMPLES = 2048  # of a split, at most, on which batch sizes are compared; ours
_SMALL = 32  # the smaller batch size
_DIFFERS = 1e-5  # relative difference of two means that is no rounding of single precision
_PROBED = 8  # samples by which the memory of a batch is estimated
_SHARE_OF_MEMORY = 0.5  # of what is available, for one batch of a whole split
_SECOND_ORDER = 4  # times the activations of a forward pass that second derivatives keep, about


@dataclass(frozen=True, slots=True)
class Coupling:
    """A metric that depends on the batch size: its values in small batches and in one of ``count`` samples."""

    metric: str
    small: float
    one: float
    count: int

    def __str__(self) -> str:
        name = self.metric.replace("_", " ")
        return (
            f"the {name} is no mean over samples: {self.small:.6g} in batches of {_SMALL}, {self.one:.6g} in one of "
            f"{self.count}"
        )


def as_one_batch_where_coupled(
    problem: Problem, splits: Sequence[DataSplit], state: State, *, memory: int
) -> tuple[list[DataSplit], list[str]]:
    """Return the splits, each as one batch if the loss or a metric is no mean over samples, and lines about it.

    Known losses are means; so is what gives one value for each sample. Fixed batches stay as they are, and batch norms
    without running statistics have their own warning.

    Args:
        problem: the problem; its model is borrowed.
        splits: its data.
        state: weights and buffers by the model's own names.
        memory: the bytes that are available.

    Raises:
        ProblemError: one batch of a whole split would need too much memory.
    """
    if problem.is_mean_over_samples or coupling_norms(problem.model):
        return list(splits), []
    device = next(iter(state.values())).device if state else torch.device("cpu")
    with borrowed(problem.model, device):
        if all(_has_values_of_samples(problem, split, state) for split in splits if not split.given):
            return list(splits), []
        found = next((c for split in splits if not split.given for c in [_coupling(problem, split, state)] if c), None)
        if found is None:
            return list(splits), []
        for split in splits:
            _refuse_too_large(problem, split, state, memory, found)
    one = [split if split.given else replace(split, rows=None, given=(split.rows,)) for split in splits]
    return one, [f"{found}; each split is one batch (a loss with one value for each sample would be faster)"]


def _has_values_of_samples(problem: Problem, split: DataSplit, state: State) -> bool:
    """Return whether the loss and all metrics give one value for each sample, so that nothing is left to compare."""
    part = split.head(_PROBED).mapped(lambda tree: problem.cast(tree, *_dtype_and_device(state)))
    copied = {name: tensor.clone() for name, tensor in state.items()}
    parts = measure_batches(eager(problem), split.name, part.batches(part.count), copied)
    return all(isinstance(each, PerSample) for values in parts.values() for each in values)


def _coupling(problem: Problem, split: DataSplit, state: State) -> Coupling | None:
    """Return the first metric of a split that differs between small batches and one of all its samples."""
    part = split if split.count <= _SAMPLES else split.subset(_SAMPLES)
    part = part.mapped(lambda tree: problem.cast(tree, *_dtype_and_device(state)))
    small, one = (_means(problem, part, state, size) for size in (_SMALL, part.count))
    for metric, value in one.items():
        if not _agree(small[metric], value):
            return Coupling(metric, small[metric], value, part.count)
    return None


def _dtype_and_device(state: State) -> tuple[torch.dtype, torch.device]:
    first = next((tensor for tensor in state.values() if tensor.is_floating_point()), torch.zeros(0))
    return first.dtype, first.device


def _means(problem: Problem, split: DataSplit, state: State, size: int) -> dict[str, float]:
    copied = {name: tensor.clone() for name, tensor in state.items()}  # a model may write into its buffers
    means = DataPass(problem, batch_separately([split], size))(copied)
    return {metric: float(estimate.mean[0]) for metric, estimate in means.items()}


def _agree(a: float, b: float) -> bool:
    """Return whether two means agree within the rounding of single precision; NaN agrees with NaN."""
    if not (math.isfinite(a) and math.isfinite(b)):
        return a == b or (math.isnan(a) and math.isnan(b))
    return abs(a - b) <= _DIFFERS * max(abs(a), abs(b), _DIFFERS)


def _refuse_too_large(problem: Problem, split: DataSplit, state: State, memory: int, found: Coupling) -> None:
    needed = _SECOND_ORDER * split.count * _bytes_of_a_sample(problem, split, state)
    if needed > _SHARE_OF_MEMORY * memory:
        raise ProblemError(
            f"{found}. One batch of all {split.count} samples of {split.name} would take some {needed / 2**30:.1f} GB; "
            "give a loss with one value for each sample (reduction='none'), or fewer samples"
        )


def _bytes_of_a_sample(problem: Problem, split: DataSplit, state: State) -> float:
    """Return the bytes of all modules' outputs for a sample."""
    total = 0

    def count(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal total
        total += output.numel() * output.element_size() if isinstance(output, Tensor) else 0

    part = split.head(_PROBED).mapped(lambda tree: problem.cast(tree, *_dtype_and_device(state)))
    hooks = [module.register_forward_hook(count) for module in problem.model.modules()]
    try:
        _means(problem, part, state, part.count)
    finally:
        for hook in hooks:
            hook.remove()
    return total / max(1, part.count)
