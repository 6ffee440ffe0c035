"""Settling by measurement what the user left open: the range, the dtype, the engine."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from surfaceviz import evaluate
from surfaceviz.evaluate import EngineConfig, Evaluator, SelectedEngine
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.planning.subset_size import fewest
from surfaceviz.problem.functional import coupling_norms
from surfaceviz.records import FloatArray
from surfaceviz.refine import ErrorMetric
from surfaceviz.reporting import Reporter

Noted = dict[str, str | int | float]

_SHARE_OF_TOLERANCE = 0.1  # that a dtype's error may take
_CALIBRATION = 6  # points
_SAMPLING = 12  # points likewise, where the samples are a subset
MOVING_SHARE = 0.9  # of the weights must change from one grid point to the next
_REDUCED = {"cpu": ("bf16",), "cuda": ("tf32", "bf16")}
_RISE = 10.0  # times the centre's loss: the level of a range where a guess loses less
_SMALLEST, _LARGEST = 2.0**-14, 2.0**10  # a range is looked for between these
_BISECTIONS = 3  # in the logarithm: to 9% of a range


def settle(
    plan: Plan, levels: Mapping[str, float], processes: int, reporter: Reporter
) -> tuple[Plan, Evaluator | None, Noted]:
    """Return the plan with nothing left open, its evaluator if there is one yet, and what is to be stored of it."""
    noted: Noted = {}
    if plan.request.open_range:
        plan = _with_range(plan, levels, noted, reporter)
    if plan.request.samples == "auto" and plan.subset is None:
        plan = _with_subset(plan, levels, noted, reporter)
    if plan.dtype == "auto":
        plan = _with_dtype(plan, levels, noted, reporter)
    if plan.engine is not None:
        return plan, None, noted
    with evaluate.allow_tf32(plan.dtype, plan.device):
        chosen = _engine(plan, processes, noted, reporter)
    return replace(plan, engine=chosen.engine), chosen.evaluator, noted


def prepared(plan: Plan) -> SelectedEngine | None:
    """Return the engine that was asked for, built while another process settles the rest; None where that is open."""
    request = plan.request
    chosen_later = "auto" in (plan.dtype, request.samples) or request.open_range
    if request.engine is None or plan.engine is not None or chosen_later:
        return None
    with evaluate.allow_tf32(plan.dtype, plan.device):
        return _measured(plan, 1)


def loss_levels(plan: Plan, centre: Mapping[str, float]) -> dict[str, float]:
    """Return, for each loss, the level above which a picture need not be told apart.

    The larger of ten times the centre's loss and that of a uniform guess or of the mean prediction; with a loss of
    one's own, which has no such guess, the centre's plus nine times its size (1 for a centre of 0). Ours.
    """
    if not needs_levels(plan):
        return {}
    levels = {}
    context = plan.reference
    for split in context.splits:
        name = f"{split.name}_loss"
        guess = evaluate.uninformed_loss(context, split)
        at = centre[name]
        risen = at + (_RISE - 1) * abs(at) if at else 1.0
        levels[name] = risen if guess is None else max(_RISE * at, guess)
    return levels


def needs_levels(plan: Plan) -> bool:
    """Return whether anything is settled or refined by the height of a loss."""
    return plan.request.open_range or plan.dtype == "auto" or not plan.request.coverage.complete


def _with_range(plan: Plan, levels: Mapping[str, float], noted: Noted, reporter: Reporter) -> Plan:
    """Return the plan with one symmetric range for all axes to be found: the widest that one of their halves needs."""
    evaluator = Evaluator(plan.reference, EngineConfig())
    name = f"{plan.splits[0].name}_loss"
    asked = plan.request.axes
    assert asked is not None
    reaches: list[float] = []
    for k, axis in enumerate(asked):
        for sign in () if axis.has_range else (1.0, -1.0):
            unit = tuple(sign if i == k else 0.0 for i in range(len(asked)))

            def risen(reach: float, unit: tuple[float, ...] = unit) -> bool:
                loss = evaluator([tuple(reach * x for x in unit)]).first[name]
                return not loss < levels[name]

            reaches += [reach] if (reach := _reach(risen)) else []
    reach = _rounded_up(max(reaches)) if reaches else 1.0
    if reaches:
        reporter.say(f"range: {-reach:g} .. {reach:g}, over which {name} rises to {levels[name]:.4g}")
    else:
        reporter.warn(f"{name} does not rise to {levels[name]:.4g} anywhere up to {_LARGEST:g}: the range is -1 .. 1")
    noted["range_level"] = levels[name]
    found = tuple(axis.over(reach) for axis in asked)
    return replace(plan, axes=found)


def _rounded_up(reach: float) -> float:
    """Return the next number of two digits.

    >>> _rounded_up(0.8123), _rounded_up(0.5), _rounded_up(14.2)
    (0.82, 0.5, 15.0)
    """
    unit = 10.0 ** (math.floor(math.log10(reach)) - 1)
    return float(f"{math.ceil(reach / unit - 1e-9) * unit:.3g}")


def _reach(risen: Callable[[float], bool]) -> float | None:
    """Return about the smallest distance at which ``risen``, to 9%; None where it is not up to the largest."""
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


def _with_subset(plan: Plan, levels: Mapping[str, float], noted: Noted, reporter: Reporter) -> Plan:
    """Return the plan with as few samples as the tolerance bears, where that saves anything."""
    tolerance = plan.request.coverage.error
    counts = {f"{split.name}_loss": split.count for split in plan.splits}
    largest, needed, reason = max(counts.values()), None, _inseparable(plan)
    if not reason:
        evaluator = Evaluator(plan.reference, EngineConfig())
        needed = fewest(evaluator, _some_places(plan, _SAMPLING, widely=True), levels, counts, tolerance)
        reason = f"fewer would save nothing, or be off by over a third of {tolerance:g}"
    if needed is None:
        noted["samples_reason"] = f"all {largest}: {reason}"
    else:
        noted["samples_reason"] = (
            f"{needed} of {largest}, off by under a third of {tolerance:g} in the root mean square; audits take all"
        )
    reporter.say(f"samples: {noted['samples_reason']}")
    return replace(plan, subset=needed)


def _inseparable(plan: Plan) -> str:
    """Return why a subset of the samples is out of the question, if it is."""
    if any(split.given for split in plan.splits):
        return "batches stay as they are given"
    if coupling_norms(plan.problem.model):
        return "batch norms without running statistics couple the samples of a batch"
    if plan.request.coverage.expected_points(plan.points) <= 2 * _SAMPLING:
        return "so few points are not worth looking for fewer samples"
    return ""


def _engine(plan: Plan, processes: int, noted: Noted, reporter: Reporter) -> SelectedEngine:
    chosen = _measured(plan, processes)
    for note in chosen.notes:
        (reporter.warn if plan.request.engine else reporter.say)(note)
    if len(chosen.seconds) > 1:
        reporter.say(f"engine: {chosen.engine} ({_rates(chosen.seconds)})")
    if chosen.seconds:
        noted["engine_timings"] = json.dumps({k: float(f"{v:.3g}") for k, v in chosen.seconds.items()})
    return chosen


def _measured(plan: Plan, processes: int) -> SelectedEngine:
    request = plan.request
    points = request.coverage.expected_points(plan.points)
    return evaluate.select_engine(
        plan.context(), _some_places(plan, 2), points=points / processes, engine=request.engine,
        batch_size=request.batch_size,
    )  # fmt: skip


def _rates(seconds: Mapping[str, float]) -> str:
    fastest = sorted(seconds.items(), key=lambda item: item[1])
    return "s a point: " + "; ".join(f"{name} {s:.3g}" for name, s in fastest[:4])


def _some_places(plan: Plan, count: int, *, widely: bool = False) -> list[tuple[float, ...]]:
    """Return some grid points between the centre and the rim, or from all over, the same for the same grid."""
    axes = [axis.coordinates() for axis in plan.axes]
    random = np.random.Generator(np.random.Philox(key=1))
    quarter = [0 if widely else len(a) // 4 for a in axes]
    middle = [slice(q, max(q + 1, len(a) - q)) for a, q in zip(axes, quarter, strict=True)]
    return [tuple(float(random.choice(a[m])) for a, m in zip(axes, middle, strict=True)) for _ in range(count)]


def _with_dtype(plan: Plan, levels: Mapping[str, float], noted: Noted, reporter: Reporter) -> Plan:
    """Return the plan in the fastest dtype whose error is under a tenth of the tolerance and whose weights move."""
    usual = plan.usual_dtype
    places = [*_some_places(plan, _CALIBRATION), (0.0,) * len(plan.axes)]
    exact = Evaluator(plan.context(usual), EngineConfig())(places).values
    limit = _SHARE_OF_TOLERANCE * plan.request.coverage.error
    taken, why = usual, []
    reduced = _REDUCED.get(plan.device.type, ())
    for dtype in ("float32", *reduced) if usual == "float64" else reduced:
        there = plan.context(dtype)
        if (share := moving_share(plan, dtype)) < MOVING_SHARE:
            why.append(f"{dtype}: only {share:.0%} of the weights change from point to point")
            continue
        with evaluate.allow_tf32(dtype, plan.device):
            values = Evaluator(there, EngineConfig())(places).values
        error = max(_error(exact[name], values[name], levels[name]) for name in levels)
        if error > limit:
            why.append(f"{dtype}: an error of {error:.2g}, over {limit:.2g}")
        elif _faster(plan, taken, dtype, places[:1]):
            taken = dtype
            why.append(f"{dtype}: an error of {error:.2g}, faster")
        else:
            why.append(f"{dtype}: slower")
    reporter.say(f"dtype: {taken} ({'; '.join(why) or 'no other to try'})")
    noted["dtype_reason"] = "; ".join(why)
    return replace(plan, dtype=taken)


def _error(exact: FloatArray, other: FloatArray, level: float) -> float:
    measure = ErrorMetric.of(exact, level=level, centre=float(exact[-1]))
    return float(np.nan_to_num(measure.error(other, exact), nan=np.inf).max())


def _faster(plan: Plan, now: str, other: str, places: Sequence[tuple[float, ...]]) -> bool:
    """Return whether the other dtype is faster than the one taken, each with the engine that suits it."""
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
    """Return the share of the moving weights that differ between neighbouring grid points, the least over the axes."""
    low = evaluate.DTYPES[dtype]
    shares = []
    for axis, direction in zip(plan.axes, plan.directions, strict=True):
        spacing = (axis.maximum - axis.minimum) / (axis.count - 1)
        changed = total = 0
        for name, step in direction.tensors.items():
            moves = step != 0
            ends = [(plan.theta[name] + t * step).to(low) for t in (axis.minimum, axis.minimum + spacing)]
            changed += int(((ends[0] != ends[1]) & moves).sum())
            total += int(moves.sum())
        shares.append(changed / max(total, 1))
    return min(shares)
