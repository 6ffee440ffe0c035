"""Contour levels and colour scales, shared by all surfaces of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator

from surfaceviz.records import FloatArray

SCALES = ("auto", "linear", "log")
_COUNT = 12
_WIDE = 20.0  # a span above which levels at equal distances would leave the basin empty


@dataclass(frozen=True, slots=True)
class Levels:
    """Rising levels and the colour scale that goes with them."""

    values: FloatArray  # (k,)
    log: bool

    def placed(self, z: FloatArray) -> FloatArray:
        """Return values as they are drawn: clipped to the levels, and their logarithm on a log scale.

        Contours between grid points are linear in what is drawn; a loss that spans decades is much
        nearer to that in its logarithm.
        """
        clipped = np.clip(z, self.values[0], self.values[-1])
        return np.log10(clipped) if self.log else clipped

    def norm(self) -> Normalize:
        """Return the colour scale, over `placed` values."""
        low, high = self.placed(self.values[[0, -1]])
        return Normalize(float(low), float(high))

    def label(self, place: float) -> str:
        """Return the text of a level by its place."""
        return f"{10**place if self.log else place:.3g}"


def choose(arrays: Sequence[FloatArray], scale: str) -> Levels:
    """Return about a dozen levels that span all finite values of ``arrays``.

    Args:
        arrays: what is drawn.
        scale: ``linear``, ``log``, or ``auto``: log where positive values span more than a factor of 20.

    Raises:
        ValueError: unknown scale, or nothing finite to draw.
    """
    if scale not in SCALES:
        raise ValueError(f"levels: expected one of {', '.join(SCALES)}, got {scale!r}")
    finite = np.concatenate([array[np.isfinite(array)] for array in arrays])
    if not finite.size:
        raise ValueError("no finite value to draw: every point is missing or diverged")
    low, high = float(finite.min()), float(finite.max())
    positive = finite[finite > 0]
    if scale == "log" and not positive.size:
        raise ValueError("levels log: no value is above 0; use linear")
    if high - low <= 1e-12 * max(abs(low), abs(high)):
        return Levels(np.linspace(low - 0.5, high + 0.5, 3), log=False)
    if scale == "log" or (scale == "auto" and low > 0 and high / low > _WIDE):
        return _logarithmic(float(positive.min()), high)
    ticks = np.asarray(MaxNLocator(_COUNT).tick_values(low, high), np.float64)
    return Levels(ticks, log=False)


def _logarithmic(low: float, high: float) -> Levels:
    """Return levels at 1, 2, 5 of each decade, thinned or filled in to about a dozen."""
    first, last = np.floor(np.log10(low)), np.ceil(np.log10(high))
    for steps in ((1, 1.5, 2, 3, 4, 5, 7), (1, 2, 3, 5), (1, 2, 5), (1, 3), (1,)):
        ladder = np.array([m * 10.0**e for e in np.arange(first, last + 1) for m in steps])
        inside = ladder[(ladder > low) & (ladder < high)]
        if len(inside) <= _COUNT + 2:
            break
    return Levels(np.unique(np.concatenate([ladder[ladder <= low][-1:], inside, ladder[ladder >= high][:1]])), log=True)
