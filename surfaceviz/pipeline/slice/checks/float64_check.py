"""A few points of a slice in float64 as well: how much of what is drawn is rounding of the run's dtype."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from surfaceviz import evaluate
from surfaceviz.errors import ProblemError
from surfaceviz.evaluate import EngineConfig, EvaluationContext, Evaluator
from surfaceviz.evaluate.perturb import Float64Perturber, Perturber
from surfaceviz.execute.resources import available_memory
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.slice_buffer import SliceBuffer
from surfaceviz.problem.batching import coupling_norms
from surfaceviz.problem.data import DataSplit
from surfaceviz.pytree import leaves
from surfaceviz.records import FloatArray, Slice
from surfaceviz.reporting import Reporter

_MOST, _FEWEST = 6, 2  # points besides the centre; ours
_SAMPLES, _TIMED = 64, 32  # of each split, at least; by which a point is timed
CHECK_SHARE = 0.03  # of the run's time that the check may take without being said
_UNNOTICED = 0.5  # seconds that are not worth a line
_MARK = "float64_"  # in the names of its attributes
_SHARE_OF_MEMORY = 0.5  # of what is available
_SHOWS, _MATTERS = 0.01, 1e-3  # of the span of what is drawn: a reader sees it; of a value: three digits are wrong
_UNSEEN = 1e-6  # of the span: an error that no picture shows, whatever share of its value it is
Place = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class PrecisionCheck:
    """The result of the check.

    Attributes:
        attributes: of the file: ``float64_check`` in words, and for each loss ``<split>_loss_float64_error``, the
            largest error of a value, and ``<split>_loss_float64_rise_error``, that of a rise over the centre.
        said: lines of information.
        warnings: lines about errors that show in a picture.
    """

    attributes: Mapping[str, str | float]
    said: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def check_precision(plan: Plan, levels: Mapping[str, float], seconds: float) -> PrecisionCheck:
    """Compare the run's dtype with float64 at the centre and a few grid points.

    All samples are taken if that costs at most 3% of the run's time, else a subset of at least 64 of each split.
    In rises, values above the level count as equal: a picture does not resolve them.

    Args:
        plan: the plan, with all choices made.
        levels: name of each loss -> its level, where it is known.
        seconds: the expected time of the run.
    """
    if plan.dtype == "float64":
        return PrecisionCheck({})
    if plan.problem.draws.are_taken:  # torch draws other numbers in float64
        return PrecisionCheck({"float64_check": "not checked in float64: the model draws random numbers, by dtype"})
    if not plan.request.directions.held:
        return PrecisionCheck({"float64_check": "not checked in float64: --regenerate keeps memory small"})
    if (needed := _bytes(plan)) > _SHARE_OF_MEMORY * available_memory():
        line = f"not checked in float64: it would take {needed / 2**30:.1f} GB, for which memory has no room"
        return PrecisionCheck({"float64_check": line}, (line,))
    begun = time.monotonic()
    sizes = [split.count for split in plan.splits]
    places, limit = _places(plan), None
    perturbers = _perturbers(plan)
    one = _seconds_a_point(plan, perturbers)  # in both dtypes, on all samples
    count = int(CHECK_SHARE * seconds / max(one, 1e-9)) - 1
    if count < _FEWEST:
        affordable = int(max(sizes) * CHECK_SHARE * seconds / (one * (1 + _FEWEST)))
        limit = max(_SAMPLES, affordable) if max(_SAMPLES, affordable) < max(sizes) else None
    places = places[: min(max(count, _FEWEST), _MOST)]
    run, exact = (_values(plan, context, places) for context in precision_contexts(plan, limit, perturbers))
    spent = time.monotonic() - begun
    of = "all samples" if limit is None else f"{limit} samples of each split"
    attributes: dict[str, str | float] = {"float64_check": f"{len(places)} points and the centre, {of}"}
    warnings = []
    for split in plan.splits:
        name = f"{split.name}_loss"
        level = levels.get(name, math.inf)
        comparison = _Comparison.of(run[name], exact[name], level)
        attributes |= {f"{name}_float64_error": comparison.value, f"{name}_float64_rise_error": comparison.rise}
        warnings += comparison.warnings(name, plan.dtype)
    slow = f"the check in float64 took {spent:.1f} s, more than {CHECK_SHARE:.0%} of the run"
    said = (slow,) if spent > max(_UNNOTICED, CHECK_SHARE * seconds) else ()
    return PrecisionCheck(attributes, said, tuple(warnings))


def kept_check(before: Slice | None) -> dict[str, str | int | float]:
    """Return the attributes of the check in the file that a run resumes."""
    return {} if before is None else {key: value for key, value in before.provenance.items() if _MARK in key}


def report_precision(
    plan: Plan, buffer: SliceBuffer, levels: Mapping[str, float], *, seconds: float, reporter: Reporter
) -> None:
    """Check a slice once, store the result in its file, and report what it found.

    A model or loss that raises in float64 leaves the slice unchecked, which is said.
    """
    if any(_MARK in key for key in buffer.provenance):
        return
    try:
        checked = check_precision(plan, levels, seconds)
    except ProblemError as error:
        line = f"not checked in float64: {error}"
        checked = PrecisionCheck({"float64_check": line}, (line,))
    buffer.provenance.update(checked.attributes)
    for line in checked.said:
        reporter.say(line)
    for line in checked.warnings:
        reporter.warn(line)


def shows(run: FloatArray, exact: FloatArray, level: float) -> bool:
    """Return whether the error of values (n,), the centre's first, shows in a picture or in their first digits."""
    return bool(_Comparison.of(run, exact, level).warnings("", ""))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    """Errors of one loss; in ``value``, ``rise`` and ``span`` values above the level are taken as equal.

    Attributes:
        value: the largest error of a value.
        share: the largest error of a value as a share of it, where both are finite.
        rise: the largest error of a rise over the centre.
        span: of the values in float64.
    """

    value: float
    share: float
    rise: float
    span: float

    @classmethod
    def of(cls, run: FloatArray, exact: FloatArray, level: float) -> _Comparison:
        """Return the errors from values (n,), the centre's first."""
        top = min(level, float(exact[np.isfinite(exact)].max(initial=0.0)))
        low, high = (np.minimum(np.nan_to_num(z, nan=top, posinf=top), top) for z in (run, exact))
        error = np.abs(low - high)
        span = float(np.ptp(high))
        away = np.abs(np.subtract(run, exact, where=np.isfinite(run) & np.isfinite(exact), out=np.zeros_like(exact)))
        finite = away > _UNSEEN * span  # a value of 0 but for rounding has no digits
        with np.errstate(invalid="ignore"):
            shares = np.abs(run - exact) / np.maximum(np.abs(exact), np.finfo(np.float32).tiny)
        share = float(shares[finite].max(initial=0.0))
        rise = np.abs((low - low[0]) - (high - high[0]))
        return cls(value=float(error.max()), share=share, rise=float(rise.max()), span=span)

    def warnings(self, name: str, dtype: str) -> list[str]:
        """Return a line where an error shows."""
        words = name.replace("_", " ")
        if self.rise > _SHOWS * self.span:
            share = f"{self.rise / self.span:.0%} of its span" if self.span > 0 else "all that there is to see"
            line = f"the rise of the {words} is off by {self.rise:.2g} in {dtype}, {share}"
            return [f"{line}: what is drawn is in part rounding; take --dtype float64"]
        if self.share > _MATTERS:
            return [
                f"the {words} is off by {self.share:.2g} of its value in {dtype} against float64; take --dtype float64"
            ]
        return []


def _places(plan: Plan) -> list[Place]:
    """Return grid points, the same for the same grid: ends of the axes and halfway out, in turn."""
    axes = [axis.coordinates() for axis in plan.axes]
    zero = [float(axis[np.argmin(np.abs(axis))]) for axis in axes]
    random = np.random.Generator(np.random.Philox(key=2))
    ends = [
        tuple(float(axis[end]) if j == k else zero[j] for j, axis in enumerate(axes))
        for end in (-1, 0)
        for k in range(len(axes))
    ]
    inner = [
        tuple(float(random.choice(axis[len(axis) // 4 : len(axis) - len(axis) // 4])) for axis in axes)
        for _ in range(_MOST)
    ]
    mixed = [place for pair in zip(inner, ends, strict=False) for place in pair] + inner[len(ends) :]
    return list(dict.fromkeys(place for place in mixed if any(place)))


def _values(plan: Plan, context: EvaluationContext, places: Sequence[Place]) -> dict[str, FloatArray]:
    """Return name of each loss -> values at the centre and at the places, (1 + n,)."""
    with evaluate.allow_tf32(context.perturb.dtype, plan.device):
        values = Evaluator(context, EngineConfig())([(0.0,) * len(plan.axes), *places]).values
    return {name: values[name] for name in (f"{split.name}_loss" for split in plan.splits)}


def precision_contexts(
    plan: Plan, samples: int | None = None, perturbers: Sequence[Perturber] = ()
) -> tuple[EvaluationContext, EvaluationContext]:
    """Return contexts in the run's dtype and in float64, on a subset of the samples or, for None, on all.

    ``perturbers`` are those of earlier contexts, so that one set of weights in float64 is enough.
    """
    bound = any(split.is_bound for split in plan.splits) or bool(coupling_norms(plan.problem.model))
    own = plan.splits if bound or samples is None else [split.subset(samples) for split in plan.splits]
    usual, wide = perturbers or _perturbers(plan)

    def context(perturb: Perturber) -> EvaluationContext:
        def cast(split: DataSplit) -> DataSplit:
            return split.mapped(lambda t: plan.problem.cast(t, evaluate.DTYPES[perturb.dtype], plan.device))

        calibration = None if plan.calibration is None else cast(plan.calibration)
        return EvaluationContext(
            problem=plan.problem, perturb=perturb, splits=list(map(cast, own)), calibration=calibration
        )

    return context(usual), context(wide)


def _perturbers(plan: Plan) -> tuple[Perturber, Perturber]:
    usual = plan.reference.perturb if plan.dtype == plan.usual_dtype else plan.perturber(plan.dtype)
    return usual, Float64Perturber(usual, plan.theta)


def _seconds_a_point(plan: Plan, perturbers: Sequence[Perturber]) -> float:
    """Return the time of a point in both dtypes on all samples, from a small part of them."""
    largest = max(split.count for split in plan.splits)
    contexts = precision_contexts(plan, _TIMED, perturbers)
    count = max(split.count for split in contexts[0].splits)
    begun = time.monotonic()
    for context in contexts:
        _values(plan, context, ())
    return (time.monotonic() - begun) * largest / count


def _bytes(plan: Plan) -> float:
    """Return the bytes of a set of weights and of the data in float64."""
    weights = sum(tensor.numel() for tensor in plan.theta.values())
    data = sum(
        leaf.numel() for split in plan.splits for batch in split.batches(split.count) for leaf in leaves(batch)
        if isinstance(leaf, torch.Tensor) and leaf.is_floating_point()
    )  # fmt: skip
    return 8.0 * (weights + data)
