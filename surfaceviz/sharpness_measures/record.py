"""The sharpness of one checkpoint as a frozen record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from surfaceviz.records.arrays import html_table
from surfaceviz.sharpness_measures.measurements import Change, Measurement, measurement_text
from surfaceviz.sharpness_measures.registry import MEASURES

CAUTION = (
    "Sharpness often fails to predict generalisation, whichever measure is taken (Andriushchenko et al., arXiv "
    "2302.07011)."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RescalingEffect:
    """The effect of a rescaling on every measure.

    Attributes:
        kind: ``layer``, ``neuron``, ``batch norm`` or ``logits``.
        words: a description of the rescaling, or why it is not possible here.
        deviation: error of the outputs, relative to the largest; NaN if not possible.
        changes: by the keys of `MEASURES`; empty if not possible.
    """

    kind: str
    words: str
    deviation: float
    changes: Mapping[str, Change]

    @property
    def possible(self) -> bool:
        """Whether this network has such a rescaling."""
        return bool(self.changes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sharpness:
    """The sharpness measures of one checkpoint, and the effects of rescalings on them.

    Attributes:
        name: name of the checkpoint.
        problem: name of the problem.
        split: name of the split.
        samples: number of its samples.
        loss: loss at the weights, on those samples.
        gradient_norm: norm of that loss's gradient.
        dimension: the number of parameters.
        seed: seed of all random numbers.
        starts: random starts of each search for the worst case.
        iterations: largest number of steps from each start.
        measurements: by the keys of `MEASURES`: lambda_max, trace, lambda_max_normalised, ...
        rescalings: effects of each kind of rescaling; () if none was requested.
        derivatives: whether derivatives were compared with differences at the run's first checkpoint, in words.
    """

    name: str
    problem: str
    split: str
    samples: int
    loss: float
    gradient_norm: float
    dimension: int
    seed: int
    starts: int
    iterations: int
    measurements: Mapping[str, Measurement]
    rescalings: tuple[RescalingEffect, ...] = ()
    derivatives: str | None = None

    def __getitem__(self, key: str) -> Measurement:
        """Return a measurement by its key."""
        return self.measurements[key]

    def rescaled(self, kind: str) -> RescalingEffect:
        """Return the effect of a kind of rescaling."""
        return next(each for each in self.rescalings if each.kind == kind)

    def _repr_html_(self) -> str:
        rows = [("samples", f"{self.samples} of {self.split}"), ("loss", f"{self.loss:.4g}")]
        rows += [(MEASURES[key].title, measurement_text(each)) for key, each in self.measurements.items()]
        verdicts = [
            (f"{MEASURES[key].title}, rescaled by {effect.kind}", change.verdict)
            for effect in self.rescalings
            for key, change in effect.changes.items()
        ]
        return html_table([*rows, *verdicts, ("+-", "one standard error"), ("caution", CAUTION)])

    def to_json(self) -> dict[str, Any]:
        """Return all fields as JSON values; a number that is not finite becomes None."""
        own = (
            "name",
            "problem",
            "split",
            "samples",
            "loss",
            "gradient_norm",
            "dimension",
            "seed",
            "starts",
            "iterations",
            "derivatives",
        )
        return {
            **{key: _number(getattr(self, key)) for key in own},
            "figures": {
                key: {"title": MEASURES[key].title, "basis": MEASURES[key].basis, **_measurement(each)}
                for key, each in self.measurements.items()
            },
            "rescalings": {each.kind: _effect(each) for each in self.rescalings},
        }


def _effect(each: RescalingEffect) -> dict[str, Any]:
    changes = {
        key: {
            **_measurement(change.after), "factor": _number(change.factor), "factor_stderr": _number(change.stderr),
            "verdict": change.verdict,
        }
        for key, change in each.changes.items()
    }  # fmt: skip
    return {
        "possible": each.possible, "words": each.words, "deviation": _number(each.deviation), "changes": changes
    }  # fmt: skip


def _measurement(each: Measurement) -> dict[str, Any]:
    draws = [] if each.draws is None else [_number(x) for x in each.draws.reshape(-1).tolist()]
    return {
        "value": _number(each.value), "stderr": _number(each.stderr),
        "quartiles": None if each.quartiles is None else [_number(x) for x in each.quartiles],
        "draws": draws, "note": each.note, "at_least": each.at_least, "reach": each.reach,
    }  # fmt: skip


def _number(given: Any) -> Any:
    return None if isinstance(given, float) and not math.isfinite(given) else given
