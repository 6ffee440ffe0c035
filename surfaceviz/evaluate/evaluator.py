"""Points of a slice, evaluated by an engine."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from torch import Tensor

from surfaceviz.data import Split
from surfaceviz.errors import ProblemError
from surfaceviz.evaluate import calls
from surfaceviz.evaluate.how import How
from surfaceviz.evaluate.place import Coordinates, Placer, Stacker
from surfaceviz.functional import Call, Pass, coupling_norms, measured, outputs, recalibrate
from surfaceviz.problem import Problem
from surfaceviz.records import FloatArray
from surfaceviz.sections import Section, apart, in_a_row
from surfaceviz.tally import Tallies

_FEW = 2  # samples that tell what a model and a loss give; one is too few for a batch norm

# Statistics depend on how samples fall into batches: the same ones for every engine.
_RECALIBRATION_BATCH = 128

BN_MODES = ("fixed", "recalibrate")

Arrays = Mapping[str, FloatArray]


@dataclass(frozen=True, slots=True)
class Values:
    """The values at k points, by ``<split>_<metric>``, shapes (k,); standard errors only where samples have values."""

    values: Arrays
    stderr: Arrays = field(default_factory=dict)
    rise_stderr: Arrays = field(default_factory=dict)

    @property
    def first(self) -> dict[str, float]:
        """The values at the first point."""
        return {name: float(array[0]) for name, array in self.values.items()}

    @classmethod
    def joined(cls, parts: Sequence[Values]) -> Values:
        """Return the values of several lots of points, one after another."""
        return cls(*(_concatenated([getattr(part, kind) for part in parts]) for kind in cls.__slots__))


def _concatenated(parts: Sequence[Arrays]) -> dict[str, FloatArray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@dataclass(frozen=True, slots=True)
class World:
    """What the points of a slice are made of.

    Attributes:
        problem: what is measured.
        place: makes the weights of a point, in a dtype, on a device.
        splits: data, on the device, in the dtype.
        calibration: batches from which batch norms' statistics are recomputed at each point; None keeps
            those of theta.
    """

    problem: Problem
    place: Placer
    splits: Sequence[Split]
    calibration: Split | None = None

    @property
    def samples(self) -> int:
        """The number of samples of a point."""
        return sum(split.count for split in self.splits)

    def shortened(self, samples: int) -> World:
        """Return the world with so many samples in all (one of each split at the least), the first of each split."""
        if samples >= self.samples:
            return self
        counts = [max(1, split.count * samples // self.samples) for split in self.splits]
        largest = max(range(len(counts)), key=counts.__getitem__)
        counts[largest] += max(0, samples - sum(counts))
        return replace(self, splits=[split.head(n) for split, n in zip(self.splits, counts, strict=True)])


def uninformed_loss(world: World, split: Split) -> float | None:
    """Return the loss of a uniform guess or of the mean prediction on a split; None where there is no such thing."""
    if not world.problem.judges_outputs or split.given:
        return None
    with torch.no_grad():
        at_centre = outputs(world.problem)(world.place.centre, split.head(_FEW).rows)
    return world.problem.uninformed(split, at_centre)


class Evaluator:
    """Evaluates points of a slice, each from theta anew, so that no point depends on another.

    Args:
        world: what the points are made of.
        how: the engine and its sizes.
    """

    def __init__(self, world: World, how: How) -> None:
        if how.group > 1 and world.calibration is not None:
            raise ProblemError("several weight sets at once can't recalibrate batch norms")
        self.group, self._how = how.group, how
        self._problem, self._place = world.problem, world.place
        self._stack = Stacker(world.place) if how.engine in ("vmapped", "unfused") else None
        self._call = self._made(how)
        self._centre: Tallies | None = None
        self._take(world)

    def _take(self, world: World) -> None:
        sections = _sections(world, self._how)
        self._pass = Pass(world.problem, sections, self._call)
        if self._call is not None and self._how.engine == "folded":  # filters grow from those of the first point
            for section in sections:
                measured(self._call, section.title, section.batches[:1], self._place.centre)
        calibration = world.calibration
        self._calibration = None if calibration is None else calibration.batches(_RECALIBRATION_BATCH)

    def on(self, world: World) -> Evaluator:
        """Return this evaluator on more or fewer samples; for batches of one shape nothing is compiled anew."""
        other = copy.copy(self)
        other._centre = None  # noqa: SLF001  of this very class
        other._take(replace(world, place=self._place))  # noqa: SLF001
        return other

    def _made(self, how: How) -> Call | None:
        if self._stack is not None:
            return calls.Vmapped(self._problem, self._stack.moving, compiled=how.engine == "vmapped")
        makers = {"folded": calls.folded, "compiled": calls.compiled}
        return makers[how.engine](self._problem) if how.engine in makers else None

    @property
    def stacks(self) -> bool:
        """Whether several weight sets are run at once with nothing to be compiled; known after the first points."""
        return isinstance(self._call, calls.Vmapped) and not self._call.waits

    def centre(self) -> Values:
        """Return the values at theta itself, to which rises are then referred."""
        self._centre = None
        tallies = self._tallies([(0.0,) * len(self._place.directions)])
        self._centre = {name: tally.first for name, tally in tallies.items()}
        return self._values(tallies, 1)

    def sampled(self, place: Coordinates) -> tuple[Values, Arrays]:
        """Return the values at a point, and each sample's share in how much its rises deviate from their means.

        The second, by name, has shape (n,): over a subset of m samples, n/m times the sum is the error of the
        subset's rise. A metric without a value for each sample has none. `centre` comes first.
        """
        assert self._centre is not None
        tallies = self._tallies([place])
        shares = {}
        for name, tally in tallies.items():
            here, centre = tally.residuals, self._centre[name].residuals
            if here is not None and centre is not None:
                shares[name] = (here[0] - centre[0]).cpu().numpy()
        return self._values(tallies, 1), shares

    def __call__(self, places: Sequence[Coordinates]) -> Values:
        """Return the values at points (alpha[, beta]), evaluated ``group`` at a time.

        Raises:
            ProblemError: the problem's own code raised; the coordinates are named.
        """
        parts = []
        for start in range(0, len(places), self.group):
            lot = places[start : start + self.group]
            try:
                parts.append(self._values(self._tallies(lot), len(lot)))
            except ProblemError as error:
                where = ", ".join(f"{x:g}" for x in lot[0])
                raise ProblemError(f"at ({where}): {error}") from error
        return Values.joined(parts)

    def _tallies(self, lot: Sequence[Coordinates]) -> Tallies:
        if self._stack is not None:  # always a whole group, for which the engine was compiled
            return self._pass(self._stack([*lot, *[lot[-1]] * (self.group - len(lot))]))
        state = self._place(lot[0])
        if self._calibration is not None:
            recalibrate(self._problem, state, self._calibration)
        return self._pass(state)

    def _values(self, tallies: Tallies, count: int) -> Values:
        centre = self._centre or {name: tally.first for name, tally in tallies.items()}
        errors = {name: tally.stderr for name, tally in tallies.items()}
        rises = {name: tally.rise_stderr(centre[name]) for name, tally in tallies.items()}
        return Values(
            {name: _array(tally.mean, count) for name, tally in tallies.items()},
            {name: _array(each, count) for name, each in errors.items() if each is not None},
            {name: _array(each, count) for name, each in rises.items() if each is not None},
        )


def _array(each: Tensor, count: int) -> FloatArray:
    array: FloatArray = each[:count].cpu().numpy()
    return array


def _sections(world: World, how: How) -> list[Section]:
    """Return batches of one size where samples stand for themselves, else those of each split as they are."""
    splits = world.splits
    if how.engine == "eager" or any(split.given for split in splits) or coupling_norms(world.problem.model):
        return apart(splits, how.batch_size)
    if not _sampled(world):
        return apart(splits, how.batch_size)
    return in_a_row(splits, how.batch_size)


def _sampled(world: World) -> bool:
    """Return whether every metric has a value for each sample."""
    few = [split.head(_FEW) for split in world.splits]
    tallies = Pass(world.problem, apart(few, _FEW))(world.place.centre)
    return all(tally.residuals is not None for tally in tallies.values())
