"""The loss of the graph that is differentiated, compared with the loss of the passes that slices make."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from surfaceviz.curvature.products.double_backward import twice_differentiable
from surfaceviz.errors import ProblemError
from surfaceviz.problem.estimates import sum_and_weight
from surfaceviz.problem.functional import State, eager, loss_sums, measure_batches
from surfaceviz.problem.losses import PerSample
from surfaceviz.problem.problem import Problem

# Relative difference that may be rounding; beyond it, both are computed again in float64 where they were not. Ours.
_ROUNDING = {torch.float64: 1e-8, torch.float32: 1e-5}
_HALF = 5e-2
_COARSE = 1e-2  # in float32, where the model can't run in float64


def refuse_other_loss(problem: Problem, state: State, batches: Sequence[Any], found: tuple[float, float]) -> None:
    """Raise if a loss that was computed to be differentiated is not the loss of the same point in a slice.

    Costs one forward pass.

    Args:
        problem: its model is borrowed.
        state: weights and buffers by the model's own names.
        batches: the samples.
        found: sum and weight of the loss over the batches, from the graph.

    Raises:
        ProblemError: the two differ beyond rounding.
    """
    loss = found[0] / found[1] if found[1] else 0.0
    other, size = _slice_loss(problem, state, batches)
    dtype = next((tensor.dtype for tensor in state.values() if tensor.is_floating_point()), torch.float32)
    if _agree(loss, other, _ROUNDING.get(dtype, _HALF) * size):
        return
    if dtype != torch.float64:
        try:
            again = _both_in_float64(problem, state, batches)
        except ProblemError:  # constants in float32 inside the model
            again = None
        if again is None:
            if _agree(loss, other, max(_COARSE, _ROUNDING.get(dtype, _HALF)) * size):
                return
        elif _agree(again[0], again[1], _ROUNDING[torch.float64] * again[2]):
            return
    raise ProblemError(
        f"the loss that is differentiated is {loss:.9g}, that of slices at the same weights and samples {other:.9g}: "
        "the model computes another function where gradients are recorded (a test of requires_grad or a fused path for "
        "inference); make forward the same in both, as derivatives would belong to another loss"
    )


def _agree(a: float, b: float, tolerance: float) -> bool:
    if not (math.isfinite(a) and math.isfinite(b)):
        return not math.isfinite(a) and not math.isfinite(b)
    return abs(a - b) <= tolerance


def _slice_loss(problem: Problem, state: State, batches: Sequence[Any]) -> tuple[float, float]:
    """Return the mean loss by the eager engine, and the size of its terms, which bounds its rounding error."""
    call, parts = eager(problem), []
    for _ in problem.draws.each():
        parts += measure_batches(problem, call, batches, state, title="beside its derivatives")["loss"]
    sums = [sum_and_weight(part) for part in parts]
    weight = sum(w for _, w in sums) or 1.0
    loss = sum(float(total) for total, _ in sums) / weight
    size = sum(float(p.values.abs().sum()) if isinstance(p, PerSample) else abs(float(p[0])) for p in parts) / weight
    return loss, max(size, abs(loss), 1e-2)


def _both_in_float64(problem: Problem, state: State, batches: Sequence[Any]) -> tuple[float, float, float]:
    """Return the loss of the graph, the loss of slices and the size of its terms, all in float64."""
    wide = {name: t.double() if t.is_floating_point() else t for name, t in state.items()}
    leaves = {name: t.clone().requires_grad_() if t.is_floating_point() else t for name, t in wide.items()}
    given = [problem.cast(batch, torch.float64, next(iter(wide.values())).device) for batch in batches]
    total = weight = 0.0
    try:
        for batch in given:
            with torch.enable_grad(), twice_differentiable():
                each, w = loss_sums(problem)(leaves, batch)
            total, weight = total + float(each.detach()), weight + w
    except (RuntimeError, TypeError, ValueError) as error:
        raise ProblemError(str(error)) from error
    return (total / (weight or 1.0), *_slice_loss(problem, wide, given))
