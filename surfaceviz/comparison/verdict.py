"""Verdicts on the differences between two networks, as they are and in one gauge."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import stdtr

from surfaceviz.comparison.forecast import Goal, draws_needed
from surfaceviz.comparison.holm import holm, is_out_of_reach
from surfaceviz.comparison.measures import MEASURES
from surfaceviz.records import Difference, Verdict
from surfaceviz.records.verdicts import Kind

_SAME = 1e-4  # of the values: networks with smaller differences in the gauge are the same; ours
_FIXED = "groups of samples"  # their number is not the user's choice
LEVEL = 0.05  # of all measures together; the field's custom

REASONS = {
    "other data": "the networks were measured on different data",
    "other loss": "the networks were measured with different losses",
    "other samples": "the networks were measured on different samples of one data set",
    "no minimum": "a centre is not a minimum: the loss falls clearly nearby",
    "not finite": "a value is not finite",
    "no interval": "nothing random is known that an interval could rest on",
    "scale unchecked": "the networks differ as they are, but a rescaling that keeps the function may explain it",
    "out of reach": "so few trainings can't prove a difference below five standard deviations among so many measures",
    "no gauge": "the networks could not be brought to one gauge",
    "no gauge asked": "the networks were not brought to one gauge",
    "part of a gauge": "a part of a network could not be balanced",
    "one training": "each side is one training, so that nothing is said about other trainings",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """The differences that a verdict on one measure rests on.

    Attributes:
        measure: key in `MEASURES`.
        raw: the difference of the networks as they are; None if they are not comparable.
        gauge: the difference in one gauge; None if it was not computed.
        shift: the raw difference minus that in the gauge, see `shift_of`; None if it is not known.
        obstacles: keys of `REASONS` for which the networks are not comparable.
        remarks: further keys of `REASONS`, which are passed on.
    """

    measure: str
    raw: Difference | None
    gauge: Difference | None = None
    shift: Difference | None = None
    obstacles: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Corrected:
    """P-values of one measure after Holm's correction; NaN where there are none."""

    raw: float
    gauge: float
    shift: float
    raw_equal: float
    gauge_equal: float


def verdicts(evidence: Sequence[Evidence], *, margins: Sequence[float | None] | None = None) -> tuple[Verdict, ...]:
    """Return the verdict on each measure, all of them corrected together by Holm's method.

    * not comparable: there is an obstacle, or no difference;
    * equivalent: raw and in the gauge the difference is shown to lie within the margin (two one-sided tests);
    * supported: raw and in the gauge there is a difference, of the same sign;
    * artefact of scale: raw and gauge have different signs, or one shows a difference and the other does not, and
      the change from one to the other is itself shown (a p-value of 0.04 beside one of 0.06 is not an artefact); or
      the networks are the same in the gauge, draw by draw, and so differ by scale alone;
    * undecided: all else.

    Without a gauge only the raw difference counts, and supports a claim only about measures that depend on the function
    alone: any other difference may be one of scale. Differences, equivalences and changes are three families.

    Args:
        evidence: for each measure.
        margins: the margin of each measure; by default those of `MEASURES`; None for a measure that is not to be
            called equivalent.

    Source: Holm (1979); two one-sided tests: Schuirmann (1987). The rule for artefacts is ours.
    """
    limits = [margin_of(each) for each in evidence] if margins is None else list(margins)
    known = [each if not each.obstacles else Evidence(measure=each.measure, raw=None) for each in evidence]
    columns = [
        [_p(each.raw) for each in known],
        [_p(each.gauge) for each in known],
        [_p(each.shift) for each in known],
        [equivalence_p(each.raw, limit) for each, limit in zip(known, limits, strict=True)],
        [equivalence_p(each.gauge, limit) for each, limit in zip(known, limits, strict=True)],
    ]
    family = sum(not math.isnan(p) for p in columns[0])
    rows = zip(*map(holm, columns), strict=True)
    corrected = [_Corrected(raw=r, gauge=g, shift=s, raw_equal=e, gauge_equal=f) for r, g, s, e, f in rows]
    return tuple(_verdict(each, p, limit, family) for each, p, limit in zip(evidence, corrected, limits, strict=True))


def margin_of(each: Evidence) -> float | None:
    """Return the margin of a measure on the scale of its raw difference; None if that is not known."""
    if each.raw is None:
        return None
    margin = MEASURES[each.measure].margin
    if MEASURES[each.measure].scale == each.raw.scale:
        return margin
    return margin * max(map(abs, each.raw.values))  # of a logarithm that was not taken


def equivalence_p(difference: Difference | None, margin: float | None) -> float:
    """Return the p-value of two one-sided tests that a difference lies within +-margin.

    Source: Schuirmann (1987), J. Pharmacokinet. Biopharm. 15, 657-680.
    """
    if difference is None or margin is None or not difference.is_known:
        return math.nan
    if not difference.stderr:
        return float(abs(difference.estimate) >= margin)
    return float(stdtr(difference.freedom, (abs(difference.estimate) - margin) / difference.stderr))


def _p(difference: Difference | None) -> float:
    return difference.p if difference is not None and difference.is_known else math.nan


def _verdict(each: Evidence, p: _Corrected, margin: float | None, family: int) -> Verdict:
    kind, reasons = _kind(each, p)
    needed, unit = None, ""
    if kind == "undecided" and "scale unchecked" not in reasons:  # more draws would not decide that
        needed, unit = _needed(each, p, margin, family)
        reasons += _limits(each.raw, family)
    return Verdict(
        measure=each.measure, kind=kind, favoured=_favoured(each, kind, reasons), raw=each.raw, gauge=each.gauge,
        shift=each.shift, raw_p=p.raw, gauge_p=p.gauge, family=max(family, 1), margin=margin, needed=needed, unit=unit,
        reasons=(*reasons, *each.remarks),
    )  # fmt: skip


def _kind(each: Evidence, p: _Corrected) -> tuple[Kind, tuple[str, ...]]:
    if each.obstacles or each.raw is None:
        return "not comparable", each.obstacles
    if not all(map(math.isfinite, each.raw.values)):
        return "not comparable", ("not finite",)
    if not each.raw.is_known:
        return "undecided", ("no interval",)
    if each.gauge is None or not each.gauge.is_known:
        kind = _as_they_are(p)
        unchecked = kind == "supported" and not MEASURES[each.measure].is_function
        return ("undecided", ("scale unchecked",)) if unchecked else (kind, ())
    if _is_same(each.gauge) and not p.raw_equal <= LEVEL:
        return "artefact of scale", ()
    return _in_both(p, same_sign=each.raw.estimate * each.gauge.estimate > 0), ()


def _is_same(difference: Difference) -> bool:
    """Return whether a difference is 0 within 1e-4 of the values, for every draw."""
    size = 1.0 if difference.scale == "log" else max(map(abs, difference.values))
    return abs(difference.estimate) + 3 * difference.stderr <= _SAME * size


def _as_they_are(p: _Corrected) -> Kind:
    if p.raw_equal <= LEVEL:
        return "equivalent"
    return "supported" if p.raw <= LEVEL else "undecided"


def _in_both(p: _Corrected, *, same_sign: bool) -> Kind:
    """Return the verdict from the networks as they are and in one gauge."""
    if p.raw_equal <= LEVEL and p.gauge_equal <= LEVEL:
        return "equivalent"
    raw, gauge = p.raw <= LEVEL, p.gauge <= LEVEL
    if raw and gauge:
        return "supported" if same_sign else "artefact of scale"
    return "artefact of scale" if (raw or gauge) and p.shift <= LEVEL else "undecided"


def _favoured(each: Evidence, kind: Kind, reasons: tuple[str, ...]) -> int | None:
    if each.raw is None or not (kind == "supported" or "scale unchecked" in reasons):
        return None
    lower = 0 if each.raw.estimate < 0 else 1
    return lower if MEASURES[each.measure].better == "low" else 1 - lower


def _limits(raw: Difference | None, family: int) -> tuple[str, ...]:
    """Return the reason for which a difference can't be proved, if there is one."""
    if raw is None or raw.units != ("trainings",) or not raw.counts:
        return ()
    return ("out of reach",) if is_out_of_reach(*raw.counts[0], family=max(family, 1), level=LEVEL) else ()


def _needed(each: Evidence, p: _Corrected, margin: float | None, family: int) -> tuple[int | None, str]:
    """Return the draws that would decide raw and gauge, and their unit."""
    if each.raw is None or not each.raw.is_known or not each.raw.units or each.raw.units[0] == _FIXED:
        return None, ""
    pairs = [(each.raw, p.raw), (each.gauge, p.gauge)]
    counts = [
        draws_needed(d, Goal(level=LEVEL, correction=_factor(d, q, family), margin=margin))
        for d, q in pairs
        if d is not None and d.is_known
    ]
    return (None if None in counts else max(c for c in counts if c is not None)), each.raw.units[0]


def _factor(difference: Difference, corrected: float, family: int) -> float:
    """Return the factor by which Holm's correction multiplied a p-value; the largest one where that is cut off at 1."""
    return corrected / difference.p if difference.p > 0 and corrected < 1 else float(max(family, 1))
