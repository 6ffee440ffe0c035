"""Figures of sharpness with their errors, and whether one survives a rescaling."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from surfaceviz.records import FloatArray

# What each measure is called in a table, by its key in a record.
TITLES = {
    "lambda_max": "lambda_max of H",
    "trace": "trace of H",
    "lambda_max_normalised": "lambda_max of DHD",
    "trace_normalised": "trace of DHD",
    "phi_1e-3": "phi in %, eps 1e-3",
    "phi_5e-4": "phi in %, eps 5e-4",
    "m_sharpness": "m-sharpness, rho 0.05",
    "expected_rise": "rise at sigma 0.1",
    "width": "width at rise 0.1",
}

_SAME = 0.01  # of a figure: a change below it counts as none; ours
_ERRORS = 2.0  # standard errors of the change, likewise
_MEDIAN = 0.93  # quartile range to standard error of the median of normal draws: 1.2533 / 1.349


@dataclass(frozen=True, slots=True)
class Figure:
    """A measure at given weights.

    Attributes:
        value: the figure.
        stderr: its standard error over what was drawn; None where nothing was, NaN from a single draw.
        draws: what it sums up: (n,) for a mean; (n, 2), both signs of n directions, for a median; None without.
        weights: of the draws of a mean, (n,); None for equal ones.
        whole: whether these are no draws, but all there are, so that a change has no error.
        note: what there is to be said of it.
    """

    value: float
    stderr: float | None = None
    draws: FloatArray | None = None
    weights: FloatArray | None = None
    whole: bool = False
    note: str = ""

    @property
    def quartiles(self) -> tuple[float, float] | None:
        """The lower and upper quartile of the draws of a median."""
        if self.draws is None or self.draws.ndim == 1:
            return None
        low, high = np.quantile(self.draws, [0.25, 0.75], method="inverted_cdf")  # one of the draws, which may be inf
        return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Change:
    """What a rescaling does to a figure.

    Attributes:
        after: the figure at the rescaled weights.
        factor: by which it has changed.
        stderr: of the factor, over the same draws before and after; 0 where nothing is drawn.
    """

    after: Figure
    factor: float
    stderr: float

    @property
    def verdict(self) -> str:
        """``survives``: changed by less than 1%; ``within error``: by less than two standard errors; else ``changes``.

        Source: ours.

        >>> Change(Figure(1.05), 1.05, 0.03).verdict, Change(Figure(1.05), 1.05, 0.0).verdict
        ('within error', 'changes')
        """
        if abs(self.factor - 1) < _SAME:
            return "survives"
        return "within error" if abs(self.factor - 1) < _ERRORS * self.stderr else "changes"

    @property
    def survives(self) -> bool:
        """Whether nothing shows that the figure changes."""
        return self.verdict != "changes"


def mean_of(draws: FloatArray) -> Figure:
    """Return the mean of draws (n,).

    >>> mean_of(np.array([1.0, 3.0])).stderr
    1.0
    """
    return Figure(float(np.mean(draws)), error_of(draws), draws)


def mean_over(parts: FloatArray, weights: FloatArray, note: str = "") -> Figure:
    """Return the weighted mean of all parts (n,) of a whole."""
    mean = float(np.average(parts, weights=weights))
    return Figure(mean, error_of(parts, weights), parts, weights, whole=True, note=note)


def median_of(draws: FloatArray, note: str = "") -> Figure:
    """Return the median of draws (n, 2), which may be infinite."""
    return Figure(float(np.median(draws)), error_of(draws), draws, note=note)


def error_of(draws: FloatArray, weights: FloatArray | None = None) -> float:
    """Return the standard error of what draws are summed up to; NaN from one, or where they are infinite.

    Of a weighted mean of v_i it is sqrt(n / (n - 1) sum w_i^2 (v_i - mean)^2) / sum w_i; of a median 0.93 times the
    range between the quartiles over sqrt(n), as of normal draws, the two signs of a direction counting as one.
    """
    count = len(draws)
    if count < 2 or not np.isfinite(draws).all():  # noqa: PLR2004
        return math.nan
    if draws.ndim > 1:
        return float(_MEDIAN * np.subtract(*np.quantile(draws, [0.75, 0.25])) / math.sqrt(count))
    w = np.ones(count) if weights is None else weights
    squares = np.square(w * (draws - np.average(draws, weights=w)))
    return float(math.sqrt(count / (count - 1) * squares.sum()) / w.sum())


def change_of(before: Figure, after: Figure) -> Change:
    """Return what has become of a figure.

    The factor F = after / before has the error of a ratio: that of the draws' after - F before, over before, where both
    come of the same draws; else both relative errors in quadrature.
    """
    if before.value == after.value:
        return Change(after, 1.0, 0.0)
    if before.value == 0 or not math.isfinite(before.value):
        return Change(after, math.inf if before.value == 0 else 0.0, 0.0)
    factor = after.value / before.value
    error = _residual_error(before, after, factor) / abs(before.value)
    return Change(after, factor, error if math.isfinite(error) else 0.0)


def _residual_error(before: Figure, after: Figure, factor: float) -> float:
    if before.whole:
        return 0.0
    if before.draws is None or after.draws is None:
        return math.hypot(factor * (before.stderr or 0.0), after.stderr or 0.0)
    if not (np.isfinite(before.draws).all() and np.isfinite(after.draws).all()):
        return math.nan
    return error_of(after.draws - factor * before.draws, before.weights)
