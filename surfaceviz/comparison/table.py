"""A comparison as rows of text: values, differences with their intervals, what made these, and verdicts."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from surfaceviz.comparison.intervals import NO_DRAWS
from surfaceviz.comparison.measures import CAVEAT, MEASURES
from surfaceviz.comparison.verdict import REASONS
from surfaceviz.records import (
    Comparison,
    Difference,
    IntervalRow,
    PairVerdicts,
    Verdict,
    difference_words,
    verdict_head,
    verdict_sentence,
)

_NONE = "-"
_MINUS = "\N{MINUS SIGN}"


def table_head(pair: PairVerdicts) -> list[str]:
    """Return the titles of the columns of `table_rows`."""
    return ["measure", pair.first, pair.second, "ratio or difference", "95% interval", "made by", "verdict"]


def table_rows(pair: PairVerdicts) -> list[list[str]]:
    """Return the rows of the table on two groups, one for each measure."""
    return [_row(verdict, pair) for verdict in pair.verdicts]


def interval_rows(pair: PairVerdicts) -> list[IntervalRow]:
    """Return the rows of a picture of the measures that are compared by their ratio."""
    return [
        IntervalRow(
            title=MEASURES[each.measure].title, words=_short(each, pair), raw=each.raw,
            gauge=each.gauge if each.gauge is not None and _has_ratio(each.gauge) else None,
        )
        for each in pair.verdicts
        if each.raw is not None and _has_ratio(each.raw)
    ]  # fmt: skip


def notes_of(comparison: Comparison) -> list[str]:
    """Return the notes under the tables."""
    pairs = comparison.pairs
    reasons = dict.fromkeys(r for pair in pairs for v in pair.verdicts for r in v.reasons)
    family = max((v.family for pair in pairs for v in pair.verdicts), default=1)
    notes = [
        f"verdicts: at 5% for all {family} tests together, by Holm's correction; intervals are of each alone",
        *(REASONS[key] for key in reasons),
        *_fixed_notes(comparison),
        *_measure_notes(comparison),
        *_picture_notes(comparison),
        CAVEAT,
    ]
    return list(dict.fromkeys(notes))


def explanations(pair: PairVerdicts) -> Iterator[str]:
    """Yield for each measure why its verdict is what it is, its invariances, and the papers that it rests on."""
    for verdict in pair.verdicts:
        measure = MEASURES[verdict.measure]
        words = verdict_sentence(verdict, claim=measure.claim, reasons=REASONS, names=(pair.first, pair.second))
        yield f"{measure.title}: {words}"
        if verdict.raw is not None:
            yield f"  as they are: {difference_words(verdict.raw)}"
        if verdict.gauge is not None:
            yield f"  in one gauge: {difference_words(verdict.gauge)}"
        unchanged = ", ".join(measure.invariances) or "none"
        yield f"  unchanged by rescalings of: {unchanged}; source: {measure.source}"


def _has_ratio(difference: Difference) -> bool:
    return difference.scale == "log" and math.isfinite(difference.estimate)


def _short(verdict: Verdict, pair: PairVerdicts) -> str:
    """Return a verdict in the few words that have room beside its row."""
    if verdict.kind != "supported" or verdict.favoured is None:
        return "undecided: scale unchecked" if "scale unchecked" in verdict.reasons else verdict.kind
    return f"{(pair.first, pair.second)[verdict.favoured]} {MEASURES[verdict.measure].claim}"


def _row(verdict: Verdict, pair: PairVerdicts) -> list[str]:
    raw = verdict.raw
    values = [_NONE, _NONE] if raw is None else [_number(value) for value in raw.values]
    estimate = [_NONE] * 3 if raw is None else [_estimate(raw), _interval(raw), _made_by(raw)]
    measure = MEASURES[verdict.measure]
    head = verdict_head(verdict, claim=measure.claim, names=(pair.first, pair.second))
    return [measure.title, *values, *estimate, head]


def _estimate(difference: Difference) -> str:
    if not math.isfinite(difference.estimate):
        return _NONE
    return f"x {difference.ratio:.3g}" if difference.scale == "log" else _signed(difference.estimate)


def _interval(difference: Difference) -> str:
    if not difference.is_known:
        return difference.note or _NONE
    if difference.scale == "log":
        return f"x {math.exp(difference.low):.3g} .. {math.exp(difference.high):.3g}"
    return f"{_signed(difference.low)} .. {_signed(difference.high)}"


def _made_by(difference: Difference) -> str:
    """Return the random draws behind an interval, such as ``32 directions, paired``."""
    parts = []
    for unit, (a, b), paired in zip(difference.units, difference.counts, difference.paired, strict=False):
        count = str(a) if a == b else f"{a} and {b}"
        parts.append(f"{count} {unit}{', paired' if paired else ''}")
    return " and ".join(dict.fromkeys(parts)) or _NONE


def _measure_notes(comparison: Comparison) -> Iterator[str]:
    titles: dict[str, dict[str, None]] = {}
    for network in comparison.networks:
        for key, note in network.notes.items():
            if key in MEASURES:
                titles.setdefault(note, {})[MEASURES[key].title] = None
    for note, known in titles.items():
        yield f"{', '.join(known)}: {note}"


def _fixed_notes(comparison: Comparison) -> Iterator[str]:
    """Yield why measures of two single trainings have no interval."""
    for key, measure in MEASURES.items():
        found = [v.raw for pair in comparison.pairs for v in pair.verdicts if v.measure == key and v.raw is not None]
        if measure.fixed and any(raw.note == NO_DRAWS for raw in found):
            yield f"{measure.title}: no interval between two single trainings, as {measure.fixed}"


def _picture_notes(comparison: Comparison) -> Iterator[str]:
    """Yield what spectra and maps are of; no measure and no verdict rests on them."""
    planes = [network.plane for network in comparison.networks if network.plane is not None]
    spectra = {s.samples for plane in planes for s in plane.spectra}
    maps = {m.provenance["samples"] for plane in planes if (m := plane.hessian_map) is not None}
    if spectra:
        yield f"spectra, for the picture: on {_listed(spectra)} samples"
    if maps:
        yield f"maps of |lambda_min / lambda_max|, for the picture: on {_listed(maps)} samples"
    if planes and not spectra and not maps:
        yield "spectra and maps of |lambda_min / lambda_max| were left out, as --quick does; --map 5 computes them"


def _listed(numbers: Iterable[object]) -> str:
    return " and ".join(sorted(map(str, numbers)))


def _number(value: float) -> str:
    return f"{value:.4g}".replace("-", _MINUS) if math.isfinite(value) else _NONE


def _signed(value: float) -> str:
    return f"{value:+.3g}".replace("-", _MINUS)
