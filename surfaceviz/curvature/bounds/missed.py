"""A second, independent search for eigenvalues that the first one missed, such as copies of multiple eigenvalues.

Let X hold the found eigenvectors, A X = X T + R. A is the direct sum of T and of its restriction B to the complement of
X, up to a matrix of norm ||R||. A short Lanczos run on B from a random vector shows what was missed; and as its start
is random, it bounds the eigenvalues of B, with a known probability. So it also tells above which value all are found.

Source: deflation: Parlett, The Symmetric Eigenvalue Problem, chapter 5 and section 10.1; its use as a check is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from surfaceviz.curvature.bounds.random_start import missed_by_exhausted, missed_distance, missed_fraction
from surfaceviz.curvature.krylov import KrylovBasis, Matvec, RitzPairs
from surfaceviz.curvature.lanczos import CHANCE, ExtremeEigenpairs, extreme_eigenpairs, min_basis_size
from surfaceviz.records.convergence import has_converged

# Ours.
_FEWEST, _SHARE = 10, 0.25  # products of a check: the first number, or the second of the search's if that is more
_ROUNDS = 40  # of checks; each finds one more copy of each eigenvalue
_ROOM = 16  # basis vectors of a check, at least


@dataclass(frozen=True, slots=True, kw_only=True)
class _Search:
    """What is searched for, and by what means."""

    matvec: Matvec
    top: int
    bottom: int
    rtol: float
    capacity: int
    generator: torch.Generator


@dataclass(frozen=True, slots=True)
class _Check:
    """A short Lanczos run on the complement of the found eigenvectors."""

    chain: KrylovBasis
    ritz: RitzPairs
    deflated: _Deflated


def find_missed(
    matvec: Matvec,
    found: ExtremeEigenpairs,
    *,
    top: int,
    bottom: int,
    rtol: float,
    capacity: int,
    generator: torch.Generator,
) -> ExtremeEigenpairs:
    """Return the eigenpairs with those that a search missed, and tell where all of them are listed.

    Args:
        matvec: multiplies rows of vectors.
        found: the result of the search.
        top: number of largest eigenvalues.
        bottom: number of smallest eigenvalues.
        rtol: relative tolerance of the residuals.
        capacity: largest number of vectors in memory.
        generator: random numbers, independent of those of the search.
    """
    dimension = found.vectors.shape[1]
    if found.complete or not bool(found.converged.all()) or len(found.eigenvalues) >= dimension:
        return found
    search = _Search(matvec=matvec, top=top, bottom=bottom, rtol=rtol, capacity=capacity, generator=generator)
    steps, chance, known = max(_FEWEST, int(_SHARE * found.products)), CHANCE / 4, found
    for _ in range(_ROUNDS):
        check, chance = _check(search, known, steps), chance / 2  # the probabilities of all rounds add up
        known = replace(known, products=known.products + check.chain.products)
        missed = _missed(search, known, check)
        if not any(map(len, missed)) or len(known.eigenvalues) + sum(map(len, missed)) > dimension:
            return _selected(search, _bounded(known, check, chance))
        more = _converged(search, known, check, missed)
        known = _merged(known, more)
    return _selected(search, known)


def _check(search: _Search, known: ExtremeEigenpairs, steps: int) -> _Check:
    """Run the Lanczos method from a random vector orthogonal to the known eigenvectors."""
    vectors = known.vectors
    start = torch.randn((1, vectors.shape[1]), generator=search.generator, dtype=torch.float64).to(vectors)
    room = max(_ROOM, min(steps, search.capacity))
    deflated = _Deflated(search.matvec, vectors)
    chain = KrylovBasis(deflated, _outside(start, vectors), room, search.generator)
    for _ in range(min(steps, room)):
        if chain.exhausted:
            break
        chain.step()
    return _Check(chain, chain.ritz(), deflated)


def _outside(rows: Tensor, vectors: Tensor) -> Tensor:
    """Return rows without their components along orthonormal vectors."""
    for _ in range(2):
        rows = rows - (rows @ vectors.T) @ vectors
    return rows


class _Deflated:
    """The matvec of the restriction B of a matrix to the complement of some vectors.

    The vectors get an eigenvalue inside the spectrum of B: the Rayleigh quotient of the first multiplied vector.
    If it were outside, rounding would bring the vectors back.
    """

    def __init__(self, matvec: Matvec, vectors: Tensor) -> None:
        self._matvec, self._vectors = matvec, vectors
        self._inside: float | None = None

    def __call__(self, rows: Tensor) -> Tensor:
        along = rows @ self._vectors.T
        product = _outside(self._matvec(rows - along @ self._vectors), self._vectors)
        if self._inside is None:
            self._inside = float((rows[0] @ product[0]) / (rows[0] @ rows[0]))
        return product + self._inside * (along @ self._vectors)


def _missed(search: _Search, known: ExtremeEigenpairs, check: _Check) -> tuple[Tensor, Tensor]:
    """Return the indices of a check's Ritz values that are wanted at the bottom and at the top, but are not known.

    A Ritz value lies within the range of B: one above the smallest wanted eigenvalue proves that B has one there.
    """
    values, known_values = check.ritz.values, known.eigenvalues
    tolerance = search.rtol * known.norm
    lowest = float(known_values[search.bottom - 1]) - tolerance if search.bottom else -math.inf
    highest = float(known_values[len(known_values) - search.top]) + tolerance if search.top else math.inf
    return torch.nonzero(values < lowest)[:, 0], torch.nonzero(values > highest)[:, 0]


def _converged(
    search: _Search, known: ExtremeEigenpairs, check: _Check, missed: tuple[Tensor, Tensor]
) -> ExtremeEigenpairs:
    """Return the eigenpairs of B that a check points at, as converged as the others."""
    ritz, (below, above) = check.ritz, missed
    start = check.chain.vectors(ritz, torch.cat(missed)).sum(0, keepdim=True)
    least = min_basis_size(len(above), len(below))
    return extreme_eigenpairs(
        check.deflated, start, top=len(above), bottom=len(below), rtol=search.rtol,
        capacity=max(search.capacity - 2 * len(known.eigenvalues), least), generator=search.generator, random_part=0.0,
    )  # fmt: skip


def _merged(known: ExtremeEigenpairs, more: ExtremeEigenpairs) -> ExtremeEigenpairs:
    """Return the Ritz pairs of A in the span of the known eigenvectors X and of further ones Y of the complement."""
    x, r = known.vectors, known.remainders
    y = _outside(more.vectors, x)
    y = y / torch.linalg.vector_norm(y, dim=1, keepdim=True)
    across = r @ y.T  # X A Y', as A X = T X + R
    z = torch.cat([x, y])
    products = torch.cat(
        [
            known.eigenvalues[:, None].to(x) * x + r,
            more.eigenvalues[:, None].to(x) * y + more.remainders + across.T @ x,
        ]
    )
    small = (z @ products.T).double().cpu()
    values, columns = torch.linalg.eigh((small + small.T) / 2)
    rows = columns.T.to(x)
    vectors = rows @ z
    remainders = rows @ products - values[:, None].to(x) * vectors
    residuals = torch.linalg.vector_norm(remainders.double(), dim=1).cpu()
    rounding = min(float(known.residuals.min()), float(more.residuals.min()))
    return replace(
        known, eigenvalues=values, vectors=vectors, remainders=remainders,
        residuals=torch.hypot(residuals, torch.tensor(rounding, dtype=torch.float64)),
        norm=max(known.norm, float(values.abs().max())), products=known.products + more.products,
    )  # fmt: skip


def _bounded(known: ExtremeEigenpairs, check: _Check, chance: float) -> ExtremeEigenpairs:
    """Return the eigenpairs with the bounds of a check: the ends of B, wrong with probability ``chance`` each."""
    low, high = float(check.ritz.values[0]), float(check.ritz.values[-1])
    dimension = max(check.chain.dimension - len(known.eigenvalues), 1)
    if check.chain.invariant:
        missed = missed_by_exhausted(math.hypot(check.chain.dropped, check.ritz.rounding), dimension, chance)
    else:
        missed = missed_distance(missed_fraction(check.chain.degree, dimension, chance), high - low)
    error = float(torch.linalg.vector_norm(known.residuals))  # at least ||R||
    return replace(known, listed_below=low - missed - error, listed_above=high + missed + error)


def _selected(search: _Search, known: ExtremeEigenpairs) -> ExtremeEigenpairs:
    """Return only the wanted eigenpairs."""
    count = len(known.eigenvalues)
    kept = torch.tensor([*range(search.bottom), *range(count - search.top, count)], dtype=torch.int64)
    values, residuals = known.eigenvalues[kept], known.residuals[kept]
    converged = has_converged(values.numpy(), residuals.numpy(), rtol=search.rtol, norm=known.norm)
    return replace(
        known, eigenvalues=values, vectors=known.vectors[kept], residuals=residuals,
        converged=torch.from_numpy(converged), remainders=known.remainders[kept],
    )  # fmt: skip
