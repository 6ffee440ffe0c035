"""Verdicts and differences in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from surfaceviz.records.verdicts import Difference, Verdict


def verdict_sentence(
    verdict: Verdict, *, claim: str, reasons: Mapping[str, str], names: Sequence[str] = ("A", "B")
) -> str:
    """Return a verdict as one line.

    Args:
        verdict: the verdict.
        claim: what the measure calls the favoured network, such as ``flatter``.
        reasons: the phrase of each reason.
        names: of both networks.

    >>> found = Verdict(measure="trace", kind="supported", favoured=1, family=3, raw_p=0.01)
    >>> verdict_sentence(found, claim="flatter", reasons={})
    'B flatter: supported as the networks are (p = 0.01 among 3)'
    >>> found = Verdict(measure="trace", kind="undecided", needed=240, unit="directions")
    >>> verdict_sentence(found, claim="flatter", reasons={})
    'undecided; 240 directions for each network would decide it with a chance of at least 70%'
    """
    words = verdict_head(verdict, claim=claim, names=names)
    if verdict.kind in ("supported", "equivalent") and verdict.gauge is None:
        words += " as the networks are"
    if verdict.kind == "supported":
        words += f" (p = {_largest_p(verdict):.2g}{f' among {verdict.family}' if verdict.family > 1 else ''})"
    return "; ".join([words, *(reasons[key] for key in verdict.reasons)])


def verdict_head(verdict: Verdict, *, claim: str, names: Sequence[str] = ("A", "B")) -> str:
    """Return a verdict in a few words, without p-values and reasons.

    >>> found = Verdict(measure="trace", kind="undecided", favoured=0, reasons=("scale unchecked",))
    >>> verdict_head(found, claim="flatter")
    'A flatter as they are; undecided: scale is unchecked'
    """
    return _HEADS[verdict.kind](verdict, claim, names)


def _supported(verdict: Verdict, claim: str, names: Sequence[str]) -> str:
    assert verdict.favoured is not None
    return f"{names[verdict.favoured]} {claim}: supported"


def _undecided(verdict: Verdict, claim: str, names: Sequence[str]) -> str:
    if verdict.favoured is not None:
        return f"{names[verdict.favoured]} {claim} as they are; undecided: scale is unchecked"
    if verdict.needed is None:
        return "undecided"
    each = "group" if verdict.unit == "trainings" else "network"
    return f"undecided; {verdict.needed} {verdict.unit} for each {each} would decide it with a chance of at least 70%"


def _equivalent(verdict: Verdict, _claim: str, _names: Sequence[str]) -> str:
    return f"equivalent within {margin_words(verdict)}"


_HEADS: dict[str, Callable[[Verdict, str, Sequence[str]], str]] = {
    "supported": _supported,
    "undecided": _undecided,
    "equivalent": _equivalent,
    "artefact of scale": lambda _verdict, _claim, _names: "artefact of scale",
    "not comparable": lambda _verdict, _claim, _names: "not comparable",
}


def _largest_p(verdict: Verdict) -> float:
    return verdict.raw_p if math.isnan(verdict.gauge_p) else max(verdict.raw_p, verdict.gauge_p)


def margin_words(verdict: Verdict) -> str:
    """Return the margin of an equivalence: a percentage for ratios.

    >>> raw = Difference(scale="log", values=(1.0, 1.0))
    >>> margin_words(Verdict(measure="trace", kind="equivalent", raw=raw, margin=0.1))
    '11%'
    """
    if verdict.margin is None:
        return "0"
    log = verdict.raw is not None and verdict.raw.scale == "log"
    return f"{100 * math.expm1(verdict.margin):.2g}%" if log else f"{verdict.margin:.2g}"


def difference_words(difference: Difference) -> str:
    """Return a difference with its 95% interval and the draws that made it.

    >>> found = Difference(scale="log", values=(2.0, 1.0), estimate=math.log(2), low=math.log(1.5), high=math.log(2.6),
    ...                    p=0.01, units=("directions",), counts=((100, 100),))
    >>> difference_words(found)
    'x2 [1.5, 2.6], 100 directions'
    """
    log = difference.scale == "log"
    value, low, high = (math.exp(x) if log else x for x in (difference.estimate, difference.low, difference.high))
    text = f"x{value:.3g}" if log else f"{value:+.3g}"
    if math.isnan(value):
        return f"not known: {difference.note}"
    if not difference.is_known:
        return f"{text}, no interval: {difference.note}"
    return f"{text} [{low:.3g}, {high:.3g}], {_draws(difference)}"


def _draws(difference: Difference) -> str:
    pairs = zip(difference.units, difference.counts, strict=True)
    return ", ".join(f"{a} {unit}" if a == b else f"{a} and {b} {unit}" for unit, (a, b) in pairs)
