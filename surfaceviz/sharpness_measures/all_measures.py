"""All measures at a checkpoint, and again at its rescaled weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.sharpness_measures.measurements import Measurement, change_of
from surfaceviz.sharpness_measures.record import RescalingEffect, Sharpness
from surfaceviz.sharpness_measures.registry import MEASURES, MeasurePoint
from surfaceviz.sharpness_measures.search import SearchSpec
from surfaceviz.signals import raise_if_interrupted
from surfaceviz.symmetry.rescale import Rescaling, rescalings

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpnessSpec:
    """Seed and effort of all measures.

    Attributes:
        seed: seed of all random numbers.
        vectors: bytes for the Lanczos basis.
        starts: number of random starts of each search for the worst case.
        iterations: largest number of steps from each start.
    """

    seed: int
    vectors: int
    starts: int
    iterations: int


@dataclass(frozen=True, slots=True)
class CheckpointLabel:
    """The names of a checkpoint and of its problem."""

    name: str
    problem: str


def measure_sharpness(
    objective: Objective, theta: Theta, label: CheckpointLabel, *, spec: SharpnessSpec, rescale: bool, say: Say
) -> Sharpness:
    """Return every measure at ``theta``, and the effect of rescalings on it.

    Args:
        objective: the loss.
        theta: the weights and buffers.
        label: names for the record.
        spec: seed and effort, the same before and after a rescaling.
        rescale: whether to rescale; each possible kind evaluates all measures again.
        say: called with a line before each stage.
    """
    say(f"{label.name}: measuring")
    loss, _, gradient = objective.gradient(theta)
    before = evaluate_measures(objective, theta, spec)
    effects: list[RescalingEffect] = []
    for each in rescalings(objective, theta, seed=spec.seed) if rescale else ():
        raise_if_interrupted()
        say(f"{label.name}: {f'measuring, rescaled by {each.kind}' if each.theta else f'no rescaling by {each.kind}'}")
        effects.append(_effect(objective, each, before, spec))
    return Sharpness(
        name=label.name, problem=label.problem, split=objective.split.name, samples=objective.split.count, loss=loss,
        gradient_norm=float(torch.linalg.vector_norm(gradient)), dimension=objective.layout.dimension, seed=spec.seed,
        starts=spec.starts, iterations=spec.iterations, measurements=before, rescalings=tuple(effects),
    )  # fmt: skip


def evaluate_measures(objective: Objective, theta: Theta, spec: SharpnessSpec) -> dict[str, Measurement]:
    """Return every measure at given weights, by the keys of `MEASURES`.

    Most of the cost is the search for the width, in forward passes, and the searches for the worst case, in forward and
    backward passes; both run in float32 if that agrees with float64.
    """
    search_spec = SearchSpec(starts=spec.starts, iterations=spec.iterations, seed=spec.seed)
    point = MeasurePoint(
        objective=objective, theta=theta, seed=spec.seed, vectors=spec.vectors, search_spec=search_spec
    )
    return {key: measure.evaluate(point) for key, measure in MEASURES.items()}


def _effect(
    objective: Objective, each: Rescaling, before: Mapping[str, Measurement], spec: SharpnessSpec
) -> RescalingEffect:
    after = {} if each.theta is None else evaluate_measures(objective, each.theta, spec)
    changes = {key: change_of(before[key], measurement) for key, measurement in after.items()}
    return RescalingEffect(kind=each.kind, words=each.words, deviation=each.deviation, changes=changes)
