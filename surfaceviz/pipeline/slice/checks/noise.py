"""Random numbers that a model draws: how much other draws would change the values at the centre of a slice."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from surfaceviz.evaluate import EngineConfig, Evaluator
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.records import EVALUATED, Slice

_MARK = "_noise"  # in the names of its attributes
_MORE = 8  # draws that are recommended, or times as many as there are; ours


def measure_noise(plan: Plan, centre: Mapping[str, float]) -> dict[str, float]:
    """Return the change of each loss at the centre when other random numbers are drawn, as many times.

    Empty if the model draws none, or if they do not matter.

    Args:
        plan: the plan.
        centre: the values at the centre, in the model's usual dtype.
    """
    draws = plan.problem.draws
    if not draws.are_taken:
        return {}
    with draws.others():
        other = Evaluator(plan.reference, EngineConfig()).centre().first
    names = [f"{split.name}_loss" for split in plan.splits]
    return {f"{name}{_MARK}": abs(other[name] - centre[name]) for name in names if other[name] != centre[name]}


def kept_noise(before: Slice | None) -> dict[str, float]:
    """Return these changes as the file that a run resumes holds them."""
    stored = {} if before is None else before.provenance
    return {key: float(value) for key, value in stored.items() if key.endswith(f"_loss{_MARK}")}


def noise_lines(plan: Plan, surface: Slice) -> list[str]:
    """Return a line for each loss that random numbers change, next to the range of the slice."""
    lines = []
    for key, change in kept_noise(surface).items():
        name, count = key.removesuffix(_MARK), plan.request.draws
        span = _span(surface, name)
        share = f", {change / span:.2g} of the slice's range {span:.3g}" if span > 0 else ""
        drawn = "another draw" if count == 1 else f"another {count} draws"
        more = f"--draws {_MORE * count} takes the mean over more, with its error in stderr"
        lines.append(
            f"the model draws random numbers, here the same at every point: with {drawn}, {name} at the centre changes "
            f"by {change:.3g}{share}; {more}, --noise-seed takes others"
        )
    return lines


def _span(surface: Slice, name: str) -> float:
    """Return the range of a loss over the evaluated points, up to its level."""
    values = np.append(surface.values[name][surface.origin == EVALUATED], surface.centre[name])
    shown = np.minimum(values[np.isfinite(values)], surface.levels.get(name, math.inf))
    return float(np.ptp(shown)) if shown.size else 0.0
