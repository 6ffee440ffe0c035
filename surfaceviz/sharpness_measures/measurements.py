"""Values of sharpness measures with their errors, and whether a value survives a rescaling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from surfaceviz.records import FloatArray

_SAME = 0.01  # of a value: a smaller change counts as none; ours
_LEVEL = 0.975  # of Student's t: a change inside the two-sided 95% interval is within error; ours
_MEDIAN = 0.93  # quartile range to standard error of the median of normal draws: 1.2533 / 1.349

_ROUNDING = 1e-9  # of a value: a smaller error counts as none


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """The value of a measure at given weights.

    Attributes:
        value: the value.
        stderr: its standard error over random draws; None without draws, NaN from a single draw.
        draws: the samples: (n,) for a mean; (n, 2), both signs of n directions, for a median; None without draws.
        weights: weights of the samples of a mean, (n,); None if equal.
        exhaustive: whether the samples are all parts of a whole, so that a change has no error.
        note: a remark for the user.
        at_least: whether the value is a lower bound, the highest that a search found.
        reach: how far was looked, for a distance; an infinite value means that it is over it.
    """

    value: float
    stderr: float | None = None
    draws: FloatArray | None = None
    weights: FloatArray | None = None
    exhaustive: bool = False
    note: str = ""
    at_least: bool = False
    reach: float | None = None

    @property
    def count(self) -> int:
        """The number of independent draws or parts."""
        return 0 if self.draws is None else len(self.draws)

    @property
    def quartiles(self) -> tuple[float, float] | None:
        """The lower and upper quartile of the draws of a median."""
        if self.draws is None or self.draws.ndim == 1:
            return None
        low, high = np.quantile(self.draws, [0.25, 0.75], method="inverted_cdf")  # one of the draws, which may be inf
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a measurement by a rescaling.

    Attributes:
        after: the measurement at the rescaled weights.
        factor: value after / value before; NaN if it is not known.
        stderr: standard error of the factor, over the same draws before and after; 0 without draws, NaN if not known.
    """

    after: Measurement
    factor: float
    stderr: float

    @property
    def error(self) -> float:
        """Half of the 95% interval of the factor, by Student's t over the draws.

        >>> round(Change(Measurement(value=1.0, draws=np.arange(10.0)), 1.0, 0.1).error, 3)
        0.226
        """
        return float(stdtrit(max(self.after.count - 1, 1), _LEVEL)) * self.stderr if self.stderr else 0.0

    @property
    def verdict(self) -> str:
        """``survives``: the change and its error are below 1%; ``within error``: no change is seen; else ``changes``.

        ``not known`` if the value before or after, or the error, is not.

        Source: ours.

        >>> after = Measurement(value=1.05, draws=np.arange(10.0))
        >>> Change(after, 1.05, 0.03).verdict, Change(after, 1.05, 0.0).verdict, Change(after, 1.0, 0.001).verdict
        ('within error', 'changes', 'survives')
        """
        change = abs(self.factor - 1)
        if math.isnan(change + self.error):
            return "not known"
        if change + self.error < _SAME:
            return "survives"
        return "within error" if change < self.error else "changes"

    @property
    def survives(self) -> bool:
        """Whether no change is seen: it is below 1% or within its error."""
        return self.verdict in ("survives", "within error")


def mean_of(draws: FloatArray, note: str = "") -> Measurement:
    """Return the mean of draws (n,).

    >>> mean_of(np.array([1.0, 3.0])).stderr
    1.0
    """
    return Measurement(value=float(np.mean(draws)), stderr=error_of(draws), draws=draws, note=note)


def mean_over(parts: FloatArray, weights: FloatArray, note: str = "", *, at_least: bool = False) -> Measurement:
    """Return the weighted mean of all parts (n,), which are not random draws."""
    mean = float(np.average(parts, weights=weights))
    error = error_of(parts, weights)
    return Measurement(
        value=mean, stderr=error, draws=parts, weights=weights, exhaustive=True, note=note, at_least=at_least
    )


def median_of(draws: FloatArray, note: str = "", *, reach: float | None = None) -> Measurement:
    """Return the median of draws (n, 2), which may be infinite."""
    return Measurement(value=float(np.median(draws)), stderr=error_of(draws), draws=draws, note=note, reach=reach)


def error_of(draws: FloatArray, weights: FloatArray | None = None) -> float:
    """Return the standard error of the mean or median of draws; NaN from one draw, or if a draw is infinite.

    For a weighted mean of v_i it is sqrt(n / (n - 1) sum w_i^2 (v_i - mean)^2) / sum w_i. For a median it is 0.93 times
    the interquartile range over sqrt(n), as for normal draws; the two signs of a direction count as one draw,
    which makes it an upper estimate where they are not alike.
    """
    count = len(draws)
    if count < 2 or not np.isfinite(draws).all():  # noqa: PLR2004
        return math.nan
    if draws.ndim > 1:
        return float(_MEDIAN * np.subtract(*np.quantile(draws, [0.75, 0.25])) / math.sqrt(count))
    w = np.ones(count) if weights is None else weights
    squares = np.square(w * (draws - np.average(draws, weights=w)))
    return float(math.sqrt(count / (count - 1) * squares.sum()) / w.sum())


def change_of(before: Measurement, after: Measurement) -> Change:
    """Return the change of a measurement.

    The factor is F = after / before. If both use the same draws, its error is that of after - F before, draw by draw,
    over before. Otherwise both relative errors add in quadrature. It is not known of a value that is NaN, and of two
    distances that are over the reach.
    """
    if math.isnan(before.value + after.value) or (math.isinf(before.value) and math.isinf(after.value)):
        return Change(after, math.nan, 0.0)
    if before.value == 0 or not math.isfinite(before.value):
        factor = 0.0 if before.value else 1.0 if after.value == 0 else math.inf
        return Change(after, factor, 0.0)
    factor = after.value / before.value
    return Change(after, factor, _residual_error(before, after, factor) / abs(before.value))


def _residual_error(before: Measurement, after: Measurement, factor: float) -> float:
    if before.exhaustive:
        return 0.0
    if before.draws is None or after.draws is None:
        return math.hypot(factor * (before.stderr or 0.0), after.stderr or 0.0)
    finite = np.isfinite(before.draws)
    if (finite != np.isfinite(after.draws)).any():
        return math.nan
    rows = finite.reshape(len(finite), -1).all(1)  # those over the reach before and after tell nothing
    return error_of(after.draws[rows] - factor * before.draws[rows], before.weights)


def measurement_text(measurement: Measurement) -> str:
    """Return a measurement with its error, as text.

    >>> measurement_text(Measurement(value=12.3456, stderr=0.0234)), measurement_text(Measurement(value=0.25))
    ('12.35 +- 0.023', '0.25')
    >>> measurement_text(Measurement(value=math.inf, reach=1024.0)), measurement_text(Measurement(value=math.inf))
    ('over 1024', 'inf')
    >>> measurement_text(Measurement(value=0.25, at_least=True)), measurement_text(Measurement(value=math.nan))
    ('>= 0.25', 'not known')
    """
    if math.isnan(measurement.value):
        return "not known"
    if math.isinf(measurement.value) and measurement.reach is not None:
        return f"over {measurement.reach:g}"
    known = measurement.stderr is not None and measurement.stderr > _ROUNDING * abs(measurement.value)
    value = f"{'>= ' if measurement.at_least else ''}{measurement.value:.4g}"
    return value + (f" +- {measurement.stderr:.2g}" if known else "")
