"""The engines: how batches are measured with a state."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from surfaceviz.evaluate.folded import fold
from surfaceviz.evaluate.straight import Backend, compile_straight
from surfaceviz.functional import Call, State, detached, eager, outputs
from surfaceviz.losses import Measured
from surfaceviz.problem import Problem


def compiled(problem: Problem, backend: Backend | str = "inductor") -> Call:
    """Return the call with `torch.compile` over the functional pass of one batch, once for each shape."""
    call = eager(problem)

    def one(state: State, batch: Any) -> dict[str, Measured]:
        return call(state, [batch])[0]

    fast = compile_straight(one, backend)

    def run(state: State, batches: Sequence[Any]) -> list[dict[str, Measured]]:
        return [fast(state, batch) for batch in batches]

    return run


def folded(problem: Problem) -> Call:
    """Return the call with batch norms folded into convolutions, in oneDNN's own layout."""
    return compiled(problem, fold)


def vmapped(problem: Problem, moving: Collection[str], *, compiled: bool = True) -> Call:
    """Return the call for states whose ``moving`` tensors have a leading axis; values are then (k, n).

    The batching is `torch.func.vmap`'s. The model is compiled, unless asked otherwise (to see what it is worth); a
    loss of its outputs is not, for torch's own softmax is several times faster than a compiled one.
    """
    whole = not problem.judges_outputs
    function: Any = eager(problem) if whole else outputs(problem)

    def several(state: State, batch: Any) -> Any:
        def one(moved: dict[str, Tensor]) -> Any:
            return function({**still, **moved}, [batch])[0] if whole else function({**still, **moved}, batch)

        still = {name: tensor for name, tensor in state.items() if name not in moving}
        return torch.vmap(one)({name: state[name] for name in moving})

    def judged(each: Any, batch: Any) -> dict[str, Measured]:
        return {metric: detached(part) for metric, part in problem.judge(each, batch).items()}

    fast = compile_straight(several, "inductor") if compiled else several

    def run(state: State, batches: Sequence[Any]) -> list[dict[str, Measured]]:
        made = [fast(state, batch) for batch in batches]
        if whole:
            return made
        return [torch.vmap(partial(judged, batch=batch))(each) for each, batch in zip(made, batches, strict=True)]

    return run
