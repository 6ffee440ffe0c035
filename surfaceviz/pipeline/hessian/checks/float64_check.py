"""The matrix and gradient of a point in float64 as well: how far rounding moves eigenvalues."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
import torch

from surfaceviz.curvature import Operator, RoundingError, SampleShare, rounding_error
from surfaceviz.errors import MemoryShortError, ProblemError
from surfaceviz.execute import available_memory
from surfaceviz.pipeline.hessian.operators import MemoryBudget, build_hvp
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import HessianTargets, TargetPoint
from surfaceviz.pipeline.provenance import Attributes
from surfaceviz.problem.batching import coupling_norms
from surfaceviz.problem.functional import State
from surfaceviz.records import HessianMap

_SAMPLES, _SHARE = 256, 8  # at least so many samples, and one in so many; ours
_BATCH = 128  # samples; ours
_VECTORS = 20  # of P numbers in float64: weights, gradients, probes, products; ours
_SHARE_OF_MEMORY = 0.5  # of what is available


@dataclass(frozen=True, slots=True)
class PrecisionCheck:
    """The result of the check at a point.

    Attributes:
        words: what was checked, or why it was not.
        error: bounds on the errors; None if nothing was checked.
    """

    words: str
    error: RoundingError | None = None

    @property
    def fields(self) -> dict[str, str | float]:
        """The fields of a spectrum's record."""
        found = {} if self.error is None else {
            "float64_error": self.error.matrix, "float64_gradient_error": self.error.gradient
        }  # fmt: skip
        return {"float64_check": self.words, **found}


def check_precision(targets: HessianTargets, request: HessianRequest, number: int) -> PrecisionCheck | None:
    """Compare matrix and gradient with those in float64 at a point; None for a run in float64.

    Where samples do not depend on each other, a subset of them is taken.
    """
    if targets.dtype == torch.float64:
        return None
    needed = 8 * _VECTORS * targets.layout.dimension
    if needed > _SHARE_OF_MEMORY * available_memory():
        return PrecisionCheck(f"not checked: it would take {needed / 2**30:.1f} GB, for which memory has no room")
    split = targets.split
    bound = bool(split.given) or bool(coupling_norms(targets.problem.model))
    count = max(_SAMPLES, split.count // _SHARE)
    narrow = targets if bound or count >= split.count else replace(targets, split=split.subset(count))
    request = replace(request, batch_size=request.batch_size or _BATCH)
    memory = MemoryBudget(0, int(_SHARE_OF_MEMORY * available_memory()) // 2)
    scales = targets.site(number).filter_scales if request.spectrum.normalised else None
    try:
        error = rounding_error(
            _operator(narrow, request, memory), _operator(_in_float64(narrow), request, memory), number,
            generator=torch.Generator().manual_seed(request.spectrum.seed), scales=scales,
        )  # fmt: skip
    except (ProblemError, MemoryShortError) as problem:
        return PrecisionCheck(f"not checked: {problem}")
    samples = "all" if narrow.split.count == split.count else str(narrow.split.count)
    return PrecisionCheck(f"checked on {samples} samples", error)


def check_map(targets: HessianTargets, request: HessianRequest, numbers: Sequence[int]) -> Attributes:
    """Return attributes of a map from the check at its first, middle and last point; none for a run in float64."""
    places = dict.fromkeys([numbers[0], numbers[len(numbers) // 2], numbers[-1]])
    checks = [check for number in places if (check := check_precision(targets, request, number))]
    errors = [check.error.matrix for check in checks if check.error is not None]
    if not errors:
        return {"float64_check": checks[0].words} if checks else {}
    return {"float64_check": f"{checks[0].words} at {len(errors)} points", "float64_error": max(errors)}


def map_warning(found: HessianMap) -> str:
    """Return a line if rounding at the checked points exceeds the tolerance at a typical point, or ''."""
    error = float(found.provenance.get("float64_error", 0.0))
    sizes = np.fmax(np.abs(found.lambda_max), np.abs(found.lambda_min))
    typical = float(np.median(sizes[np.isfinite(sizes)])) if np.isfinite(sizes).any() else math.inf
    if not error > float(found.provenance["rtol"]) * typical:
        return ""
    dtype = found.provenance["dtype"]
    return (
        f"in {dtype} the map's eigenvalues may be off by up to {error:.2g}, where {typical:.2g} is typical: take "
        "--dtype float64"
    )


def _operator(targets: HessianTargets, request: HessianRequest, memory: MemoryBudget) -> Operator:
    sums = build_hvp(targets, request, memory, SampleShare())
    return Operator(lambda message: [sums(message)], targets.layout, targets.dtype)


def _in_float64(targets: HessianTargets) -> HessianTargets:
    """Return targets with weights, data and matrix in float64."""
    problem = targets.problem
    split = targets.split.mapped(lambda tree: problem.cast(tree, torch.float64, targets.device))
    return replace(targets, dtype=torch.float64, split=split, points=_wide_points(targets.points))


def _wide_points(points: Sequence[TargetPoint]) -> list[TargetPoint]:
    return [replace(point, make=partial(_wide_state, point)) for point in points]


def _wide_state(point: TargetPoint) -> State:
    return {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in point.make().items()}
