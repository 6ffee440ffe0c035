"""What to compute of a spectrum, and the point where to compute it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from surfaceviz.curvature.products.hvp import OPERATORS
from surfaceviz.curvature.rounding_error import RoundingError
from surfaceviz.errors import MemoryShortError, ProblemError

MAX_BASIS_SIZE = 256  # basis vectors; more would cost more than the products that they save; ours
_SMALL = 64  # parameters up to which all eigenvalues are computed, which proves the kind of a point; ours
# Ours. All eigenvalues make a density exact. Their products are at most this multiple of the density's own; where they
# are more than these, they may take so many seconds.
_WORTH, _WORTH_SECONDS = 8, 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectrumSpec:
    """The quantities to compute at a point, and how.

    Attributes:
        top, bottom: numbers of eigenvalues; None: 5 and 1, or all of a matrix over at most 64 parameters.
        density: whether to compute the spectral density, which includes the trace.
        trace: whether to estimate the trace.
        by_layer: whether to compute trace and top eigenvalue of each tensor's block.
        operator: ``hessian`` or ``ggn``.
        parameters: ``all``, ``weights`` or a pattern.
        normalised: whether to take D H D instead of H.
        rtol: relative residual of eigenvalues.
        probes: number of random vectors for trace and density. Source: 10, as Ghorbani et al., arXiv 1901.10159.
        steps: quadrature nodes of each probe. Source of 60: ours, tuned on ResNet-20.
        block: number of start vectors, and so the largest multiplicity of an eigenvalue that is found.
        seed: seed of start vectors and probes.
        weight_decay: lambda of the training term lambda/2 ||theta||^2.
        memory: bytes for basis vectors.
    """

    top: int | None = None
    bottom: int | None = None
    density: bool = False
    trace: bool = False
    by_layer: bool = False
    operator: str = "hessian"
    parameters: str = "all"
    normalised: bool = False
    rtol: float = 1e-3
    probes: int = 10
    steps: int = 60
    block: int = 1
    seed: int = 0
    weight_decay: float | None = None
    memory: int = 2**30

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise ValueError(f"operator: expected one of {', '.join(OPERATORS)}, got {self.operator!r}")
        for name in ("top", "bottom"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name}: expected a number of eigenvalues, got {value}")
        if self.top == 0 and self.bottom == 0:
            raise ValueError(
                "top and bottom are both 0: ask for one eigenvalue at least, which is the scale of all else"
            )
        for name in ("probes", "steps", "block"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.weight_decay is not None and not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight decay: expected a number of at least 0, got {self.weight_decay:g}")
        if not 0 < self.rtol < 1:
            raise ValueError(f"rtol must lie between 0 and 1, got {self.rtol:g}")

    def counts(self, dimension: int) -> tuple[int, int]:
        """Return the numbers of top and bottom eigenvalues of a matrix of this dimension.

        Raises:
            ProblemError: more eigenvalues are requested than the matrix has.
        """
        asked = (self.top or 0) + (self.bottom or 0)
        if asked > dimension or max(self.top or 0, self.bottom or 0) > dimension:
            raise ProblemError(
                f"{asked} eigenvalues are asked for, of a matrix over {dimension} parameters ({self.parameters}): "
                "lower top and bottom"
            )
        if self.top is None and self.bottom is None and dimension <= _SMALL:
            return dimension, 0
        top = min(5, dimension - (self.bottom or 0)) if self.top is None else self.top
        return top, min(1, dimension - top) if self.bottom is None else self.bottom

    def is_dense(self, dimension: int) -> bool:
        """Return whether to compute the whole matrix: for most of its eigenvalues, or for an exact density."""
        return self.needs_most(dimension) or (self.density and dimension <= _WORTH * self.probes * self.steps)

    def needs_most(self, dimension: int) -> bool:
        """Return whether at least half of the eigenvalues are requested, and the matrix is not tiny."""
        return dimension > _SMALL and 2 * sum(self.counts(dimension)) >= dimension

    def dense_seconds(self, dimension: int) -> float:
        """Return the seconds that the products of the whole matrix may take; infinite if no other way has fewer."""
        cheap = self.needs_most(dimension) or dimension <= self.probes * self.steps
        return math.inf if cheap else _WORTH_SECONDS

    def generator(self, stream: int) -> torch.Generator:
        """Return the random numbers of one purpose."""
        return torch.Generator().manual_seed((1_000_003 * self.seed + stream) % 2**63)

    def basis_capacity(self, dimension: int, dtype: torch.dtype, least: int) -> int:
        """Return the number of basis vectors that fit into memory, at most `MAX_BASIS_SIZE` unless more are needed.

        Raises:
            MemoryShortError: fewer than ``least`` fit.
        """
        each, least = dimension * torch.finfo(dtype).bits // 8, min(least, dimension)
        if self.memory // each < least:
            raise MemoryShortError(
                f"{least} vectors over {dimension} parameters need {least * each / 2**20:,.1f} MB, but only "
                f"{self.memory / 2**20:,.1f} MB are available for vectors; give more --memory, or fewer eigenvalues or "
                "steps"
            )
        return min(max(MAX_BASIS_SIZE, least), self.memory // each)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpectrumPoint:
    """A point where a spectrum is computed.

    Attributes:
        number: the operator's number for the point.
        all_parameters: whether the matrix is over all parameters that training changes.
        theta: the weights, (P,) float64.
        filter_scales: the diagonal of D, (P,) float64.
        filter_numbers: the number of each entry's filter, int64 (P,); None if it is not known.
        directions: directions of the slice, rows (ndim, P) float64; None off a slice.
        fields: further fields of the record: place, split, samples, step, source, differences, notes.
        kinks: the operators at a kink or tie, in words; '' if there are none.
        groups: indices of random groups of samples, for the sampling error of the gradient; () for none.
        judged: whether one-sided differences decide on the kind; else eigenvalues and gradient alone.
        rounding: errors of matrix and gradient by the dtype, where they were compared with float64.
    """

    number: int
    all_parameters: bool
    theta: Tensor
    filter_scales: Tensor
    directions: Tensor | None
    fields: dict[str, Any]
    kinks: str = ""
    groups: Sequence[NDArray[np.int64]] = ()
    judged: bool = True
    filter_numbers: Tensor | None = None
    rounding: RoundingError | None = None
