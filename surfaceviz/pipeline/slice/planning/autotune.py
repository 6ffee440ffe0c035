"""Measured choices for options that are ``auto``: range, samples, dtype, engine."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from surfaceviz import evaluate
from surfaceviz.errors import ProblemError
from surfaceviz.evaluate import EngineConfig, Evaluator, SelectedEngine
from surfaceviz.evaluate.perturb import blocks
from surfaceviz.execute import retain_freed_memory
from surfaceviz.pipeline.slice.checks.float64_check import precision_contexts, shows
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.planning.subset_size import smallest_subset
from surfaceviz.problem.batching import coupling_norms
from surfaceviz.records import FloatArray
from surfaceviz.refine import LossError
from surfaceviz.reporting import Reporter

Notes = dict[str, str | int | float]

_SHARE_OF_TOLERANCE = 0.1  # the largest error of a dtype, as a share of the tolerance
_DTYPE_POINTS = 6  # points at which dtypes are compared
_SUBSET_POINTS = 12  # points at which subsets of the samples are compared
MOVING_SHARE = 0.9  # smallest share of the weights that must change from one grid point to the next
_REDUCED = {"cpu": ("bf16",), "cuda": ("tf32", "bf16")}
_SMALLEST, _LARGEST = 2.0**-14, 2.0**10  # bounds of the search for a range
_BISECTIONS = 3  # in the logarithm: a range is exact to 9%


def choose_settings(
    plan: Plan, levels: Mapping[str, float], processes: int, reporter: Reporter
) -> tuple[Plan, Evaluator | None, Notes]:
    """Return the plan with all choices made, its evaluator if one was built, and notes for the file."""
    notes: Notes = {}
    if plan.request.open_range:
        plan = _with_range(plan, levels, reporter)
    if plan.request.samples == "auto" and plan.subset is None:
        plan = _with_subset(plan, levels, notes, reporter)
    if plan.dtype == "auto":
        plan = _with_dtype(plan, levels, notes, reporter)
    if plan.dtype != plan.usual_dtype:
        plan.drop_reference()
        retain_freed_memory()  # returns the reference's tensors to the system first
    if plan.engine is not None:
        return plan, None, notes
    with evaluate.allow_tf32(plan.dtype, plan.device):
        chosen = _engine(plan, processes, notes, reporter)
    return replace(plan, engine=chosen.engine), chosen.evaluator, notes


def build_requested_engine(plan: Plan) -> SelectedEngine | None:
    """Build the requested engine while rank 0 makes the other choices; return None if the engine depends on them."""
    request = plan.request
    chosen_later = "auto" in (plan.dtype, request.samples) or request.open_range
    if request.engine is None or plan.engine is not None or chosen_later:
        return None
    with evaluate.allow_tf32(plan.dtype, plan.device):
        return _select_engine(plan, 1)


def _with_range(plan: Plan, levels: Mapping[str, float], reporter: Reporter) -> Plan:
    """Return the plan with one symmetric range for all ``auto`` axes: the widest that any half axis needs."""
    evaluator = Evaluator(plan.reference, EngineConfig())
    name = f"{plan.splits[0].name}_loss"
    requested = plan.request.axes
    assert requested is not None
    reaches: list[float] = []
    not_finite: set[float] = set()
    for k, axis in enumerate(requested):
        for sign in () if axis.has_range else (1.0, -1.0):
            unit = tuple(sign if i == k else 0.0 for i in range(len(requested)))

            def risen(reach: float, unit: tuple[float, ...] = unit) -> bool:
                loss = evaluator([tuple(reach * x for x in unit)]).first[name]
                if not math.isfinite(loss):
                    not_finite.add(reach)
                return not loss < levels[name]

            reaches += [reach] if (reach := _find_reach(risen)) else []
    reach = _rounded_up(max(reaches)) if reaches else 1.0
    if reaches:
        ends = "beyond which {0} is not finite" if max(reaches) in not_finite else "over which {0} rises to {1:.4g}"
        reporter.say(f"range: {-reach:g} .. {reach:g}, {ends.format(name, levels[name])}")
    else:
        reporter.warn(f"{name} does not rise to {levels[name]:.4g} up to {_LARGEST:g}; using the range -1 .. 1")
    found = tuple(axis.with_range(reach) for axis in requested)
    return replace(plan, axes=found)


def _rounded_up(reach: float) -> float:
    """Round up to two significant digits.

    >>> _rounded_up(0.8123), _rounded_up(0.5), _rounded_up(14.2)
    (0.82, 0.5, 15.0)
    """
    unit = 10.0 ** (math.floor(math.log10(reach)) - 1)
    return float(f"{math.ceil(reach / unit - 1e-9) * unit:.3g}")


def _find_reach(risen: Callable[[float], bool]) -> float | None:
    """Return the smallest distance at which ``risen`` holds, to 9%; None if it does not hold up to the largest."""
    outer = 1.0
    if risen(outer):
        while outer > _SMALLEST and risen(outer / 2):
            outer /= 2
    else:
        while not risen(outer := 2 * outer):
            if outer >= _LARGEST:
                return None
    inner = outer / 2
    for _ in range(_BISECTIONS):
        middle = (inner * outer) ** 0.5
        inner, outer = (inner, middle) if risen(middle) else (middle, outer)
    return outer


def _with_subset(plan: Plan, levels: Mapping[str, float], notes: Notes, reporter: Reporter) -> Plan:
    """Return the plan with the fewest samples that the tolerance permits, if that saves time."""
    tolerance = plan.request.coverage.error
    counts = {f"{split.name}_loss": split.count for split in plan.splits}
    largest, needed, reason = max(counts.values()), None, _subset_obstacle(plan)
    if not reason:
        evaluator = Evaluator(plan.reference, EngineConfig())
        places = _sample_points(plan, _SUBSET_POINTS, whole_grid=True)
        needed = smallest_subset(evaluator, places, levels, counts, tolerance=tolerance)
        reason = f"fewer would save no time, or give an error over a third of {tolerance:g}"
    enough = f"{needed} of {largest}, with an RMS error under a third of {tolerance:g}; audits take all"
    notes["samples_reason"] = f"all {largest}: {reason}" if needed is None else enough
    reporter.say(f"samples: {notes['samples_reason']}")
    return replace(plan, subset=needed)


def _subset_obstacle(plan: Plan) -> str:
    """Return the reason why a subset of the samples can't be used; empty if it can."""
    if any(split.given for split in plan.splits):
        return "the batches are given and are not divided"
    if plan.problem.draws.are_taken:
        return "the random numbers that the model draws depend on the batches"
    if coupling_norms(plan.problem.model):
        return "batch norms without running statistics couple the samples of a batch"
    if plan.request.coverage.expected_points(plan.points) <= 2 * _SUBSET_POINTS:
        return "the grid has too few points for a search to pay off"
    return ""


def _engine(plan: Plan, processes: int, notes: Notes, reporter: Reporter) -> SelectedEngine:
    chosen = _select_engine(plan, processes)
    for note in chosen.notes:
        (reporter.warn if plan.request.engine else reporter.say)(note)
    if len(chosen.seconds) > 1:
        reporter.say(f"engine: {chosen.engine} ({_rates(chosen.seconds)})")
    if chosen.seconds:
        notes["engine_timings"] = json.dumps({k: float(f"{v:.3g}") for k, v in chosen.seconds.items()})
    return chosen


def _select_engine(plan: Plan, processes: int) -> SelectedEngine:
    request = plan.request
    points = request.coverage.expected_points(plan.points)
    return evaluate.select_engine(
        plan.context(), _sample_points(plan, 2), points=points / processes, engine=request.engine,
        batch_size=request.batch_size,
    )  # fmt: skip


def _rates(seconds: Mapping[str, float]) -> str:
    fastest = sorted(seconds.items(), key=lambda item: item[1])
    return "s a point: " + "; ".join(f"{name} {s:.3g}" for name, s in fastest[:4])


def _sample_points(plan: Plan, count: int, *, whole_grid: bool = False) -> list[tuple[float, ...]]:
    """Return random grid points, the same for the same grid: halfway out, or from the whole grid."""
    axes = [axis.coordinates() for axis in plan.axes]
    random = np.random.Generator(np.random.Philox(key=1))
    quarter = [0 if whole_grid else len(a) // 4 for a in axes]
    middle = [slice(q, max(q + 1, len(a) - q)) for a, q in zip(axes, quarter, strict=True)]
    return [tuple(float(random.choice(a[m])) for a, m in zip(axes, middle, strict=True)) for _ in range(count)]


def _with_dtype(plan: Plan, levels: Mapping[str, float], notes: Notes, reporter: Reporter) -> Plan:
    """Return the plan in the fastest dtype that resolves the grid, with an error under a tenth of the tolerance.

    Errors are against float64, which is taken where the model's own dtype is not good enough.
    """
    usual = plan.usual_dtype
    if plan.problem.draws.are_taken:
        notes["dtype_reason"] = f"{usual}: the model draws other random numbers in another dtype"
        reporter.say(f"dtype: {notes['dtype_reason']}")
        return replace(plan, dtype=usual)
    places = [*_sample_points(plan, _DTYPE_POINTS), (0.0,) * len(plan.axes)]
    try:
        contexts = precision_contexts(replace(plan, dtype=usual))
        own, exact = (Evaluator(each, EngineConfig())(places).values for each in contexts)
    except ProblemError as failure:
        notes["dtype_reason"] = f"{usual}: not checked in float64: {failure}"
        reporter.say(str(notes["dtype_reason"]))
        return replace(plan, dtype=usual)
    limit = _SHARE_OF_TOLERANCE * plan.request.coverage.error
    error = max(_error(exact[name], own[name], levels[name]) for name in levels)
    rounding = any(shows(np.roll(own[name], 1), np.roll(exact[name], 1), level) for name, level in levels.items())
    if error > limit or rounding:
        notes["dtype_reason"] = (
            f"{usual}: an error of {error:.2g}, over {limit:.2g}" if error > limit else f"{usual}: rounding shows"
        )
        reporter.say(f"dtype: float64 ({notes['dtype_reason']})")
        return replace(plan, dtype="float64")
    taken, why = usual, []
    reduced = _REDUCED.get(plan.device.type, ())
    for dtype in ("float32", *reduced) if usual == "float64" else reduced:
        context = plan.context(dtype)
        if (share := moving_share(plan, dtype)) < MOVING_SHARE:
            why.append(f"{dtype}: only {share:.0%} of the weights change from point to point")
            continue
        with evaluate.allow_tf32(dtype, plan.device):
            values = Evaluator(context, EngineConfig())(places).values
        error = max(_error(exact[name], values[name], levels[name]) for name in levels)
        if error > limit:
            why.append(f"{dtype}: an error of {error:.2g}, over {limit:.2g}")
        elif _faster(plan, taken, dtype, places[:1]):
            taken = dtype
            why.append(f"{dtype}: an error of {error:.2g}, faster")
        else:
            why.append(f"{dtype}: slower")
    reporter.say(f"dtype: {taken} ({'; '.join(why) or 'the only candidate'})")
    notes["dtype_reason"] = "; ".join(why)
    return replace(plan, dtype=taken)


def _error(exact: FloatArray, other: FloatArray, level: float) -> float:
    measure = LossError.of(exact, level=level, centre=float(exact[-1]))
    return float(np.nan_to_num(measure.error(other, exact), nan=np.inf).max())


def _faster(plan: Plan, now: str, other: str, places: Sequence[tuple[float, ...]]) -> bool:
    """Return whether the other dtype is faster than the present one, each with its fastest engine."""
    seconds = []
    for dtype in (now, other):
        with evaluate.allow_tf32(dtype, plan.device):
            chosen = evaluate.select_engine(
                plan.context(dtype), places, points=plan.points, engine=plan.request.engine,
                batch_size=plan.request.batch_size, compiling=False,
            )  # fmt: skip
        seconds.append(chosen.seconds.get(str(chosen.engine), np.inf))
    return seconds[1] < seconds[0]


def moving_share(plan: Plan, dtype: str) -> float:
    """Return the share of moving weights that differ between neighbouring grid points: the minimum over the axes."""
    low = evaluate.DTYPES[dtype]
    shares = []
    for axis, direction in zip(plan.axes, plan.directions, strict=True):
        spacing = (axis.maximum - axis.minimum) / (axis.count - 1)
        changed = total = 0
        for name, step in direction.tensors.items():
            for theta, part in blocks(plan.theta[name], step):
                moves = part != 0
                ends = [(theta + t * part).to(low) for t in (axis.minimum, axis.minimum + spacing)]
                changed += int(((ends[0] != ends[1]) & moves).sum())
                total += int(moves.sum())
        shares.append(changed / max(total, 1))
    return min(shares)
