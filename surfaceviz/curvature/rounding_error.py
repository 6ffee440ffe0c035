"""The error by rounding of a matrix and of a gradient in a narrow dtype, from those in float64."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz.curvature.operator import Operator

_PROBES = 3  # ours
# The mean of that many chi-squared numbers is below 1 / _FACTOR^2 with a probability of 0.5%: 3 / F^2 = 0.0717.
_FACTOR = 6.5
CONFIDENCE = 0.995


@dataclass(frozen=True, slots=True)
class RoundingError:
    """Bounds on the error of a matrix and of a gradient.

    Attributes:
        matrix: bound on ||A - A_64||_F, which no shift of an eigenvalue exceeds (Weyl), with 99.5% probability over
            the probes.
        gradient: ||g - g_64||.
    """

    matrix: float
    gradient: float


def rounding_error(
    narrow: Operator, wide: Operator, number: int, *, generator: torch.Generator, scales: Tensor | None = None
) -> RoundingError:
    """Return the error of an operator against one in float64, on the same samples.

    For z ~ N(0, I), the mean of ||(A - A_64) z||^2 is ||A - A_64||_F^2. A difference of rank 1 makes few probes the
    least certain, with a mean of chi-squared numbers; the bound holds for it.

    Args:
        narrow: the operator in the run's dtype.
        wide: the operator in float64.
        number: number of the point, for both.
        generator: random numbers of the probes.
        scales: the diagonal of D (P,), for D A D.

    Source: Hutchinson, Commun. Stat. 18 (1989); the bound is ours.
    """
    gradients = [operator.set_point(number).gradient for operator in (narrow, wide)]
    shape = (_PROBES, narrow.layout.dimension)
    probes = torch.randn(shape, generator=generator, dtype=torch.float64).to(narrow.dtype)
    products = [
        (operator if scales is None else operator.scaled(scales))(probes.to(operator.dtype)).double()
        for operator in (narrow, wide)
    ]
    squares = (products[0] - products[1]).square().sum(1)
    return RoundingError(
        matrix=_FACTOR * float(squares.mean().sqrt()),
        gradient=float(torch.linalg.vector_norm(gradients[0] - gradients[1])),
    )
