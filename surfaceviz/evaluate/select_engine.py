"""Choosing an engine and its sizes by measuring them on real points."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from surfaceviz.errors import ProblemError
from surfaceviz.evaluate.engine import EngineConfig
from surfaceviz.evaluate.evaluator import EvaluationContext, Evaluator, PointValues
from surfaceviz.evaluate.perturb import Coordinates
from surfaceviz.evaluate.precision import disagreement
from surfaceviz.problem.functional import coupling_norms

# Ours, from ResNet-20, a small CNN and an MLP on two cores.
_WORTH_CHOOSING = 2.0  # seconds of work of a process; below, whatever is chosen
_SHARE = 0.05  # of the work that may go into measuring what needs no compiling
_STARTING = {"eager": 0.0, "folded": 2.0, "vmapped": 0.5, "compiled": 30.0}  # seconds, with nothing in torch's cache
_GAIN = {"eager": 0.3, "folded": 0.3, "vmapped": 0.6, "compiled": 0.3}  # the share of the remaining time it may save
_OF_LINEAR = 2  # dimensions of a linear layer's weight
_FEW = 8  # samples are enough to see a graph
_SAMPLES = 2048  # so many are enough to time an engine
_CPU_BATCHES = (480, 128, 32)  # caches decide
_GPU_BATCHES = (512, 2048, 8192)  # occupancy does
_ACTIVATIONS = 2**14  # weight sets times samples of a vmapped group
_LARGEST_GROUP = 256
_STACKED_BYTES = 2**27  # of a group's weights
_TIMING = 0.15  # seconds of repetition at least


@dataclass(slots=True)
class SelectedEngine:
    """An engine, what was measured to choose it, and what is to be said."""

    engine: EngineConfig
    seconds: dict[str, float] = field(default_factory=dict)  # engine -> a point
    notes: list[str] = field(default_factory=list)
    evaluator: Evaluator | None = None  # of the whole context, where one was made


def select_engine(
    context: EvaluationContext,
    places: Sequence[Coordinates],
    *,
    points: float,
    engine: str | None = None,
    batch_size: int | None = None,
    compiling: bool = True,
) -> SelectedEngine:
    """Return the engine with which ``points`` points are done soonest, the compiling included.

    An engine whose losses differ from the eager one's beyond rounding, or which can't run the problem, is
    left out; if it was asked for, the eager one takes its place.

    Args:
        context: what the points are made of.
        places: two or three real points of the slice.
        points: how many each process has to do.
        engine: the one to take; None measures all.
        batch_size: the size to take; None measures some.
        compiling: whether engines that take long to start are measured.
    """
    trials = _Trials(context, places)
    chosen = SelectedEngine(EngineConfig.of("eager", batch_size))
    if engine == "eager" and batch_size is not None:
        return chosen
    if engine not in (None, "eager"):
        return _asked(trials, chosen, engine, batch_size)
    best = trials.seconds(chosen.engine)
    chosen.engine = trials.fitting  # where memory is short
    chosen.seconds[str(chosen.engine)] = best
    if best * points < _WORTH_CHOOSING:
        return chosen
    begun = time.monotonic()
    for family in _families(context, engine, batch_size):
        previous = math.inf
        for candidate in family:
            if candidate.name == "compiled" and not compiling:
                break
            spent = time.monotonic() - begun if len(chosen.seconds) > 1 else 0.0
            seconds = _tried(trials, candidate, best * points, spent, chosen)
            if seconds is None or seconds > previous:
                break
            previous = seconds
            if seconds < best:
                best, chosen.engine, chosen.evaluator = seconds, candidate, trials.last
    return chosen


def _tried(trials: _Trials, engine: EngineConfig, work: float, spent: float, chosen: SelectedEngine) -> float | None:
    """Return the seconds of a point; None where trying would not pay, or the engine can't do it."""
    starting = _STARTING[engine.name]
    if starting > _GAIN[engine.name] * work:
        return None
    try:
        if engine.name == "vmapped" and not trials.stacks(engine):
            return None  # torch.func.vmap over convolutions takes long to compile, much memory, and loses
        if engine.name in ("eager", "folded") and spent and spent + starting > _SHARE * work:
            return None
        seconds = trials.seconds(engine)
    except _OtherLossesError as error:
        chosen.notes.append(f"engine {engine.name} is left out: {error}")
        return None
    except ProblemError:  # what it can't do is no news where it was not asked for
        return None
    chosen.seconds[str(engine)] = seconds
    return seconds


def _asked(trials: _Trials, chosen: SelectedEngine, engine: str | None, batch_size: int | None) -> SelectedEngine:
    """Return the asked-for engine, its best batch size where none is given, or the eager one where it fails."""
    assert engine is not None
    sizes = [batch_size] if batch_size or engine != "folded" else _differing(_CPU_BATCHES, trials.context.samples)
    for size in sizes:
        candidate = _sized(trials.context, EngineConfig.of(engine, size))
        try:
            chosen.seconds[str(candidate)] = seconds = trials.seconds(candidate)
        except ProblemError as error:
            if chosen.engine.name == "eager":
                chosen.notes.append(f"engine {engine} can't do this ({_first_line(error)}); eager it is")
            return chosen
        if seconds <= min(chosen.seconds.values()):
            chosen.engine, chosen.evaluator = candidate, trials.last
    return chosen


def _first_line(error: Exception) -> str:
    """Return what an error says, of a compiler's the line beneath the one that says that it raised."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[1 if len(lines) > 1 and lines[0].endswith("raised:") else 0][:160]


def _families(context: EvaluationContext, engine: str | None, batch_size: int | None) -> Iterator[list[EngineConfig]]:
    """Yield engines in sizes to be tried one after another as long as they get faster, the promising ones first."""
    on_cpu = context.place.device.type == "cpu"
    sizes = [batch_size] if batch_size else list(_CPU_BATCHES if on_cpu else _GPU_BATCHES)
    usual = EngineConfig.of("eager", batch_size).batch_size
    if engine is None and on_cpu:
        yield [EngineConfig("folded", size) for size in _differing(sizes, context.samples)]
    for size in sizes:
        if size != usual:
            yield [EngineConfig("eager", size)]
    if engine is None and context.calibration is None:
        yield [_sized(context, EngineConfig.of("vmapped", batch_size))]
    if engine is None:
        yield [EngineConfig.of("compiled", batch_size)]


def _sized(context: EvaluationContext, engine: EngineConfig) -> EngineConfig:
    """Return a vmapped engine with as many weight sets at once as a core's cache bears."""
    if engine.name != "vmapped":
        return engine
    room = _ACTIVATIONS // _even(context.samples, engine.batch_size)
    held = sum(tensor.numel() * tensor.element_size() for tensor in context.place.still.values())
    room = min(room, _LARGEST_GROUP, _STACKED_BYTES // max(held, 1))
    return replace(engine, group=2 ** max(1, room.bit_length() - 1))


def _differing(sizes: Sequence[int], samples: int) -> list[int]:
    """Return the sizes that make different batches of so many samples."""
    return list({_even(samples, size): size for size in sizes}.values())


def _even(samples: int, size: int) -> int:
    return math.ceil(samples / math.ceil(samples / size))


class _OtherLossesError(ProblemError):
    """An engine computes something else than the eager one."""


class _Trials:
    """Times engines on real points, and compares their losses with the eager engine's."""

    def __init__(self, context: EvaluationContext, places: Sequence[Coordinates]) -> None:
        self.context = context
        self._places = list(places)
        self._coupled = bool(coupling_norms(context.problem.model)) or any(split.given for split in context.splits)
        self._references: dict[
            tuple[int, int], PointValues
        ] = {}  # by samples, and batch size where it makes a difference
        self._last: tuple[Evaluator, EvaluationContext] | None = None

    @property
    def last(self) -> Evaluator:
        """The evaluator that was timed last, on all samples."""
        assert self._last is not None
        evaluator, short = self._last
        return evaluator if short is self.context else evaluator.on(self.context)

    @property
    def fitting(self) -> EngineConfig:
        """What was timed last, in the batches that memory bore."""
        assert self._last is not None
        return self._last[0].engine

    def seconds(self, engine: EngineConfig) -> float:
        """Return the seconds that a point takes.

        Raises:
            ProblemError: the engine can't do it, or gives other losses than the eager one.
        """
        short = self._short(engine)
        evaluator = Evaluator(short, engine)
        self._last = evaluator, short
        values = evaluator(self._places)  # compiles and warms up
        if evaluator.engine != engine and engine.name != "eager":
            raise ProblemError(evaluator.note)
        self._compare(engine, values, short)
        lot = (self._places * evaluator.group)[: evaluator.group] if evaluator.group > 1 else self._places[:1]
        seconds = _quickest(lambda: evaluator(lot)) / len(lot)
        return seconds * self.context.samples / short.samples

    def _short(self, engine: EngineConfig) -> EvaluationContext:
        """Return the context with enough samples to time an engine, in batches of the size that it has on all."""
        size = _even(self.context.samples, engine.batch_size)
        return self.context.shortened(max(1, _SAMPLES // size) * size)

    def stacks(self, engine: EngineConfig) -> bool:
        """Return whether several weight sets can be run at once with nothing to be compiled, told by two."""
        if any(tensor.ndim > _OF_LINEAR for tensor in self.context.place.base.values()):
            return False  # at no cost: tracing a ResNet takes seconds
        few = Evaluator(self.context.shortened(_FEW), replace(engine, name="unfused", group=2))
        few((self._places * 2)[:2])
        return few.stacks

    def _compare(self, engine: EngineConfig, values: PointValues, short: EvaluationContext) -> None:
        key = short.samples, engine.batch_size if self._coupled else 0
        if key not in self._references:
            reference = Evaluator(short, EngineConfig("eager", engine.batch_size)) if engine.name != "eager" else None
            self._references[key] = values if reference is None else reference(self._places)
        for name, losses in values.values.items():
            if not name.endswith("_loss"):
                continue
            for loss, other in zip(self._references[key].values[name], losses, strict=True):
                finite = math.isfinite(loss), math.isfinite(other)
                if finite[0] != finite[1] or (all(finite) and disagreement(loss, other, self.context.place.dtype) > 1):
                    raise _OtherLossesError(f"it gives {name} {other:.9g} where the eager engine gives {loss:.9g}")


def _quickest(function: Callable[[], object]) -> float:
    """Return the shortest of several times, in seconds."""
    best, begun = math.inf, time.perf_counter()
    for repetition in range(20):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
        if time.perf_counter() - begun > _TIMING and repetition:
            break
    return best
