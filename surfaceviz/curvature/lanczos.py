"""Extreme eigenvalues by a band Lanczos method with full reorthogonalisation. It knows only a ``matvec``.

Kept at all times, for an orthonormal basis V and orthonormal directions F that have not been multiplied yet:

    A V = V' T + F' G      (rows are vectors, V (m, P), F (f, P), T (m, m) symmetric, G (f, m))

A step takes one unit vector q out of the span of F, multiplies it, and puts what is new of the product into F. One
start vector gives the Lanczos method; several give a band (block) method, that finds as many copies of a multiple
eigenvalue, or goes on from approximate eigenvectors, with q along the residual that is to be brought down. Ritz
vectors y of T have the residual ||G y||. All orthogonalisation is against all of V and F, twice, so that no ghosts
come up; when there is no room, V is shrunk to its best Ritz vectors, for which the relation holds as well.

Source: Parlett, The Symmetric Eigenvalue Problem, chapter 13; thick restarts: Wu & Simon, SIAM J. Matrix Anal. Appl.
22 (2000); the choice of q is that of Davidson's method without a preconditioner; putting them together is ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Matvec = Callable[[Tensor], Tensor]  # rows of vectors (b, P) -> their products (b, P)

# Ours.
_NOTHING = 64.0  # times the rounding of ||A||: below it a new direction is nothing
_FEWEST = 30  # products before an eigenvalue of a larger matrix is called 0 within its residual
_MOST = 1000  # products, unless told otherwise
_KEPT = 0.4  # of the room, after a restart
_BLOCK = 2**20  # columns that are rotated at a time


@dataclass(frozen=True, slots=True)
class Extremes:
    """Some eigenvalues from both ends, ascending, or all of them.

    Attributes:
        eigenvalues: float64 (k,).
        vectors: unit rows (k, P).
        residuals: ||A v - lambda v||, float64 (k,).
        converged: bool (k,).
        norm: the largest |Ritz value|, which approaches ||A|| from below.
        products: of ``matvec``.
        whole: whether these are all eigenvalues of the matrix.
    """

    eigenvalues: Tensor
    vectors: Tensor
    residuals: Tensor
    converged: Tensor
    norm: float
    products: int
    whole: bool


def least_room(top: int, bottom: int, starts: int = 1) -> int:
    """Return the number of vectors that `extremes` must be able to hold."""
    return 2 * (top + bottom) + starts + 8


def extremes(
    matvec: Matvec,
    start: Tensor,
    *,
    top: int,
    bottom: int,
    rtol: float = 1e-3,
    room: int = 256,
    most: int = _MOST,
    generator: torch.Generator | None = None,
) -> Extremes:
    """Return the ``top`` largest and ``bottom`` smallest eigenvalues of a symmetric matrix.

    An eigenvalue has converged when its residual is at most ``rtol`` |lambda|, or ``rtol`` ||A|| where |lambda| is
    less than that. One that has not after ``most`` products is returned as such.

    Args:
        matvec: multiplies rows of vectors.
        start: linearly independent rows (s, P) in the dtype of the computation: random, or approximate eigenvectors.
            Of an eigenvalue of multiplicity k, min(s, k) copies are found; more only where the matrix has few
            different eigenvalues.
        top: how many.
        bottom: how many.
        rtol: relative tolerance of the residual.
        room: vectors that may be held; with less, more products are needed.
        most: products.
        generator: of the directions in which the search goes on when a Krylov space is exhausted.

    Raises:
        ValueError: more eigenvalues than the matrix has, or too little room.
    """
    dimension = start.shape[1]
    if top < 0 or bottom < 0 or not 0 < top + bottom <= dimension:
        raise ValueError(f"{top} top and {bottom} bottom eigenvalues of a matrix of dimension {dimension}")
    room = min(room, dimension)
    if room < min(least_room(top, bottom, len(start)), dimension):
        raise ValueError(
            f"room for {room} vectors, expected at least {least_room(top, bottom, len(start))} for {top} top and "
            f"{bottom} bottom eigenvalues"
        )
    search = _Search(matvec, start, room, generator or torch.Generator().manual_seed(0))
    wanted, copies = _Wanted(top, bottom, rtol, dimension), _Copies()
    while True:
        if search.due(wanted) or search.products >= copies.until:
            ritz = search.ritz()
            found = wanted.of(ritz, search.products)
            if search.whole or search.products >= most:
                break
            if search.exhausted or search.products >= copies.until:
                if copies.are_all(ritz.values[found.indices], rtol * found.norm, search.products):
                    break
            elif found.all_converged and not copies.until < math.inf:
                break
            search.restart_if_full(ritz, found)
            search.aim(ritz, found)
        search.step()
    return search.result(ritz, found)


class _Copies:
    """Whether a search that has exhausted a Krylov space, which holds one copy of each eigenvalue, has all copies.

    It goes on in a random direction outside for as many products as that took; where nothing changes, it has.
    """

    def __init__(self) -> None:
        self.until = math.inf  # products
        self._begun, self._known = 0, torch.empty(0)

    def are_all(self, now: Tensor, tolerance: float, products: int) -> bool:
        same = len(now) == len(self._known) and bool(((now - self._known).abs() <= tolerance).all())
        self._known, self.until, self._begun = now, 2 * products - self._begun + 1, products
        return same


@dataclass(frozen=True, slots=True)
class _Ritz:
    values: Tensor  # (m,) float64, ascending
    rows: Tensor  # (m, m) float64: the coefficients of each Ritz vector
    residuals: Tensor  # (m,) float64


@dataclass(frozen=True, slots=True)
class _Found:
    indices: Tensor  # of the Ritz values that are wanted
    converged: Tensor  # bool, of them
    norm: float
    complete: bool  # whether there are as many as are wanted

    @property
    def all_converged(self) -> bool:
        return self.complete and bool(self.converged.all())


@dataclass(frozen=True, slots=True)
class _Wanted:
    top: int
    bottom: int
    rtol: float
    dimension: int

    def of(self, ritz: _Ritz, products: int) -> _Found:
        count = len(ritz.values)
        low = range(min(self.bottom, count))
        high = range(max(len(low), count - self.top), count)
        indices = torch.tensor([*low, *high], dtype=torch.int64)
        values, residuals = ritz.values[indices].abs(), ritz.residuals[indices]
        norm = float(ritz.values.abs().max())
        converged = residuals <= self.rtol * values
        if products >= min(_FEWEST, self.dimension):
            converged |= (values <= self.rtol * norm) & (residuals <= self.rtol * norm)
        return _Found(indices, converged, norm, len(indices) == self.top + self.bottom)


class _Search:
    """The basis, the directions to come, and their relation."""

    def __init__(self, matvec: Matvec, start: Tensor, room: int, generator: torch.Generator) -> None:
        self._matvec, self._generator = matvec, generator
        self._room, self._dimension = room, start.shape[1]
        self._basis = start.new_empty((room, self._dimension))
        self._size = 0
        self._projected = torch.zeros((room, room), dtype=torch.float64)  # T
        self._coming = _orthonormal(start)  # F
        self._coupling = torch.zeros((len(self._coming), room), dtype=torch.float64)  # G
        self._unseen = len(self._coming)  # start vectors, which are all multiplied first
        self._norm = 0.0
        self.products = 0

    @property
    def exhausted(self) -> bool:
        """Whether there is no direction to go on in."""
        return len(self._coming) == 0

    @property
    def whole(self) -> bool:
        """Whether the basis spans everything."""
        return self._size == self._dimension

    def due(self, wanted: _Wanted) -> bool:
        """Return whether it is time to look: after each product at first, later every few."""
        if self.whole or self.exhausted or self._size == self._room:
            return True
        if self._unseen or self._size < min(wanted.top + wanted.bottom, self._dimension):
            return False
        return self.products % (1 + self._size // 16) == 0

    def ritz(self) -> _Ritz:
        """Return all Ritz values of the basis."""
        values, columns = torch.linalg.eigh(self._projected[: self._size, : self._size])
        residuals = torch.linalg.vector_norm(self._coupling[:, : self._size] @ columns, dim=0)
        self._norm = float(values.abs().max())
        return _Ritz(values, columns.T, residuals)

    def aim(self, ritz: _Ritz, found: _Found) -> None:
        """Turn the directions to come so that the first lies along the residual that is to be brought down."""
        if self.exhausted:
            self._go_elsewhere()
        elif len(self._coming) > 1 and not found.converged.all():
            open_ = found.indices[~found.converged]
            worst = open_[int((ritz.residuals[open_] / ritz.values[open_].abs().clamp(min=1e-3 * found.norm)).argmax())]
            residual = self._coupling[:, : self._size] @ ritz.rows[worst]
            turn = _with_first_row(residual)
            self._coming = turn.to(self._coming) @ self._coming
            self._coupling = turn @ self._coupling

    def step(self) -> None:
        """Multiply the first of the directions to come, and take it into the basis."""
        q, rest = self._coming[0], self._coming[1:]
        row = self._size
        self._basis[row] = q
        self._size += 1
        self._unseen = max(self._unseen - 1, 0)
        w = self._matvec(q[None])[0].clone()
        self.products += 1
        basis = self._basis[: self._size]
        along = torch.zeros(self._size, dtype=torch.float64)
        across = torch.zeros(len(rest), dtype=torch.float64)
        scale = float(torch.linalg.vector_norm(w))
        for _ in range(2):
            along += _orthogonalise(w, basis)
            across += _orthogonalise(w, rest)
        self._projected[row, : self._size] = self._projected[: self._size, row] = along
        coupling = torch.cat([self._coupling[1:], torch.zeros((1, self._room), dtype=torch.float64)])
        coupling[:-1, row] = across
        length = float(torch.linalg.vector_norm(w))
        self._norm = max(self._norm, scale)
        if length > _NOTHING * torch.finfo(w.dtype).eps * self._norm and self._size + len(rest) < self._dimension:
            coupling[-1, row] = length
            self._coming, self._coupling = torch.cat([rest, w[None] / length]), coupling
        else:
            self._coming, self._coupling = rest, coupling[:-1]

    def restart_if_full(self, ritz: _Ritz, found: _Found) -> None:
        """Shrink the basis to its best Ritz vectors where it has no room for another."""
        if self._size < self._room or self.whole:
            return
        count = max(len(found.indices) + 2, int(_KEPT * self._room))
        low = int((found.indices < self._size // 2).sum())
        share = max(low, round(count * low / max(len(found.indices), 1)))
        kept = torch.tensor([*range(share), *range(self._size - (count - share), self._size)])
        rows = ritz.rows[kept]
        _rotate(self._basis[: self._size], rows)
        self._coupling[:, : len(kept)] = self._coupling[:, : self._size] @ rows.T
        self._coupling[:, len(kept) :] = 0
        self._projected.zero_()
        self._projected[: len(kept), : len(kept)] = torch.diag(ritz.values[kept])
        self._size = len(kept)

    def _go_elsewhere(self) -> None:
        """Go on in a random direction outside of a space that is invariant, for further copies of eigenvalues."""
        q = torch.randn(self._dimension, generator=self._generator, dtype=torch.float64).to(self._basis)
        for _ in range(3):
            q /= torch.linalg.vector_norm(q)
            _orthogonalise(q, self._basis[: self._size])
        self._coming = (q / torch.linalg.vector_norm(q))[None]
        self._coupling = torch.zeros((1, self._room), dtype=torch.float64)

    def result(self, ritz: _Ritz, found: _Found) -> Extremes:
        """Return what is wanted; all where the basis spans everything."""
        indices = torch.arange(self._size) if self.whole else found.indices
        vectors = ritz.rows[indices].to(self._basis) @ self._basis[: self._size]
        residuals, values = ritz.residuals[indices], ritz.values[indices]
        converged = torch.ones(len(indices), dtype=torch.bool) if self.whole else found.converged
        return Extremes(values, vectors, residuals, converged, found.norm, self.products, self.whole)


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
