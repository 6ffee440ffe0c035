"""The weights at a point of a slice, and its directions."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from surfaceviz.pipeline.stored_weights import stored_plan
from surfaceviz.pipeline.stored_weights import weights_at as weights_of_plan
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice


def weights_at(
    surface: Slice | str | Path,
    i: int,
    j: int | None = None,
    *,
    problem: Problem | str | None = None,
    data: str | None = None,
) -> dict[str, Tensor]:
    """Return theta + alpha_i delta + beta_j eta, the weights and buffers at a grid point.

    ``model.load_state_dict(weights_at(surface, i, j), strict=False)`` puts them into the model. The directions are
    computed again and compared with those of the slice. With ``bn="recalibrate"``, the running statistics are those of
    theta.

    Args:
        surface: a slice, or its file.
        i: index along alpha; of rays, the number of the ray, from 0.
        j: index along beta, of rays along alpha; None for a curve.
        problem: the problem, if the slice was computed from live objects; the model at the slice's centre.
        data: folder of a catalogue problem's data.

    Raises:
        ProblemError: the problem can't be found, or the point is not on the grid.
        StoreError: weights, data or directions are not those of the slice.

    Example:
        >>> import torch, surfaceviz
        >>> x = torch.linspace(-1, 1, 8).reshape(8, 1)
        >>> made = Problem(torch.nn.Linear(1, 1, bias=False), (x, 2 * x), "mse")
        >>> _ = torch.nn.init.constant_(made.model.weight, 2.0)
        >>> surface = surfaceviz.slice(made, [(-1, 1, 3)])
        >>> bool(torch.equal(weights_at(surface, 1, problem=made)["weight"], made.model.weight))
        True
    """
    plan, record = stored_plan(surface, problem, data)
    return weights_of_plan(plan, record, (i,) if j is None else (i, j))


def directions_of(
    surface: Slice | str | Path, *, problem: Problem | str | None = None, data: str | None = None
) -> tuple[dict[str, Tensor], ...]:
    """Return the directions delta[, eta] of a slice, or of all its rays: canonical tensor name -> tensor of its shape.

    Args:
        surface: a slice, or its file.
        problem: see `weights_at`.
        data: see `weights_at`.

    Raises:
        ProblemError: the problem can't be found.
        StoreError: weights, data or directions are not those of the slice.
    """
    plan, _ = stored_plan(surface, problem, data)
    made = map(plan.ray, range(len(plan.seeds))) if plan.seeds else (each.tensors for each in plan.directions)
    return tuple({name: tensor.clone() for name, tensor in each.items()} for each in made)
