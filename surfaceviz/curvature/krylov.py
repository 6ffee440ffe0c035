"""A basis that grows by products, and its relation to the matrix. It knows only a ``matvec``.

Kept at all times, for an orthonormal basis V and orthonormal directions F that have not been multiplied yet:

    A V = V' T + F' G      (rows are vectors, V (m, P), F (f, P), T (m, m) symmetric, G (f, m))

A step takes one unit vector q out of the span of F, multiplies it, and puts what is new of the product into F. One
start vector gives the Lanczos method; several give a band (block) method. Ritz vectors y of T have the residual
||G y||. All orthogonalisation is against all of V and F, twice, so that no ghosts come up; when there is no room, V is
shrunk to some of its Ritz vectors, for which the relation holds as well.

Source: Parlett, The Symmetric Eigenvalue Problem, chapter 13; thick restarts: Wu & Simon, SIAM J. Matrix Anal. Appl.
22 (2000); keeping F apart, so that both are one, is ours.
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
NOTHING = 64.0  # times the rounding of ||A||: below it a new direction is nothing
_ROUNDING = 32.0  # times the rounding of ||A||: what products and sums are off by, and with them each residual
_BLOCK = 2**20  # columns that are rotated at a time


@dataclass(frozen=True, slots=True)
class Ritz:
    """The Ritz pairs of a basis of m vectors.

    Attributes:
        values: float64 (m,), ascending.
        rows: the coefficients of each vector, float64 (m, m).
        residuals: float64 (m,), at least the rounding.
        rounding: of ||A||, below which no residual can be had.
    """

    values: Tensor
    rows: Tensor
    residuals: Tensor
    rounding: float


class Krylov:
    """The basis V, the directions F to come, and their relation.

    Args:
        matvec: multiplies rows of vectors.
        start: rows (s, P), which are all multiplied first.
        room: vectors that V may hold.
        generator: of the directions in which it goes on when its space is exhausted.

    Attributes:
        size: m, the vectors in V.
        dimension: P.
        unseen: start vectors that are still to be multiplied.
        products: so far.
    """

    def __init__(self, matvec: Matvec, start: Tensor, room: int, generator: torch.Generator) -> None:
        self._matvec, self._generator, self.room, self.dimension = matvec, generator, room, start.shape[1]
        self._basis = start.new_empty((room, self.dimension))
        self._projected = torch.zeros((room, room), dtype=torch.float64)  # T
        self._coming = _orthonormal(start)  # F
        self._coupling = torch.zeros((len(self._coming), room), dtype=torch.float64)  # G
        self._norm = 0.0
        self.size, self.unseen, self.products = 0, len(self._coming), 0

    @property
    def exhausted(self) -> bool:
        """Whether there is no direction to go on in: V spans an invariant space."""
        return len(self._coming) == 0

    @property
    def whole(self) -> bool:
        """Whether V spans everything."""
        return self.size == self.dimension

    def ritz(self) -> Ritz:
        """Return all Ritz pairs."""
        values, columns = torch.linalg.eigh(self._projected[: self.size, : self.size])
        self._norm = float(values.abs().max())
        residuals = torch.linalg.vector_norm(self._coupling[:, : self.size] @ columns, dim=0)
        rounding = _ROUNDING * torch.finfo(self._basis.dtype).eps * self._norm
        return Ritz(values, columns.T, torch.hypot(residuals, torch.tensor(rounding, dtype=torch.float64)), rounding)

    def vectors(self, ritz: Ritz, indices: Tensor) -> Tensor:
        """Return some Ritz vectors, unit rows (k, P)."""
        return ritz.rows[indices].to(self._basis) @ self._basis[: self.size]

    def aim(self, ritz: Ritz, index: int) -> None:
        """Turn the directions to come so that the first lies along the residual of a Ritz pair."""
        if len(self._coming) > 1:
            turn = _with_first_row(self._coupling[:, : self.size] @ ritz.rows[index])
            self._coming = turn.to(self._coming) @ self._coming
            self._coupling = turn @ self._coupling

    def step(self) -> None:
        """Multiply the first of the directions to come, and take it into the basis."""
        rest, row = self._coming[1:], self.size
        self._basis[row] = self._coming[0]
        self.size, self.unseen, self.products = row + 1, max(self.unseen - 1, 0), self.products + 1
        w = finite(self._matvec(self._coming[:1]))[0].clone()
        self._norm = max(self._norm, float(torch.linalg.vector_norm(w)))
        along, across = torch.zeros(self.size, dtype=torch.float64), torch.zeros(len(rest), dtype=torch.float64)
        for _ in range(2):
            along += _orthogonalise(w, self._basis[: self.size])
            across += _orthogonalise(w, rest)
        self._projected[row, : self.size] = self._projected[: self.size, row] = along
        coupling = torch.cat([self._coupling[1:], torch.zeros((1, self.room), dtype=torch.float64)])
        coupling[:-1, row] = across
        length = float(torch.linalg.vector_norm(w))
        if length > NOTHING * torch.finfo(w.dtype).eps * self._norm and self.size + len(rest) < self.dimension:
            coupling[-1, row] = length
            self._coming, self._coupling = torch.cat([rest, w[None] / length]), coupling
        else:
            self._coming, self._coupling = rest, coupling[:-1]

    def shrink(self, ritz: Ritz, kept: Tensor) -> None:
        """Keep some Ritz vectors alone."""
        rows, count = ritz.rows[kept], len(kept)
        _rotate(self._basis[: self.size], rows)
        self._coupling[:, :count] = self._coupling[:, : self.size] @ rows.T
        self._coupling[:, count:] = 0
        self._projected.zero_()
        self._projected[:count, :count] = torch.diag(ritz.values[kept])
        self.size = count

    def go_elsewhere(self) -> None:
        """Go on in a random direction outside of a space that is exhausted."""
        q = torch.randn(self.dimension, generator=self._generator, dtype=torch.float64).to(self._basis)
        for _ in range(3):
            q /= torch.linalg.vector_norm(q)
            _orthogonalise(q, self._basis[: self.size])
        self._coming = (q / torch.linalg.vector_norm(q))[None]
        self._coupling = torch.zeros((1, self.room), dtype=torch.float64)


def finite(products: Tensor) -> Tensor:
    """Return products as they are.

    Raises:
        NotFiniteError: an entry is NaN or infinite.
    """
    if not bool(products.isfinite().all()):
        raise NotFiniteError(
            "a product with the matrix of second derivatives is not finite: there is none at this point"
        )
    return products


def _orthogonalise(w: Tensor, rows: Tensor) -> Tensor:
    """Take from ``w``, in place, what it has along orthonormal rows; return that, float64 (k,)."""
    along = rows @ w
    w.addmv_(rows.T, along, alpha=-1)
    return along.double().cpu()


def _orthonormal(rows: Tensor) -> Tensor:
    """Return orthonormal rows that span those given; what depends on the others is dropped."""
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
    away = unit.clone()
    away[0] += math.copysign(1.0, float(unit[0]))
    turn: Tensor = torch.eye(len(unit), dtype=unit.dtype) - 2 * torch.outer(away, away) / (away @ away)
    turn[0] = unit  # the reflection's, up to its sign
    return turn


def _rotate(basis: Tensor, rows: Tensor) -> None:
    """Put ``rows @ basis`` into the first rows of ``basis``, in blocks, so that no second basis is held."""
    rows = rows.to(basis)
    for columns in basis.split(_BLOCK, dim=1):
        columns[: len(rows)] = rows @ columns
