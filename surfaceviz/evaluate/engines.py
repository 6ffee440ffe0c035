"""The engines: functions that evaluate batches with a given state."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from surfaceviz.evaluate.batched_mlp import make_batched_mlp
from surfaceviz.evaluate.captured_graph import Backend, batch_signature, compile_without_guards
from surfaceviz.evaluate.conv_bn_fusion import ConvBnFusion
from surfaceviz.problem.estimates import detach_sums
from surfaceviz.problem.forward.forward_writes import BufferKeeper
from surfaceviz.problem.functional import Call, State, outputs, traceable
from surfaceviz.problem.losses import Measured, PerSample
from surfaceviz.problem.problem import Problem


def compiled(problem: Problem, backend: Backend | str = "inductor") -> Call:
    """Return a call that runs `torch.compile` on the functional pass of one batch, once for each shape."""
    call, keeper = traceable(problem), BufferKeeper(problem)

    def one(state: State, batch: Any) -> dict[str, Measured]:
        return call(state, [batch])[0]

    fast = compile_without_guards(one, backend)

    def run(state: State, batches: Sequence[Any]) -> list[dict[str, Measured]]:
        return keeper.each(fast, state, batches)

    return run


def folded(problem: Problem) -> Call:
    """Return a call with batch norms folded into convolutions, in oneDNN's layout."""
    folding = ConvBnFusion()
    call = compiled(problem, folding)

    def run(state: State, batches: Sequence[Any]) -> list[dict[str, Measured]]:
        try:
            return call(state, batches)
        finally:
            folding.release()

    return run


class VmappedCall:
    """Evaluates k weight sets at once: ``moving`` tensors have a leading axis, and values the shape ``(k, n)``.

    `batched_mlp` runs chains of linear layers. `torch.func.vmap` batches other models, compiled unless ``compiled`` is
    false. A loss of outputs is never compiled, because torch's own softmax is several times faster than a compiled one.
    """

    def __init__(self, problem: Problem, moving: Collection[str], *, compiled: bool = True) -> None:
        self._problem, self._moving, self._keeper = problem, moving, BufferKeeper(problem)
        self._whole = not problem.has_loss
        self._function: Any = traceable(problem) if self._whole else outputs(problem)
        self._general = compile_without_guards(self._several, "inductor") if compiled else self._several
        self._functions: dict[str, Any] = {}  # batch signature -> function of (state, batch)

    @property
    def needs_compiling(self) -> bool:
        """Whether any batch needs compiled code."""
        return self._general in self._functions.values()

    def __call__(self, state: State, batches: Sequence[Any]) -> list[dict[str, Measured]]:
        """Return the measurements of each batch."""
        made = self._keeper.each(lambda state, batch: self._function_for(state, batch)(state, batch), state, batches)
        return made if self._whole else [self._judged(*each) for each in zip(made, batches, strict=True)]

    def _function_for(self, state: State, batch: Any) -> Any:
        signature = batch_signature(batch)
        if signature not in self._functions:
            one = {name: tensor[0] if name in self._moving else tensor for name, tensor in state.items()}
            stacked = None if self._whole else make_batched_mlp(self._function, self._moving, one, batch)
            self._functions[signature] = stacked or self._general
        return self._functions[signature]

    def _several(self, state: State, batch: Any) -> Any:
        def one(moved: dict[str, Tensor]) -> Any:
            given = self._function({**still, **moved}, [batch] if self._whole else batch)
            return [_all_tensors(parts) for parts in given] if self._whole else given

        still = {name: tensor for name, tensor in state.items() if name not in self._moving}
        made = torch.vmap(one)({name: state[name] for name in self._moving})
        return made[0] if self._whole else made

    def _judged(self, made: Any, batch: Any) -> dict[str, Measured]:
        """Return the measurements of the outputs of all sets; the sets count as further samples where possible."""
        targets = self._problem.targets(batch)
        if isinstance(made, Tensor) and isinstance(targets, Tensor) and made.ndim == 3:  # noqa: PLR2004  (k, n, C)
            sets, n, classes = made.shape
            flat = (
                made.permute(2, 0, 1).reshape(classes, sets * n).T
            )  # classes first in memory, as the softmax likes it
            repeated = targets.expand(sets, *targets.shape).flatten(0, 1)
            parts = self._problem.measure_outputs(flat, repeated)
            if all(isinstance(part, PerSample) for part in parts.values()):
                alone = {name: cast("PerSample", detach_sums(part)) for name, part in parts.items()}
                return {n_: PerSample(p.values.view(sets, n), p.weights.view(sets, n)) for n_, p in alone.items()}
        return torch.vmap(lambda each: _all_tensors(self._problem.measure_outputs(each, targets)))(made)


def _all_tensors(parts: dict[str, Measured]) -> dict[str, Measured]:
    """Return measurements detached, with sums and weights as tensors, which `torch.vmap` requires."""
    return {metric: _as_tensors(detach_sums(part)) for metric, part in parts.items()}


def _as_tensors(part: Measured) -> Measured:
    if isinstance(part, PerSample):
        return part
    total, weight = (torch.as_tensor(x, dtype=torch.float64) for x in part)
    return total, weight
