"""Paired differences of the loss between points of a slice, where possible on samples that it was not computed on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from surfaceviz import evaluate
from surfaceviz.evaluate import EngineConfig, EvaluationContext, Evaluator
from surfaceviz.options import AUTO
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.problem.data import DataSplit, subset_order
from surfaceviz.problem.estimates import MeanEstimate
from surfaceviz.problem.rows import rows_at
from surfaceviz.records import FloatArray, Slice

ENOUGH, SHARE = 100, 0.25  # samples that are left, at least, also as a share of those that were used; ours


class PointPairs:
    """Evaluates pairs of grid points; each point once.

    The points are evaluated in float64, so that no difference comes from rounding, which samples share; in the slice's
    dtype where the model draws random numbers, which depend on it.

    Args:
        plan: of the slice, built again.
        surface: the slice.
        split: the name of the split whose loss is meant.

    Attributes:
        samples: number of samples.
        held_out: whether the slice was computed on none of them.
        dtype: in which points are evaluated.
    """

    def __init__(self, plan: Plan, surface: Slice, split: str) -> None:
        own = next(each for each in plan.splits if each.name == split)
        others = _others(plan, own)
        self.dtype = plan.dtype if plan.problem.draws.are_taken else "float64"
        self.held_out, self.samples = others is not None, (others or own).count
        self._context = plan.context(self.dtype, whole=True)
        self._evaluator = Evaluator(self._with_split(plan, others or own), EngineConfig())
        self._own = Evaluator(self._with_split(plan, own), EngineConfig()) if self.held_out else self._evaluator
        self._surface, self._loss = surface, f"{split}_loss"
        self._known: dict[int, MeanEstimate] = {}

    def _with_split(self, plan: Plan, split: DataSplit) -> EvaluationContext:
        dtype = evaluate.DTYPES[self.dtype]
        on_device = split.mapped(lambda tree: plan.problem.cast(tree, dtype, plan.device))
        return replace(self._context, splits=[on_device])

    def __call__(self, minimum: int, highest: int) -> tuple[float, float]:
        """Return the loss at a pass less that at a minimum, by flat index, and its standard error over samples."""
        low, high = self._estimate(minimum), self._estimate(highest)
        error = high.rise_stderr(low)
        return float(high.mean - low.mean), float("nan") if error is None else float(error)

    def own_values(self, points: Sequence[int]) -> FloatArray:
        """Return the losses at grid points, by flat index, on the samples of the slice."""
        found = [float(self._own.estimates(self._place(point))[self._loss].mean) for point in points]
        return np.array(found)

    def _estimate(self, point: int) -> MeanEstimate:
        if point not in self._known:
            self._known[point] = self._evaluator.estimates(self._place(point))[self._loss]
        return self._known[point]

    def _place(self, point: int) -> tuple[float, ...]:
        index = np.unravel_index(point, self._surface.shape)
        return tuple(float(axis[i]) for axis, i in zip(self._surface.axes, index, strict=True))


def _others(plan: Plan, own: DataSplit) -> DataSplit | None:
    """Return the samples of a split that the slice was not computed on; None where there are not enough.

    With samples auto, audits were on all samples.
    """
    if plan.request.samples in (None, AUTO) or own.given:
        return None
    whole = plan.problem.load(own.name)
    left = whole.count - own.count
    if whole.given or left < max(ENOUGH, SHARE * own.count):
        return None
    index = np.sort(subset_order(whole.count)[own.count :])
    return replace(whole, count=left, rows=rows_at(whole.rows, torch.from_numpy(index)), batch=own.batch)
