"""The loss of targets of curvature as a function of the weights, in float64."""

from __future__ import annotations

import torch

from surfaceviz.curvature import MAX_BASIS_SIZE
from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.pipeline.hessian.operators import MemoryBudget
from surfaceviz.pipeline.hessian.targets import HessianTargets

BATCH = 128  # samples in a batch: the same as for m-sharpness, whose graph must fit into memory anyway


def float64_objective(
    targets: HessianTargets, *, memory: int | None = None, batch: int | None = None
) -> tuple[Objective, MemoryBudget]:
    """Return the objective on the targets' samples, and the memory for its basis and graphs.

    Args:
        targets: in any dtype.
        memory: bytes; by default half of what is free.
        batch: samples in a batch.
    """
    budget = MemoryBudget.of(memory, 8 * targets.layout.dimension, most=MAX_BASIS_SIZE, bases=1, processes=1)
    problem, device = targets.problem, targets.device
    objective = Objective(
        problem=problem, split=targets.split.mapped(lambda tree: problem.cast(tree, torch.float64, device)),
        layout=targets.layout, filters=targets.filters, own_names=targets.own_names, device=device,
        batch=batch or BATCH, memory=budget.graphs,
    )  # fmt: skip
    return objective, budget


def float64_theta(targets: HessianTargets, number: int) -> Theta:
    """Return the weights and buffers of a target point, floating ones in float64."""
    weights = targets.points[number].make()
    return {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
