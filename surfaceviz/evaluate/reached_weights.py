"""A check that forward reads the weights that are swapped in: one point against weights moved in place.

Slices and Hessians replace the parameters of modules for a pass. A model may compute with the same memory under another
name (a list of weights, a cached view, a closure), which a replacement does not reach, and training does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from surfaceviz.errors import MemoryShortError, ProblemError
from surfaceviz.evaluate.forward_history import few_samples
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.estimates import detach_sums
from surfaceviz.problem.functional import Call, borrowed, eager, measure_batches
from surfaceviz.problem.losses import Measured, PerSample
from surfaceviz.problem.parameters import NamedTensor, named_tensors
from surfaceviz.problem.problem import Problem
from surfaceviz.signals import deferred_signals

_STEP = 0.1  # largest relative change of an entry; its sign is kept; ours
_ZEROS = 0.01  # the largest change of an entry that is 0; ours
# Relative difference of a loss that is not rounding. Both passes run the same operations on the same numbers.
_ROUNDING = {torch.float64: 1e-9, torch.float32: 1e-5, torch.float16: 2e-2, torch.bfloat16: 5e-2}


def refuse_unreached(problem: Problem, split: DataSplit) -> None:
    """Raise if the loss at moved weights differs from the loss of the model with its weights moved in place.

    The model's own weights are moved, in their dtype, because a copy would not follow closures; they are put back bit
    for bit. A problem that raises is left to the run, which reports it.

    Args:
        problem: the problem.
        split: samples; a few are used.

    Raises:
        ProblemError: forward reads weights that are not the parameters of its modules.
    """
    if problem.forward_pass.history and problem.forward_pass.initial_attributes is None:
        return  # the loss changes from pass to pass, and two passes can't be compared
    named = [named for named in named_tensors(problem.model).values() if named.is_parameter and named.moves]
    if not named or any(n.tensor.is_meta or n.tensor.is_inference() for n in named):
        return
    dtype, device = named[0].real.dtype, named[0].tensor.device
    if any(n.tensor.device != device for n in named) or dtype not in _ROUNDING:
        return
    check = _Comparison(problem, lambda: few_samples(problem, split, dtype, device), _ROUNDING[dtype])
    with borrowed(problem.model, device):
        try:
            if not check.differs(named):
                return
        except (ProblemError, MemoryShortError, RuntimeError):
            return
        found = check.first_unreached(named)
    raise ProblemError(_message(found, check.losses))


def _message(found: NamedTensor | None, losses: tuple[float, float]) -> str:
    what = "a weight" if found is None else found.name
    return (
        f"forward reads {what} through another name than its module's parameter (a list, a cached view, a closure), so "
        f"that weights swapped in there have no effect: a few samples at a moved point have loss {losses[0]:.9g}, with "
        f"the weights moved in place {losses[1]:.9g}. In forward, read it from its module, or keep lists in "
        "nn.ParameterList"
    )


class _Comparison:
    """Compares both ways to move weights, on one batch."""

    def __init__(self, problem: Problem, batch: Callable[[], Any], rounding: float) -> None:
        self._problem, self._batch, self._rounding = problem, batch, rounding
        self._all = list(named_tensors(problem.model).values())
        self.losses = (0.0, 0.0)

    def differs(self, named: Sequence[NamedTensor]) -> bool:
        """Return whether the losses differ when these parameters move."""
        # As in the model, because forward may test whether gradients are recorded.
        moved = {
            n.own_name: tensor.requires_grad_(n.tensor.requires_grad)
            for n, tensor in zip(named, _moved(named), strict=True)
        }
        state = {
            n.own_name: moved.get(n.own_name, n.real.clone().requires_grad_(n.tensor.requires_grad)) for n in self._all
        }
        swapped = self._values(eager(self._problem), state)
        with _in_place(self._all, moved):
            placed = self._values(self._direct, {})
        both = [x.nan_to_num() for x in (swapped, placed)]
        scale = torch.maximum(both[0].abs(), both[1].abs()).max().clamp_min(1e-3)
        if not bool(((both[0] - both[1]).abs() > self._rounding * scale).any()):
            return False
        self.losses = float(swapped.mean()), float(placed.mean())
        return True

    def first_unreached(self, named: Sequence[NamedTensor]) -> NamedTensor | None:
        """Return a parameter that alone makes a difference, found by halving; None if only several together do."""
        losses = self.losses
        while len(named) > 1:
            half = len(named) // 2
            parts = [part for part in (named[:half], named[half:]) if self.differs(part)]
            if not parts:
                self.losses = losses
                return None
            named = parts[0]
        return named[0]

    def _direct(self, _state: Any, batches: Sequence[Any]) -> list[dict[str, Measured]]:
        return [
            {k: detach_sums(v) for k, v in self._problem.measure(self._problem.model, batch).items()}
            for batch in batches
        ]

    def _values(self, call: Call, state: Mapping[str, Tensor]) -> Tensor:
        if self._problem.forward_pass.initial_attributes is not None:
            self._problem.forward_pass.initial_attributes.restore_attributes()
        (loss,) = measure_batches(self._problem, call, [self._batch()], state, title="of a few samples")["loss"]
        if isinstance(loss, PerSample):
            return loss.values.reshape(-1).cpu()
        total, weight = loss
        return torch.as_tensor(float(total) / (float(weight) or 1.0), dtype=torch.float64).reshape(1)


def _moved(named: Sequence[NamedTensor]) -> list[Tensor]:
    """Return parameters with each entry changed by up to 10%, by noise that depends on the names only."""
    # All are allocated before any temporary tensor, whose memory between them would not be reused.
    moved = [torch.empty_like(each.real) for each in named]
    for each, out in zip(named, moved, strict=True):
        generator = torch.Generator().manual_seed(sum(each.own_name.encode()))
        noise = torch.rand(out.shape, generator=generator, dtype=torch.float32).mul_(2).sub_(1)
        w = each.real
        out.copy_(noise).mul_(_STEP).add_(1).mul_(w)
        zero = w == 0
        out[zero] = _ZEROS * noise.to(out.device)[zero].to(out.dtype)
    return moved


@contextmanager
def _in_place(tensors: Sequence[NamedTensor], moved: Mapping[str, Tensor]) -> Iterator[None]:
    """Exchange the model's own parameters with moved ones; put back all tensors, bit for bit, whatever happens.

    The moved tensors hold the model's values meanwhile, so that no further copy of the weights is needed.
    """
    still = [(named.real, named.real.clone()) for named in tensors if named.own_name not in moved]
    exchanged: list[tuple[Tensor, Tensor]] = []
    try:
        for named in (named for named in tensors if named.own_name in moved):
            with deferred_signals():
                exchanged.append((named.real, moved[named.own_name].detach()))
                _exchange(*exchanged[-1])
        yield
    finally:
        with deferred_signals():
            for pair in reversed(exchanged):
                _exchange(*pair)
            for tensor, kept in still:
                tensor.copy_(kept)


def _exchange(a: Tensor, b: Tensor) -> None:
    kept = a.clone()
    a.copy_(b)
    b.copy_(kept)
