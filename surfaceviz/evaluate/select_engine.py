"""Selection of an engine and its sizes by timing them on real points."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from surfaceviz.errors import ProblemError
from surfaceviz.evaluate.engine import EngineConfig
from surfaceviz.evaluate.evaluator import EvaluationContext, Evaluator, PointValues
from surfaceviz.evaluate.perturb import Coordinates
from surfaceviz.evaluate.precision import disagreement
from surfaceviz.problem.batching import coupling_norms

# Ours, from ResNet-20, a small CNN and an MLP on two cores.
_MIN_WORK = 2.0  # seconds of work of a process; below, engines are not compared
_SEARCH_SHARE = 1 / 3  # of the work that choosing an engine may take in all, by what is known before each trial
_TIMING_SHARE = 0.05  # of the work that timing of engines without compiling may take
_STARTUP = {"eager": 0.0, "folded": 2.0, "vmapped": 0.5, "compiled": 30.0}  # seconds, with an empty cache of torch
_GAIN = {
    "eager": 0.3,
    "folded": 0.3,
    "vmapped": 0.6,
    "compiled": 0.3,
}  # share of the work that it can save
_LINEAR_NDIM = 2  # of the weight of a linear layer
_GRAPH_SAMPLES = 8  # enough to capture a graph
_TIMING_SAMPLES = 2048  # enough to time an engine
_CPU_BATCHES = (480, 128, 32)  # limited by caches
_GPU_BATCHES = (512, 2048, 8192)  # limited by occupancy
_MAX_ACTIVATIONS = 2**14  # weight sets times samples of a vmapped group
_MAX_GROUP = 256
_MAX_WEIGHT_BYTES = 2**27  # of the weights of a group
_MIN_TIMING = 0.15  # seconds of repetitions


@dataclass(slots=True, kw_only=True)
class SelectedEngine:
    """An engine, with the timings that led to it.

    Attributes:
        engine: the engine and its sizes.
        seconds: engine -> seconds for one point.
        notes: lines for the user.
        evaluator: evaluator of the whole context with this engine, where there is one.
    """

    engine: EngineConfig
    seconds: dict[str, float] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    evaluator: Evaluator | None = None


def select_engine(
    context: EvaluationContext,
    sample_points: Sequence[Coordinates],
    *,
    points: float,
    engine: str | None = None,
    batch_size: int | None = None,
    compiling: bool = True,
) -> SelectedEngine:
    """Return the engine that evaluates ``points`` points in the least time, compiling included.

    An engine is left out if its losses differ from the eager engine's beyond rounding, or if it can't run the problem.
    If it was requested, the eager engine is the fallback.

    Args:
        context: problem, weights and data.
        sample_points: two or three real points of the slice.
        points: number of points that each process evaluates.
        engine: name of the engine; None compares all.
        batch_size: batch size; None compares several.
        compiling: whether engines that need compiling are timed.
    """
    trials = _Trials(context, sample_points, points)
    chosen = SelectedEngine(engine=EngineConfig.of("eager", batch_size))
    if engine == "eager" and batch_size is not None:
        return chosen
    if engine not in (None, "eager"):
        return _select_requested(trials, chosen, engine, batch_size)
    best = trials.seconds(chosen.engine)
    chosen.engine = trials.fitted  # with smaller batches where memory is short
    chosen.seconds[str(chosen.engine)], chosen.evaluator = best, trials.last
    if best * points < _MIN_WORK:
        return chosen
    trials.elapsed()  # starts the clock
    for family in _candidate_families(context, engine, batch_size):
        previous = math.inf
        for candidate in family:
            if candidate.name == "compiled" and not compiling:
                break
            spent = trials.elapsed() if len(chosen.seconds) > 1 else 0.0
            seconds = _try_engine(trials, candidate, chosen, work=best * points, spent=spent)
            if seconds is None or seconds > previous:
                break
            previous = seconds
            if seconds < best:
                best, chosen.engine, chosen.evaluator = seconds, candidate, trials.last
    return chosen


def _try_engine(
    trials: _Trials, engine: EngineConfig, chosen: SelectedEngine, *, work: float, spent: float
) -> float | None:
    """Return the seconds for a point; None where a trial would cost too much, or the engine can't run the problem."""
    startup = _STARTUP[engine.name]
    if startup > _GAIN[engine.name] * work or not trials.affords(engine, startup, work):
        return None
    try:
        if engine.name == "vmapped" and not trials.batches_weights(engine):
            return None  # torch.func.vmap over convolutions compiles slowly, takes much memory, and is never fastest
        if engine.name in ("eager", "folded") and spent and spent + startup > _TIMING_SHARE * work:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an engine that may never run
            seconds = trials.seconds(engine)
    except _LossMismatchError as error:
        chosen.notes.append(f"engine {engine.name} is left out: {error}")
        return None
    except ProblemError:  # the user did not request this engine
        return None
    chosen.seconds[str(engine)] = seconds
    return seconds


def _select_requested(
    trials: _Trials, chosen: SelectedEngine, engine: str | None, batch_size: int | None
) -> SelectedEngine:
    """Return the requested engine, with the best batch size where none is given; the eager one where it fails."""
    assert engine is not None
    sizes = [batch_size] if batch_size or engine != "folded" else _distinct_sizes(_CPU_BATCHES, trials.context.samples)
    for size in sizes:
        candidate = _sized(trials.context, EngineConfig.of(engine, size))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a compiler's, which as errors would decide on the engine
                chosen.seconds[str(candidate)] = seconds = trials.seconds(candidate)
        except ProblemError as error:
            if chosen.engine.name == "eager":
                chosen.notes.append(
                    f"engine {engine} can't run this problem ({_first_line(error)}); the eager engine runs instead"
                )
            return chosen
        if seconds <= min(chosen.seconds.values()):
            chosen.engine, chosen.evaluator = candidate, trials.last
    return chosen


def _first_line(error: Exception) -> str:
    """Return the first line of an error, for a compiler's error the line below '... raised:'."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[1 if len(lines) > 1 and lines[0].endswith("raised:") else 0][:160]


def _candidate_families(
    context: EvaluationContext, engine: str | None, batch_size: int | None
) -> Iterator[list[EngineConfig]]:
    """Yield lists of engines, the most promising first; in a list, the next size is tried while it is faster."""
    on_cpu = context.perturb.device.type == "cpu"
    sizes = [batch_size] if batch_size else list(_CPU_BATCHES if on_cpu else _GPU_BATCHES)
    default = EngineConfig.of("eager", batch_size).batch_size
    if engine is None and on_cpu:
        yield [EngineConfig("folded", size) for size in _distinct_sizes(sizes, context.samples)]
    for size in sizes:
        if size != default:
            yield [EngineConfig("eager", size)]
    if engine is None and context.calibration is None:
        yield [_sized(context, EngineConfig.of("vmapped", batch_size))]
    if engine is None:
        yield [EngineConfig.of("compiled", batch_size)]


def _sized(context: EvaluationContext, engine: EngineConfig) -> EngineConfig:
    """Return a vmapped engine with as many weight sets at once as fit into the cache of a core."""
    if engine.name != "vmapped":
        return engine
    room = _MAX_ACTIVATIONS // _even_batch_size(context.samples, engine.batch_size)
    room = min(room, _MAX_GROUP, _MAX_WEIGHT_BYTES // max(context.perturb.nbytes, 1))
    return replace(engine, group=2 ** max(1, room.bit_length() - 1))


def _distinct_sizes(sizes: Sequence[int], samples: int) -> list[int]:
    """Return the batch sizes that give different batches of ``samples`` samples."""
    return list({_even_batch_size(samples, size): size for size in sizes}.values())


def _even_batch_size(samples: int, size: int) -> int:
    return math.ceil(samples / math.ceil(samples / size))


class _LossMismatchError(ProblemError):
    """An engine whose losses differ from the eager engine's."""


class _Trials:
    """Times engines on real points, and compares their losses with those of the eager engine."""

    def __init__(self, context: EvaluationContext, points: Sequence[Coordinates], work: float) -> None:
        self.context = context
        self._work, self._first = work, time.monotonic()  # in points; the begin of the search
        self._trial_points = len(points) + 2  # that a trial evaluates at least: two are repeated
        self._points, self._begun = list(points), math.inf
        self._coupled = bool(coupling_norms(context.problem.model)) or any(split.is_bound for split in context.splits)
        # By the number of samples, and by the batch size where values depend on it.
        self._references: dict[tuple[int, int], PointValues] = {}
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
        values = evaluator(self._points[: evaluator.group])  # compiles and warms up
        once = (time.perf_counter() - begun) / len(self._points[: evaluator.group])
        scale = self.context.samples / short.samples
        if engine.name == "eager" and once * self._trial_points > _SEARCH_SHARE * once * scale * self._work:
            return once * scale  # so few points that timing more of them costs more than an engine could save
        values = evaluator(self._points)
        if evaluator.engine != engine and engine.name != "eager":
            raise ProblemError(evaluator.note)
        self._compare(engine, values, short)
        group = (self._points * evaluator.group)[: evaluator.group] if evaluator.group > 1 else self._points[:1]
        seconds = _shortest_time(lambda: evaluator(group)) / len(group)
        return seconds * scale

    def affords(self, engine: EngineConfig, startup: float, work: float) -> bool:
        """Return whether a trial as fast as the eager engine keeps the search within its share of ``work`` seconds."""
        share = self._short(engine).samples / self.context.samples
        trial = startup + self._trial_points * share * work / self._work
        return time.monotonic() - self._first + trial <= _SEARCH_SHARE * work

    def _short(self, engine: EngineConfig) -> EvaluationContext:
        """Return the context with enough samples to time an engine, in batches of the same size as on all samples."""
        size = _even_batch_size(self.context.samples, engine.batch_size)
        return self.context.shortened(max(1, _TIMING_SAMPLES // size) * size)

    def elapsed(self) -> float:
        """Return the seconds since the first call."""
        self._begun = min(self._begun, time.monotonic())
        return time.monotonic() - self._begun

    def batches_weights(self, engine: EngineConfig) -> bool:
        """Return whether several weight sets can run at once without compiling, by a trial with two."""
        if any(tensor.ndim > _LINEAR_NDIM for tensor in self.context.perturb.theta.values()):
            return False  # decided without tracing, which takes seconds for a ResNet
        few = Evaluator(self.context.shortened(_GRAPH_SAMPLES), replace(engine, name="unfused", group=2))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            few((self._points * 2)[:2])
        return few.batches_weights

    def _compare(self, engine: EngineConfig, values: PointValues, short: EvaluationContext) -> None:
        key = short.samples, engine.batch_size if self._coupled else 0
        if key not in self._references:
            reference = Evaluator(short, EngineConfig("eager", engine.batch_size)) if engine.name != "eager" else None
            self._references[key] = values if reference is None else reference(self._points)
        for name, losses in values.values.items():
            if not name.endswith("_loss"):
                continue
            for loss, other in zip(self._references[key].values[name], losses, strict=True):
                finite = math.isfinite(loss), math.isfinite(other)
                if finite[0] != finite[1] or (
                    all(finite) and disagreement(loss, other, self.context.perturb.dtype) > 1
                ):
                    raise _LossMismatchError(f"got {name} {other:.9g}; the eager engine gives {loss:.9g}")


def _shortest_time(function: Callable[[], object]) -> float:
    """Return the shortest of several times, in seconds."""
    best, begun = math.inf, time.perf_counter()
    for repetition in range(20):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - begun > _MIN_TIMING and repetition:
            break
    return best
