"""Evaluation of a plan's points on a subset of the samples or on all, in this process or in a worker."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from functools import partial

import numpy as np
import torch

from surfaceviz.errors import ProblemError
from surfaceviz.evaluate import EngineConfig, Evaluator, PointValues, allow_tf32
from surfaceviz.execute import FunctionFactory, WorkerSpec
from surfaceviz.pipeline.slice.chunks import Chunk
from surfaceviz.pipeline.slice.planning.make_plan import make_plan
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.problem.functional import borrowed
from surfaceviz.records.rounding import same_bits

_for_life = ExitStack()  # a worker process holds the model until it ends


class PointEvaluator:
    """Evaluates chunks of points.

    Where the plan has a subset of the samples, points are evaluated on it unless the chunk requests all. Their
    losses and accuracies are shifted so that the centre has its values on all samples, because a subset estimates
    differences from the centre well. The standard error of a shifted value is unknown (NaN), that of its rise is known.

    Args:
        plan: a plan with all choices made.
        evaluator: evaluator of the plan's context, if one was built already.

    Attributes:
        group: number of points that are evaluated at once.
        centre: the values at theta, on all samples.
        seconds: time for one point.
    """

    def __init__(self, plan: Plan, evaluator: Evaluator | None = None) -> None:
        assert plan.engine is not None
        self._on_subset = evaluator or Evaluator(plan.context(), plan.engine)
        self._on_all = self._on_subset if plan.subset is None else self._on_subset.on(plan.context(whole=True))
        self._shift: dict[str, float] = {}
        self._plan, self._ray = plan, 0
        self.group = plan.engine.group
        self.centre, self.seconds = _timed_centre(self._on_subset)
        self.seconds /= self.group
        if self._on_all is not self._on_subset:
            subset_centre, self.centre = self.centre.first, self._on_all.centre()
            shifted = [name for name in subset_centre if name.endswith(("_loss", "_accuracy"))]
            self._shift = {name: self.centre.first[name] - subset_centre[name] for name in shifted}

    @property
    def engine(self) -> EngineConfig:
        """The engine and its sizes, which may be smaller than planned if memory was short."""
        return self._on_subset.engine

    def __call__(self, chunk: Chunk) -> PointValues:
        """Return the values at the chunk's points."""
        if chunk.ray != self._ray:
            self._on_subset.turn(self._plan.ray(chunk.ray))
            self._ray = chunk.ray
        if chunk.whole:
            return self._on_all(chunk.coordinates)
        values = self._on_subset(chunk.coordinates)
        if not self._shift:
            return values
        moved = {name: values.values[name] + shift for name, shift in self._shift.items()}
        within = {k: v.clip(0, 1) if k.endswith("_accuracy") else v for k, v in moved.items()}
        unknown = {name: np.full_like(array, np.nan) for name, array in values.stderr.items()}
        return PointValues(
            values={**values.values, **within}, stderr=unknown, rise_stderr=values.rise_stderr, note=values.note
        )

    def on_all(self, place: Sequence[float]) -> dict[str, float]:
        """Return the values at one point on all samples."""
        return self._on_all([place]).first


def reference_centre(plan: Plan) -> dict[str, float]:
    """Return the values at theta on all samples, in the model's usual dtype."""
    return dict(Evaluator(plan.reference, EngineConfig()).centre().first)


def _timed_centre(evaluator: Evaluator) -> tuple[PointValues, float]:
    """Return the centre's values and their time in seconds; repeated after a warm-up if that takes less than 1 s."""
    begun = time.monotonic()
    centre = evaluator.centre()
    seconds = time.monotonic() - begun
    if seconds < 1:
        begun = time.monotonic()
        centre = evaluator.centre()
        seconds = time.monotonic() - begun
    return centre, seconds


def worker_factory(plan: Plan, points: PointEvaluator, workers: WorkerSpec) -> FunctionFactory[Chunk, PointValues]:
    """Return the factory of a worker's function: a new plan in a spawned process, else the present evaluator."""
    if workers.count > 1 and workers.method == "spawn":
        return partial(_build, plan.for_workers, plan.identity, points.centre.first)
    return lambda _number: points


def _build(
    request: Request, identity: Mapping[str, str | int | float], centre: Mapping[str, float], number: int
) -> PointEvaluator:
    """Return the function of a worker process, which builds its own plan and holds the model until it ends.

    Raises:
        ProblemError: the plan differs from that of the first process.
    """
    plan = make_plan(request, lambda _line: None, place=number)
    torch.set_num_threads(1)
    differing = [key for key, value in plan.identity.items() if identity[key] != value]
    _for_life.enter_context(borrowed(plan.problem.model, plan.device))
    _for_life.enter_context(allow_tf32(plan.dtype, plan.device))
    points = PointEvaluator(plan)
    if differing or not same_bits(points.centre.first, centre):
        what = ", ".join(differing) or "the values at the centre"
        raise ProblemError(
            f"building {request.problem} a second time, in a worker, gave another {what}; make it deterministic "
            "(seed it), or use --workers 1"
        )
    return points
