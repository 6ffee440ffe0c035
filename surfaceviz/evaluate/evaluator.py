"""Evaluation of the points of a slice by an engine."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfaceviz.errors import MemoryShortError, ProblemError
from surfaceviz.evaluate import engines
from surfaceviz.evaluate.engine import EngineConfig
from surfaceviz.evaluate.perturb import BatchPerturber, Coordinates, Perturber
from surfaceviz.problem.batching import BatchedSplits, batch_jointly, batch_separately, coupling_norms
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.estimates import MeanEstimates
from surfaceviz.problem.functional import Call, DataPass, measure_batches, outputs, recalibrate
from surfaceviz.problem.problem import Problem
from surfaceviz.records import FloatArray

_FEW = 2  # samples that show what a model and a loss return; one is too few for a batch norm

# Statistics depend on the batches, so that every engine uses the same ones.
_RECALIBRATION_BATCH = 128

BN_MODES = ("fixed", "recalibrate")

Arrays = Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True, kw_only=True)
class PointValues:
    """Values at k points, by ``<split>_<metric>``, each of shape ``(k,)``.

    Attributes:
        values: means over the samples.
        stderr: standard errors of the values; only of metrics with a value for each sample.
        rise_stderr: standard errors of the rise over theta; likewise.
        note: what the file should record about these values.
    """

    values: Arrays
    stderr: Arrays = field(default_factory=dict)
    rise_stderr: Arrays = field(default_factory=dict)
    note: str = ""

    @property
    def first(self) -> dict[str, float]:
        """The values at the first point."""
        return {name: float(array[0]) for name, array in self.values.items()}

    @classmethod
    def joined(cls, parts: Sequence[PointValues]) -> PointValues:
        """Return the values of several groups of points, one after another."""
        values, stderr, rise_stderr = (
            _concatenated([getattr(part, kind) for part in parts]) for kind in ("values", "stderr", "rise_stderr")
        )
        return cls(values=values, stderr=stderr, rise_stderr=rise_stderr, note=parts[-1].note)


def _concatenated(parts: Sequence[Arrays]) -> dict[str, FloatArray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluationContext:
    """Problem, weights and data that the points of a slice share.

    Attributes:
        problem: model, loss and metrics.
        perturb: computes the weights of a point, in a dtype, on a device.
        splits: data, on the device, in the dtype.
        calibration: data from which the statistics of batch norms are recomputed at each point; None keeps
            those of theta.
    """

    problem: Problem
    perturb: Perturber
    splits: Sequence[DataSplit]
    calibration: DataSplit | None = None

    @property
    def samples(self) -> int:
        """The number of samples that are evaluated at a point."""
        return sum(split.count for split in self.splits)

    def shortened(self, samples: int) -> EvaluationContext:
        """Return the context with the first samples of each split, at least one, and ``samples`` in all."""
        if samples >= self.samples:
            return self
        counts = [max(1, split.count * samples // self.samples) for split in self.splits]
        largest = max(range(len(counts)), key=counts.__getitem__)
        counts[largest] += max(0, samples - sum(counts))
        return replace(self, splits=[split.head(n) for split, n in zip(self.splits, counts, strict=True)])


def uninformed_loss(context: EvaluationContext, split: DataSplit) -> float | None:
    """Return the loss of a uniform guess or of the mean prediction on a split; None where neither is defined."""
    if len(split.given) == 1 and isinstance(split.given[0], tuple | dict):  # all samples in one batch
        split = replace(split, rows=split.given[0], given=())
    if not context.problem.has_loss or split.given:
        return None
    with torch.no_grad():
        at_centre = outputs(context.problem)(context.perturb.centre, split.head(_FEW).rows)
    return context.problem.uninformed_loss(split, at_centre)


class Evaluator:
    """Evaluates points of a slice, each from theta, so that no point depends on another.

    Where memory runs short, the batches are halved from then on. The batches that recalibrate batch norms are not,
    because the statistics depend on them.

    Args:
        context: problem, weights and data.
        engine: the engine and its sizes.

    Attributes:
        engine: the engine and its sizes, with the batch size as halved.
        group: number of points that are evaluated at once.
        note: a line on values of another batch size than planned.
    """

    def __init__(self, context: EvaluationContext, engine: EngineConfig) -> None:
        if engine.group > 1 and context.calibration is not None:
            raise ProblemError("several weight sets at once can't recalibrate batch norms")
        self.group, self.engine, self.note = engine.group, engine, ""
        self._problem, self._perturb = context.problem, context.perturb
        self._stack = BatchPerturber(context.perturb) if engine.name in ("vmapped", "unfused") else None
        self._call = self._make_call(engine)
        self._centre: MeanEstimates | None = None
        self._use(context)

    def _use(self, context: EvaluationContext) -> None:
        self._context = context
        sections = _sections(context, self.engine)
        self._pass = DataPass(context.problem, sections, self._call)
        if self._call is not None and self.engine.name == "folded":  # the growth of filters counts from theta
            for section in sections:
                measure_batches(
                    self._problem, self._call, section.batches[:1], self._perturb.centre, title=section.title
                )
        calibration = context.calibration
        self._calibration = None if calibration is None else calibration.batches(_RECALIBRATION_BATCH)

    def on(self, context: EvaluationContext) -> Evaluator:
        """Return this evaluator on other samples; nothing is recompiled for batches of the same shape."""
        other = copy.copy(self)
        other._centre = None  # noqa: SLF001  the same class
        other._use(replace(context, perturb=self._perturb))  # noqa: SLF001
        return other

    def turn(self, direction: Mapping[str, Tensor]) -> None:
        """Take another direction in place of the only one, here and in the evaluators made by `on`."""
        self._perturb.turn(direction)

    def _make_call(self, engine: EngineConfig) -> Call | None:
        if self._stack is not None:
            return engines.VmappedCall(self._problem, self._stack.moving, compiled=engine.name == "vmapped")
        makers = {"folded": engines.folded, "compiled": engines.compiled}
        return makers[engine.name](self._problem) if engine.name in makers else None

    @property
    def batches_weights(self) -> bool:
        """Whether several weight sets run at once without compiling; known after the first points."""
        return isinstance(self._call, engines.VmappedCall) and not self._call.needs_compiling

    def centre(self) -> PointValues:
        """Return the values at theta, over which later rises are measured."""
        self._centre = None
        estimates = self._estimates([(0.0,) * len(self._perturb.directions)])
        self._centre = {name: estimate.first for name, estimate in estimates.items()}
        return self._values(estimates, 1)

    def with_sample_deviations(self, point: Coordinates) -> tuple[PointValues, Arrays]:
        """Return the values at a point, and by metric the deviation of each sample's rise from the mean rise, ``(n,)``.

        For a subset of m of the n samples, n/m times the sum of their deviations is the error of the subset's rise.
        A metric without a value for each sample has no deviations. Call `centre` first.
        """
        assert self._centre is not None
        estimates = self._estimates([point])
        deviations = {}
        for name, estimate in estimates.items():
            here, centre = estimate.residuals, self._centre[name].residuals
            if here is not None and centre is not None:
                deviations[name] = (here[0] - centre[0]).cpu().numpy()
        return self._values(estimates, 1), deviations

    def estimates(self, point: Coordinates) -> MeanEstimates:
        """Return the means at a point by metric with the residual of each sample, for differences of two points."""
        return {name: estimate.first for name, estimate in self._estimates([point]).items()}

    def __call__(self, points: Sequence[Coordinates]) -> PointValues:
        """Return the values at points (alpha[, beta]), evaluated ``group`` at a time.

        Raises:
            ProblemError: the problem's own code raised, or a single sample does not fit into memory. The message
                names the coordinates.
        """
        parts = []
        for start in range(0, len(points), self.group):
            group = points[start : start + self.group]
            try:
                parts.append(self._values(self._estimates(group), len(group)))
            except ProblemError as error:
                where = ", ".join(f"{x:g}" for x in group[0])
                raise ProblemError(f"at ({where}): {error}") from error
        return PointValues.joined(parts)

    def _estimates(self, group: Sequence[Coordinates]) -> MeanEstimates:
        while True:
            state = self._state(group)  # each time: halving evaluates theta in the same working tensors
            try:
                return self._pass(state)
            except MemoryShortError:
                if not self._can_halve:
                    raise
            self._halve()  # outside the handler, where the error no longer holds tensors of the failed pass

    def _state(self, group: Sequence[Coordinates]) -> Any:
        if self._stack is not None:  # always a whole group, for which the engine was compiled
            return self._stack([*group, *[group[-1]] * (self.group - len(group))])
        state = self._perturb(group[0])
        if self._calibration is not None:
            recalibrate(self._problem, state, self._calibration)
        return state

    @property
    def _can_halve(self) -> bool:
        """Whether the values do not depend on the batches, and the batches have more than one sample."""
        bound = any(split.is_bound for split in self._context.splits) or bool(coupling_norms(self._problem.model))
        return self._batch > 1 and not bound

    @property
    def _batch(self) -> int:
        """The samples in the largest batch."""
        return min(self.engine.batch_size, self._context.samples)

    def _halve(self) -> None:
        before, self.engine = self._batch, replace(self.engine, batch_size=math.ceil(self._batch / 2))
        self.note = f"memory ran short with batches of {before}: batches of {self._batch} from there on"
        if self._perturb.device.type == "cuda":
            torch.cuda.empty_cache()
        self._use(self._context)

    def _values(self, estimates: MeanEstimates, count: int) -> PointValues:
        centre = self._centre or {name: estimate.first for name, estimate in estimates.items()}
        means = {name: estimate.mean for name, estimate in estimates.items()}
        errors = {name: each for name, estimate in estimates.items() if (each := estimate.stderr) is not None}
        rises = {n: each for n, estimate in estimates.items() if (each := estimate.rise_stderr(centre[n])) is not None}
        fetched = iter(_fetched([*means.values(), *errors.values(), *rises.values()], count))
        values, stderr, rise_stderr = ({name: next(fetched) for name in kind} for kind in (means, errors, rises))
        return PointValues(values=values, stderr=stderr, rise_stderr=rise_stderr, note=self.note)


def _fetched(tensors: Sequence[Tensor], count: int) -> list[FloatArray]:
    """Return arrays of shape ``(count,)``, in one transfer from the device, because each transfer waits for it."""
    if any(tensor.device.type == "cpu" for tensor in tensors):
        return [tensor[:count].cpu().numpy() for tensor in tensors]
    return list(torch.stack([tensor[:count] for tensor in tensors]).cpu().numpy())


def _sections(context: EvaluationContext, engine: EngineConfig) -> list[BatchedSplits]:
    """Return batches of equal size over all splits where samples are independent, else the batches of each split."""
    splits = context.splits
    if engine.name == "eager" or any(split.is_bound for split in splits) or coupling_norms(context.problem.model):
        return batch_separately(splits, engine.batch_size)
    if not _sampled(context):
        return batch_separately(splits, engine.batch_size)
    return batch_jointly(splits, engine.batch_size)


def _sampled(context: EvaluationContext) -> bool:
    """Return whether every metric has a value for each sample."""
    few = [split.head(_FEW) for split in context.splits]
    estimates = DataPass(context.problem, batch_separately(few, _FEW))(context.perturb.centre)
    return all(estimate.residuals is not None for estimate in estimates.values())
