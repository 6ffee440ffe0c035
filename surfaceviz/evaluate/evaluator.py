"""Points of a slice, evaluated by an engine."""

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
from surfaceviz.evaluate.perturb import Coordinates, Perturber, Stacker
from surfaceviz.problem.batching import BatchedSplits, batch_jointly, batch_separately
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.estimates import MeanEstimates
from surfaceviz.problem.functional import Call, DataPass, coupling_norms, measure_batches, outputs, recalibrate
from surfaceviz.problem.problem import Problem
from surfaceviz.records import FloatArray

_FEW = 2  # samples that tell what a model and a loss give; one is too few for a batch norm

# Statistics depend on how samples fall into batches: the same ones for every engine.
_RECALIBRATION_BATCH = 128


Arrays = Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class PointValues:
    """The values at k points, by ``<split>_<metric>``, shapes (k,); standard errors only where samples have values."""

    values: Arrays
    stderr: Arrays = field(default_factory=dict)
    rise_stderr: Arrays = field(default_factory=dict)
    note: str = ""  # what the file should say of them

    @property
    def first(self) -> dict[str, float]:
        """The values at the first point."""
        return {name: float(array[0]) for name, array in self.values.items()}

    @classmethod
    def joined(cls, parts: Sequence[PointValues]) -> PointValues:
        """Return the values of several lots of points, one after another."""
        values, stderr, rise_stderr = (
            _concatenated([getattr(part, kind) for part in parts]) for kind in ("values", "stderr", "rise_stderr")
        )
        return cls(values, stderr, rise_stderr, parts[-1].note)


def _concatenated(parts: Sequence[Arrays]) -> dict[str, FloatArray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """What the points of a slice are made of.

    Attributes:
        problem: what is measured.
        place: makes the weights of a point, in a dtype, on a device.
        splits: data, on the device, in the dtype.
        calibration: batches from which batch norms' statistics are recomputed at each point; None keeps
            those of theta.
    """

    problem: Problem
    place: Perturber
    splits: Sequence[DataSplit]
    calibration: DataSplit | None = None

    @property
    def samples(self) -> int:
        """The number of samples of a point."""
        return sum(split.count for split in self.splits)

    def shortened(self, samples: int) -> EvaluationContext:
        """Return the context with so many samples in all (one of each split at the least), the first of each split."""
        if samples >= self.samples:
            return self
        counts = [max(1, split.count * samples // self.samples) for split in self.splits]
        largest = max(range(len(counts)), key=counts.__getitem__)
        counts[largest] += max(0, samples - sum(counts))
        return replace(self, splits=[split.head(n) for split, n in zip(self.splits, counts, strict=True)])


def uninformed_loss(context: EvaluationContext, split: DataSplit) -> float | None:
    """Return the loss of a uniform guess or of the mean prediction on a split; None where there is no such thing."""
    if not context.problem.has_loss or split.given:
        return None
    with torch.no_grad():
        at_centre = outputs(context.problem)(context.place.centre, split.head(_FEW).rows)
    return context.problem.uninformed_loss(split, at_centre)


class Evaluator:
    """Evaluates points of a slice, each from theta anew, so that no point depends on another.

    Where memory runs short, batches are halved from then on (but for those that recalibrate batch norms, whose
    statistics depend on them).

    Args:
        context: what the points are made of.
        how: the engine and its sizes.

    Attributes:
        how: likewise, the batches as halved.
        group: points that are evaluated at once.
        note: on values of another batch size than planned.
    """

    def __init__(self, context: EvaluationContext, engine: EngineConfig) -> None:
        if engine.group > 1 and context.calibration is not None:
            raise ProblemError("several weight sets at once can't recalibrate batch norms")
        self.group, self.engine, self.note = engine.group, engine, ""
        self._problem, self._place = context.problem, context.place
        self._stack = Stacker(context.place) if engine.name in ("vmapped", "unfused") else None
        self._call = self._made(engine)
        self._centre: MeanEstimates | None = None
        self._take(context)

    def _take(self, context: EvaluationContext) -> None:
        self._world = context
        sections = _sections(context, self.engine)
        self._pass = DataPass(context.problem, sections, self._call)
        if self._call is not None and self.engine.name == "folded":  # filters grow from those of the first point
            for section in sections:
                measure_batches(self._call, section.title, section.batches[:1], self._place.centre)
        calibration = context.calibration
        self._calibration = None if calibration is None else calibration.batches(_RECALIBRATION_BATCH)

    def on(self, context: EvaluationContext) -> Evaluator:
        """Return this evaluator on more or fewer samples; for batches of one shape nothing is compiled anew."""
        other = copy.copy(self)
        other._centre = None  # noqa: SLF001  of this very class
        other._take(replace(context, place=self._place))  # noqa: SLF001
        return other

    def _made(self, engine: EngineConfig) -> Call | None:
        if self._stack is not None:
            return engines.Vmapped(self._problem, self._stack.moving, compiled=engine.name == "vmapped")
        makers = {"folded": engines.folded, "compiled": engines.compiled}
        return makers[engine.name](self._problem) if engine.name in makers else None

    @property
    def stacks(self) -> bool:
        """Whether several weight sets are run at once with nothing to be compiled; known after the first points."""
        return isinstance(self._call, engines.Vmapped) and not self._call.waits

    def centre(self) -> PointValues:
        """Return the values at theta itself, to which rises are then referred."""
        self._centre = None
        tallies = self._tallies([(0.0,) * len(self._place.directions)])
        self._centre = {name: estimate.first for name, estimate in tallies.items()}
        return self._values(tallies, 1)

    def sampled(self, place: Coordinates) -> tuple[PointValues, Arrays]:
        """Return the values at a point, and each sample's share in how much its rises deviate from their means.

        The second, by name, has shape (n,): over a subset of m samples, n/m times the sum is the error of the
        subset's rise. A metric without a value for each sample has none. `centre` comes first.
        """
        assert self._centre is not None
        tallies = self._tallies([place])
        shares = {}
        for name, estimate in tallies.items():
            here, centre = estimate.residuals, self._centre[name].residuals
            if here is not None and centre is not None:
                shares[name] = (here[0] - centre[0]).cpu().numpy()
        return self._values(tallies, 1), shares

    def __call__(self, places: Sequence[Coordinates]) -> PointValues:
        """Return the values at points (alpha[, beta]), evaluated ``group`` at a time.

        Raises:
            ProblemError: the problem's own code raised, or memory is short for a single sample; the coordinates are
            named.
        """
        parts = []
        for start in range(0, len(places), self.group):
            lot = places[start : start + self.group]
            try:
                parts.append(self._values(self._tallies(lot), len(lot)))
            except ProblemError as error:
                where = ", ".join(f"{x:g}" for x in lot[0])
                raise ProblemError(f"at ({where}): {error}") from error
        return PointValues.joined(parts)

    def _tallies(self, lot: Sequence[Coordinates]) -> MeanEstimates:
        while True:
            state = self._state(lot)  # anew each time: halving evaluates the centre in the same working tensors
            try:
                return self._pass(state)
            except MemoryShortError:
                if not self._can_halve:
                    raise
            self._halve()  # out here, where the error no longer holds what the failing pass had made

    def _state(self, lot: Sequence[Coordinates]) -> Any:
        if self._stack is not None:  # always a whole group, for which the engine was compiled
            return self._stack([*lot, *[lot[-1]] * (self.group - len(lot))])
        state = self._place(lot[0])
        if self._calibration is not None:
            recalibrate(self._problem, state, self._calibration)
        return state

    @property
    def _can_halve(self) -> bool:
        """Whether samples may fall into other batches, and there are batches to be halved."""
        bound = any(split.given for split in self._world.splits) or bool(coupling_norms(self._problem.model))
        return self._batch > 1 and not bound

    @property
    def _batch(self) -> int:
        """The samples in the largest batch."""
        return min(self.engine.batch_size, self._world.samples)

    def _halve(self) -> None:
        before, self.engine = self._batch, replace(self.engine, batch_size=math.ceil(self._batch / 2))
        self.note = f"memory ran short with batches of {before}: batches of {self._batch} from there on"
        if self._place.device.type == "cuda":
            torch.cuda.empty_cache()
        self._take(self._world)

    def _values(self, tallies: MeanEstimates, count: int) -> PointValues:
        centre = self._centre or {name: estimate.first for name, estimate in tallies.items()}
        means = {name: estimate.mean for name, estimate in tallies.items()}
        errors = {name: each for name, estimate in tallies.items() if (each := estimate.stderr) is not None}
        rises = {n: each for n, estimate in tallies.items() if (each := estimate.rise_stderr(centre[n])) is not None}
        fetched = iter(_fetched([*means.values(), *errors.values(), *rises.values()], count))
        values, stderr, rise_stderr = ({name: next(fetched) for name in kind} for kind in (means, errors, rises))
        return PointValues(values, stderr, rise_stderr, self.note)


def _fetched(tensors: Sequence[Tensor], count: int) -> list[FloatArray]:
    """Return arrays (count,), fetched from their device at once: each transfer waits for all work there."""
    if any(tensor.device.type == "cpu" for tensor in tensors):
        return [tensor[:count].cpu().numpy() for tensor in tensors]
    return list(torch.stack([tensor[:count] for tensor in tensors]).cpu().numpy())


def _sections(context: EvaluationContext, engine: EngineConfig) -> list[BatchedSplits]:
    """Return batches of one size where samples stand for themselves, else those of each split as they are."""
    splits = context.splits
    if engine.name == "eager" or any(split.given for split in splits) or coupling_norms(context.problem.model):
        return batch_separately(splits, engine.batch_size)
    if not _sampled(context):
        return batch_separately(splits, engine.batch_size)
    return batch_jointly(splits, engine.batch_size)


def _sampled(context: EvaluationContext) -> bool:
    """Return whether every metric has a value for each sample."""
    few = [split.head(_FEW) for split in context.splits]
    tallies = DataPass(context.problem, batch_separately(few, _FEW))(context.place.centre)
    return all(estimate.residuals is not None for estimate in tallies.values())
