"""The mean loss of some samples as a function of the weights, in float64: what every measure is taken of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from surfaceviz.curvature import Operator, ParameterLayout, Sums, filter_scales
from surfaceviz.problem.batching import batch_separately
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.functional import DataPass, State, loss_sums, outputs
from surfaceviz.problem.parameters import Filters
from surfaceviz.problem.problem import Problem
from surfaceviz.pytree import leaves

Theta = Mapping[str, Tensor]  # canonical name -> weights and buffers, float64, on the device

_GRAPHS = 2**30


@dataclass(frozen=True)
class Objective:
    """The loss, over samples one after another in batches of one size.

    Attributes:
        problem: whose model is borrowed.
        split: the samples, on the device, in float64.
        layout: the parameters that a vector is over.
        filters: how each parameter falls into filters.
        own_names: canonical name -> the model's own.
        device: where it is computed.
        batch: samples at a time, at most.
        memory: bytes for graphs that are differentiated twice.
    """

    problem: Problem
    split: DataSplit
    layout: ParameterLayout
    filters: Mapping[str, Filters]
    own_names: Mapping[str, str]
    device: torch.device
    batch: int
    memory: int = _GRAPHS

    def loss(self, theta: Theta) -> float:
        """Return the mean loss: one pass."""
        return float(self._pass(self._state(theta))[f"{self.split.name}_loss"].mean)

    def slope(self, theta: Theta) -> tuple[float, float, Tensor]:
        """Return the mean loss, the weight that it is a mean over, and its gradient (P,): a pass there and back."""
        parts = [theta[name].detach().requires_grad_() for name in self.layout.names]
        state = self._state({**theta, **dict(zip(self.layout.names, parts, strict=True))})
        measure, loss, weight = loss_sums(self.problem), 0.0, 0.0
        gradient = torch.zeros(self.layout.dimension, dtype=torch.float64, device=self.device)
        for batch in self._batches:
            with torch.enable_grad():
                total, count = measure(state, batch)
                slopes = torch.autograd.grad(total, parts, materialize_grads=True, allow_unused=True)
            loss, weight = loss + float(total.detach()), weight + count
            gradient += self.layout.flat(slopes)
        return loss / weight, weight, gradient / weight

    def at(self, theta: Theta, vector: Tensor) -> Theta:
        """Return the weights with the parameters of a vector (P,)."""
        return {**theta, **dict(zip(self.layout.names, self.layout.split(vector.to(self.device)), strict=True))}

    def scales(self, theta: Theta) -> Tensor:
        """Return the diagonal of D, (P,), on the CPU."""
        return filter_scales({name: theta[name].cpu() for name in self.layout.names}, self.filters, self.layout)

    def operator(self, theta: Theta) -> Operator:
        """Return products with the Hessian; what it opens is ``theta``, whatever the number."""
        sums = Sums(
            self.problem, self.split, self.layout, self.own_names, lambda _number: self._state(theta),
            memory=self.memory, batch=self.batch,
        )  # fmt: skip
        return Operator(lambda message: [sums(message)], self.layout, torch.float64)

    def pieces(self, size: int) -> list[Objective]:
        """Return the objectives of ``size`` samples after one another, or of the batches as given."""
        whole = self.split
        if whole.given:
            return [replace(self, split=replace(whole, count=1, given=(batch,))) for batch in whole.given]
        counted = [(len(leaves(rows)[0]), rows) for rows in whole.batches(size)]
        return [replace(self, split=replace(whole, count=count, rows=rows)) for count, rows in counted]

    def head(self) -> Objective:
        """Return the objective of the first batch."""
        return self.pieces(self.batch)[0]

    def outputs(self, theta: Theta) -> list[Tensor]:
        """Return the model's outputs on the first batch, as a list of tensors."""
        with torch.no_grad():
            return leaves(outputs(self.problem)(self._state(theta), self._batches[0]))

    def deviation(self, theta: Theta, other: Theta, times: float = 1.0) -> float:
        """Return how far ``other``'s outputs are from ``times`` those of ``theta``: max |difference| / max |output|.

        The largest over all batches; inf where one is not finite. Two passes.
        """
        worst = 0.0
        for piece in self.pieces(self.batch):
            for here, there in zip(piece.outputs(theta), piece.outputs(other), strict=True):
                scale = float((times * here).abs().max()) or 1.0
                found = float((there - times * here).abs().max()) / scale
                worst = max(worst, found) if found < torch.inf else torch.inf
        return worst

    @cached_property
    def _batches(self) -> list[Any]:
        return self.split.batches(self.batch)

    @cached_property
    def _pass(self) -> DataPass:
        return DataPass(self.problem, batch_separately([self.split], self.batch))

    def _state(self, theta: Theta) -> State:
        """Return the state by the model's own names; buffers, which a model may write to, are copies."""
        known = set(self.layout.names)
        return {self.own_names[n]: t if n in known else t.clone() for n, t in theta.items()}
