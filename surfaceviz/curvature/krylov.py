"""An orthonormal Krylov basis and its relation to the matrix, from a ``matvec`` only.

For an orthonormal basis V and orthonormal directions F that are not multiplied yet, this relation always holds:

    A V = V' T + F' G      (rows are vectors, V (m, P), F (f, P), T (m, m) symmetric, G (f, m))

A step moves one unit vector q from F to V, multiplies it, and adds the new direction of the product to F. One start
vector gives the Lanczos method; several give a band (block) method. A Ritz vector y of T has the residual ||G y||. Each
vector is orthogonalised against all of V and F, twice, which avoids spurious copies of eigenvalues. When V is full, it
is shrunk to some of its Ritz vectors, for which the relation holds as well.

Source: Parlett, The Symmetric Eigenvalue Problem, chapter 13; thick restarts: Wu & Simon, SIAM J. Matrix Anal. Appl.
22 (2000); keeping F separate, which unifies both, is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz.errors import NotFiniteError

Matvec = Callable[[Tensor], Tensor]  # rows of vectors (b, P) -> their products (b, P)

# Ours.
BREAKDOWN = 64.0  # times the rounding of ||A||: a shorter new direction counts as 0
ROUNDING = 32.0  # times the rounding of ||A||: the error of products and sums, and so of each residual
_BLOCK = 2**20  # columns to rotate at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class RitzPairs:
    """The Ritz pairs of a basis of m vectors.

    Attributes:
        values: float64 (m,), ascending.
        rows: the coefficients of each vector, float64 (m, m).
        residuals: float64 (m,), at least the rounding.
        rounding: the rounding error of ||A||, a lower limit of residuals.
    """

    values: Tensor
    rows: Tensor
    residuals: Tensor
    rounding: float


class KrylovBasis:
    """The basis V, the pending directions F, and their relation to the matrix.

    Args:
        matvec: multiplies rows of vectors.
        start: rows (s, P); all of them are multiplied first.
        capacity: the largest number of vectors in V.
        generator: random numbers for new directions when the Krylov space is exhausted.

    Attributes:
        size: m, the number of vectors in V.
        dimension: P.
        unseen: number of start vectors that are not multiplied yet.
        products: number of products so far.
        degree: number of products before the first restart: from one start vector, the dimension of its Krylov space.
        invariant: whether that Krylov space was exhausted.
        dropped: norm of the directions that count as 0, next to the rounding of ||A||.
        lowest, highest: the extreme Ritz values of all times.
    """

    def __init__(self, matvec: Matvec, start: Tensor, capacity: int, generator: torch.Generator) -> None:
        self._matvec, self._generator, self.capacity, self.dimension = matvec, generator, capacity, start.shape[1]
        self._basis = start.new_empty((capacity, self.dimension))
        self._projected = torch.zeros((capacity, capacity), dtype=torch.float64)  # T
        self._pending = _orthonormal(start)  # F
        self._coupling = torch.zeros((len(self._pending), capacity), dtype=torch.float64)  # G
        self._norm = 0.0
        self.size, self.unseen, self.products = 0, len(self._pending), 0
        self.degree, self.invariant, self._restarted = 0, False, False
        self.dropped = 0.0
        self.lowest, self.highest = math.inf, -math.inf

    @property
    def exhausted(self) -> bool:
        """Whether no direction is left: V spans an invariant subspace."""
        return len(self._pending) == 0

    @property
    def complete(self) -> bool:
        """Whether V spans the full space."""
        return self.size == self.dimension

    def ritz(self) -> RitzPairs:
        """Return all Ritz pairs."""
        values, columns = torch.linalg.eigh(self._projected[: self.size, : self.size])
        self._norm = float(values.abs().max())
        self.lowest, self.highest = min(self.lowest, float(values[0])), max(self.highest, float(values[-1]))
        residuals = torch.linalg.vector_norm(self._coupling[:, : self.size] @ columns, dim=0)
        rounding = ROUNDING * torch.finfo(self._basis.dtype).eps * self._norm
        residuals = torch.hypot(residuals, torch.tensor(rounding, dtype=torch.float64))
        return RitzPairs(values=values, rows=columns.T, residuals=residuals, rounding=rounding)

    def vectors(self, ritz: RitzPairs, indices: Tensor) -> Tensor:
        """Return some Ritz vectors, unit rows (k, P)."""
        return ritz.rows[indices].to(self._basis) @ self._basis[: self.size]

    def remainders(self, ritz: RitzPairs, indices: Tensor) -> Tensor:
        """Return A y - t y for some Ritz pairs (t, y), rows (k, P), without a product."""
        return (ritz.rows[indices] @ self._coupling[:, : self.size].T).to(self._basis) @ self._pending

    def aim_at_residual(self, ritz: RitzPairs, index: int) -> None:
        """Rotate the pending directions so that the first lies along the residual of a Ritz pair."""
        if len(self._pending) > 1:
            rotation = _with_first_row(self._coupling[:, : self.size] @ ritz.rows[index])
            self._pending = rotation.to(self._pending) @ self._pending
            self._coupling = rotation @ self._coupling

    def step(self) -> None:
        """Multiply the first pending direction and move it into the basis."""
        rest, row = self._pending[1:], self.size
        self._basis[row] = self._pending[0]
        self.size, self.unseen, self.products = row + 1, max(self.unseen - 1, 0), self.products + 1
        self.degree += not self._restarted
        w = require_finite(self._matvec(self._pending[:1]))[0].clone()
        self._norm = max(self._norm, float(torch.linalg.vector_norm(w)))
        along, across = torch.zeros(self.size, dtype=torch.float64), torch.zeros(len(rest), dtype=torch.float64)
        for _ in range(2):
            along += _orthogonalise(w, self._basis[: self.size])
            across += _orthogonalise(w, rest)
        self._projected[row, : self.size] = self._projected[: self.size, row] = along
        coupling = torch.cat([self._coupling[1:], torch.zeros((1, self.capacity), dtype=torch.float64)])
        coupling[:-1, row] = across
        length = float(torch.linalg.vector_norm(w))
        if length > BREAKDOWN * torch.finfo(w.dtype).eps * self._norm and self.size + len(rest) < self.dimension:
            coupling[-1, row] = length
            self._pending, self._coupling = torch.cat([rest, w[None] / length]), coupling
        else:
            self.dropped = math.hypot(self.dropped, length)
            self._pending, self._coupling = rest, coupling[:-1]
        self.invariant |= self.exhausted and not self._restarted

    def shrink(self, ritz: RitzPairs, kept: Tensor) -> None:
        """Replace the basis by some of its Ritz vectors."""
        rows, count = ritz.rows[kept], len(kept)
        _rotate(self._basis[: self.size], rows)
        self._coupling[:, :count] = self._coupling[:, : self.size] @ rows.T
        self._coupling[:, count:] = 0
        self._projected.zero_()
        self._projected[:count, :count] = torch.diag(ritz.values[kept])
        self.size, self._restarted = count, True

    def restart_randomly(self) -> None:
        """Add a random pending direction orthogonal to an exhausted space."""
        q = torch.randn(self.dimension, generator=self._generator, dtype=torch.float64).to(self._basis)
        for _ in range(3):
            q /= torch.linalg.vector_norm(q)
            _orthogonalise(q, self._basis[: self.size])
        self._pending = (q / torch.linalg.vector_norm(q))[None]
        self._coupling = torch.zeros((1, self.capacity), dtype=torch.float64)
        self._restarted = True


def require_finite(products: Tensor) -> Tensor:
    """Return the products unchanged if they are finite.

    Raises:
        NotFiniteError: an entry is NaN or infinite.
    """
    if not bool(products.isfinite().all()):
        raise NotFiniteError(
            "a product with the matrix of second derivatives is not finite: there is none at this point"
        )
    return products


def _orthogonalise(w: Tensor, rows: Tensor) -> Tensor:
    """Remove from ``w``, in place, its components along orthonormal rows; return the components, float64 (k,)."""
    along = rows @ w
    w.addmv_(rows.T, along, alpha=-1)
    return along.double().cpu()


def _orthonormal(rows: Tensor) -> Tensor:
    """Return orthonormal rows with the same span; linearly dependent rows are dropped."""
    kept: list[Tensor] = []
    for row in rows:
        q = row / torch.linalg.vector_norm(row)
        for _ in range(2):
            for other in kept:
                q = q - (other @ q) * other
        length = torch.linalg.vector_norm(q)
        if length > math.sqrt(torch.finfo(rows.dtype).eps):
            kept.append(q / length)
    return torch.stack(kept)


def _with_first_row(vector: Tensor) -> Tensor:
    """Return an orthogonal matrix whose first row lies along a vector: a Householder reflection."""
    unit = vector / torch.linalg.vector_norm(vector)
    normal = unit.clone()
    normal[0] += math.copysign(1.0, float(unit[0]))
    reflection: Tensor = torch.eye(len(unit), dtype=unit.dtype) - 2 * torch.outer(normal, normal) / (normal @ normal)
    reflection[0] = unit  # the same up to its sign
    return reflection


def _rotate(basis: Tensor, rows: Tensor) -> None:
    """Write ``rows @ basis`` into the first rows of ``basis``, block by block, to avoid a second basis in memory."""
    rows = rows.to(basis)
    for columns in basis.split(_BLOCK, dim=1):
        columns[: len(rows)] = rows @ columns
