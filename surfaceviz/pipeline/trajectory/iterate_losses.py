"""Losses of the iterates of trainings, and of their projections onto a plane."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from surfaceviz.directions.training.training_plane import FromTraining
from surfaceviz.errors import ProblemError
from surfaceviz.evaluate import EngineConfig, Evaluator, Perturber
from surfaceviz.pipeline.resolve import read_theta
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.parameters import named_tensors
from surfaceviz.records import PROJECTED_LOSS, FloatArray, Trajectory
from surfaceviz.reporting import Reporter
from surfaceviz.signals import raise_if_interrupted


def iterate_values(plan: Plan, path: Trajectory, reporter: Reporter) -> dict[str, FloatArray]:
    """Return the values of each iterate, with its own buffers, and the loss of its projection, with those of theta.

    All are taken on the samples of the slice, in the model's usual dtype.

    Args:
        plan: the plan of the slice in the plane of the trainings.
        path: its trajectory, of t iterates.
        reporter: receives the progress.

    Returns:
        ``<split>_<metric>`` -> (t,), and ``projected_loss``, of the first split.

    Raises:
        CheckpointError: a file can't be read.
        ProblemError: the problem's code raised.
    """
    reporter.say(f"losses of {len(path.step)} iterates and of their projections")
    loss = f"{plan.splits[0].name}_loss"
    rows: list[dict[str, float]] = []
    with borrowed(plan.problem.model, plan.device):
        on_plane = Evaluator(plan.reference, EngineConfig())
        for own, place in zip(_own_values(plan), path.coordinates, strict=True):
            rows.append({**own, PROJECTED_LOSS: on_plane([tuple(place.tolist())]).first[loss]})
            reporter.advance(len(rows), len(path.step), len(rows))
            raise_if_interrupted()
    return {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}


def _own_values(plan: Plan) -> Iterator[dict[str, float]]:
    """Yield the values at each checkpoint."""
    spec, context = plan.request.directions, plan.reference
    assert isinstance(spec, FromTraining)
    names = {name: named.own_name for name, named in named_tensors(plan.problem.model).items()}
    for file in (file for run in spec.runs for file in run.files):
        theta = read_theta(plan.problem, file, plan.usual_dtype, lambda _line: None)
        perturb = Perturber(names, theta, [{}], plan.usual_dtype, device=plan.device)
        try:
            yield dict(Evaluator(replace(context, perturb=perturb), EngineConfig()).centre().first)
        except ProblemError as error:
            raise ProblemError(f"at {file}: {error}") from error
