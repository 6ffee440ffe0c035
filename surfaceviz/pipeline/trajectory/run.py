"""The run of a trajectory: its files, the slice in its plane, the losses of its iterates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import surfaceviz.lock
from surfaceviz import store
from surfaceviz.directions.training.from_training import origin_of
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.ranks import run_slice
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.pipeline.slice.run import SliceResult
from surfaceviz.pipeline.trajectory.checkpoint_files import Say, runs_of
from surfaceviz.pipeline.trajectory.iterate_losses import iterate_values
from surfaceviz.pipeline.trajectory.request import TrajectoryRequest
from surfaceviz.problem.problem import Problem
from surfaceviz.reporting import QuietReporter, Reporter
from surfaceviz.signals import deferred_signals, interruptible


def run_trajectory(
    request: TrajectoryRequest, *, workers: int | None = None, reporter: Reporter | None = None, command: str = ""
) -> SliceResult:
    """Compute the slice in the plane of trainings, with their paths and the losses of their iterates.

    Raises:
        ValueError: an option is invalid.
        SurfacevizError: see `run_slice`; a checkpoint can't be read, or the iterates span no plane.
        Interrupted: a signal arrived; evaluated points are in the file.
    """
    reporter = reporter or QuietReporter()
    return run_slice(
        slice_request(request, reporter.say), workers=workers, reporter=reporter, command=command, finish=_add_losses
    )


def slice_request(request: TrajectoryRequest, say: Say) -> Request:
    """Return the request for the slice, its weights those of the iterate at the origin.

    Raises:
        CheckpointError: a training has fewer than two checkpoints.
        DirectionError: the plane names a checkpoint that is not among them.
    """
    spec = replace(request.plane, runs=runs_of(request.checkpoints, say))
    files = [file for run in spec.runs for file in run.files]
    for run in spec.runs:
        say(f"{run.name}: {len(run.files)} checkpoints, from {Path(run.files[0]).name} to {Path(run.files[-1]).name}")
    problem: str | Problem = request.checkpoints[0] if request.problem is None else request.problem
    return replace(request.slice, problem=problem, weights=files[origin_of(spec)], directions=spec)


def _add_losses(plan: Plan, result: SliceResult, reporter: Reporter) -> SliceResult:
    """Add the losses of the iterates to the slice and to its file, where they are not known yet."""
    path = result.surface.trajectory
    if path is None or path.values:
        return result
    with interruptible():
        values = iterate_values(plan, path, reporter)
        known = {**path.provenance, "loss": f"{plan.splits[0].name}_loss"}
        surface = replace(result.surface, trajectory=replace(path, values=values, provenance=known))
        if result.path is not None:
            with surfaceviz.lock.held(result.path), deferred_signals():
                store.write(result.path, surface, store.read_directions(result.path))
    return replace(result, surface=surface)
