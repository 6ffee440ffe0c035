"""Extreme eigenvalues by a band Lanczos method with full reorthogonalisation. It knows only a ``matvec``.

From several start vectors as many copies of a multiple eigenvalue are found, and from approximate eigenvectors the
search goes on along the residual that is to be brought down.

Source: as of `krylov`; the choice of the next vector is that of Davidson's method without a preconditioner; putting
them together is ours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz.curvature.krylov import Krylov, Matvec, Ritz

# Ours.
_FEWEST = 15  # products before anything has converged; small residuals come up in passing before
_FEWEST_ZERO = 30  # before an eigenvalue is called 0 within its residual
_STEADY = 0.15  # of the products: so long an eigenvalue must not have moved by more than its tolerance
_AT_ROUNDING = 1.1  # times the rounding: a residual that more products won't bring down
_CHANCE = 0.01  # that something lies further beyond the ends than is said
_MOST = 1000  # products, unless told otherwise
_KEPT = 0.4  # of the room, after a restart
_NEAR_ZERO = 1e-3  # of ||A||: of two residuals to be brought down, that beside the smaller eigenvalue counts no more


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
        beyond: how far beyond what was found an eigenvalue may lie at most, with 99% probability over start vectors.
    """

    eigenvalues: Tensor
    vectors: Tensor
    residuals: Tensor
    converged: Tensor
    norm: float
    products: int
    whole: bool
    beyond: float


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
    search = Krylov(matvec, start, room, generator or torch.Generator().manual_seed(0))
    wanted, copies, past = _Wanted(top, bottom, rtol, dimension), _Copies(), _Past()
    while True:
        if wanted.due(search) or search.products >= copies.until:
            ritz = search.ritz()
            found = wanted.of(ritz, search.products, past)
            if search.products >= most or _ends(search, copies, ritz, found):
                break
            _turn(search, ritz, found)
        search.step()
    indices = torch.arange(search.size) if search.whole else found.indices
    converged = torch.ones(len(indices), dtype=torch.bool) if search.whole else found.converged
    return Extremes(
        ritz.values[indices], search.vectors(ritz, indices), ritz.residuals[indices], converged, found.norm,
        search.products, search.whole, _beyond(ritz, search),
    )  # fmt: skip


def _beyond(ritz: Ritz, search: Krylov) -> float:
    """Return how far beyond the Ritz values eigenvalues may lie, but for a chance of 1%.

    After k products from a random start, an end of the spectrum is missed by more than e of its width with a
    probability of at most 1.648 sqrt(P) exp(-sqrt(e) (2k - 1)).

    Source: Kuczynski & Wozniakowski, SIAM J. Matrix Anal. Appl. 13 (1992), theorem 4.2; that restarts lose nothing of
    it is ours, and no theorem.
    """
    if search.whole:
        return 0.0
    share = (math.log(1.648 * math.sqrt(search.dimension) / _CHANCE) / (2 * search.products - 1)) ** 2
    width = float(ritz.values[-1] - ritz.values[0])
    return share * width / (1 - 2 * share) if share < 0.5 else math.inf  # noqa: PLR2004  of the true width


def _ends(search: Krylov, copies: _Copies, ritz: Ritz, found: _Found) -> bool:
    """Return whether everything that is wanted is there, in all its copies where the space was exhausted."""
    if search.whole:
        return True
    if search.exhausted or search.products >= copies.until:
        return copies.are_all(ritz.values[found.indices], found.tolerance, search.products)
    return (found.all_converged or found.stuck) and copies.until == math.inf


def _turn(search: Krylov, ritz: Ritz, found: _Found) -> None:
    """Make room, and choose where to go next."""
    if search.exhausted:
        _make_room(search, ritz, found)
        search.go_elsewhere()
        return
    if not found.converged.all():
        search.aim(ritz, found.worst(ritz))
    _make_room(search, ritz, found)


def _make_room(search: Krylov, ritz: Ritz, found: _Found) -> None:
    """Shrink a full basis to its best Ritz vectors from both ends."""
    if search.size < search.room:
        return
    count = max(len(found.indices) + 2, int(_KEPT * search.room))
    low = int((found.indices < search.size // 2).sum())
    share = max(low, round(count * low / max(len(found.indices), 1)))
    search.shrink(ritz, torch.tensor([*range(share), *range(search.size - (count - share), search.size)]))


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


class _Past:
    """The wanted Ritz values of the last products."""

    def __init__(self) -> None:
        self._seen: list[tuple[int, Tensor]] = []

    def spread(self, now: Tensor, products: int) -> Tensor:
        """Return how far each value lies from what it was a while ago; infinite where there were not as many yet."""
        self._seen.append((products, now))
        while len(self._seen) > 1 and self._seen[1][0] <= (1 - _STEADY) * products:
            self._seen.pop(0)
        then = self._seen[0]
        if len(then[1]) != len(now) or then[0] > (1 - _STEADY) * products:
            return torch.full_like(now, math.inf)
        return (now - then[1]).abs()


@dataclass(frozen=True, slots=True)
class _Found:
    indices: Tensor  # of the Ritz values that are wanted
    converged: Tensor  # bool, of them
    norm: float
    tolerance: float  # of a residual beside an eigenvalue of 0
    complete: bool  # whether there are as many as are wanted
    stuck: bool  # whether what has not converged is at the rounding already

    @property
    def all_converged(self) -> bool:
        return self.complete and bool(self.converged.all())

    def worst(self, ritz: Ritz) -> int:
        """Return the index of the wanted Ritz pair that is farthest from convergence."""
        waiting = self.indices[~self.converged]
        scale = ritz.values[waiting].abs().clamp(min=_NEAR_ZERO * self.norm)
        return int(waiting[int((ritz.residuals[waiting] / scale).argmax())])


@dataclass(frozen=True, slots=True)
class _Wanted:
    top: int
    bottom: int
    rtol: float
    dimension: int

    def due(self, search: Krylov) -> bool:
        """Return whether it is time to look: after each product at first, later every few."""
        if search.whole or search.exhausted or search.size == search.room:
            return True
        if search.unseen or search.size < min(self.top + self.bottom, self.dimension):
            return False
        return search.products % (1 + search.size // 16) == 0

    def of(self, ritz: Ritz, products: int, past: _Past) -> _Found:
        count = len(ritz.values)
        low = range(min(self.bottom, count))
        high = range(max(len(low), count - self.top), count)
        indices = torch.tensor([*low, *high], dtype=torch.int64)
        values, residuals = ritz.values[indices].abs(), ritz.residuals[indices]
        norm = float(ritz.values.abs().max())
        steady = past.spread(ritz.values[indices], products)
        converged = (residuals <= self.rtol * values) & (steady <= self.rtol * values)
        if products >= _FEWEST_ZERO:
            near = values <= self.rtol * norm
            converged |= near & (residuals <= self.rtol * norm) & (steady <= self.rtol * norm)
        if products < _FEWEST:
            converged = torch.zeros_like(converged)
        complete = len(indices) == self.top + self.bottom
        stuck = complete and products >= _FEWEST and bool((residuals[~converged] <= _AT_ROUNDING * ritz.rounding).all())
        return _Found(indices, converged, norm, self.rtol * norm, complete, stuck)
