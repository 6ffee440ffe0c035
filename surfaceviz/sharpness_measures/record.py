"""What is found about one checkpoint's sharpness, frozen."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from surfaceviz.sharpness_measures.measurements import TITLES, Change, Figure

CAUTION = (
    "Sharpness often fails to predict generalisation, whichever measure is taken (Andriushchenko et al., arXiv "
    "2302.07011)."
)


@dataclass(frozen=True, slots=True)
class Rescaled:
    """What a rescaling does to every figure.

    Attributes:
        kind: ``layer``, ``neuron``, ``batch norm`` or ``logits``.
        words: what was done, or why it is not possible here.
        deviation: of the outputs from what they should be, relative to the largest; NaN where it is not possible.
        changes: by the keys of the figures; empty where it is not possible.
    """

    kind: str
    words: str
    deviation: float
    changes: Mapping[str, Change]

    @property
    def possible(self) -> bool:
        """Whether there is such a rescaling of this network."""
        return bool(self.changes)


@dataclass(frozen=True, slots=True)
class Sharpness:
    """The measures of sharpness of one checkpoint, and what rescalings do to them.

    Attributes:
        name: of the checkpoint.
        problem: its name.
        split: whose loss.
        samples: how many of them.
        loss: at the weights, on those samples.
        gradient_norm: of that loss.
        dimension: the number of parameters.
        seed: of all that is drawn.
        figures: by the keys of `TITLES`: lambda_max, trace, lambda_max_normalised, trace_normalised, phi_1e-3,
            phi_5e-4, m_sharpness, expected_rise, width.
        rescalings: of each kind; () where none were asked for.
    """

    name: str
    problem: str
    split: str
    samples: int
    loss: float
    gradient_norm: float
    dimension: int
    seed: int
    figures: Mapping[str, Figure]
    rescalings: tuple[Rescaled, ...] = ()

    def __getitem__(self, key: str) -> Figure:
        """Return a figure by its key."""
        return self.figures[key]

    def rescaled(self, kind: str) -> Rescaled:
        """Return what a kind of rescaling does."""
        return next(each for each in self.rescalings if each.kind == kind)

    def plain(self) -> dict[str, Any]:
        """Return everything as JSON has it: what is no finite number is None, and told by a note or a word."""
        own = ("name", "problem", "split", "samples", "loss", "gradient_norm", "dimension", "seed")
        return {
            **{key: _number(getattr(self, key)) for key in own},
            "figures": {key: {"title": TITLES[key], **_figure(each)} for key, each in self.figures.items()},
            "rescalings": {each.kind: _rescaled(each) for each in self.rescalings},
        }


def _rescaled(each: Rescaled) -> dict[str, Any]:
    changes = {
        key: {
            **_figure(change.after), "factor": _number(change.factor), "factor_stderr": _number(change.stderr),
            "verdict": change.verdict,
        }
        for key, change in each.changes.items()
    }  # fmt: skip
    return {
        "possible": each.possible, "words": each.words, "deviation": _number(each.deviation), "changes": changes
    }  # fmt: skip


def _figure(each: Figure) -> dict[str, Any]:
    draws = [] if each.draws is None else [_number(x) for x in each.draws.reshape(-1).tolist()]
    return {
        "value": _number(each.value), "stderr": _number(each.stderr),
        "quartiles": None if each.quartiles is None else [_number(x) for x in each.quartiles],
        "draws": draws, "note": each.note,
    }  # fmt: skip


def _number(given: Any) -> Any:
    return None if isinstance(given, float) and not math.isfinite(given) else given
