"""Contour levels and colour scales, shared by all surfaces of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from surfaceviz.records import FloatArray

SCALES = ("auto", "linear", "log", "paper")
_COUNT = 12
_NEAR = 0.04  # of the scale: so close to the clip no other level is written
_WIDE = 20.0  # a span above which levels at equal distances would leave the basin empty
_ZERO = 1e-6  # of the highest value: what is smaller next to an exact zero is drawn as 0; ours
_BELOW = 0.999  # of the first level of a log scale: where what has no logarithm is drawn
_PAPER = (0.1, 10.0, 0.5)  # first level, what is above them all, step. Source: plot_2D.py of Li et al., its defaults


@dataclass(frozen=True, slots=True, kw_only=True)
class Levels:
    """Rising levels and the colour scale that goes with them.

    Attributes:
        values: (k,).
        log: whether colours run over the logarithm.
        clip: values above it are clipped and labelled so; None: no clipping.
        open_below: whether values may lie below the first level.
    """

    values: FloatArray
    log: bool
    clip: float | None = None
    open_below: bool = False

    def transform(self, z: FloatArray) -> FloatArray:
        """Return values as they are drawn: on a log scale their logarithm, with 0 and less just below all levels.

        Contours are interpolated in the transformed values; a loss that spans decades is much
        smoother in its logarithm.
        """
        return np.log10(np.maximum(z, _BELOW * self.values[0])) if self.log else np.asarray(z)

    def norm(self) -> Normalize:
        """Return the colour scale, over transformed values."""
        low, high = self.transform(np.array([self.values[0], self.top]))
        return Normalize(float(low), float(high))

    @property
    def top(self) -> float:
        """Where the colour scale ends."""
        return float(self.values[-1]) if self.clip is None else self.clip

    @property
    def extend(self) -> Literal["neither", "min", "max", "both"]:
        """At which ends of the colour scale there is more."""
        if self.clip is None:
            return "min" if self.open_below else "neither"
        return "both" if self.open_below else "max"

    @property
    def edges(self) -> FloatArray:
        """The bounds of bands of one colour."""
        return np.unique([*self.values, self.top])

    def ticks(self, most: int) -> list[float]:
        """Return the places of levels to be written, ``most`` at most: every one, every second, ...; and the clip."""
        places = [float(place) for place in self.transform(self.edges)]
        chosen = places[:: -(-len(places) // most)]
        if self.clip is None:
            return chosen
        near = _NEAR * (places[-1] - places[0])
        return [place for place in chosen if place < places[-1] - near] + places[-1:]

    def label(self, place: float) -> str:
        """Return the text of a level by its place."""
        return f"{10**place if self.log else place:.4g}"


def choose_levels(arrays: Sequence[FloatArray], scale: str, clip: float | None = None) -> Levels:
    """Return about a dozen levels that span all finite values of ``arrays``, or those of the paper.

    Args:
        arrays: what is drawn.
        scale: ``linear``, ``log``, ``auto``: log where no value is negative, and those above 0 span more than a factor
            of 20; or ``paper``: 0.1 to 10 in steps of 0.5, whatever the values are.
        clip: values above it are not distinguished.

    Raises:
        ValueError: unknown scale, nothing finite to draw, or nothing below ``clip``.
    """
    if scale not in SCALES:
        raise ValueError(f"levels: expected one of {', '.join(SCALES)}, got {scale!r}")
    finite = np.concatenate([array[np.isfinite(array)] for array in arrays])
    if not finite.size:
        raise ValueError("no finite value to draw: every point is missing or diverged")
    low, high = float(finite.min()), float(finite.max())
    if clip is not None and clip <= low:
        raise ValueError(f"clip: nothing lies below {clip:g}; the least value is {low:.4g}")
    if scale == "paper":
        first, last, step = _PAPER
        top = last if clip is None else min(clip, last)
        levels = np.arange(first, last, step)
        if top <= first:
            raise ValueError(f"clip: the paper's levels begin at {first:g}, got {top:g}; use other levels")
        return Levels(values=levels[levels < top], log=False, clip=top, open_below=True)
    if clip is not None and clip < high:
        below = choose_levels([np.append(finite[finite < clip], clip)], scale)
        return Levels(values=below.values[below.values < clip], log=below.log, clip=clip, open_below=below.open_below)
    positive = finite[finite > 0]
    if scale == "log" and not positive.size:
        raise ValueError("levels log: no value is above 0; use linear")
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        return Levels(values=np.linspace(low - abs(low), high + (abs(high) or 1.0), 3), log=False)  # 0 is an end
    least = max(float(positive.min(initial=np.inf)), _ZERO * high if scale == "auto" and low == 0 else 0.0)
    if scale == "log" or (scale == "auto" and low >= 0 and high / least > _WIDE):
        levels = _logarithmic(least, high)
        return Levels(values=levels, log=True, open_below=bool(low < levels[0]))
    ticks = np.asarray(MaxNLocator(_COUNT).tick_values(low, high), np.float64)
    return Levels(values=ticks, log=False)


def _logarithmic(low: float, high: float) -> FloatArray:
    """Return levels at 1, 2, 5 of each decade, thinned or filled in to about a dozen; of many decades some."""
    first, last = np.floor(np.log10(low)), np.ceil(np.log10(high))
    decades = np.arange(first, last + 1, max(1, (last - first) // _COUNT))
    for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ladder = np.array([m * 10.0**e for e in decades for m in steps])
        inside = ladder[(ladder > low) & (ladder < high)]
        if len(inside) <= _COUNT + 2:
            break
    above = ladder[ladder >= high][:1] if (ladder >= high).any() else [high]
    return np.unique(np.concatenate([ladder[ladder <= low][-1:], inside, above]))
