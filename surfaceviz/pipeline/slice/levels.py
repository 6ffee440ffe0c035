"""Levels of losses: what lies above its level is not resolved by a refinement or a picture."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from surfaceviz import evaluate
from surfaceviz.errors import ProblemError
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.slice_buffer import SliceBuffer
from surfaceviz.records import EVALUATED, FloatArray, Slice
from surfaceviz.refine import coarse_lattice

Levels = dict[str, float]
_RISE = 10.0  # of a level, in multiples of the centre's loss, or of the rise of a low part of the lattice; ours
_LOW_PART = 0.25  # of the coarse lattice, by which the level of a custom loss is chosen


def loss_levels(plan: Plan, centre: Mapping[str, float], before: Slice | None) -> Levels:
    """Return the levels that are known before any point is evaluated, by the names of the losses.

    It is the one that the user gives, or that of the file which the run resumes; else the larger of ten times the
    centre's loss and the loss of a uniform guess or of the mean prediction. A custom loss has no such guess: its level
    is the larger of ten times the centre's and that of the coarse lattice (see `level_of_lattice`), or, where a range
    or a dtype is chosen by it before, the centre's loss plus nine times its absolute value (1 for a centre of 0). Ours.

    Raises:
        ProblemError: the level that the user gives is not above the centre's loss.
    """
    stored = {} if before is None else before.levels
    levels = {}
    for split in plan.splits:
        name = f"{split.name}_loss"
        level = stored.get(name)
        if level is None:
            level = _level(plan, split.name, centre[name])
        if level is not None:
            levels[name] = level
    return levels


def _level(plan: Plan, split: str, at: float) -> float | None:
    given = plan.request.coverage.level
    if given is not None:
        if given <= at:
            raise ProblemError(
                f"level {given:g} is not above the {split} loss at the centre, {at:.6g}; give a larger one"
            )
        return given
    context = plan.reference
    guess = evaluate.uninformed_loss(context, next(each for each in context.splits if each.name == split))
    if guess is not None:
        return max(_RISE * at, guess)
    if plan.request.open_range or plan.dtype == "auto" or plan.request.samples == "auto":
        return at + (_RISE - 1) * abs(at) if at else 1.0
    return None


def add_lattice_levels(buffer: SliceBuffer, levels: Levels) -> None:
    """Add the levels that are not known yet to ``levels`` and to the file, if the coarse lattice is evaluated."""
    lattice = coarse_lattice(buffer.axes)
    if np.all(buffer.origin.ravel()[lattice] == EVALUATED):
        values = buffer.at(lattice)
        for name in (f"{split}_loss" for split in str(buffer.provenance["splits"]).split(",")):
            if name not in levels:
                at = buffer.centre[name]
                levels[name] = max(level_of_lattice(values[name], at), at + (_RISE - 1) * abs(at))
    buffer.provenance.update(level_attributes(levels))


def level_of_lattice(losses: FloatArray, centre: float) -> float:
    """Return the level of a custom loss: ten times the median rise of the lowest quarter of the coarse lattice.

    Rises are over the smallest loss, the centre's among them; infinite where that quarter is flat.

    >>> level_of_lattice(np.array([1.0, 2.0, 3.0, 100.0, 1e9, 1e9, 1e9, 1e9]), 1.0)
    6.0
    """
    finite = np.sort(losses[np.isfinite(losses)])
    low = min([centre, *finite[:1].tolist()])
    part = finite[: max(1, round(_LOW_PART * len(finite)))]
    rise = float(np.median(part) - low) if part.size else 0.0
    return low + _RISE * rise if rise > 0 else float("inf")


def level_attributes(levels: Mapping[str, float]) -> dict[str, float]:
    """Return the attributes of a file that hold levels."""
    return {f"{name}_level": level for name, level in levels.items()}
