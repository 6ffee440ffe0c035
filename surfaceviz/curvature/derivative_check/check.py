"""The check of a run's derivatives at its first point, on a few samples, in float64."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from surfaceviz.curvature.derivative_check.compare import Comparison, compare
from surfaceviz.curvature.derivative_check.functions import LossFunction, free_entries
from surfaceviz.curvature.derivative_check.gauss_newton import gauss_newton_product
from surfaceviz.curvature.derivative_check.locate import find_cause, find_undifferentiable, training_only_module
from surfaceviz.errors import ProblemError
from surfaceviz.execute import available_memory
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.problem import Problem
from surfaceviz.pytree import leaves, map_tensors

_COPIES = 16  # of the weights in float64 that a check holds
_TWICE = "differentiating twice"
_SAMPLES, _LEAST, _SHARE = 16, 4, 16  # most and fewest samples, and the share of all: 1/16; ours


@dataclass(frozen=True, slots=True)
class DerivativeCheck:
    """Whether derivatives were compared with differences, and agree.

    Attributes:
        checked: whether they were.
        words: on how many samples, or why not.
    """

    checked: bool
    words: str

    def __str__(self) -> str:
        return f"checked {self.words}" if self.checked else f"not checked: {self.words}"


def check_derivatives(
    problem: Problem,
    split: DataSplit,
    state: Mapping[str, Tensor],
    names: Sequence[str],
    *,
    operator: str = "hessian",
    order: int = 2,
) -> DerivativeCheck:
    """Compare the derivatives of a loss with differences, next to given weights.

    It costs less than two products of all samples where there are some hundred.

    Args:
        problem: its model is borrowed.
        split: the samples, on the device.
        state: the model's own names -> weights and buffers.
        names: of the parameters to differentiate by.
        operator: ``hessian`` or ``ggn``.
        order: 1 to check the gradient only.

    Raises:
        ProblemError: the gradient is not the slope of the loss, or the second derivatives are not its gradient's.
    """
    if any(state[name].is_complex() for name in names):
        return DerivativeCheck(False, "complex weights")
    entries = sum(tensor.numel() for tensor in state.values())
    if _COPIES * 8 * entries > available_memory():
        return DerivativeCheck(False, f"it would take {_COPIES * 8 * entries / 2**30:.1f} GB of memory")
    unknown: list[Comparison] = []
    for dtype in dict.fromkeys((torch.float64, state[names[0]].dtype)):
        batch, count = _few_samples(problem, split, dtype)
        cast = {n: t.to(dtype) if t.is_floating_point() else t for n, t in state.items()}
        check = _Check(problem=problem, state=cast, names=list(names), batch=batch, operator=operator, order=order)
        found = check.run()
        if found.agrees:
            return DerivativeCheck(True, f"against differences on {count}, in {_name(dtype)}")
        unknown.append(found)
    if all(found.cause for found in unknown):
        raise ProblemError(
            f"the loss is not twice differentiable: {unknown[0].words}, in {unknown[0].cause}; write it "
            "with other operations"
        )
    return DerivativeCheck(False, unknown[0].words)


def _few_samples(problem: Problem, split: DataSplit, dtype: torch.dtype) -> tuple[Any, str]:
    """Return a batch of a few samples, evenly spaced, and their number in words; or the first given batch."""
    device = next((leaf.device for leaf in leaves(split.given or split.rows)), torch.device("cpu"))
    if split.given:
        return problem.cast(split.given[0], dtype, device), "the first batch"
    count = min(split.count, max(_LEAST, min(_SAMPLES, split.count // _SHARE)))
    index = torch.arange(count) * split.count // count
    rows = map_tensors(lambda tensor: tensor[index.to(tensor.device)], split.rows)
    return problem.cast(rows, dtype, device), f"{count} sample{'s' if count > 1 else ''}"


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


@dataclass(frozen=True, kw_only=True)
class _Check:
    """The check in one dtype."""

    problem: Problem
    state: Mapping[str, Tensor]
    names: list[str]
    batch: Any
    operator: str
    order: int

    def run(self) -> Comparison:
        """Return whether the derivatives agree, or why that is not known.

        Raises:
            ProblemError: they do not agree.
        """
        unknown = Comparison(agrees=None, words="")
        for noise in (True, False):
            try:
                function = self._function(noise=noise)
                found = self._compare(function)
            except Exception as error:  # the run itself raises what matters  # noqa: BLE001
                if not self._has_gradient():
                    self._refuse_training_only(Comparison(agrees=False, words="there is no gradient", order=1))
                unknown = self._not_differentiable(error)
                continue
            if found.agrees is False:
                self._refuse(function, found)
            if found.agrees:
                return found
            unknown = Comparison(agrees=None, words=unknown.words or found.words)
        return unknown

    def _not_differentiable(self, error: Exception) -> Comparison:
        """Return the error as the reason why nothing is known, with the part that has no second derivative."""
        cause = find_undifferentiable(self._function()) if str(error).startswith(_TWICE) and self.order > 1 else ""
        line = str(error).strip().split("\n")[0]
        return Comparison(agrees=None, words=line.removeprefix(f"{_TWICE} raised ") if cause else line, cause=cause)

    def _has_gradient(self) -> bool:
        try:
            return bool(self._function().slope)
        except Exception:  # the same  # noqa: BLE001
            return False

    def _function(self, *, noise: bool = True) -> LossFunction:
        return LossFunction(self.problem, self.state, self.names, self.batch, operator=self.operator, noise=noise)

    def _compare(self, function: LossFunction, order: int | None = None) -> Comparison:
        keep = free_entries(self.problem, self.names, function.point)
        product = None if self.operator == "hessian" else partial(gauss_newton_product, function)
        return compare(function, order=order or self.order, keep=keep, product=product)

    def _refuse_training_only(self, found: Comparison) -> None:
        cause = training_only_module(
            self._function, self.problem.model, lambda function: bool(self._compare(function, 1).agrees)
        )
        if cause:
            raise ProblemError(
                f"autograd's derivatives of the loss are wrong: {found.words}; {cause} gives right ones in training "
                "mode only; let its forward differentiate in the same way always, such as by create_graph=True instead "
                "of create_graph=self.training"
            )

    def _refuse(self, function: LossFunction, found: Comparison) -> None:
        if found.order == 1:
            self._refuse_training_only(found)
        cause = find_cause(function, found.order)
        where = f"; the cause is {cause}" if cause else ""
        raise ProblemError(f"autograd's derivatives of the loss are wrong: {found.words}{where}; {_help(found, cause)}")


def _help(found: Comparison, cause: str) -> str:
    if ".backward" in cause and found.order == 1:
        return "make that backward the derivative of its forward"
    if ".backward" in cause:
        return (
            "write it with torch's operations, or write its backward so that it can be differentiated: save inputs and "
            "outputs of the function only, and compute the rest from them"
        )
    if found.order == 1:
        return "look for detach(), .data, no_grad(), rounding or hooks that change gradients there"
    return "write it with other operations"
