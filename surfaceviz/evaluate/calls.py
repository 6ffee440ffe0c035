"""The engines: how batches are measured with a state."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from surfaceviz.evaluate.folded import Folding
from surfaceviz.evaluate.stacked import stacked_function
from surfaceviz.evaluate.straight import Backend, compile_straight
from surfaceviz.functional import Call, State, detached, eager, outputs
from surfaceviz.losses import Measured, PerSample
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
    folding = Folding()
    call = compiled(problem, folding)

    def run(state: State, batches: Sequence[Any]) -> list[dict[str, Measured]]:
        try:
            return call(state, batches)
        finally:
            folding.forget()

    return run


class Vmapped:
    """Measures states whose ``moving`` tensors have a leading axis; values are then (k, n).

    A chain of linear layers is run by `stacked`; the batching of others is `torch.func.vmap`'s, compiled unless asked
    otherwise (to see what it is worth). A loss of outputs is never compiled, for torch's own softmax is several times
    faster than a compiled one.
    """

    def __init__(self, problem: Problem, moving: Collection[str], *, compiled: bool = True) -> None:
        self._problem, self._moving = problem, moving
        self._whole = not problem.judges_outputs
        self._function: Any = eager(problem) if self._whole else outputs(problem)
        self._general = compile_straight(self._several, "inductor") if compiled else self._several
        self._way: Any = self._general if self._whole else None  # how outputs come about; None until it is known

    @property
    def waits(self) -> bool:
        """Whether code is to be compiled first."""
        return self._way is self._general

    def __call__(self, state: State, batches: Sequence[Any]) -> list[dict[str, Measured]]:
        """Return what each batch gives."""
        if self._way is None:
            one = {name: tensor[0] if name in self._moving else tensor for name, tensor in state.items()}
            self._way = stacked_function(self._function, self._moving, one, batches[0]) or self._general
        made = [self._way(state, batch) for batch in batches]
        return made if self._whole else [self._judged(*each) for each in zip(made, batches, strict=True)]

    def _several(self, state: State, batch: Any) -> Any:
        def one(moved: dict[str, Tensor]) -> Any:
            return self._function({**still, **moved}, [batch] if self._whole else batch)

        still = {name: tensor for name, tensor in state.items() if name not in self._moving}
        made = torch.vmap(one)({name: state[name] for name in self._moving})
        return made[0] if self._whole else made

    def _judged(self, made: Any, batch: Any) -> dict[str, Measured]:
        """Return the measurements of the outputs of all sets: as so many more samples, where samples stand alone."""
        targets = self._problem.targets(batch)
        if isinstance(made, Tensor) and isinstance(targets, Tensor) and made.ndim == 3:  # noqa: PLR2004  (k, n, C)
            sets, n, classes = made.shape
            flat = (
                made.permute(2, 0, 1).reshape(classes, sets * n).T
            )  # classes first in memory, as the softmax likes it
            repeated = targets.expand(sets, *targets.shape).flatten(0, 1)
            parts = self._problem.judge(flat, repeated)
            if all(isinstance(part, PerSample) for part in parts.values()):
                alone = {name: cast("PerSample", detached(part)) for name, part in parts.items()}
                return {n_: PerSample(p.values.view(sets, n), p.weights.view(sets, n)) for n_, p in alone.items()}
        return torch.vmap(lambda each: _all_detached(self._problem.judge(each, targets)))(made)


def _all_detached(parts: dict[str, Measured]) -> dict[str, Measured]:
    return {metric: detached(part) for metric, part in parts.items()}
