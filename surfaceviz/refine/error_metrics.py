"""Errors of interpolated losses and metrics, the goal of a refinement, variables whose differences are errors."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray

_FLOOR = 0.05  # of the median rise: the project's definition of the error
_LEAST = 1e-6  # of max(1, |L0|): likewise, for flat surfaces, whose median rise is 0
# Above the level only the side matters, so the logarithm goes over into asinh, which tames a
# border of 1e30. Ours; 0.5, 1 and no bend at all are alike on surfaces without such a border.
_BEND = 1.0
_LARGEST = math.log(np.finfo(np.float64).max) - 1.0  # exp of it doesn't overflow


class JudgedMetric(NamedTuple):
    """How an interpolated metric other than a loss is judged: where the ``loss`` of its split is at most its level.

    An accuracy is judged by its absolute error, with at least two of its ``step``, that of one sample; other metrics,
    of step 0, by the error as a share of their spread.
    """

    loss: str
    step: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RefinementGoal:
    """The goal of a refinement.

    Attributes:
        tolerance: the error that at most 10% of the interpolated points may pass, 0 < tolerance < 1.
        levels: name of each loss -> the level above which it is not resolved: all its values are alike.
        centre: the same names -> the loss at theta itself.
        metrics: name of each other metric to be interpolated -> how it is judged.
        seed: of the audits.
        first_audit: number of the first audit; larger if others were made before, with which it shares the error.

    Raises:
        ValueError: the tolerance is not between 0 and 1, there is no loss, names differ, or the seed is negative.
    """

    tolerance: float
    levels: Mapping[str, float]
    centre: Mapping[str, float]
    metrics: Mapping[str, JudgedMetric] = field(default_factory=dict)
    seed: int = 0
    first_audit: int = 1

    def __post_init__(self) -> None:
        if not 0 < self.tolerance < 1:
            raise ValueError(f"tolerance {self.tolerance}: expected a share between 0 and 1, such as 0.05")
        if not self.levels or set(self.levels) != set(self.centre):
            raise ValueError(f"levels {sorted(self.levels)}, centre {sorted(self.centre)}: expected the same losses")
        losses = {metric.loss for metric in self.metrics.values()}
        if not losses <= set(self.levels):
            raise ValueError(f"metrics of {sorted(losses)}: expected losses of {sorted(self.levels)}")
        if self.seed < 0:
            raise ValueError(f"seed {self.seed}: expected 0 or more")

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all values that the refinement is sent: losses, then other metrics."""
        return (*self.levels, *self.metrics)


class ErrorMetric(Protocol):
    """The error of one interpolated quantity, and a variable u whose differences are approximately errors."""

    def error(self, guess: FloatArray, truth: FloatArray) -> FloatArray:
        """Return the error of each guess; infinite where the truth diverged."""

    def transform(self, values: FloatArray) -> FloatArray:
        """Return u."""

    def inverse_transform(self, u: FloatArray, highest: float) -> FloatArray:
        """Return the values of u; ``highest`` is the largest u evaluated."""

    def allowance(self, guess: FloatArray, tolerance: float) -> tuple[FloatArray, FloatArray]:
        """Return how far u may truly lie below and above the u of each guess, both >= 0, for an error <= tolerance."""


@dataclass(frozen=True, slots=True)
class MetricError:
    """The error of a metric other than a loss: `|z_hat - z| / scale`.

    Attributes:
        scale: 1 for an accuracy, whose tolerance is absolute, or what makes it two samples; for others the spread of
            the values where the loss is at most its level.
        low: the smallest value evaluated.
        high: the largest.
    """

    scale: float
    low: float
    high: float

    @classmethod
    def of(cls, values: FloatArray, judged: NDArray[np.bool_], least: float = 0.0) -> MetricError:
        """Return the error of a metric from its finite values.

        Args:
            values: at the evaluated points, (n,).
            judged: where the loss is at most its level, (n,).
            least: of an accuracy, two samples' share in units of the tolerance; 0 for other metrics.

        >>> MetricError.of(np.array([0.25, 0.75, 0.9]), np.array([True, True, False])).scale
        0.5
        """
        low, high = float(values.min()), float(values.max())
        if least:
            return cls(max(1.0, least), low, high)
        spread = float(np.ptp(values[judged])) if judged.any() else high - low
        return cls(max(spread, _LEAST * max(1.0, abs(low), abs(high))), low, high)

    def error(self, guess: FloatArray, truth: FloatArray) -> FloatArray:
        """Return the error of each guess; infinite where the truth diverged."""
        with np.errstate(invalid="ignore"):
            return np.where(np.isfinite(truth), np.abs(guess - truth) / self.scale, np.inf)

    def transform(self, values: FloatArray) -> FloatArray:
        """Return u = z / scale."""
        return np.asarray(values / self.scale)

    def inverse_transform(self, u: FloatArray, highest: float) -> FloatArray:  # noqa: ARG002  the range is known
        """Return z(u), clipped to the range of what was evaluated."""
        return np.clip(u * self.scale, self.low, self.high)

    def allowance(self, guess: FloatArray, tolerance: float) -> tuple[FloatArray, FloatArray]:
        """Return the tolerance, below and above."""
        return np.full(len(guess), tolerance), np.full(len(guess), tolerance)


@dataclass(frozen=True, slots=True)
class LossError:
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
    def of(cls, values: FloatArray, *, level: float, centre: float) -> LossError:
        """Return the metric that evaluated ``values`` (n,) and the centre's loss L0 make; diverged ones don't count.

        >>> LossError.of(np.array([1.0, 3.0, 9.0]), level=5.0, centre=1.0)
        LossError(level=5.0, minimum=1.0, floor=0.1)
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
