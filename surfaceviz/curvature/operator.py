"""The matrix of a split's mean loss at a point, as products with vectors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfaceviz.curvature.flat_parameters import ParameterLayout
from surfaceviz.curvature.krylov import Matvec
from surfaceviz.curvature.sharded_hvp import Multiply, Open, Opened
from surfaceviz.errors import ProblemError

Each = Callable[[Any], Sequence[Any]]  # a message -> the answer of each process that has a share of the samples


@dataclass(frozen=True, slots=True)
class Start:
    """The loss at a point and its gradient (P,) float64."""

    loss: float
    gradient: Tensor

    @property
    def finite(self) -> bool:
        """Whether there is anything to differentiate."""
        return math.isfinite(self.loss) and bool(self.gradient.isfinite().all())


class Operator:
    """Products with the Hessian or Gauss-Newton matrix of the mean loss: the sums of all shares over their weight.

    Args:
        each: asks all processes, each of which has a share of the samples, once a product.
        layout: the parameters.
        dtype: of the vectors.

    Attributes:
        products: how many vectors were multiplied.
    """

    def __init__(self, each: Each, layout: ParameterLayout, dtype: torch.dtype) -> None:
        self._each, self.layout, self.dtype = each, layout, dtype
        self._weight = 1.0
        self.products = 0

    def open(self, number: int) -> Start:
        """Go to a point by its number; products are then with its matrix."""
        answers: Sequence[Opened] = self._each(Open(number))
        self._weight = math.fsum(answer.weight for answer in answers)
        if not self._weight:
            raise ProblemError(
                "the weights of all samples are 0 (all targets are ignored?): there is no mean to differentiate"
            )
        gradient = np.sum([answer.gradient for answer in answers], axis=0) / self._weight
        return Start(math.fsum(answer.loss for answer in answers) / self._weight, torch.from_numpy(gradient))

    def __call__(self, rows: Tensor) -> Tensor:
        """Return the products of vectors, rows (b, P)."""
        answers = self._each(Multiply(rows.cpu().numpy()))
        self.products += len(rows)
        total = np.zeros(rows.shape, answers[0].dtype)
        for answer in answers:
            total += answer
        return torch.from_numpy(total / total.dtype.type(self._weight)).to(rows)

    def scaled(self, scales: Tensor) -> Matvec:
        """Return the products with D A D for a diagonal D (P,)."""
        d = scales.to(self.dtype)
        return lambda rows: d * self(d * rows)

    def block(self, where: slice) -> Matvec:
        """Return the products with a diagonal block, rows (b, size)."""

        def product(rows: Tensor) -> Tensor:
            whole = rows.new_zeros((len(rows), self.layout.dimension))
            whole[:, where] = rows
            return self(whole)[:, where]

        return product
