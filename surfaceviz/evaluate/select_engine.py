"""Selection of an engine and its sizes by timing them on real points."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from surfaceviz.errors import ProblemError
from surfaceviz.evaluate.engine import EngineConfig
from surfaceviz.evaluate.engine_trials import EngineTrials, LossMismatchError, even_batch_size
from surfaceviz.evaluate.evaluator import EvaluationContext, Evaluator
from surfaceviz.evaluate.perturb import Coordinates

# Ours, from ResNet-20, a small CNN and an MLP on two cores.
_MIN_WORK = 2.0  # seconds of work of a process; below, engines are not compared
_TIMING_SHARE = 0.05  # of the work that timing of engines without compiling may take
_STARTUP = {"eager": 0.0, "folded": 2.0, "vmapped": 0.5, "compiled": 30.0}  # seconds, with an empty cache of torch
_GAIN = {
    "eager": 0.3,
    "folded": 0.3,
    "vmapped": 0.6,
    "compiled": 0.3,
}  # share of the work that it can save
_CPU_BATCHES = (480, 128, 32)  # limited by caches
_GPU_BATCHES = (512, 2048, 8192)  # limited by occupancy
_MAX_ACTIVATIONS = 2**14  # weight sets times samples of a vmapped group
_MAX_GROUP = 256
_MAX_WEIGHT_BYTES = 2**27  # of the weights of a group


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
    trials = EngineTrials(context, sample_points, points)
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
    for family in _candidate_families(trials, engine, batch_size, best):
        previous = math.inf
        for candidate in family:
            if candidate.name == "compiled" and not compiling:
                break
            spent = trials.elapsed() if len(chosen.seconds) > 1 else 0.0
            seconds = _try_engine(trials, candidate, chosen, best=best, spent=spent)
            if seconds is None or seconds > previous:
                break
            previous = seconds
            if seconds < best:
                best, chosen.engine, chosen.evaluator = seconds, candidate, trials.last
    return chosen


def _try_engine(
    trials: EngineTrials, engine: EngineConfig, chosen: SelectedEngine, *, best: float, spent: float
) -> float | None:
    """Return the seconds for a point; None where a trial would cost too much, or the engine can't run the problem.

    Args:
        trials: the trials so far.
        engine: the engine to try.
        chosen: receives the timing, or a note.
        best: the least seconds for a point so far.
        spent: seconds of the search so far.
    """
    startup, work = _STARTUP[engine.name], best * trials.points
    if startup > _GAIN[engine.name] * work or not trials.affords(engine, startup, best):
        return None
    try:
        if engine.name == "vmapped" and not trials.batches_weights(engine):
            return None  # torch.func.vmap over convolutions compiles slowly, takes much memory, and is never fastest
        if engine.name in ("eager", "folded") and spent and spent + startup > _TIMING_SHARE * work:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an engine that may never run
            seconds = trials.seconds(engine)
    except LossMismatchError as error:
        chosen.notes.append(f"engine {engine.name} is left out: {error}")
        return None
    except ProblemError:  # the user did not request this engine
        return None
    chosen.seconds[str(engine)] = seconds
    return seconds


def _select_requested(
    trials: EngineTrials, chosen: SelectedEngine, engine: str | None, batch_size: int | None
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
    trials: EngineTrials, engine: str | None, batch_size: int | None, best: float
) -> Iterator[list[EngineConfig]]:
    """Yield lists of engines, the most promising first; in a list, the next size is tried while it is faster."""
    context = trials.context
    on_cpu = context.perturb.device.type == "cpu"
    sizes = [batch_size] if batch_size else list(_CPU_BATCHES if on_cpu else _GPU_BATCHES)
    default = EngineConfig.of("eager", batch_size).batch_size
    if engine is None and context.calibration is None:
        yield [_affordable(trials, EngineConfig.of("vmapped", batch_size), best)]
    if engine is None and on_cpu:
        yield [EngineConfig("folded", size) for size in _distinct_sizes(sizes, context.samples)]
    for size in sizes:
        if size != default:
            yield [EngineConfig("eager", size)]
    if engine is None:
        yield [EngineConfig.of("compiled", batch_size)]


def _affordable(trials: EngineTrials, engine: EngineConfig, best: float) -> EngineConfig:
    """Return a vmapped engine with the largest group of which a trial keeps the search within its share of the work."""
    engine = _sized(trials.context, engine, trials.points)
    while engine.group > 2 and not trials.affords(engine, _STARTUP[engine.name], best):  # noqa: PLR2004
        engine = replace(engine, group=engine.group // 2)
    return engine


def _sized(context: EvaluationContext, engine: EngineConfig, points: float = math.inf) -> EngineConfig:
    """Return a vmapped engine with as many weight sets at once as fit into the cache of a core, up to ``points``."""
    if engine.name != "vmapped":
        return engine
    room = _MAX_ACTIVATIONS // even_batch_size(context.samples, engine.batch_size)
    room = min(room, _MAX_GROUP, _MAX_WEIGHT_BYTES // max(context.perturb.nbytes, 1))
    return replace(engine, group=2 ** max(1, int(min(room, points)).bit_length() - 1))


def _distinct_sizes(sizes: Sequence[int], samples: int) -> list[int]:
    """Return the batch sizes that give different batches of ``samples`` samples."""
    return list({even_batch_size(samples, size): size for size in sizes}.values())
