"""Lines that the command line prints about a plan and a finished run."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from torch import Tensor

from surfaceviz import evaluate, store
from surfaceviz.errors import StoreError
from surfaceviz.evaluate import EngineConfig, EvaluationContext, Evaluator
from surfaceviz.pipeline.slice.checks.diagnostics import fixed_tensor_lines
from surfaceviz.pipeline.slice.checks.float64_check import CHECK_SHARE
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.planning.resume import refuse_other_run
from surfaceviz.pipeline.slice.run import SliceResult
from surfaceviz.pipeline.slice.schedule import own_points
from surfaceviz.pipeline.slice.workers import worker_count
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.parameters import named_tensors
from surfaceviz.pytree import leaves
from surfaceviz.records import AXIS_NAMES, FloatArray, describe_audit

Rows = list[tuple[str, str]]
_SHARE = 0.1  # of the rays' distances, within which the loss along ascent rises as far; ours
_WORST = "a curve toward the highest loss, over a tenth of these distances, for plot to draw over the rays"


def closing_lines(outcome: SliceResult, picture: Path | None) -> Rows:
    """Return lines about the file, the picture, the centre of each split, the range and the cosine."""
    surface = outcome.surface
    rows = [("file", str(outcome.path))]
    if picture is not None:
        rows.append(("picture", str(picture)))
    for split in str(surface.provenance["splits"]).split(","):
        values = {k.removeprefix(f"{split}_"): v for k, v in surface.centre.items() if k.startswith(f"{split}_")}
        rows.append(("centre", f"{split}: " + ", ".join(f"{k} {v:.6g}" for k, v in values.items())))
    ranges = (f"{name} {axis[0]:g} .. {axis[-1]:g}" for name, axis in zip(AXIS_NAMES, surface.axes, strict=False))
    if surface.audit is not None:
        rows.append(("audit", describe_audit(surface.audit)))
    of_run = f"{outcome.fresh} of them now in {outcome.seconds:.1f} s"
    rows.append(("range", f"{', '.join(ranges)}; {surface.shape_words} points, {of_run}"))
    if surface.seeds and (length := surface.directions[0].norm):
        rows.append(("worst", f"{_WORST}: --along ascent --axis {_ends(surface.axes[0], _SHARE * length)}"))
    if "cosine" in surface.provenance:
        rows.append(("cosine", f"{round(float(surface.provenance['cosine']), 4) + 0.0:.4f} between the directions"))
    return rows


def _ends(axis: FloatArray, length: float) -> str:
    """Return the axis of a unit direction that reaches as far as one of this length on the given axis."""
    return f"{axis[0] * length:.4g}:{axis[-1] * length:.4g}:{len(axis)}"


def estimate(plan: Plan, workers: int | None) -> Rows:
    """Return an estimate of a run: points, samples, memory, time from one timed point, and the rule of each tensor."""
    with borrowed(plan.problem.model, plan.device):
        context = plan.reference if plan.dtype == "auto" else plan.context()
        corner = tuple(axis.maximum for axis in plan.axes)
        begun = time.monotonic()
        engine, evaluator = _engine(plan, context, corner)
        evaluator.centre()  # warms up
        starting = time.monotonic() - begun
        begun = time.monotonic()
        evaluator([corner] * engine.group)
        seconds = (time.monotonic() - begun) / engine.group
    points = len(own_points(plan))
    processes = worker_count(workers, points, points * seconds)
    total = starting + (1 + CHECK_SHARE) * points * seconds / processes
    samples = " + ".join(f"{split.count} {split.name}" for split in plan.splits)
    weights, data = _bytes(list(plan.theta.values())), sum(map(_data_bytes, plan.splits))
    processes_text = f"{processes} process{'es' if processes > 1 else ''}"
    grid = f"{len(plan.seeds)} rays x " * bool(plan.seeds) + " x ".join(str(axis.count) for axis in plan.axes)
    grid += f" = {plan.points}" if plan.seeds or len(plan.axes) > 1 else ""
    coverage = plan.request.coverage
    grid += "" if coverage.shard is None else f", part {coverage.shard}: {points} of them"
    partial = "" if coverage.complete else "; --tol evaluates a part of them, often a tenth"
    rows = [
        ("points", f"{grid}, each of {samples} samples{partial}"),
        ("axes", ", ".join(map(str, plan.request.axes or plan.axes))),
        ("memory", f"{_size(weights)} of weights, {_size(data)} of data; {_peak()}{processes_text}"),
        (
            "time",
            f"{seconds:.3g} s a point; about {total:.0f} s with {processes_text}, {engine.name}",
        ),
        ("output", _output(plan)),
    ]
    rows += [("still", line) for line in fixed_tensor_lines(plan)]
    kinds = named_tensors(plan.problem.model)
    return rows + [("rule", f"{name} {tuple(kinds[name].tensor.shape)}: {rule}") for name, rule in plan.rules.items()]


def _engine(plan: Plan, context: EvaluationContext, place: tuple[float, ...]) -> tuple[EngineConfig, Evaluator]:
    """Return the requested engine, or its fallback; eager if none was requested."""
    request = plan.request
    engine = plan.engine or EngineConfig.of("eager", request.batch_size)
    if plan.engine is not None or request.engine in (None, "eager"):
        return engine, Evaluator(context, engine)
    chosen = evaluate.select_engine(
        context, [place], points=plan.points, engine=request.engine, batch_size=request.batch_size
    )
    return chosen.engine, chosen.evaluator or Evaluator(context, chosen.engine)


def _output(plan: Plan) -> str:
    if plan.output is None or plan.request.destination.overwrite or not plan.output.exists():
        return str(plan.output)
    try:
        refuse_other_run(plan, store.read(plan.output))
    except StoreError as error:
        return f"refused: {error}"
    return f"{plan.output}, resuming from its points"


def _peak() -> str:
    """Return the peak memory of this process as text; empty if the system does not report it."""
    try:
        import resource  # noqa: PLC0415  not on Windows
    except ImportError:
        return ""
    unit = 1 if sys.platform == "darwin" else 1024
    return f"this process reached {_size(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)}; "


def _data_bytes(split: DataSplit) -> int:
    return _bytes([leaf for batch in split.batches(split.count) for leaf in leaves(batch)])


def _bytes(tensors: list[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)


def _size(count: float) -> str:
    """Return a readable number of bytes.

    >>> _size(1437 * 64 * 4)
    '359 kB'
    """
    for unit, size in (("GB", 2**30), ("MB", 2**20)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1024:.0f} kB"
