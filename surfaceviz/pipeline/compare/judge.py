"""From measures of networks to differences and verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from surfaceviz.comparison import (
    HELD_OUT,
    MEASURES,
    Evidence,
    from_directions,
    from_samples,
    from_trainings,
    minus,
    shift_of,
    verdicts,
    without_interval,
)
from surfaceviz.comparison.intervals import ROUNDING
from surfaceviz.records import ComparedNetwork, Difference, FloatArray, PairVerdicts
from surfaceviz.records.verdicts import Unit

Measures = Mapping[str, FloatArray]

_FALLS = 3.0  # standard errors below zero at which a rise shows that a centre is not a minimum; ours
_EPSILON = 1e-7  # relative error of a mean loss in float32; ours
_NEAR = "rise_0.05"
_OF_SAMPLES: tuple[Unit, ...] = ("samples", "groups of samples")  # shared by both networks


def judge(networks: Sequence[ComparedNetwork], *, gauge: bool) -> tuple[PairVerdicts, ...]:
    """Return the verdicts on every pair of groups, all of them corrected together.

    Args:
        networks: group by group.
        gauge: whether the networks were to be brought to one gauge.
    """
    groups: dict[str, list[ComparedNetwork]] = {}
    for network in networks:
        groups.setdefault(network.group, []).append(network)
    pairs = list(combinations(groups, 2))
    evidence = [evidence_of(groups[a], groups[b], gauge=gauge) for a, b in pairs]
    found = verdicts([each for rows in evidence for each in rows])
    sizes = np.cumsum([0, *map(len, evidence)])
    return tuple(
        PairVerdicts(first=a, second=b, verdicts=found[start:end])
        for (a, b), start, end in zip(pairs, sizes, sizes[1:], strict=False)
    )


def evidence_of(first: Sequence[ComparedNetwork], second: Sequence[ComparedNetwork], *, gauge: bool) -> list[Evidence]:
    """Return the evidence on each measure that both groups have."""
    networks = [*first, *second]
    shared = set.intersection(*(_keys(network.measures) for network in networks))
    gauged = all(network.in_gauge for network in networks) and _have_one_gauge(networks)
    remarks = _remarks(networks, asked=gauge, done=gauged, single=len(first) == len(second) == 1)
    obstacles = _obstacles(networks)
    compare = _Trainings(first, second) if max(len(first), len(second)) > 1 else _Singles(first[0], second[0])
    return [
        Evidence(
            measure=key, raw=None if obstacles else compare.raw(key), obstacles=obstacles, remarks=remarks,
            gauge=compare.gauge(key) if gauged and not obstacles else None,
            shift=compare.shift(key) if gauged and not obstacles else None,
        )
        for key in MEASURES
        if key in shared
    ]  # fmt: skip


def _have_one_gauge(networks: Sequence[ComparedNetwork]) -> bool:
    """Return whether the temperature was fitted for all networks, or for none."""
    fitted = {network.gauge is not None and network.gauge.temperature is not None for network in networks}
    return len(fitted) == 1


def _keys(measures: Measures) -> set[str]:
    return {*measures, *(("gap",) if HELD_OUT in measures else ())}


def _obstacles(networks: Sequence[ComparedNetwork]) -> tuple[str, ...]:
    found = []
    if len({(network.data_sha256, network.split) for network in networks}) > 1:
        same = len({network.samples for network in networks}) == 1
        found.append("other data" if same else "other samples")
    if len({network.loss for network in networks}) > 1:
        found.append("other loss")
    if any(_falls(network.measures.get(_NEAR)) for network in networks):
        found.append("no minimum")
    return tuple(found)


def _falls(rises: FloatArray | None) -> bool:
    """Return whether the loss falls near the centre, on average over directions, by more than chance."""
    if rises is None or rises.size < 2 or not np.isfinite(rises).all():  # noqa: PLR2004
        return False
    return bool(rises.mean() < -_FALLS * rises.std(ddof=1) / np.sqrt(rises.size))


def _remarks(networks: Sequence[ComparedNetwork], *, asked: bool, done: bool, single: bool) -> tuple[str, ...]:
    found = [] if done else ["no gauge" if asked else "no gauge asked"]
    if done and any(network.gauge is not None and network.gauge.left for network in networks):
        found.append("part of a gauge")
    return (*found, *(("one training",) if single else ()))


class _Singles:
    """Differences between two single trainings: the draws are directions or samples."""

    def __init__(self, first: ComparedNetwork, second: ComparedNetwork) -> None:
        self._networks = first, second
        self._paired = _same_layout(first, second)

    def raw(self, key: str) -> Difference:
        return self._difference(key, *(network.measures for network in self._networks))

    def gauge(self, key: str) -> Difference | None:
        first, second = (network.in_gauge for network in self._networks)
        known = all(key in _keys(each) for each in (first, second))
        return self._difference(key, first, second) if known else None

    def shift(self, key: str) -> Difference | None:
        raw, gauge = ([getattr(n, name) for n in self._networks] for name in ("measures", "in_gauge"))
        parts = (HELD_OUT, "loss") if key == "gap" else (key,)
        if not all(part in each and each[part].ndim for part in parts for each in (*raw, *gauge)):
            return None
        measure = MEASURES[key]
        found = [
            shift_of(
                (raw[0][part], raw[1][part]),
                (gauge[0][part], gauge[1][part]),
                scale=measure.scale,
                centre=measure.centre,
                paired=measure.unit in _OF_SAMPLES or self._paired,
                unit=measure.unit or "directions",
            )
            for part in parts
        ]
        return minus(*found) if key == "gap" else found[0]

    def _difference(self, key: str, first: Measures, second: Measures) -> Difference:
        if key == "gap":
            parts = [self._of_samples(first[name], second[name], "linear") for name in (HELD_OUT, "loss")]
            return minus(*parts)
        measure, a, b = MEASURES[key], first[key], second[key]
        if not (a.ndim and b.ndim):
            return without_interval(float(np.mean(a)), float(np.mean(b)), scale=measure.scale)
        if measure.unit in _OF_SAMPLES:
            return from_samples(a, b, scale=measure.scale, unit=measure.unit)
        rounding = max(_rounding_of(key, measures) for measures in (first, second))
        return from_directions(a, b, scale=measure.scale, centre=measure.centre, paired=self._paired, rounding=rounding)

    @staticmethod
    def _of_samples(a: FloatArray, b: FloatArray, scale: str) -> Difference:
        assert scale == "linear"
        if not (a.ndim and b.ndim):
            return without_interval(float(np.mean(a)), float(np.mean(b)), scale="linear")
        return from_samples(a, b, scale="linear")


def _rounding_of(key: str, measures: Measures) -> float:
    """Return the relative error of a rise that rounding of the losses in float32 causes; that of the default else."""
    rise = abs(float(np.mean(measures[key])))
    if not key.startswith("rise_") or not rise > 0:
        return ROUNDING
    return max(ROUNDING, _EPSILON * float(np.mean(measures["loss"])) / rise)


class _Trainings:
    """Differences between groups of trainings: the draws are the trainings."""

    def __init__(self, first: Sequence[ComparedNetwork], second: Sequence[ComparedNetwork]) -> None:
        self._groups = first, second

    def raw(self, key: str) -> Difference:
        return from_trainings(*self._values(key, "measures"), scale=MEASURES[key].scale)

    def gauge(self, key: str) -> Difference | None:
        return from_trainings(*self._values(key, "in_gauge"), scale=MEASURES[key].scale)

    def shift(self, key: str) -> Difference | None:
        return shift_of(
            self._values(key, "measures"), self._values(key, "in_gauge"), scale=MEASURES[key].scale,
            centre="geometric" if MEASURES[key].scale == "log" else "mean", paired=False, unit="trainings",
        )  # fmt: skip

    def _values(self, key: str, where: str) -> tuple[FloatArray, FloatArray]:
        first, second = (
            np.array([training_value(key, getattr(network, where)) for network in group]) for group in self._groups
        )
        return first, second


def training_value(key: str, measures: Measures) -> float:
    """Return a measure's value for one training: the mean of its draws; NaN where it was not measured."""
    if key == "gap":
        return training_value(HELD_OUT, measures) - training_value("loss", measures)
    if key not in measures:
        return float("nan")
    draws = measures[key]
    return float(np.exp(np.mean(np.log(draws)))) if MEASURES.get(key) and _is_geometric(key) else float(np.mean(draws))


def _is_geometric(key: str) -> bool:
    return MEASURES[key].centre == "geometric"


def _same_layout(first: ComparedNetwork, second: ComparedNetwork) -> bool:
    """Return whether both have parameters of the same names and shapes, so that a seed gives them the same noise."""
    layouts = [
        [(entry.name, entry.shape) for entry in network.rays.directions[0].layout if not entry.is_buffer]
        for network in (first, second)
        if network.rays is not None and network.rays.directions
    ]
    return len(layouts) == 2 and layouts[0] == layouts[1]  # noqa: PLR2004
