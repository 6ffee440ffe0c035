"""Warnings about a slice, before and after its points are evaluated."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping

import numpy as np

from surfaceviz.directions.random import zero_filters
from surfaceviz.directions.specs import Coordinates, FromFile, Toward
from surfaceviz.directions.training.training_plane import FromTraining
from surfaceviz.errors import ProblemError
from surfaceviz.evaluate import EngineConfig
from surfaceviz.pipeline.slice.planning.autotune import MOVING_SHARE, moving_share
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.problem.batching import coupling_norms
from surfaceviz.problem.checks.near_chance import near_chance_lines
from surfaceviz.problem.forward.forward_writes import write_lines
from surfaceviz.records import EVALUATED, Slice
from surfaceviz.reporting import Reporter

_MOST_DIVERGED = 0.5  # share of the evaluated points; ours


def fixed_tensor_lines(plan: Plan) -> list[str]:
    """Return lines about parameters that stay fixed: frozen ones, and filters of norm 0."""
    if isinstance(plan.request.directions, Toward | FromFile | FromTraining | Coordinates):
        return []
    lines = []
    frozen = len(plan.minimum.filters) - len(plan.made.moving)
    if frozen:
        lines.append(f"{frozen} of {len(plan.minimum.filters)} parameters are frozen and stay fixed")
    zeros = zero_filters(plan.theta, plan.minimum.filters, plan.made.moving)
    if zeros:
        lines.append(f"{zeros} filters have norm 0 and stay fixed")
    return lines


def centre_warnings(plan: Plan, engine: EngineConfig, centre: Mapping[str, float]) -> list[str]:
    """Return warnings about the centre, the range, the batch norms and the dtype."""
    return [
        *_near_chance(plan, centre),
        *write_lines(plan.problem),
        *_negative_variances(plan),
        *_fixed_tensors(plan),
        *_coupling_batch_norms(plan, engine),
        *_coarse_dtype(plan),
    ]


def slice_warnings(plan: Plan, surface: Slice) -> list[str]:
    """Return warnings if most points diverged, or if points lie lower than the centre.

    Between models, lower points are normal.
    """
    name = f"{plan.splits[0].name}_loss"
    return [*_too_wide(plan, surface, name), *_lower_points(plan, surface, name)]


def _too_wide(plan: Plan, surface: Slice, name: str) -> list[str]:
    """Return a warning if most evaluated points have no finite loss."""
    evaluated = surface.origin == EVALUATED
    diverged = int(np.count_nonzero(evaluated & ~np.isfinite(surface.values[name])))
    if diverged <= _MOST_DIVERGED * surface.evaluated:
        return []
    axes = " ".join(f"--axis auto:{axis.count}" for axis in plan.axes)
    advice = f"try {axes}" if plan.request.directions.around_one_minimum else "keep between the models by --axis"
    return [f"{diverged} of {surface.evaluated} points have no finite {name}: the range is too wide; {advice}"]


def _lower_points(plan: Plan, surface: Slice, name: str) -> list[str]:
    losses, centre = np.where(surface.origin == EVALUATED, surface.values[name], np.nan), surface.centre[name]
    rounding = max(1e-6 * max(abs(centre), 1e-12), 2 * float(surface.provenance.get(f"{name}_float64_error", 0.0)))
    lower = losses < centre - rounding
    if isinstance(plan.request.directions, Toward) or not lower.any():
        return []
    index = np.unravel_index(int(np.nanargmin(losses)), losses.shape)
    where = ", ".join(f"{axis[i]:g}" for axis, i in zip(surface.grid, index, strict=True))
    line = (
        f"{int(lower.sum())} of {surface.evaluated} points lie lower than the centre in {name} ({centre:.6g}), the "
        f"lowest {losses[index]:.6g} at ({where}): the centre is not a minimum of this slice"
    )
    return [line]


def _near_chance(plan: Plan, centre: Mapping[str, float]) -> list[str]:
    return [
        line
        for split in plan.splits
        for line in near_chance_lines(
            f"{split.name} accuracy at the centre", centre.get(f"{split.name}_accuracy"), plan.problem.class_count
        )
    ]


def _negative_variances(plan: Plan) -> list[str]:
    """Warn if running variances fall below 0. They are linear in the coordinates: checking the corners is enough."""
    if plan.calibration is not None:
        return []
    corners = itertools.product(*((axis.minimum, axis.maximum) for axis in plan.axes))
    below: set[str] = set()
    for corner in corners:
        for name in (n for n in plan.directions[0].tensors if n.endswith("running_var")):
            moved = plan.theta[name].clone()
            for coordinate, direction in zip(corner, plan.directions, strict=True):
                moved += coordinate * direction.tensors[name]
            below |= {name} if bool((moved < 0).any()) else set()
    line = (
        f"{len(below)} batch norms' running variances fall below 0 within this range, where they are clipped to 0 and "
        "the loss explodes; keep between the models by --axis, or use --bn recalibrate"
    )
    return [line] if below else []


def _fixed_tensors(plan: Plan) -> list[str]:
    """Return lines about tensors that can't be interpolated."""
    complex_names = [name for name, tensor in plan.theta.items() if tensor.is_complex()]
    lines = [f"complex tensors stay fixed: {', '.join(complex_names[:4])}"] if complex_names else []
    if plan.made.differing:
        lines.append(
            f"integer buffers differ between the models and keep their values at the centre "
            f"({', '.join(plan.made.differing[:4])}): the losses of the other models are not reproduced"
        )
    return lines


def _coupling_batch_norms(plan: Plan, engine: EngineConfig) -> list[str]:
    norms = coupling_norms(plan.problem.model)
    line = (
        f"{len(norms)} batch norms keep no running statistics: the loss depends on the batch size, here "
        f"{engine.batch_size}"
    )
    return [line] if norms else []


def _coarse_dtype(plan: Plan) -> list[str]:
    """Warn if the dtype does not resolve the spacing of the grid, so that the slice has steps."""
    if plan.dtype not in ("bf16", "float16") or (share := moving_share(plan, plan.dtype)) >= MOVING_SHARE:
        return []
    line = (
        f"only {share:.0%} of the moving weights change from one point to the next in {plan.dtype}: the slice will "
        "have steps; take a larger range, fewer points or --dtype float32"
    )
    return [line]


def report_centre(plan: Plan, centre: Mapping[str, float], reporter: Reporter) -> None:
    """Report the values at theta.

    Raises:
        ProblemError: a loss there is not finite.
    """
    for split in plan.splits:
        shown = {k.removeprefix(f"{split.name}_"): v for k, v in centre.items() if k.startswith(f"{split.name}_")}
        reporter.say(f"centre, {split.name}: " + ", ".join(f"{metric} {value:.6g}" for metric, value in shown.items()))
        if not math.isfinite(shown["loss"]):
            raise ProblemError(f"the {split.name} loss at the centre is {shown['loss']}; give other weights")
