"""Differences of a measure between two networks, with 95% intervals over directions, samples or trainings."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from surfaceviz.records import Difference, FloatArray
from surfaceviz.records.verdicts import Scale, Unit

Centre = Literal["mean", "geometric"]
Pair = tuple[ArrayLike, ArrayLike]  # draws of a measure in network A and in network B

NOT_FINITE = "a draw is not finite"
TOO_FEW = "fewer than two draws"
NO_DRAWS = "the values have no random draws"
NOT_POSITIVE = "a mean is not clearly above 0, so that no logarithm is taken"

ROUNDING = 1e-6  # of the values: a smaller difference counts as none; ours
_CONFIDENCE = 0.95
_CLEARLY = 3.0  # standard errors of a mean above 0, from which its logarithm is taken; ours
_RESAMPLES = 1999  # of the bootstrap; ours


def from_directions(
    a: ArrayLike,
    b: ArrayLike,
    *,
    scale: Scale = "log",
    centre: Centre = "mean",
    paired: bool = True,
    rounding: float = ROUNDING,
) -> Difference:
    r"""Return the difference of a measure whose draws come from random directions.

    On the log scale the estimate is log(mean a / mean b). Its error is that of the linearised draws
    e_k = a_k / mean a - b_k / mean b, by Student's t. Its degrees of freedom are 2 / (k / K + 2 / (K - 1)), with the
    excess kurtosis k of e (0 if negative): those of a chi^2 with the variance of the sample variance. If A and B have
    other directions, it is that of Welch's test on a_k / mean a and b_k / mean b, with the same correction.

    Draws themselves may be negative. If a mean is not three standard errors above 0, the scale is linear, and
    `NOT_POSITIVE` is noted. With ``centre="geometric"`` the estimate is mean(log a - log b), for positive draws.

    Args:
        a: draws in network A, (K,); for both signs of a direction, their mean.
        b: draws in network B, (K,), or (M,) if not paired.
        scale: ``log`` for positive measures, else ``linear``.
        centre: ``mean``, or ``geometric`` for the mean of the logarithms.
        paired: whether draw k uses the same random numbers in A and in B.
        rounding: relative error of the values, which adds to the standard error.

    Source: Student (1908), Welch (1947), the delta method; the variance of a variance: Cramer (1946), section 27.4.
    `scripts/bench_verdicts.py` compares with K - 1 degrees of freedom and with the bootstrap.

    >>> found = from_directions([1.0, 2.0, 3.0, 4.0], [2.0, 4.1, 5.9, 8.0])
    >>> round(found.ratio, 2), found.low < math.log(0.5) < found.high, found.freedom
    (0.5, True, 3.0)
    """
    x, y = _draws(a), _draws(b)
    return _difference(x, y, scale, centre, unit="directions", paired=paired, rounding=rounding)


def from_samples(
    a: ArrayLike, b: ArrayLike, *, scale: Scale, unit: Unit = "samples", rounding: float = ROUNDING
) -> Difference:
    """Return the difference of a mean over samples of the data, the same samples in both networks.

    Args:
        a: the measure's value for each sample in network A, (N,): losses, 0 and 1 for accuracy, rises averaged over
            directions.
        b: the same in network B, (N,).
        scale: ``log``: the estimate is log(mean a / mean b); ``linear``: mean(a - b).
        unit: ``groups of samples`` where each value is of a group.
        rounding: relative error of the values.
    """
    return _difference(_draws(a), _draws(b), scale, "mean", unit=unit, paired=True, rounding=rounding)


def from_trainings(
    a: ArrayLike, b: ArrayLike, *, scale: Scale, paired: bool = False, rounding: float = ROUNDING
) -> Difference:
    """Return the difference between two groups of trainings, by Welch's t.

    The unit of replication is the training: directions and samples within one only add to its spread.

    Args:
        a: the measure of each training of group A, (n,).
        b: the measure of each training of group B, (m,).
        scale: ``log``: differences of means of logarithms; linear if a value is not positive.
        paired: whether training k of both groups shares its seed and differs in nothing else.
        rounding: relative error of the values.
    """
    x, y = _draws(a), _draws(b)
    centre: Centre = "geometric" if scale == "log" else "mean"
    return _difference(x, y, scale, centre, unit="trainings", paired=paired, rounding=rounding)


def without_interval(a: float, b: float, *, scale: Scale) -> Difference:
    """Return the difference of two values that have no random draws, and so no interval."""
    log = scale == "log" and min(a, b) > 0
    estimate = math.log(a / b) if log else a - b
    return Difference(scale="log" if log else "linear", values=(a, b), estimate=estimate, note=NO_DRAWS)


def combined(first: Difference, second: Difference) -> Difference:
    """Return one difference whose interval covers the randomness of both, such as directions and samples.

    The standard errors add in quadrature, the degrees of freedom follow Welch and Satterthwaite, and the estimate is
    the first's. Both must be on one scale and estimate the same difference. The share that stems from directions and
    samples together is counted twice, which makes the interval slightly too wide.

    Raises:
        ValueError: the scales differ.
    """
    if first.scale != second.scale:
        raise ValueError(f"got differences on the scales {first.scale} and {second.scale}; give both on one scale")
    if not (first.is_known and second.is_known):
        return first if second.is_known else second
    return _joined(first, second, first.estimate, first.values)


def minus(first: Difference, second: Difference) -> Difference:
    """Return the difference of independent differences on the linear scale, such as that of a gap: test minus train.

    Raises:
        ValueError: a scale is not linear.
    """
    if {first.scale, second.scale} != {"linear"}:
        raise ValueError(f"got scales {first.scale} and {second.scale}; expected linear ones")
    values = (first.values[0] - second.values[0], first.values[1] - second.values[1])
    if not (first.is_known and second.is_known):
        return Difference(scale="linear", values=values, note=first.note or second.note)
    return _joined(first, second, first.estimate - second.estimate, values)


def shift_of(
    raw: Pair, gauge: Pair, *, scale: Scale = "log", centre: Centre = "mean", paired: bool = True,
    unit: Unit = "directions", rounding: float = ROUNDING,
) -> Difference:  # fmt: skip
    """Return the raw difference minus the difference in the gauge, with its interval.

    Draw k of a network uses the same random numbers in both gauges. For trainings, give ``unit="trainings"``,
    ``centre="geometric"`` and ``paired=False``.

    Args:
        raw: draws in A and B as they are, (K,) each.
        gauge: draws in A and B after both were brought to one gauge, (K,) each.
        scale: as for the differences themselves.
        centre: likewise.
        paired: whether draw k uses the same random numbers in A and B.
        unit: what the draws are.
        rounding: relative error of the values.
    """
    draws = [_draws(each) for each in (*raw, *gauge)]
    if note := _obstacle(draws):
        return Difference(scale=scale, values=(math.nan, math.nan), units=(unit,), note=note)
    if scale == "linear" or not all(_has_logarithm(each, centre) for each in draws):
        scale, centre = "linear", "mean"
    (a, x), (b, y), (c, u), (d, v) = (_linearised(each, scale, centre) for each in draws)
    values = (a - c, b - d)  # log ratios, raw over gauge, or differences
    size = rounding * (1 if scale == "log" else max(abs(each) for each in (a, b, c, d)))
    return _tested(x - u, y - v, values[0] - values[1], values, scale=scale, unit=unit, paired=paired, size=size)


def _difference(
    x: FloatArray, y: FloatArray, scale: Scale, centre: Centre, *, unit: Unit, paired: bool, rounding: float
) -> Difference:
    if note := _obstacle([x, y]):
        values = (float(np.mean(x)) if len(x) else math.nan, float(np.mean(y)) if len(y) else math.nan)
        return Difference(scale=scale, values=values, units=(unit,), counts=((len(x), len(y)),), note=note)
    if paired and len(x) != len(y):
        raise ValueError(f"got {len(x)} and {len(y)} {unit}; paired ones must be as many. Give paired=False")
    logarithm = scale == "log" and all(_has_logarithm(each, centre) for each in (x, y))
    note = NOT_POSITIVE if scale == "log" and not logarithm else ""
    if not logarithm:
        scale, centre = "linear", "mean"
    (a, u), (b, v) = _linearised(x, scale, centre), _linearised(y, scale, centre)
    values = (math.exp(a), math.exp(b)) if scale == "log" else (a, b)
    size = rounding * (1 if scale == "log" else max(abs(a), abs(b)))
    return _tested(u, v, a - b, values, scale=scale, unit=unit, paired=paired, size=size, note=note)


def _tested(
    u: FloatArray, v: FloatArray, estimate: float, values: tuple[float, float], *,
    scale: Scale, unit: Unit, paired: bool, size: float, note: str = "",
) -> Difference:  # fmt: skip
    """Return the difference with the error of linearised draws (K,) and (M,), and a rounding error ``size``."""
    error = _plain_error if unit == "trainings" else _error  # few trainings tell nothing about a kurtosis
    spread, freedom = error(u - v) if paired else _satterthwaite(error(u), error(v))
    stderr = math.hypot(spread, size)
    return Difference(
        scale=scale, values=values, estimate=estimate, stderr=stderr, freedom=freedom,
        **_interval(estimate, stderr, freedom), units=(unit,), counts=((len(u), len(v)),), stderrs=(stderr,),
        paired=(paired,), method="t" if paired else "welch", note=note,
    )  # fmt: skip


def _interval(estimate: float, stderr: float, freedom: float) -> dict[str, float]:
    """Return the fields ``low``, ``high`` and ``p``, by Student's t."""
    half = float(stdtrit(freedom, (1 + _CONFIDENCE) / 2)) * stderr
    p = 2 * float(stdtr(freedom, -abs(estimate) / stderr)) if stderr else float(estimate == 0)
    return {"low": estimate - half, "high": estimate + half, "p": p}


def _plain_error(e: FloatArray) -> tuple[float, float]:
    """Return the standard error of a mean (K,), and its degrees of freedom K - 1."""
    return float(np.std(e, ddof=1)) / math.sqrt(len(e)), float(len(e) - 1)


def _error(e: FloatArray) -> tuple[float, float]:
    """Return the standard error of a mean (K,), and its degrees of freedom by the kurtosis; see `from_directions`."""
    spread, freedom = _plain_error(e)
    squares = np.square(e - e.mean())
    variance = float(squares.mean())
    excess = max(float(np.square(squares).mean()) / variance**2 - 3, 0.0) if variance else 0.0
    return spread, 2 / (excess / len(e) + 2 / freedom)


def _satterthwaite(*parts: tuple[float, float]) -> tuple[float, float]:
    """Return the error of independent parts, and its degrees of freedom: (sum s_i^2)^2 / sum s_i^4 / f_i."""
    squares = [s * s for s, _ in parts]
    fourth = sum(q * q / f for q, (_, f) in zip(squares, parts, strict=True))
    return math.sqrt(sum(squares)), sum(squares) ** 2 / fourth if fourth else min(f for _, f in parts)


def _joined(first: Difference, second: Difference, estimate: float, values: tuple[float, float]) -> Difference:
    stderr, freedom = _satterthwaite((first.stderr, first.freedom), (second.stderr, second.freedom))
    return Difference(
        scale=first.scale, values=values, estimate=estimate, stderr=stderr, freedom=freedom,
        **_interval(estimate, stderr, freedom), units=first.units + second.units, counts=first.counts + second.counts,
        stderrs=first.stderrs + second.stderrs, paired=first.paired + second.paired, method="t",
        note=first.note or second.note,
    )  # fmt: skip


def _linearised(x: FloatArray, scale: Scale, centre: Centre) -> tuple[float, FloatArray]:
    """Return the estimate of one network on the scale, and draws whose mean has the same error, (K,)."""
    if centre == "geometric":
        logs = np.log(x)
        return float(logs.mean()), logs
    mean = float(x.mean())
    return (math.log(mean), x / mean) if scale == "log" else (mean, x)


def _has_logarithm(x: FloatArray, centre: Centre) -> bool:
    if centre == "geometric":
        return bool((x > 0).all())
    return float(x.mean()) > _CLEARLY * _plain_error(x)[0]


def _obstacle(draws: list[FloatArray]) -> str:
    if any(len(each) < 2 for each in draws):  # noqa: PLR2004
        return TOO_FEW
    return "" if all(np.isfinite(each).all() for each in draws) else NOT_FINITE


def _draws(x: ArrayLike) -> FloatArray:
    return np.asarray(x, dtype=np.float64).reshape(-1)
