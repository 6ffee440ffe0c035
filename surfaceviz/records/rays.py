"""Rays: curves along several random directions in one record, one of them alone, and their spread."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records.arrays import EVALUATED, MISSING, FloatArray
from surfaceviz.records.slices import Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class RaySpread:
    """The spread of a metric over the complete rays, at each coordinate; arrays are (n_alpha,).

    A loss that is not finite counts as larger than all others. Another metric that is not finite at a point leaves all
    five NaN there.

    Attributes:
        rays: the number of complete rays; with none, all arrays are NaN.
    """

    rays: int
    lowest: FloatArray
    lower_quartile: FloatArray
    median: FloatArray
    upper_quartile: FloatArray
    highest: FloatArray

    @property
    def stacked(self) -> FloatArray:
        """The five arrays from the lowest to the highest, (5, n_alpha)."""
        return np.stack([self.lowest, self.lower_quartile, self.median, self.upper_quartile, self.highest])


def one_ray(surface: Slice, number: int) -> Slice:
    """Return a ray as a curve of its own, counted from 0; its spectra and direction are those of the rays' file."""
    seed = surface.seeds[number]
    first = surface.directions[:1] if number == 0 else ()
    alone = tuple(replace(d, seed=seed, sha256="") for d in surface.directions[:1])
    return replace(_with_arrays(surface, lambda array: array[number]), seeds=(), directions=first or alone)


def with_seeds(surface: Slice, seeds: Sequence[int]) -> Slice:
    """Return rays followed by further ones whose points are all missing.

    Raises:
        ValueError: the rays are not the first ones of those with these seeds.
    """
    known = len(surface.seeds)
    if surface.seeds != tuple(seeds[:known]):
        raise ValueError(f"got seeds of other rays; expected them to begin with those of the {known} rays")
    more = (len(seeds) - known, *surface.shape[1:])

    def longer(array: NDArray[Any]) -> NDArray[Any]:
        missing = MISSING if array.dtype == np.uint8 else np.nan
        return np.concatenate([array, np.full(more, missing, array.dtype)])

    return replace(_with_arrays(surface, longer), seeds=tuple(seeds))


def complete_rays(surface: Slice) -> NDArray[np.intp]:
    """Return the numbers of the rays of which every point has a value, counted from 0."""
    return np.flatnonzero(np.all(surface.origin != MISSING, axis=1))


def ray_spread(surface: Slice, values: FloatArray, *, is_loss: bool) -> RaySpread:
    """Return the range, the quartiles and the median over the complete rays.

    Quantiles are linear between the sorted values, as NumPy's by default.

    Args:
        surface: the rays.
        values: of a metric, (K, n_alpha).
        is_loss: whether what is not finite is larger than all other values.
    """
    complete = complete_rays(surface)
    known = values[complete]
    if is_loss:
        known = np.where(np.isfinite(known), known, np.inf)
    ranked = np.sort(np.where(np.isnan(known).any(axis=0), np.nan, known), axis=0)
    lowest, lower, median, upper, highest = (_quantile(ranked, share) for share in (0.0, 0.25, 0.5, 0.75, 1.0))
    return RaySpread(
        rays=len(complete), lowest=lowest, lower_quartile=lower, median=median, upper_quartile=upper, highest=highest
    )


def median_ray(surface: Slice) -> Slice:
    """Return the medians of rays over the complete ones as a curve, without errors; missing where none is complete."""
    spreads = {
        name: ray_spread(surface, surface.resolved(name), is_loss=name.endswith("loss")) for name in surface.values
    }
    done = EVALUATED if len(complete_rays(surface)) else MISSING
    return replace(
        surface, seeds=(), values={name: spread.median for name, spread in spreads.items()}, stderr={}, rise_stderr={},
        origin=np.full(surface.shape[1:], done, np.uint8),
    )  # fmt: skip


def _quantile(ranked: FloatArray, share: float) -> FloatArray:
    """Return a quantile of sorted values (K, n), infinite where it lies beyond a finite value."""
    if not len(ranked):
        return np.full(ranked.shape[1:], np.nan)
    below, rest = divmod(share * (len(ranked) - 1), 1)
    low, high = ranked[int(below)], ranked[min(int(below) + 1, len(ranked) - 1)]
    with np.errstate(invalid="ignore"):
        between: FloatArray = low + rest * (high - low)
    return low if rest == 0 else np.where(np.isinf(low), low, between)


def _with_arrays(surface: Slice, change: Callable[[NDArray[Any]], NDArray[Any]]) -> Slice:
    def changed(arrays: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        return {name: change(array) for name, array in arrays.items()}

    return replace(
        surface, values=changed(surface.values), stderr=changed(surface.stderr),
        rise_stderr=changed(surface.rise_stderr), origin=change(surface.origin),
    )  # fmt: skip
