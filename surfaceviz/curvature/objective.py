"""The mean loss of some samples as a function of the weights, in float64, or in float32 for a search."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from surfaceviz.curvature import Operator, ParameterLayout, ShardedHvp, filter_scales
from surfaceviz.errors import ProblemError, error_context
from surfaceviz.problem.batching import batch_separately
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.estimates import sum_and_weight, sums
from surfaceviz.problem.forward.differentiable_operators import DifferentiableOperators
from surfaceviz.problem.functional import DataPass, State, loss_sums, outputs
from surfaceviz.problem.parameters import Filters
from surfaceviz.problem.problem import Problem
from surfaceviz.pytree import leaves
from surfaceviz.records import FloatArray

Theta = Mapping[str, Tensor]  # canonical name -> weights and buffers, float64, on the device

_GRAPHS = 2**30
_CLOSE = 1e-3  # error of a loss in float32 that a search can bear; ours


@dataclass(frozen=True, kw_only=True)
class Objective:
    """The mean loss over consecutive batches of one size.

    Attributes:
        problem: its model is borrowed.
        split: the samples, on the device, in float64.
        layout: the parameters in a flat vector.
        filters: the filters of each parameter.
        own_names: canonical name -> name in the model.
        device: the device of the computation.
        batch: largest number of samples in a batch.
        memory: bytes for graphs that are differentiated twice.
        dtype: the number format of the passes; weights are given in float64 and cast.
    """

    problem: Problem
    split: DataSplit
    layout: ParameterLayout
    filters: Mapping[str, Filters]
    own_names: Mapping[str, str]
    device: torch.device
    batch: int
    memory: int = _GRAPHS
    dtype: torch.dtype = torch.float64

    def loss(self, theta: Theta) -> float:
        """Return the mean loss; costs one forward pass."""
        return float(self._pass(self._state(theta))[f"{self.split.name}_loss"].mean)

    def gradient(self, theta: Theta) -> tuple[float, float, Tensor]:
        """Return the mean loss, its total weight and its gradient (P,); costs one forward and backward pass."""
        parts = [theta[name].detach().to(self.dtype).requires_grad_() for name in self.layout.names]
        state = self._state({**theta, **dict(zip(self.layout.names, parts, strict=True))})
        measure, loss, weight = loss_sums(self.problem), 0.0, 0.0
        gradient = torch.zeros(self.layout.dimension, dtype=torch.float64, device=self.device)
        for batch in self._batches:
            with error_context(f"differentiating the loss of split {self.split.name}"), torch.enable_grad():
                with DifferentiableOperators():
                    total, count = measure(state, batch)
                gradients = torch.autograd.grad(total, parts, materialize_grads=True, allow_unused=True)
            loss, weight = loss + float(total.detach()), weight + count
            gradient += self.layout.flat(gradients)
        return loss / weight, weight, gradient / weight

    def loss_of_vector(self, theta: Theta) -> Callable[[Tensor], Tensor]:
        """Return the function (P,) -> mean loss with these parameters; `torch.func` differentiates and maps it.

        Buffers are those of ``theta``.
        """
        measure, batches = loss_sums(self.problem, sums), self._batches

        def loss(vector: Tensor) -> Tensor:
            state = self._state(self.with_parameters(theta, vector))
            with DifferentiableOperators():
                parts = [measure(state, batch) for batch in batches]
            totals, weights = zip(*parts, strict=True)
            mean: Tensor = torch.stack(totals).sum() / sum(weights)
            return mean

        return loss

    def sample_values(self, theta: Theta) -> dict[str, FloatArray]:
        """Return metric -> its value for each sample, (N,), whose mean is the metric; costs one forward pass.

        Where samples have weights, the values are linearised: R + N (v_i - R w_i) / W, with R = sum v / sum w and
        W = sum w. Metrics without values for each sample are left out.
        """
        found = {}
        for name, estimate in self._pass(self._state(theta)).items():
            if estimate.residuals is not None:
                mean, residuals = float(estimate.mean), estimate.residuals[0].double().cpu().numpy()
                found[name.removeprefix(f"{self.split.name}_")] = mean + len(residuals) * residuals
        return found

    def with_parameters(self, theta: Theta, vector: Tensor) -> Theta:
        """Return the weights with parameters replaced by a vector (P,)."""
        return {**theta, **dict(zip(self.layout.names, self.layout.split(vector.to(self.device)), strict=True))}

    def scales(self, theta: Theta) -> Tensor:
        """Return the diagonal of D, (P,), on the CPU."""
        return filter_scales({name: theta[name].cpu() for name in self.layout.names}, self.filters, self.layout)

    def operator(self, theta: Theta) -> Operator:
        """Return the Hessian at ``theta`` as an operator; every point number means ``theta``."""
        sums = ShardedHvp(
            self.problem, self.split, self.layout, own_names=self.own_names,
            states=lambda _number: self._state(theta),
            memory=self.memory, batch=self.batch,
        )  # fmt: skip
        return Operator(lambda message: [sums(message)], self.layout, torch.float64)

    def in_float32(self, theta: Theta) -> Objective:
        """Return the objective in float32, for a search whose results are evaluated again in float64.

        It is the objective itself where float32 fails, or where its loss at ``theta`` is off by more than 1e-3,
        absolute or relative. Costs two passes. Source of the tolerance: ours.
        """
        split = self.split.mapped(lambda tree: self.problem.cast(tree, torch.float32, self.device))
        single = replace(self, split=split, dtype=torch.float32)
        try:
            found = single.loss(theta)
        except ProblemError:  # constants in float64 inside the model
            return self
        here = self.loss(theta)
        return single if abs(found - here) <= _CLOSE * max(1.0, abs(here)) else self

    def other_draws(self, theta: Theta, dtype: torch.dtype) -> str:
        """Return a line if random numbers of the model depend on the dtype and change the loss; '' if they do not.

        Costs two passes where the model draws random numbers.
        """
        if dtype == self.dtype or not self.problem.draws.are_taken:
            return ""
        split = self.split.mapped(lambda tree: self.problem.cast(tree, dtype, self.device))
        there, here = replace(self, split=split, dtype=dtype).loss(theta), self.loss(theta)
        if abs(there - here) <= _CLOSE * max(1.0, abs(here)):
            return ""
        names = [str(each).removeprefix("torch.") for each in (self.dtype, dtype)]
        return (
            f"the model draws other random numbers in {names[0]} than in {names[1]}, the dtype of the slice: the loss "
            f"is {here:.6g} here, {there:.6g} there. Compute the slice with --dtype {names[0]} for the same ones"
        )

    def chunks(self, size: int) -> list[Objective]:
        """Return one objective for each ``size`` consecutive samples, or for each batch that the user gave."""
        split = self.split
        if split.given:
            return [replace(self, split=replace(split, count=1, given=(batch,))) for batch in split.given]
        counted = [(len(leaves(rows)[0]), rows) for rows in split.batches(size)]
        return [replace(self, split=replace(split, count=count, rows=rows)) for count, rows in counted]

    def first_batch(self) -> Objective:
        """Return the objective of the first batch."""
        return self.chunks(self.batch)[0]

    def outputs(self, theta: Theta) -> list[Tensor]:
        """Return the model's outputs on the first batch, as a list of tensors."""
        self.problem.draws.reseed()
        with torch.no_grad():
            return leaves(outputs(self.problem)(self._state(theta), self._batches[0]))

    def loss_of_outputs_times(self, theta: Theta) -> Callable[[Tensor], Tensor]:
        """Return the function beta -> mean loss of beta times the outputs, differentiable; costs one forward pass."""
        forward, state = outputs(self.problem), self._state(theta)
        self.problem.draws.reseed()
        with torch.no_grad():
            known = [(forward(state, batch), self.problem.targets(batch)) for batch in self._batches]

        def loss(beta: Tensor) -> Tensor:
            with error_context(f"measuring the loss of scaled outputs on split {self.split.name}"):
                losses = [self.problem.measure_outputs_loss(beta * made, targets) for made, targets in known]
            totals, weights = zip(*map(sum_and_weight, losses), strict=True)
            mean: Tensor = torch.stack(totals).sum() / sum(weights)
            return mean

        return loss

    def deviation(self, theta: Theta, other: Theta, times: float = 1.0) -> float:
        """Return the relative error of ``other``'s outputs against ``times`` those of ``theta``.

        It is max |difference| / max |output|, the largest over all batches; inf if an output is not finite. Costs two
        passes.
        """
        worst = 0.0
        for piece in self.chunks(self.batch):
            for here, there in zip(piece.outputs(theta), piece.outputs(other), strict=True):
                scale = float((times * here).abs().max()) or 1.0
                error = float((there - times * here).abs().max()) / scale
                worst = max(worst, error) if error < torch.inf else torch.inf
        return worst

    @cached_property
    def _batches(self) -> list[Any]:
        return self.split.batches(self.batch)

    @cached_property
    def _pass(self) -> DataPass:
        return DataPass(self.problem, batch_separately([self.split], self.batch))

    def _state(self, theta: Theta) -> State:
        """Return the state by names in the model; buffers are copies, because a model may write to them."""
        known = set(self.layout.names)
        cast = {n: t.to(self.dtype) if t.is_floating_point() else t for n, t in theta.items()}
        return {self.own_names[n]: t if n in known or t is not theta[n] else t.clone() for n, t in cast.items()}
