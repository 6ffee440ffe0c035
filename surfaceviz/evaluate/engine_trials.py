"""Trials of engines: each is timed on real points, and its losses are compared with the eager engine's."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace

from surfaceviz.errors import ProblemError
from surfaceviz.evaluate.engine import EngineConfig
from surfaceviz.evaluate.evaluator import EvaluationContext, Evaluator, PointValues
from surfaceviz.evaluate.perturb import Coordinates
from surfaceviz.evaluate.precision import disagreement
from surfaceviz.problem.batching import coupling_norms

_SEARCH_SHARE = 1 / 3  # of the work that choosing an engine may take in all, by what is known before each trial
_LINEAR_NDIM = 2  # of the weight of a linear layer
_GRAPH_SAMPLES = 8  # enough to capture a graph
_TIMING_SAMPLES = 2048  # enough to time an engine
_MIN_TIMING = 0.15  # seconds of repetitions
_REPETITIONS = 2  # at least


def even_batch_size(samples: int, size: int) -> int:
    """Return the size of the largest of as many batches as ``size`` requires, of equal size.

    >>> even_batch_size(1000, 480), even_batch_size(100, 480)
    (334, 100)
    """
    return math.ceil(samples / math.ceil(samples / size))


class LossMismatchError(ProblemError):
    """An engine whose losses differ from the eager engine's."""


class EngineTrials:
    """Times engines on real points, and compares their losses with those of the eager engine.

    Attributes:
        context: problem, weights and data.
        points: number of points that the process is to evaluate.
    """

    def __init__(self, context: EvaluationContext, places: Sequence[Coordinates], points: float) -> None:
        self.context, self.points = context, points
        self._first = time.monotonic()  # the begin of the search
        self._places, self._begun = list(places), math.inf
        self._coupled = bool(coupling_norms(context.problem.model)) or any(split.is_bound for split in context.splits)
        # By the number of samples, and by the batch size where values depend on it.
        self._references: dict[tuple[int, int], PointValues] = {}
        self._batches: bool | None = None  # whether several weight sets can run at once; None before a trial
        self._last: tuple[Evaluator, EvaluationContext] | None = None

    @property
    def last(self) -> Evaluator:
        """The evaluator that was timed last, on all samples."""
        assert self._last is not None
        evaluator, short = self._last
        return evaluator if short is self.context else evaluator.on(self.context)

    @property
    def fitted(self) -> EngineConfig:
        """The engine that was timed last, with batches that fit into memory."""
        assert self._last is not None
        return self._last[0].engine

    def seconds(self, engine: EngineConfig) -> float:
        """Return the seconds for a point.

        Raises:
            ProblemError: the engine can't run the problem, or its losses differ from the eager engine's.
        """
        short = self._short(engine)
        evaluator = Evaluator(short, engine)
        self._last = evaluator, short
        begun = time.perf_counter()
        values = evaluator(self._places[: evaluator.group])  # compiles and warms up
        once = (time.perf_counter() - begun) / len(self._places[: evaluator.group])
        scale = self.context.samples / short.samples
        if engine.name == "eager" and self._evaluated(engine) / scale > _SEARCH_SHARE * self.points:
            return once * scale  # so few points that timing more of them costs more than an engine could save
        if evaluator.group < len(self._places):
            values = evaluator(self._places)
        if evaluator.engine != engine and engine.name != "eager":
            raise ProblemError(evaluator.note)
        self._compare(engine, values, short)
        group = (self._places * evaluator.group)[: evaluator.group] if evaluator.group > 1 else self._places[:1]
        seconds = _shortest_time(lambda: evaluator(group)) / len(group)
        return seconds * scale

    def affords(self, engine: EngineConfig, startup: float, best: float) -> bool:
        """Return whether a trial of an engine keeps the search within its share of the work.

        Args:
            engine: the engine to try.
            startup: seconds until its first point.
            best: the least seconds for a point so far, in which the engine is expected to evaluate one too.
        """
        short = self._short(engine)
        reference = 0 if engine.name == "eager" or self._key(engine, short) in self._references else len(self._places)
        trial = (self._evaluated(engine) + reference) * best
        trial = startup + max(_MIN_TIMING, trial * short.samples / self.context.samples)
        if engine.name == "vmapped" and self._batches is None:
            trial += 2 * best * min(1, _GRAPH_SAMPLES / self.context.samples)
        return time.monotonic() - self._first + trial <= _SEARCH_SHARE * best * self.points

    def _evaluated(self, engine: EngineConfig) -> int:
        """Return the number of points that a trial evaluates at least, in whole groups."""
        group = engine.group
        compared = 0 if group >= len(self._places) else math.ceil(len(self._places) / group) * group
        return group + compared + _REPETITIONS * group

    def _short(self, engine: EngineConfig) -> EvaluationContext:
        """Return the context with enough samples to time an engine, in batches of the same size as on all samples."""
        size = even_batch_size(self.context.samples, engine.batch_size)
        return self.context.shortened(max(1, _TIMING_SAMPLES // size) * size)

    def elapsed(self) -> float:
        """Return the seconds since the first call."""
        self._begun = min(self._begun, time.monotonic())
        return time.monotonic() - self._begun

    def batches_weights(self, engine: EngineConfig) -> bool:
        """Return whether several weight sets can run at once without compiling, by a trial with two."""
        if self._batches is None and any(t.ndim > _LINEAR_NDIM for t in self.context.perturb.theta.values()):
            self._batches = False  # decided without tracing, which takes seconds for a ResNet
        if self._batches is None:
            few = Evaluator(self.context.shortened(_GRAPH_SAMPLES), replace(engine, name="unfused", group=2))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                few((self._places * 2)[:2])
            self._batches = few.batches_weights
        return self._batches

    def _key(self, engine: EngineConfig, short: EvaluationContext) -> tuple[int, int]:
        """Return the key of the eager engine's losses that an engine's are compared with."""
        return short.samples, engine.batch_size if self._coupled else 0

    def _compare(self, engine: EngineConfig, values: PointValues, short: EvaluationContext) -> None:
        key = self._key(engine, short)
        if key not in self._references:
            reference = Evaluator(short, EngineConfig("eager", engine.batch_size)) if engine.name != "eager" else None
            self._references[key] = values if reference is None else reference(self._places)
        for name, losses in values.values.items():
            if not name.endswith("_loss"):
                continue
            for loss, other in zip(self._references[key].values[name], losses, strict=True):
                finite = math.isfinite(loss), math.isfinite(other)
                if finite[0] != finite[1] or (
                    all(finite) and disagreement(loss, other, self.context.perturb.dtype) > 1
                ):
                    raise LossMismatchError(f"got {name} {other:.9g}; the eager engine gives {loss:.9g}")


def _shortest_time(function: Callable[[], object]) -> float:
    """Return the shortest of several times, in seconds."""
    best, begun = math.inf, time.perf_counter()
    for repetition in range(20):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - begun > _MIN_TIMING and repetition + 1 >= _REPETITIONS:
            break
    return best
