"""The error metric of an interpolated loss, the goal of a refinement, and a variable whose differences are errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from surfaceviz.records import FloatArray

_FLOOR = 0.05  # of the median rise: the project's definition of the error
_LEAST = 1e-6  # of max(1, |L0|): likewise, for flat surfaces, whose median rise is 0
# Above the level only the side matters, so the logarithm goes over into asinh, which tames a
# border of 1e30. Ours; 0.5, 1 and no bend at all are alike on surfaces without such a border.
_BEND = 1.0
_LARGEST = math.log(np.finfo(np.float64).max) - 1.0  # exp of it doesn't overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementGoal:
    """The goal of a refinement.

    Attributes:
        tolerance: the error that at most 10% of the interpolated points may pass, 0 < tolerance < 1.
        levels: name of each loss -> the level above which all its values are alike.
        centre: the same names -> the loss at theta itself.
        seed: of the audits.

    Raises:
        ValueError: the tolerance is not between 0 and 1, there is no loss, names differ, or the seed is negative.
    """

    tolerance: float
    levels: Mapping[str, float]
    centre: Mapping[str, float]
    seed: int = 0

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance {self.tolerance}: expected a share between 0 and 1, such as 0.05")
        if not self.levels or set(self.levels) != set(self.centre):
            raise ValueError(f"levels {sorted(self.levels)}, centre {sorted(self.centre)}: expected the same losses")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed}: expected 0 or more")


@dataclass(frozen=True, slots=True)
class ErrorMetric:
    """The error of one loss: `|clip(z_hat) - clip(z)| / max(clip(z) - z_min, floor)`, clip(z) = min(z, level).

    Attributes:
        level: above it all values are alike.
        minimum: z_min, the smallest value evaluated, the centre's among them.
        floor: `max(0.05 m, 1e-6 max(1, |L0|))`, m the median of clip(z) - z_min.
    """

    level: float
    minimum: float
    floor: float

    @classmethod
    def of(cls, values: FloatArray, *, level: float, centre: float) -> ErrorMetric:
        """Return the metric that evaluated ``values`` (n,) and the centre's loss L0 make; diverged ones don't count.

        >>> ErrorMetric.of(np.array([1.0, 3.0, 9.0]), level=5.0, centre=1.0)
        ErrorMetric(level=5.0, minimum=1.0, floor=0.1)
        """
        finite = values[np.isfinite(values)]
        known = [z for z in (centre, *finite.tolist()) if math.isfinite(z)] or [0.0]
        minimum = min(known)
        rise = float(np.median(np.minimum(finite, level) - minimum)) if finite.size else 0.0
        least = _LEAST * max(1.0, abs(centre) if math.isfinite(centre) else 0.0)
        return cls(level, minimum, max(_FLOOR * rise, least))

    def error(self, guess: FloatArray, truth: FloatArray) -> FloatArray:
        """Return the error of each guess; infinite where the truth diverged."""
        clipped = np.minimum(truth, self.level)
        with np.errstate(invalid="ignore"):  # NaN and -inf are dealt with below
            error = np.abs(np.minimum(guess, self.level) - clipped) / np.maximum(clipped - self.minimum, self.floor)
        return np.where(np.isfinite(truth), error, np.inf)

    def transform(self, values: FloatArray) -> FloatArray:
        """Return u(z), whose differences are approximately errors (ours).

        u = log(z - z_min + floor) up to the level, t = u(level); above it t + asinh(log(...) - t), which joins
        with two continuous derivatives. du = dz / (z - z_min + floor) is within a factor 2 of the error.
        """
        u = np.log(np.maximum(values - self.minimum, -0.5 * self.floor) + self.floor)
        above = np.maximum(u - self._top, 0.0)
        return np.where(above > 0, self._top + _BEND * np.arcsinh(above / _BEND), u)

    def inverse_transform(self, u: FloatArray, highest: float) -> FloatArray:
        """Return z(u), finite; nothing above the level rises over ``highest``, the largest u evaluated."""
        u = np.minimum(u, max(highest, self._top))
        above = np.maximum(u - self._top, 0.0)
        log = np.where(above > 0, self._top + _BEND * np.sinh(above / _BEND), u)
        return np.exp(np.minimum(log, _LARGEST)) - self.floor + self.minimum

    def allowance(self, guess: FloatArray, tolerance: float) -> tuple[FloatArray, FloatArray]:
        """Return how far u may truly lie below and above the u of each guess, both >= 0, for an error <= tolerance.

        The error is measured by the truth y = clip(z) - z_min: |d - y| <= tol max(y, floor), d that of the guess.
        """
        rise = np.minimum(guess, self.level) - self.minimum
        lowest, highest = rise / (1 + tolerance), rise / (1 - tolerance)
        lowest = np.where(lowest >= self.floor, lowest, rise - tolerance * self.floor)
        highest = np.where(highest >= self.floor, highest, rise + tolerance * self.floor)
        u = self.transform(guess)
        below = u - self.transform(lowest + self.minimum)
        above = self.transform(highest + self.minimum) - u
        return below, np.where(highest >= self.level - self.minimum, np.inf, above)

    @property
    def _top(self) -> float:
        return math.log(max(self.level - self.minimum, 0.0) + self.floor)
