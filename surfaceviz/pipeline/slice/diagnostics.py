"""What the user should not miss about a slice: lines of warning, before it is cut and after."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from surfaceviz.directions.random import zero_filters
from surfaceviz.directions.specs import FromFile, Toward
from surfaceviz.evaluate import EngineConfig
from surfaceviz.pipeline.slice.planning.autotune import MOVING_SHARE, moving_share
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.problem.functional import coupling_norms
from surfaceviz.records import EVALUATED, Slice


def still(plan: Plan) -> list[str]:
    """Return lines on what stays still beyond the usual: frozen parameters, filters of norm 0."""
    if isinstance(plan.request.directions, Toward | FromFile):
        return []
    lines = []
    frozen = len(plan.minimum.filters) - len(plan.made.moving)
    if frozen:
        lines.append(f"{frozen} of {len(plan.minimum.filters)} parameters are frozen and stay still")
    zeros = zero_filters(plan.theta, plan.minimum.filters, plan.made.moving)
    if zeros:
        lines.append(f"{zeros} filters have norm 0 and stay still")
    return lines


def before(plan: Plan, engine: EngineConfig, centre: Mapping[str, float]) -> list[str]:
    """Return what is worth a warning once the centre is known."""
    return [
        *_near_chance(plan, centre),
        *_held_variances(plan),
        *_unmoved(plan),
        *_coupled(plan, engine),
        *_standing(plan),
    ]


def after(plan: Plan, surface: Slice) -> list[str]:
    """Return where the slice lies lower than its centre; between models that is no surprise."""
    name = f"{plan.splits[0].name}_loss"
    losses, centre = surface.values[name], surface.centre[name]
    losses = np.where(surface.origin == EVALUATED, losses, np.nan)
    lower = losses < centre - 1e-6 * max(abs(centre), 1e-12)
    if isinstance(plan.request.directions, Toward) or not lower.any():
        return []
    index = np.unravel_index(int(np.nanargmin(losses)), losses.shape)
    where = ", ".join(f"{axis[i]:g}" for axis, i in zip(surface.axes, index, strict=True))
    line = (
        f"{int(lower.sum())} of {surface.evaluated} points lie lower than the centre in {name} ({centre:.6g}), the "
        f"lowest {losses[index]:.6g} at ({where}): the centre is no minimum of this slice"
    )
    return [line]


def _near_chance(plan: Plan, centre: Mapping[str, float]) -> list[str]:
    lines = []
    for split in plan.splits:
        classes, accuracy = plan.problem.classes(split), centre.get(f"{split.name}_accuracy")
        if classes and classes > 1 and accuracy is not None and accuracy < 1.2 / classes:
            lines.append(
                f"the {split.name} accuracy at the centre, {accuracy:.3f}, is near chance (1 in {classes}): "
                "were the trained weights loaded?"
            )
    return lines


def _held_variances(plan: Plan) -> list[str]:
    """Say where a line leads running variances below 0; they are linear, so the corners tell."""
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
        f"{len(below)} batch norms' running variances fall below 0 within this range; there they are held at 0 and the "
        "loss explodes: keep between the models by --axis, or use --bn recalibrate"
    )
    return [line] if below else []


def _unmoved(plan: Plan) -> list[str]:
    """Say which tensors can't lie on a line."""
    rigid = [name for name, tensor in plan.theta.items() if tensor.is_complex()]
    lines = [f"complex tensors stay still: {', '.join(rigid[:4])}"] if rigid else []
    if plan.made.differing:
        lines.append(
            f"integer buffers differ between the models and stay as they are at the centre "
            f"({', '.join(plan.made.differing[:4])}): the others' own losses are not reached"
        )
    return lines


def _coupled(plan: Plan, engine: EngineConfig) -> list[str]:
    norms = coupling_norms(plan.problem.model)
    line = (
        f"{len(norms)} batch norms keep no running statistics: the loss depends on how samples fall into batches of "
        f"{engine.batch_size}"
    )
    return [line] if norms else []


def _standing(plan: Plan) -> list[str]:
    """Say where the dtype is too coarse for the grid, so that the picture is a comb."""
    if plan.dtype not in ("bf16", "float16") or (share := moving_share(plan, plan.dtype)) >= MOVING_SHARE:
        return []
    line = (
        f"only {share:.0%} of the moving weights change from one point to the next in {plan.dtype}: the picture will "
        "be a comb; take a larger range, fewer points or --dtype float32"
    )
    return [line]
