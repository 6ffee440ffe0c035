"""Whether the weights at a target look trained."""

from __future__ import annotations

from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.problem.checks.near_chance import near_chance_lines
from surfaceviz.problem.estimates import sum_and_weight
from surfaceviz.problem.functional import eager, measure_batches

_BATCH = 128  # samples in a batch


def untrained_lines(targets: HessianTargets, number: int) -> list[str]:
    """Return a warning if the accuracy at theta or at a checkpoint is near chance; none for points away from theta."""
    problem, split = targets.problem, targets.split
    if problem.class_count is None or any(targets.points[number].fields.get("place", ())):
        return []
    measured = measure_batches(problem, eager(problem), split.batches(_BATCH), targets.state(number), title=split.name)
    parts = [sum_and_weight(part) for part in measured.get("accuracy", ())]
    weight = sum(part[1] for part in parts)
    accuracy = sum(float(part[0]) for part in parts) / weight if weight else None
    return near_chance_lines(f"{split.name} accuracy", accuracy, problem.class_count)
