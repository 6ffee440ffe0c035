"""Losses and metrics that are no mean over samples: found by comparing two batch sizes, at the centre and near it.

A macro F1 or a root mean square is a property of a set of samples. Its value on a split is defined by one batch of the
whole split; an average over smaller batches is another number, which depends on their size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from surfaceviz.errors import MemoryShortError, ProblemError
from surfaceviz.problem.batching import batch_separately, coupling_norms
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.functional import DataPass, State, borrowed
from surfaceviz.problem.problem import Problem

# Ours. Smaller batch sizes, and the samples of a split, at most, on which they are compared with one batch. Two batches
# of 32 may weigh the same by chance; many of 7 do not.
_SIZES = ((32, 2048), (7, 256))
_DIFFERS = 1e-5  # relative difference of two means above the rounding of single precision
_DIFFERS_SHAKEN = 1e-3  # likewise at weights with noise, which may be ill-conditioned; ours
_SHAKE = 1.0  # of the root mean square of a tensor: that of its noise; ours
_NEAR_ZERO = 1e-3  # of a metric at weights with noise: a smaller value elsewhere is judged as one of this size; ours
_PROBED = 8  # samples by which the memory of a batch is estimated
_SHARE_OF_MEMORY = 0.5  # of what is available, for one batch of a whole split
_SECOND_ORDER = 4  # times the activations of a forward pass that second derivatives keep, about


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupling:
    """A metric that depends on the batch size: its values in batches of ``size`` samples and in one of ``count``."""

    metric: str
    small: float
    one: float
    size: int
    count: int
    shaken: bool = False  # whether these are the values at weights with noise

    def __str__(self) -> str:
        name = self.metric.replace("_", " ")
        return (
            f"the {name} is not a mean over samples: {self.small:.6g} in batches of {self.size}, {self.one:.6g} in one "
            f"of {self.count}" + (", at weights with noise" if self.shaken else "")
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
    known = problem.is_mean_over_samples and not problem.forward_pass.writes
    if known or coupling_norms(problem.model):
        return list(splits), []
    device = next(iter(state.values())).device if state else torch.device("cpu")
    with borrowed(problem.model, device):
        found = None
        for split in (split for split in splits if not split.given and found is None):
            found = _coupling(problem, split, state, memory)
        if found is None:
            return list(splits), []
        for split in splits:
            needed = _SECOND_ORDER * split.count * _bytes_of_a_sample(problem, split, state)
            if needed > _SHARE_OF_MEMORY * memory:
                raise ProblemError(_too_large(found, split, needed))
    one = [split if split.given else replace(split, rows=None, given=(split.rows,)) for split in splits]
    return one, [f"{found}; each split is one batch (a loss that is a mean over samples would be faster)"]


def _coupling(problem: Problem, split: DataSplit, state: State, memory: int) -> Coupling | None:
    """Return the first metric of a split that differs between small batches and one of all its samples.

    It also returns None if the model draws random numbers, because their order depends on the batch size, or if there
    is too little memory to compare two batch sizes.
    """
    room = _SHARE_OF_MEMORY * memory / max(1.0, _SECOND_ORDER * _bytes_of_a_sample(problem, split, state))
    noisy, scales = _shaken(problem, state), dict[str, float]()
    for at, tolerance in ((noisy, _DIFFERS_SHAKEN), (state, _DIFFERS)):
        for size, most in _SIZES:
            count = int(min(most, split.count, room))
            if count < 2:  # noqa: PLR2004  two batch sizes
                return None
            part = split if split.count <= count else split.subset(count)
            part = part.mapped(lambda tree: problem.cast(tree, *_dtype_and_device(state)))
            each_size = min(size, math.ceil(part.count / 2))
            try:
                small, one = (_means(problem, part, at, each) for each in (each_size, part.count))
            except MemoryShortError:
                return None
            if small is None or one is None:
                return None
            for metric, value in one.items():
                if not _agree(small[metric], value, tolerance, scales.get(metric, 0.0)):
                    return Coupling(
                        metric=metric, small=small[metric], one=value, size=each_size, count=part.count,
                        shaken=at is noisy,
                    )  # fmt: skip
                scales.setdefault(metric, _NEAR_ZERO * abs(value) if math.isfinite(value) else 0.0)
    return None


def _shaken(problem: Problem, state: State) -> State:
    """Return a state with seeded noise on each parameter, as large as its entries vary."""
    generator = torch.Generator().manual_seed(0)
    shaken = dict(state)
    for name in sorted({name for name, _ in problem.model.named_parameters()} & set(state)):
        w = state[name]
        if not w.is_floating_point():
            continue
        size = float(w.double().square().mean().sqrt())
        noise = torch.randn(w.shape, generator=generator, dtype=torch.float64)
        shaken[name] = w + (_SHAKE * size * noise).to(w)
    return shaken


def _dtype_and_device(state: State) -> tuple[torch.dtype, torch.device]:
    first = next((tensor for tensor in state.values() if tensor.is_floating_point()), torch.zeros(0))
    return first.dtype, first.device


def _means(problem: Problem, split: DataSplit, state: State, size: int) -> dict[str, float] | None:
    """Return the means of a split in batches of a size; None if the model draws random numbers."""
    copied = {name: tensor.clone() for name, tensor in state.items()}  # a model may write into its buffers
    with torch.random.fork_rng(devices=[]):
        problem.draws.reseed()
        before = torch.get_rng_state()
        means = DataPass(problem, batch_separately([split], size))(copied)
        if problem.draws.are_taken or not torch.equal(before, torch.get_rng_state()):
            return None
    return {metric: float(estimate.mean[0]) for metric, estimate in means.items()}


def _agree(a: float, b: float, tolerance: float, scale: float) -> bool:
    """Return whether two means agree within a relative tolerance; NaN agrees with NaN.

    Means below ``scale`` count as that large: a mean of positive and negative values may be 0 but for rounding.
    """
    if not (math.isfinite(a) and math.isfinite(b)):
        return a == b or (math.isnan(a) and math.isnan(b))
    return abs(a - b) <= tolerance * max(abs(a), abs(b), scale, _DIFFERS)


def _too_large(found: Coupling, split: DataSplit, needed: float) -> str:
    return (
        f"{found}. One batch of all {split.count} samples of {split.name} would take some {needed / 2**30:.1f} GB; "
        "give a loss that is a mean over samples, or fewer samples"
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
