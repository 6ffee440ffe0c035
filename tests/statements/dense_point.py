"""The truth at a point: a dense float64 Hessian, a gradient, and changes of both by rounding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from float64_program import Array, Program, spectral_norm
from torch import Tensor

_EPS = 2.0**-52


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The truth at a point: the matrix of a spectrum, its eigenvalues, the gradient, and changes of these by rounding.

    Attributes:
        theta: all parameters.
        hessian: over the selected parameters, (P, P).
        scale: D, (P,); of ones where the matrix is the Hessian.
        filters: ||w_i|| / sqrt(n_i), 0 for gains, (P,).
        gradient: over the selected parameters, (P,).
        chosen: the selected parameters.
        eps: spacing of the dtype's numbers at 1, to which told eigenvectors have unit length.
        hessian_changes, gradient_changes: changes by rounding.
    """

    theta: Tensor
    hessian: Array
    scale: Array
    filters: Array
    gradient: Array
    chosen: Any
    eps: float
    hessian_changes: list[Array]
    gradient_changes: list[Array]

    @property
    def matrix(self) -> Array:
        """D H D."""
        return self.scale[:, None] * self.hessian * self.scale

    @property
    def matrix_changes(self) -> list[Array]:
        """Changes of D H D by rounding."""
        return [self.scale[:, None] * each * self.scale for each in self.hessian_changes]

    @property
    def slack(self) -> float:
        """How far rounding moves an eigenvalue: by at most the norm of the change (Weyl)."""
        own = 64 * _EPS * spectral_norm(self.matrix)
        return max(map(spectral_norm, self.matrix_changes)) + own

    @property
    def sums(self) -> float:
        """Rounding of products and of sums over eigenvalues: a few units in the last place of sum |lambda|."""
        return (4 * self.eps + 16 * _EPS) * float(np.abs(np.linalg.eigvalsh(self.matrix)).sum())

    def allowance(self, function: Any) -> float:
        """Return how far rounding moves a function of (H, g)."""
        exact = float(function(self.hessian, self.gradient))
        moved = [
            function(self.hessian + h, self.gradient + g)
            for h, g in zip(self.hessian_changes, self.gradient_changes, strict=True)
        ]
        furthest = float(np.max(np.abs(np.array(moved) - exact)))
        return furthest + (1e-12 + 16 * self.eps) * abs(exact) + self.sums


def point_of(program: Program, theta: Tensor, told: dict[str, Any], draws: int = 3) -> Point:
    scales = program.filter_scales(theta)
    chosen = np.isfinite(scales) if told.get("parameters") == "weights" else np.ones(len(scales), bool)
    filters = np.nan_to_num(scales[chosen])
    hessian = program.hessian(theta)[np.ix_(chosen, chosen)]
    changes = program.roundings(lambda t: program.hessian(t)[np.ix_(chosen, chosen)], theta, draws)
    return Point(
        theta=theta, hessian=hessian, hessian_changes=changes, chosen=chosen, filters=filters, eps=program.eps,
        gradient=program.gradient(theta)[chosen],
        gradient_changes=program.roundings(lambda t: program.gradient(t)[chosen], theta, draws),
        scale=filters if told.get("normalised") else np.ones(len(filters)),
    )  # fmt: skip
