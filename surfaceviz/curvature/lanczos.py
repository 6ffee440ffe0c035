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

from surfaceviz.curvature.krylov import KrylovBasis, Matvec, RitzPairs

# Ours.
_FEWEST = 15  # products before any eigenvalue may converge; small residuals can be transient before
_FEWEST_ZERO = 30  # products before an eigenvalue may count as 0 within its residual
_STEADY = 0.15  # of the products: for so long an eigenvalue must have stayed within its tolerance
_AT_ROUNDING = 1.1  # times the rounding: more products do not reduce such a residual
_CHANCE = 0.01  # probability that an eigenvalue lies further beyond the ends than `_beyond`
_MOST = 1000  # products by default
_KEPT = 0.4  # of the capacity, after a restart
_NEAR_ZERO = 1e-3  # of ||A||: the smallest scale that a residual is compared with when the next vector is chosen


@dataclass(frozen=True, slots=True, kw_only=True)
class ExtremeEigenpairs:
    """Some eigenvalues from both ends, ascending, or all of them.

    Attributes:
        eigenvalues: float64 (k,).
        vectors: unit rows (k, P).
        residuals: ||A v - lambda v||, float64 (k,).
        converged: bool (k,).
        norm: the largest |Ritz value|, which approaches ||A|| from below.
        products: number of matrix-vector products.
        complete: whether these are all eigenvalues of the matrix.
        beyond: the largest distance of an eigenvalue outside the found range, with 99% probability over start vectors.
    """

    eigenvalues: Tensor
    vectors: Tensor
    residuals: Tensor
    converged: Tensor
    norm: float
    products: int
    complete: bool
    beyond: float


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
    max_products: int = _MOST,
    generator: torch.Generator | None = None,
) -> ExtremeEigenpairs:
    """Return the ``top`` largest and ``bottom`` smallest eigenvalues of a symmetric matrix.

    An eigenvalue has converged when its residual is at most ``rtol`` |lambda|, or ``rtol`` ||A|| where |lambda| is
    less than that. After ``max_products`` products the search stops, and unconverged eigenvalues are marked.

    Args:
        matvec: multiplies rows of vectors.
        start: linearly independent rows (s, P) in the dtype of the computation: random, or approximate eigenvectors.
            An eigenvalue of multiplicity k is found min(s, k) times; more often only if the matrix has few
            different eigenvalues.
        top: number of largest eigenvalues.
        bottom: number of smallest eigenvalues.
        rtol: relative tolerance of the residual.
        capacity: largest number of basis vectors; a smaller one needs more products.
        max_products: largest number of products.
        generator: random numbers for new directions when a Krylov space is exhausted.

    Raises:
        ValueError: more eigenvalues than the matrix has, or too small a capacity.
    """
    dimension = start.shape[1]
    if top < 0 or bottom < 0 or not 0 < top + bottom <= dimension:
        raise ValueError(f"{top} top and {bottom} bottom eigenvalues of a matrix of dimension {dimension}")
    capacity = min(capacity, dimension)
    if capacity < min(min_basis_size(top, bottom, len(start)), dimension):
        raise ValueError(
            f"got capacity {capacity}; expected at least {min_basis_size(top, bottom, len(start))} for {top} top and "
            f"{bottom} bottom eigenvalues"
        )
    search = KrylovBasis(matvec, start, capacity, generator or torch.Generator().manual_seed(0))
    criterion = _Criterion(top=top, bottom=bottom, rtol=rtol, dimension=dimension)
    copies, history = _MultiplicityCheck(), _RitzHistory()
    while True:
        if criterion.due(search) or search.products >= copies.next_check:
            ritz = search.ritz()
            selection = criterion.select(ritz, search.products, history)
            if search.products >= max_products or _finished(search, copies, ritz, selection):
                break
            _redirect(search, ritz, selection)
        search.step()
    indices = torch.arange(search.size) if search.complete else selection.indices
    converged = torch.ones(len(indices), dtype=torch.bool) if search.complete else selection.converged
    return ExtremeEigenpairs(
        eigenvalues=ritz.values[indices], vectors=search.vectors(ritz, indices), residuals=ritz.residuals[indices],
        converged=converged, norm=selection.norm, products=search.products, complete=search.complete,
        beyond=_beyond(ritz, search),
    )  # fmt: skip


def _beyond(ritz: RitzPairs, search: KrylovBasis) -> float:
    """Return how far outside the Ritz values eigenvalues may lie, with 99% probability.

    After k products from a random start, an end of the spectrum is missed by more than e of its width with a
    probability of at most 1.648 sqrt(P) exp(-sqrt(e) (2k - 1)).

    Source: Kuczynski & Wozniakowski, SIAM J. Matrix Anal. Appl. 13 (1992), theorem 4.2; we assume, without
    proof, that restarts keep the bound.
    """
    if search.complete:
        return 0.0
    fraction = (math.log(1.648 * math.sqrt(search.dimension) / _CHANCE) / (2 * search.products - 1)) ** 2
    width = float(ritz.values[-1] - ritz.values[0])
    return fraction * width / (1 - 2 * fraction) if fraction < 0.5 else math.inf  # noqa: PLR2004  of the true width


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
    if not selection.converged.all():
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
    norm: float
    tolerance: float  # of the residual of an eigenvalue near 0
    complete: bool  # whether there are as many values as requested
    stuck: bool  # whether the residuals of all unconverged values are at the rounding

    @property
    def all_converged(self) -> bool:
        """Whether all requested values exist and have converged."""
        return self.complete and bool(self.converged.all())

    def worst(self, ritz: RitzPairs) -> int:
        """Return the index of the requested Ritz pair that is farthest from convergence."""
        open_ = self.indices[~self.converged]
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
        drift = history.drift(ritz.values[indices], products)
        converged = (residuals <= self.rtol * values) & (drift <= self.rtol * values)
        if products >= _FEWEST_ZERO:
            near = values <= self.rtol * norm
            converged |= near & (residuals <= self.rtol * norm) & (drift <= self.rtol * norm)
        if products < _FEWEST:
            converged = torch.zeros_like(converged)
        complete = len(indices) == self.top + self.bottom
        stuck = complete and products >= _FEWEST and bool((residuals[~converged] <= _AT_ROUNDING * ritz.rounding).all())
        return _Selection(
            indices=indices, converged=converged, norm=norm, tolerance=self.rtol * norm, complete=complete, stuck=stuck
        )
