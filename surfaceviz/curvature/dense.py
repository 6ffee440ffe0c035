"""The whole matrix and all of its eigenvalues, product by product."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz.curvature.bounds.negative_share import zero_threshold
from surfaceviz.curvature.krylov import Matvec, require_finite
from surfaceviz.curvature.lanczos import ExtremeEigenpairs, extreme_eigenpairs, min_basis_size
from surfaceviz.records.convergence import has_converged

DENSE_VECTORS = 6  # matrices of P x P float64 numbers that the computation holds at a time, at most
_ROWS = 16  # products at a time
_LEAST, _NOISE = 8.0, 4.0  # times eps ||A||, and times the asymmetry over sqrt(P)
_RTOL = 1e-9  # of eigenvectors that the Lanczos method finds in the matrix
_BASIS = 256  # vectors for that


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseSpectrum:
    """A symmetric matrix with all of its eigenvalues.

    Attributes:
        matrix: float64 (P, P).
        values: float64 (P,), ascending.
        vectors: unit rows, float64 (P, P); None if few are needed.
        zero: |eigenvalues| up to this are 0 within rounding: the largest of 8 eps ||A||, the rounding of a float64
            decomposition, and twice the norm of errors as large as the matrix's asymmetry, which only rounding makes.
    """

    matrix: Tensor
    values: Tensor
    vectors: Tensor | None
    zero: float

    @property
    def norm(self) -> float:
        """||A||."""
        return float(self.values.abs().max())

    def counts(self, error: float = 0.0) -> tuple[int, int, int]:
        """Return the numbers of negative, zero and positive eigenvalues; each eigenvalue is known to an error."""
        zero = max(self.zero, error)
        negative, positive = int((self.values < -zero).sum()), int((self.values > zero).sum())
        return negative, len(self.values) - negative - positive, positive

    def eigenpairs(self, top: int, bottom: int, rtol: float, dtype: torch.dtype) -> ExtremeEigenpairs:
        """Return the ``top`` largest and ``bottom`` smallest eigenpairs; their residuals are at least the rounding."""
        count = len(self.values)
        kept = torch.tensor([*range(bottom), *range(count - top, count)], dtype=torch.int64)
        values = self.values[kept]
        vectors = self._few_vectors(top, bottom) if self.vectors is None else self.vectors[kept]
        residuals = torch.linalg.vector_norm(vectors @ self.matrix - values[:, None] * vectors, dim=1)
        residuals = torch.hypot(residuals, torch.tensor(self.zero, dtype=torch.float64))
        converged = has_converged(values.numpy(), residuals.numpy(), rtol=rtol, norm=self.norm)
        return ExtremeEigenpairs(
            eigenvalues=values, vectors=vectors.to(dtype), residuals=residuals, converged=torch.from_numpy(converged),
            norm=self.norm, products=count, complete=len(kept) == count, beyond=0.0, remainders=vectors[:0].to(dtype),
            listed_below=float(values[bottom - 1]) if bottom else -math.inf,
            listed_above=float(values[bottom]) if top else math.inf,
        )  # fmt: skip

    def _few_vectors(self, top: int, bottom: int) -> Tensor:
        """Return eigenvectors from both ends by the Lanczos method, or by a full decomposition where it misses some."""
        count, generator = len(self.values), torch.Generator().manual_seed(0)
        start = torch.randn((1, count), generator=generator, dtype=torch.float64)
        found = extreme_eigenpairs(
            lambda rows: rows @ self.matrix, start, top=top, bottom=bottom, rtol=_RTOL, generator=generator,
            capacity=max(_BASIS, min_basis_size(top, bottom)),
        )  # fmt: skip
        kept = torch.tensor([*range(bottom), *range(count - top, count)], dtype=torch.int64)
        if len(found.eigenvalues) == len(kept):
            off = (found.eigenvalues - self.values[kept]).abs().max()
            if float(off) <= max(_RTOL * self.norm, self.zero):
                return found.vectors
        vectors: Tensor = torch.linalg.eigh(self.matrix)[1].T[kept]
        return vectors


def dense_spectrum(
    matvec: Matvec, dimension: int, dtype: torch.dtype, *, with_vectors: bool, seconds: float = math.inf
) -> DenseSpectrum | None:
    """Return the matrix of a matvec, from P products, and its eigenvalues; None if that would take too long.

    Args:
        matvec: multiplies rows of vectors.
        dimension: P.
        dtype: of the products.
        with_vectors: whether to compute all eigenvectors as well.
        seconds: largest time of the products, estimated from the first ones.
    """
    begun = time.perf_counter()
    matrix = torch.empty((dimension, dimension), dtype=torch.float64)
    for first in range(0, dimension, _ROWS):
        rows = torch.zeros((min(_ROWS, dimension - first), dimension), dtype=dtype)
        rows[:, first:].fill_diagonal_(1.0)
        matrix[first : first + len(rows)] = require_finite(matvec(rows)).double().cpu()
        done = first + len(rows)
        if (time.perf_counter() - begun) * dimension > seconds * done:
            return None
    asymmetry = float(torch.linalg.matrix_norm(matrix - matrix.T))
    matrix = (matrix + matrix.T) / 2
    values, columns = torch.linalg.eigh(matrix) if with_vectors else (torch.linalg.eigvalsh(matrix), None)
    norm = float(values.abs().max())
    seen = _NOISE * asymmetry / math.sqrt(dimension)  # independent errors of this Frobenius norm have such a norm
    zero = max(zero_threshold(norm, dimension, torch.float64), _LEAST * torch.finfo(dtype).eps * norm, seen)
    return DenseSpectrum(matrix=matrix, values=values, vectors=None if columns is None else columns.T, zero=zero)
