"""Weights and directions of a stored slice, computed again from its problem and compared with the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import Tensor

from surfaceviz import store
from surfaceviz.errors import ProblemError
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import slice_plan
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice

_LIVE = Path("slice.h5")  # stands for the file of a slice that was never written


def stored_plan(surface: Slice | str | Path, problem: Problem | str | None, data: str | None) -> tuple[Plan, Slice]:
    """Return the plan of a slice, built again, and the slice.

    Raises:
        ProblemError: the slice does not name its problem, and none is given.
        StoreError: weights, data or directions are not those of the slice.
    """
    path = None if isinstance(surface, Slice) else Path(surface)
    record = surface if isinstance(surface, Slice) else store.read(surface)
    request = HessianRequest.of(path or _LIVE, problem=problem, data=data)
    return slice_plan(request, record, lambda _line: None, kept=path), record


def weights_at(plan: Plan, surface: Slice, index: Sequence[int]) -> dict[str, Tensor]:
    """Return the weights and buffers at a grid point, by the model's own names, in the slice's dtype.

    Raises:
        ProblemError: the number of indices is not that of the axes, or one is out of range.
    """
    sizes = surface.shape
    if len(index) != len(sizes) or not all(-n <= i < n for i, n in zip(index, sizes, strict=False)):
        given = ", ".join(map(str, index))
        raise ProblemError(
            f"point ({given}) is not on a grid of {' x '.join(map(str, sizes))} points; give i, j below them"
        )
    place = tuple(float(axis[i]) for axis, i in zip(surface.grid, index, strict=True))
    perturber = plan.perturber(plan.dtype)
    if surface.seeds:
        perturber.turn(plan.ray(index[0] % len(surface.seeds)))
    state = perturber(place[-surface.ndim :])
    return {name: tensor.detach().clone() for name, tensor in state.items()}
