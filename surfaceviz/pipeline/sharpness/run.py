"""Sharpness of checkpoints: where they come from, what is measured, where the figures go."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from surfaceviz.curvature import MOST_ROOM
from surfaceviz.errors import StoreError
from surfaceviz.execute import retain_freed_memory
from surfaceviz.pipeline.hessian.points import targets_of
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.spectra import Memory, kinks
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.pipeline.sharpness.request import SharpnessRequest
from surfaceviz.problem.functional import borrowed, coupling_norms
from surfaceviz.reporting import QuietReporter, Reporter
from surfaceviz.sharpness_measures import CAUTION, Label, Objective, Sharpness, all_measures
from surfaceviz.signals import interruptible

_BATCH = 128  # samples of a batch: those of m-sharpness, whose graph there must be room for anyway


def run_sharpness(asked: SharpnessRequest, reporter: Reporter | None = None) -> tuple[Sharpness, ...]:
    """Return the sharpness of every checkpoint, one after another, and write the JSON file.

    Raises:
        ValueError: an option that can't be.
        SurfacevizError: problem, weights, data or file are not as they should be.
        Interrupted: by a signal.
    """
    reporter = reporter or QuietReporter()
    retain_freed_memory()
    with interruptible():
        grounds = [(each, targets_of(each, reporter.say, 0)) for each in asked.points]
        names = iter(_names(grounds))
        found: list[Sharpness] = []
        for request, targets in grounds:
            with borrowed(targets.problem.model, targets.device):
                for number in range(len(targets.points)):
                    label = Label(next(names), targets.name)
                    rescale = asked.rescaled is None or len(found) < asked.rescaled
                    found.append(_at(targets, number, request, label, reporter, seed=asked.seed, rescale=rescale))
    if asked.json is not None:
        _write(asked.json, found)
    return tuple(found)


def _at(
    targets: HessianTargets,
    number: int,
    request: HessianRequest,
    label: Label,
    reporter: Reporter,
    *,
    seed: int,
    rescale: bool,
) -> Sharpness:
    """Return the sharpness at a point of a ground, in float64 whatever the ground's dtype is."""
    for line in _caveats(targets, number, request.batch_size or _BATCH):
        reporter.warn(f"{label.name}: {line}")
    problem, device = targets.problem, targets.device
    memory = Memory.of(request.memory, 8 * targets.layout.dimension, most=MOST_ROOM, bases=1, processes=1)
    objective = Objective(
        problem, targets.split.mapped(lambda tree: problem.cast(tree, torch.float64, device)), targets.layout,
        targets.filters, targets.own_names, device, request.batch_size or _BATCH, memory.graphs,
    )  # fmt: skip
    made = targets.points[number].make()
    theta = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in made.items()}
    return all_measures(objective, theta, label, seed=seed, vectors=memory.vectors, rescale=rescale, say=reporter.say)


def _caveats(targets: HessianTargets, number: int, batch: int) -> Iterator[str]:
    if words := kinks(targets, number):
        yield f"there is no Hessian in the strict sense: {words} at a kink or tie exactly"
    if norms := coupling_norms(targets.problem.model):
        yield (
            f"{len(norms)} batch norms keep no running statistics: the loss depends on how samples fall into batches "
            f"of {batch}"
        )


def _names(grounds: Sequence[tuple[HessianRequest, HessianTargets]]) -> list[str]:
    """Return what the checkpoints are called: short names where those tell them apart."""
    short: list[str] = []
    long: list[str] = []
    for request, targets in grounds:
        file = request.file
        short += [Path(w).name for w in request.weights] or [targets.name if file is None else file.stem]
        long += request.weights or [targets.name if file is None else str(file)]
    return short if len(set(short)) == len(short) else long


def _write(path: Path, found: Sequence[Sharpness]) -> None:
    try:
        path.write_text(
            json.dumps({"checkpoints": [each.plain() for each in found], "caution": CAUTION}, indent=1) + "\n",
            encoding="utf-8",
        )
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror}") from error
