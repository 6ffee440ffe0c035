"""Comparisons of networks as frozen records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from surfaceviz.records.arrays import FloatArray
from surfaceviz.records.slices import Slice
from surfaceviz.records.verdicts import Difference, Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkGauge:
    """How a network was brought to the gauge.

    Attributes:
        balanced: number of hidden units whose in- and outgoing weights have equal norms.
        normed: number of filters before a batch norm that have norm 1.
        left: names of layers that no rescaling could balance.
        temperature: what the logits were divided by; None if it was not fitted.
        reason: why there is no gauge or no temperature, in one line; else empty.
    """

    balanced: int = 0
    normed: int = 0
    left: tuple[str, ...] = ()
    temperature: float | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ComparedNetwork:
    """One set of weights of a comparison, with its measures and slices.

    Attributes:
        name: its name.
        group: the name of its group; its own where it is compared as a single training.
        problem: the problem's name.
        weights_sha256: fingerprint of the weights.
        data_sha256: fingerprint of the data.
        split: the split whose loss is compared.
        samples: number of its samples.
        loss: name of the loss.
        measures: key of a measure -> its draws (K,), or () for a value without draws.
        in_gauge: likewise, for the weights in the gauge; empty if there are none.
        notes: remarks for the user, by measure.
        gauge: how it was brought to the gauge; None if that was not asked.
        plane: the 2-D slice.
        rays: 1-D slices along random directions.
        gauge_rays: the same in the gauge.
    """

    name: str
    group: str
    problem: str
    weights_sha256: str
    data_sha256: str
    split: str
    samples: int
    loss: str = ""
    measures: Mapping[str, FloatArray] = field(default_factory=dict)
    in_gauge: Mapping[str, FloatArray] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    gauge: NetworkGauge | None = None
    plane: Slice | None = None
    rays: Slice | None = None
    gauge_rays: Slice | None = None

    def value(self, key: str) -> float:
        """Return a measure's value, the mean of its draws; NaN where it was not measured."""
        return float(np.mean(self.measures[key])) if key in self.measures else float("nan")


@dataclass(frozen=True, slots=True, kw_only=True)
class PairVerdicts:
    """The verdicts on two groups.

    Attributes:
        first: name of group A.
        second: name of group B.
        verdicts: one for each measure.
    """

    first: str
    second: str
    verdicts: tuple[Verdict, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class IntervalRow:
    """A row of a picture of intervals.

    Attributes:
        title: of the measure.
        words: the verdict in a few words.
        raw: the difference of the networks as they are, on the log scale.
        gauge: that in the gauge; None if it is not known.
    """

    title: str
    words: str
    raw: Difference
    gauge: Difference | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Networks measured alike, and what their differences prove.

    Attributes:
        networks: group by group.
        pairs: every pair of groups, all corrected together.
        provenance: how it was made: command, options, range, ...
    """

    networks: tuple[ComparedNetwork, ...]
    pairs: tuple[PairVerdicts, ...] = ()
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)

    @property
    def groups(self) -> dict[str, list[ComparedNetwork]]:
        """Name of each group -> its networks."""
        found: dict[str, list[ComparedNetwork]] = {}
        for network in self.networks:
            found.setdefault(network.group, []).append(network)
        return found
