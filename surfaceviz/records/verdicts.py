"""Differences between two networks with their intervals, and the verdicts on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

Scale = Literal["log", "linear"]
Unit = Literal["directions", "samples", "groups of samples", "trainings"]
Kind = Literal["supported", "undecided", "artefact of scale", "equivalent", "not comparable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A measure of network A against network B: log(a / b) or a - b, with its 95% interval and its p-value.

    Attributes:
        scale: ``log``: the estimate is log(a / b); ``linear``: a - b.
        values: a and b, in the measure's own unit.
        estimate: the difference on the scale; NaN if it is not known.
        stderr: its standard error.
        freedom: degrees of freedom of Student's t.
        low: lower end of the 95% interval.
        high: upper end of the 95% interval.
        p: two-sided p-value of no difference; NaN if it is not known.
        units: the random draws that made the interval.
        counts: for each unit, their numbers in A and in B.
        stderrs: the standard error that each unit contributes; their squares add.
        paired: for each unit, whether the draws are the same in A and in B.
        method: ``t``, ``welch`` or ``bootstrap``.
        note: why there is no interval, or why it is not on the log scale; see `surfaceviz.comparison.intervals`.
    """

    scale: Scale
    values: tuple[float, float]
    estimate: float = math.nan
    stderr: float = math.nan
    freedom: float = math.nan
    low: float = math.nan
    high: float = math.nan
    p: float = math.nan
    units: tuple[Unit, ...] = ()
    counts: tuple[tuple[int, int], ...] = ()
    stderrs: tuple[float, ...] = ()
    paired: tuple[bool, ...] = ()
    method: str = "t"
    note: str = ""

    @property
    def is_known(self) -> bool:
        """Whether there is an interval."""
        return math.isfinite(self.estimate) and math.isfinite(self.p)

    @property
    def ratio(self) -> float:
        """The ratio a / b; NaN on the linear scale."""
        return math.exp(self.estimate) if self.scale == "log" else math.nan


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the difference of a measure between networks A and B proves.

    Attributes:
        measure: key of the measure in `surfaceviz.comparison.MEASURES`.
        kind: the verdict.
        favoured: the network that the measure favours, 0 for A and 1 for B; None if it is not decided. With the reason
            ``scale unchecked``, the one that it favours as they are.
        raw: the difference of the networks as they are.
        gauge: the difference after both were brought to one gauge; None if that was not done.
        shift: the raw difference minus the one in the gauge; None if it is not known.
        raw_p: p-value of ``raw`` after Holm's correction.
        gauge_p: p-value of ``gauge`` after Holm's correction.
        family: number of p-values that were corrected together.
        margin: differences within it, on the scale of ``raw``, count as equivalent; None if no margin was given.
        needed: number of draws for each network at which the measure would be decided with a chance of at least 70%;
            None if it is decided, or if that is more than is looked for.
        unit: the draws that ``needed`` counts; empty if there are none.
        reasons: keys of `surfaceviz.comparison.REASONS`, such as ``other data`` or ``out of reach``.
    """

    measure: str
    kind: Kind
    favoured: int | None = None
    raw: Difference | None = None
    gauge: Difference | None = None
    shift: Difference | None = None
    raw_p: float = math.nan
    gauge_p: float = math.nan
    family: int = 1
    margin: float | None = None
    needed: int | None = None
    unit: str = ""
    reasons: tuple[str, ...] = ()
