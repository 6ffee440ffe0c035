"""State that forward keeps from one pass to the next, found by passing the same samples twice."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from surfaceviz.errors import MemoryShortError, ProblemError
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.estimates import sum_and_weight
from surfaceviz.problem.forward.module_state import ModuleState
from surfaceviz.problem.forward.random_draws import SOURCES, global_states
from surfaceviz.problem.functional import Call, State, borrowed, eager, measure_batches
from surfaceviz.problem.problem import Problem
from surfaceviz.pytree import leaves

_FEW = 8  # samples by which a forward pass is probed; ours
_SAME = 1e-6  # relative difference of two passes that may come from the order of sums on a GPU; ours


def find_history(problem: Problem, split: DataSplit, state: State) -> None:
    """Note in the problem the buffers that forward writes, padding rows, and generators of random numbers.

    Attributes on which later passes depend are noted too, and restored before each batch. A problem that raises is left
    to the run, which reports it.

    Args:
        problem: the problem.
        split: samples; a few are used.
        state: weights and buffers by the model's own names.
    """
    device = next((tensor.device for tensor in state.values()), None)
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), None)
    if device is None or dtype is None:
        return

    def loss(call: Call) -> float:
        batch = few_samples(problem, split, dtype, device)
        (part,) = measure_batches(problem, call, [batch], state, title="of a few samples")["loss"]
        total, weight = sum_and_weight(part)
        return float(total) / weight if weight else 0.0

    with borrowed(problem.model, device):
        attributes = ModuleState(problem.model)
        call = eager(problem)
        try:
            first = _loss_with_draws(problem, device, lambda: loss(call))
            generators = attributes.used_generators()
            second = loss(call)
            problem.forward_pass.padding_rows = _padding_rows(lambda: loss(call), state)
            if _agree(first, second):
                return
            changed = attributes.changed()
            attributes.restore_attributes()
            third = loss(call)
            problem.draws.generators = generators  # from now on they are seeded, too
        except (ProblemError, MemoryShortError):
            return
    if _agree(first, third):
        problem.forward_pass.initial_attributes = attributes
        if generators and not changed:
            return
        problem.forward_pass.history = (
            f"the loss depends on earlier passes through attributes that forward writes ({', '.join(changed[:4])}); "
            "each batch starts from those of the model"
        )
    else:
        problem.forward_pass.history = (
            f"the loss of the same weights and samples changes from pass to pass ({first:.9g}, then {second:.9g}): "
            "forward or the loss keep a state outside of the model, so that values depend on the order of passes; "
            "keep that state in buffers"
        )


def _loss_with_draws(problem: Problem, device: torch.device, loss: Callable[[], float]) -> float:
    """Return a loss; note in the problem the global generators that it uses."""
    problem.draws.sources = frozenset(SOURCES)
    problem.draws.reseed()
    before = after = global_states(device)
    try:
        found = loss()
        after = global_states(device)
    finally:
        problem.draws.sources = frozenset(name for name in SOURCES if after[name] != before[name])
    return found


def _padding_rows(run: Callable[[], object], state: State) -> dict[str, int]:
    """Return the row without a gradient of each tensor that is used by embeddings with one padding index only."""
    uses = _Uses({id(tensor): name for name, tensor in state.items()})
    try:
        with uses:
            run()
    except ProblemError:  # code that such a mode can't enter
        return {}
    return {name: rows.pop() for name, rows in uses.rows.items() if len(rows) == 1 and None not in rows}  # type: ignore[misc]


class _Uses(TorchFunctionMode):
    """Records the padding index with which each tensor of a state is used; None for uses that are no embedding."""

    def __init__(self, names: Mapping[int, str]) -> None:
        super().__init__()
        self._names, self.rows = names, dict[str, set[int | None]]()

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs, name = kwargs or {}, getattr(func, "__name__", "")
        used = [self._names[id(x)] for x in leaves((list(args), kwargs)) if id(x) in self._names]
        if used and name not in ("__get__", "size", "dim", "stride"):
            row = _padding_index(func, args, kwargs)
            for each in used:
                self.rows.setdefault(each, set()).add(row)
        if func in _EMBEDDINGS:
            with torch._C.DisableTorchFunction():  # noqa: SLF001  its own calls are no further uses
                return func(*args, **kwargs)
        return func(*args, **kwargs)


_EMBEDDINGS = (functional.embedding, functional.embedding_bag)


def _padding_index(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int | None:
    if func not in _EMBEDDINGS:
        return None
    given = inspect.signature(func).bind(*args, **kwargs).arguments
    row, count = given.get("padding_idx"), len(given["weight"])
    return None if row is None else row % count


def few_samples(problem: Problem, split: DataSplit, dtype: torch.dtype, device: torch.device) -> Any:
    """Return a batch of the first samples of a split, copied, because a model may write into its input."""
    part = split.head(_FEW).mapped(lambda tree: problem.cast(tree, dtype, device))
    return part.batches(part.count)[0]


def _agree(a: float, b: float) -> bool:
    return (math.isnan(a) and math.isnan(b)) or a == b or abs(a - b) <= _SAME * max(abs(a), abs(b))
