"""The Hessian or Gauss-Newton matrix of a mean loss at a point, as a linear operator."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from surfaceviz.curvature.flat_parameters import ParameterLayout
from surfaceviz.curvature.krylov import Matvec
from surfaceviz.curvature.products.sharded_hvp import ApplyMatrix, DisplacedGradient, GroupSums, PointSums, SetPoint
from surfaceviz.curvature.sampling_error import GroupGradient, SamplingError, sampling_error
from surfaceviz.errors import ProblemError
from surfaceviz.signals import raise_if_interrupted

Broadcast = Callable[[Any], Sequence[Any]]  # a message -> the answer of each process that holds a share of the samples


@dataclass(frozen=True, slots=True)
class LossGradient:
    """The loss at a point and its gradient (P,) float64."""

    loss: float
    gradient: Tensor

    @property
    def finite(self) -> bool:
        """Whether the loss and its gradient are finite."""
        return math.isfinite(self.loss) and bool(self.gradient.isfinite().all())


class Operator:
    """Products with the Hessian or Gauss-Newton matrix of the mean loss: the sum over all shares over the weight.

    Args:
        broadcast: sends a message to all processes that hold a share of the samples, and returns their answers.
        layout: the parameters.
        dtype: of the vectors.

    Attributes:
        products: number of vectors multiplied so far.
    """

    def __init__(self, broadcast: Broadcast, layout: ParameterLayout, dtype: torch.dtype) -> None:
        self._broadcast, self.layout, self.dtype = broadcast, layout, dtype
        self._weight = 1.0
        self.products = 0

    def set_point(self, number: int) -> LossGradient:
        """Move to a point by its number and return the loss and gradient there; later products use its matrix.

        Raises:
            ProblemError: the weights of all samples are 0.
        """
        answers: Sequence[PointSums] = self._ask(SetPoint(number))
        self._weight = math.fsum(answer.weight for answer in answers)
        if not self._weight:
            raise ProblemError(
                "the weights of all samples are 0 (all targets are ignored?), so the mean loss is not defined"
            )
        return self._mean(answers)

    def displaced(self, vector: Tensor) -> LossGradient:
        """Return loss and gradient at the current point plus a vector (P,); products stay those of the point."""
        return self._mean(self._ask(DisplacedGradient(vector.double().cpu().numpy())))

    def sampling_error(self, groups: Sequence[NDArray[np.int64]]) -> SamplingError | None:
        """Return the sampling error of the gradient at the current point from random groups of samples."""
        count = sum(map(len, groups))
        return sampling_error(self._group_gradient(group, count) for group in groups)

    def _group_gradient(self, group: NDArray[np.int64], count: int) -> GroupGradient:
        answers: Sequence[PointSums] = self._ask(GroupSums(group, count))
        gradient = np.sum([answer.gradient for answer in answers], axis=0)
        return GroupGradient(torch.from_numpy(gradient), math.fsum(answer.weight for answer in answers), len(group))

    def _ask(self, message: Any) -> Any:
        """Return the answers of all processes to a message; all loops over products and points come through here."""
        raise_if_interrupted()
        return self._broadcast(message)

    def _mean(self, answers: Sequence[PointSums]) -> LossGradient:
        gradient = np.sum([answer.gradient for answer in answers], axis=0) / self._weight
        return LossGradient(math.fsum(answer.loss for answer in answers) / self._weight, torch.from_numpy(gradient))

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the products with vectors, rows (b, P)."""
        answers = self._ask(ApplyMatrix(rows.cpu().numpy()))
        self.products += len(rows)
        total = np.zeros(rows.shape, answers[0].dtype)
        for answer in answers:
            total += answer
        return torch.from_numpy(total / total.dtype.type(self._weight)).to(rows)

    def scaled(self, scales: Tensor) -> Matvec:
        """Return the matvec of D A D for a diagonal D (P,)."""
        d = scales.to(self.dtype)
        return lambda rows: d * self(d * rows)

    def block(self, entries: slice) -> Matvec:
        """Return the matvec of a diagonal block, rows (b, size)."""

        def product(rows: Tensor) -> Tensor:
            padded = rows.new_zeros((len(rows), self.layout.dimension))
            padded[:, entries] = rows
            return self(padded)[:, entries]

        return product
