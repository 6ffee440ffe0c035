"""Extreme eigenvalues by a band Lanczos method with full reorthogonalisation, from a ``matvec`` only.

Several start vectors find as many copies of a multiple eigenvalue. Each next vector lies along the residual that must
shrink most, also when the start vectors are approximate eigenvectors.

Source: see `krylov`; the choice of the next vector is that of Davidson's method without a preconditioner; the
combination is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz.curvature.bounds.random_start import missed_by_exhausted, missed_distance, missed_fraction
from surfaceviz.curvature.krylov import KrylovBasis, Matvec, RitzPairs
from surfaceviz.records.convergence import has_converged

# Ours.
_FEWEST = 15  # products before any eigenvalue may converge; small residuals can be transient before
_FEWEST_ZERO = 30  # products before an eigenvalue may count as 0 within its residual
_STEADY = 0.15  # of the products: for so long an eigenvalue must have stayed within its tolerance
_AT_ROUNDING = 1.1  # times the rounding: more products do not reduce such a residual
CHANCE = 0.01  # probability that one of the two ends lies further out than `_beyond`
_MOST, _MOST_EACH = 1000, 8  # products by default: the first number, or the second for each eigenvalue if that is more
_KEPT = 0.4  # of the capacity, after a restart
_NEAR_ZERO = 1e-3  # of ||A||: the smallest scale that a residual is compared with when the next vector is chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtremeEigenpairs:
    """Some eigenvalues from both ends, ascending, or all of them.

    Attributes:
        eigenvalues: float64 (k,).
        vectors: unit rows (k, P).
        residuals: ||A v - lambda v||, float64 (k,).
        converged: bool (k,); see `has_converged`.
        norm: the largest |Ritz value|, which approaches ||A|| from below.
        products: number of matrix-vector products.
        complete: whether these are all eigenvalues of the matrix.
        beyond: the largest distance of an eigenvalue outside the range of all Ritz values, with 99% probability over
            the random part of the start; infinite where nothing is known, as for a block of start vectors.
        remainders: A v - lambda v, rows (k, P); empty if ``complete``.
        listed_below, listed_above: all eigenvalues outside this interval are among these, each with all its copies,
            with 99% probability; infinite where nothing is known.
    """

    eigenvalues: Tensor
    vectors: Tensor
    residuals: Tensor
    converged: Tensor
    norm: float
    products: int
    complete: bool
    beyond: float
    remainders: Tensor
    listed_below: float = -math.inf
    listed_above: float = math.inf


def min_basis_size(top: int, bottom: int, starts: int = 1) -> int:
    """Return the smallest ``capacity`` that `extreme_eigenpairs` accepts."""
    return 2 * (top + bottom) + starts + 8


def extreme_eigenpairs(
    matvec: Matvec,
    start: Tensor,
    *,
    top: int,
    bottom: int,
    rtol: float = 1e-3,
    capacity: int = 256,
    max_products: int | None = None,
    generator: torch.Generator | None = None,
    random_part: float = 1.0,
) -> ExtremeEigenpairs:
    """Return the ``top`` largest and ``bottom`` smallest eigenvalues of a symmetric matrix.

    The search stops when all of them have converged, see `has_converged`, and have been steady for some products. After
    ``max_products`` products the search stops, and unconverged eigenvalues are marked.

    Args:
        matvec: multiplies rows of vectors.
        start: linearly independent rows (s, P) in the dtype of the computation: random, or approximate eigenvectors.
            An eigenvalue of multiplicity k is found min(s, k) times; more often only if the matrix has few
            different eigenvalues.
        top: number of largest eigenvalues.
        bottom: number of smallest eigenvalues.
        rtol: relative tolerance of the residual.
        capacity: largest number of basis vectors; a smaller one needs more products.
        max_products: largest number of products; by default 1000, or 8 for each eigenvalue if that is more.
        generator: random numbers for new directions when a Krylov space is exhausted.
        random_part: norm of the random part of a single start vector over the norm of the whole; 0 if it is not random.

    Raises:
        ValueError: more eigenvalues than the matrix has, or too small a capacity.
    """
    dimension = start.shape[1]
    _refuse_counts(dimension, top, bottom, capacity=capacity, block=len(start))
    search = KrylovBasis(matvec, start, min(capacity, dimension), generator or torch.Generator().manual_seed(0))
    criterion = _Criterion(top=top, bottom=bottom, rtol=rtol, dimension=dimension)
    most = max(_MOST, _MOST_EACH * (top + bottom)) if max_products is None else max_products
    ritz, selection = _searched(search, criterion, most)
    indices = torch.arange(search.size) if search.complete else selection.indices
    converged = torch.ones(len(indices), dtype=torch.bool) if search.complete else selection.converged
    return ExtremeEigenpairs(
        eigenvalues=ritz.values[indices], vectors=search.vectors(ritz, indices), residuals=ritz.residuals[indices],
        converged=converged, norm=selection.norm, products=search.products, complete=search.complete,
        beyond=_beyond(search, ritz, random_part if len(start) == 1 else 0.0),
        remainders=search.remainders(ritz, indices[:0] if search.complete else indices),
    )  # fmt: skip


def _refuse_counts(dimension: int, top: int, bottom: int, *, capacity: int, block: int) -> None:
    if top < 0 or bottom < 0 or not 0 < top + bottom <= dimension:
        raise ValueError(f"{top} top and {bottom} bottom eigenvalues of a matrix of dimension {dimension}")
    least = min_basis_size(top, bottom, block)
    if min(capacity, dimension) < min(least, dimension):
        raise ValueError(
            f"got capacity {capacity}; expected at least {least} for {top} top and {bottom} bottom eigenvalues"
        )


def _searched(search: KrylovBasis, criterion: _Criterion, most: int) -> tuple[RitzPairs, _Selection]:
    """Return the Ritz pairs, and those that were asked for, once they have converged or after ``most`` products."""
    copies, history = _MultiplicityCheck(), _RitzHistory()
    while True:
        if criterion.due(search) or search.products >= copies.next_check:
            ritz = search.ritz()
            selection = criterion.select(ritz, search.products, history)
            if search.products >= most or _finished(search, copies, ritz, selection):
                return ritz, selection
            _redirect(search, ritz, selection)
        search.step()


def _beyond(search: KrylovBasis, ritz: RitzPairs, random_part: float) -> float:
    """Return how far outside the Ritz values eigenvalues may lie, with 99% probability for both ends together.

    Restarts keep the extreme Ritz vectors, so that the bound of the products before the first one holds. Half of the
    probability of an error is left for `find_missed`, whose bound is the smaller one where it is known.
    """
    if search.complete:
        return 0.0
    if search.invariant and random_part:
        error = math.hypot(search.dropped, ritz.rounding)
        return missed_by_exhausted(error, search.dimension, CHANCE / 4, random_part)
    fraction = missed_fraction(search.degree, search.dimension, CHANCE / 4, random_part)
    return missed_distance(fraction, search.highest - search.lowest)


def _finished(search: KrylovBasis, copies: _MultiplicityCheck, ritz: RitzPairs, selection: _Selection) -> bool:
    """Return whether all requested eigenvalues are found, with all copies if the space was exhausted."""
    if search.complete:
        return True
    if search.exhausted or search.products >= copies.next_check:
        return copies.are_all(ritz.values[selection.indices], selection.tolerance, search.products)
    return (selection.all_converged or selection.stuck) and copies.next_check == math.inf


def _redirect(search: KrylovBasis, ritz: RitzPairs, selection: _Selection) -> None:
    """Choose the next direction; shrink a full basis."""
    if search.exhausted:
        _shrink_if_full(search, ritz, selection)
        search.restart_randomly()
        return
    if not (selection.converged & selection.steady).all():
        search.aim_at_residual(ritz, selection.worst(ritz))
    _shrink_if_full(search, ritz, selection)


def _shrink_if_full(search: KrylovBasis, ritz: RitzPairs, selection: _Selection) -> None:
    """Shrink a full basis to its best Ritz vectors from both ends."""
    if search.size < search.capacity:
        return
    count = max(len(selection.indices) + 2, int(_KEPT * search.capacity))
    low = int((selection.indices < search.size // 2).sum())
    from_below = max(low, round(count * low / max(len(selection.indices), 1)))
    search.shrink(ritz, torch.tensor([*range(from_below), *range(search.size - (count - from_below), search.size)]))


class _MultiplicityCheck:
    """Checks whether a search has found all copies of its eigenvalues after it exhausted a Krylov space.

    An exhausted space holds one copy of each eigenvalue. The search continues in a random direction for as many
    products as before. It has all copies if the eigenvalues then stay the same.
    """

    def __init__(self) -> None:
        self.next_check = math.inf  # products
        self._last_check, self._known = 0, torch.empty(0)

    def are_all(self, values: Tensor, tolerance: float, products: int) -> bool:
        """Return whether the values are those of the last check; schedule the next check."""
        same = len(values) == len(self._known) and bool(((values - self._known).abs() <= tolerance).all())
        self._known, self.next_check = values, 2 * products - self._last_check + 1
        self._last_check = products
        return same


class _RitzHistory:
    """The requested Ritz values after the most recent products."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, Tensor]] = []

    def drift(self, values: Tensor, products: int) -> Tensor:
        """Return how far each value has moved in the recent products; infinite if there were fewer values then."""
        self._seen.append((products, values))
        while len(self._seen) > 1 and self._seen[1][0] <= (1 - _STEADY) * products:
            self._seen.pop(0)
        then, before = self._seen[0]
        if len(before) != len(values) or then > (1 - _STEADY) * products:
            return torch.full_like(values, math.inf)
        return (values - before).abs()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Selection:
    """The requested Ritz values among all, and their convergence."""

    indices: Tensor
    converged: Tensor  # bool, one for each index
    steady: Tensor  # likewise
    norm: float
    tolerance: float  # of the residual of an eigenvalue near 0
    complete: bool  # whether there are as many values as requested
    stuck: bool  # whether the residuals of all unconverged values are at the rounding

    @property
    def all_converged(self) -> bool:
        """Whether all requested values exist, have converged and are steady."""
        return self.complete and bool((self.converged & self.steady).all())

    def worst(self, ritz: RitzPairs) -> int:
        """Return the index of the requested Ritz pair that is farthest from convergence."""
        open_ = self.indices[~(self.converged & self.steady)]
        scale = ritz.values[open_].abs().clamp(min=_NEAR_ZERO * self.norm)
        return int(open_[int((ritz.residuals[open_] / scale).argmax())])


@dataclass(frozen=True, slots=True, kw_only=True)
class _Criterion:
    """The requested eigenvalues and the test of their convergence."""

    top: int
    bottom: int
    rtol: float
    dimension: int

    def due(self, search: KrylovBasis) -> bool:
        """Return whether to test convergence now: after each product at first, later after every few."""
        if search.complete or search.exhausted or search.size == search.capacity:
            return True
        if search.unseen or search.size < min(self.top + self.bottom, self.dimension):
            return False
        return search.products % (1 + search.size // 16) == 0

    def select(self, ritz: RitzPairs, products: int, history: _RitzHistory) -> _Selection:
        """Return the requested Ritz values and whether they have converged."""
        count = len(ritz.values)
        low = range(min(self.bottom, count))
        high = range(max(len(low), count - self.top), count)
        indices = torch.tensor([*low, *high], dtype=torch.int64)
        values, residuals = ritz.values[indices].abs(), ritz.residuals[indices]
        norm = float(ritz.values.abs().max())
        converged = torch.from_numpy(has_converged(values.numpy(), residuals.numpy(), rtol=self.rtol, norm=norm))
        drift = history.drift(ritz.values[indices], products)
        # Residuals can be transient: a value must not have moved for some products either.
        steady = (residuals <= self.rtol * values) & (drift <= self.rtol * values)
        if products >= _FEWEST_ZERO:
            steady |= (values <= self.rtol * norm) & (drift <= self.rtol * norm)
        if products < _FEWEST:
            steady = torch.zeros_like(steady)
        complete = len(indices) == self.top + self.bottom
        open_ = ~(converged & steady)
        stuck = complete and products >= _FEWEST and bool((residuals[open_] <= _AT_ROUNDING * ritz.rounding).all())
        return _Selection(
            indices=indices, converged=converged, steady=steady, norm=norm, tolerance=self.rtol * norm,
            complete=complete, stuck=stuck,
        )  # fmt: skip
