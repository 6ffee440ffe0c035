"""The run along the checkpoints of a training; each result is stored as soon as it is finished."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from surfaceviz import signals, start_folder, store
from surfaceviz.curvature import SpectrumSpec
from surfaceviz.curvature.flat_parameters import ParameterLayout
from surfaceviz.curvature.stability.batch_sharpness import random_batches
from surfaceviz.curvature.stability.state import OptimiserState
from surfaceviz.errors import CheckpointError, Interrupted
from surfaceviz.execute import retain_freed_memory
from surfaceviz.notebook import default_reporter
from surfaceviz.pipeline.edge.checkpoints import Checkpoint, batch_size_of, checkpoints_of, refuse_without_state
from surfaceviz.pipeline.edge.edge_file import EdgeFile
from surfaceviz.pipeline.edge.measure import EdgePoint, Measures
from surfaceviz.pipeline.edge.request import EdgeRequest
from surfaceviz.pipeline.hessian.operators import divide_memory
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.spectra import check_at
from surfaceviz.pipeline.hessian.targets import HessianTargets, checkpoint_targets
from surfaceviz.pipeline.hessian.workers import worker_spec
from surfaceviz.pipeline.mpi import Ranks
from surfaceviz.pipeline.outputs import claimed
from surfaceviz.pipeline.request_inputs import inputs_of_hessian
from surfaceviz.pipeline.resolve import resolve
from surfaceviz.pipeline.train.trained_folder import is_trained_folder
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Edge
from surfaceviz.reporting import Reporter
from surfaceviz.version import VERSION

_WORTH_SHARING = 2**24  # parameters times samples; below it a message takes longer than a product; ours
_CAVEAT = (
    "thresholds are those of a quadratic with the optimiser's state frozen; a state that still changes moves them. "
    "Eigenvalues are of the whole split in eval mode, without augmentation"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EdgeResult:
    """The stability along a training, the file that holds it, and the number of checkpoints that this run computed."""

    edge: Edge
    path: Path | None
    fresh: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Course:
    """Checkpoints, their fingerprints, and the problem with its samples.

    Attributes:
        request: the options.
        checkpoints: in order of their steps.
        keys: their fingerprints.
        targets: their weights by number, over the parameters that the optimiser trains.
        options: for products.
        kind: the class of the optimiser.
        batch_size: of the training; None where it is not known.
    """

    request: EdgeRequest
    checkpoints: Sequence[Checkpoint]
    keys: Sequence[str]
    targets: HessianTargets
    options: HessianRequest
    kind: str
    batch_size: int | None

    def state(self, number: int) -> OptimiserState:
        """Return the optimiser at a checkpoint."""
        return self.checkpoints[number].state(self.targets.problem.model, self.request.learning_rate)[0]


def run_edge(
    request: EdgeRequest, *, workers: int | None = None, reporter: Reporter | None = None, command: str = ""
) -> EdgeResult:
    """Compute sharpness and thresholds along a training; checkpoints that the file already holds are not recomputed.

    Raises:
        ValueError: an option is invalid.
        SurfacevizError: the folder, the problem, the data or the file can't be used.
        Interrupted: a signal arrived; finished checkpoints are in the file.
    """
    ranks = Ranks(reporter=reporter or default_reporter(), workers=workers)
    retain_freed_memory()
    with start_folder.fixed(), signals.interruptible():
        if request.path is not None:
            store.check_name(request.path)
        course = _course(request, ranks.reporter)
        claim = nullcontext() if request.path is None else claimed(
            request.path, inputs=inputs_of_hessian(course.options), wait=0.0
        )  # fmt: skip
        with claim:
            file = EdgeFile(request.path, _provenance(course, command), course.keys, overwrite=request.overwrite)
            missing = [k for k, key in enumerate(course.keys) if not _is_known(file.points.get(key), request)]
            if missing:
                _compute(course, missing, file, ranks)
    return EdgeResult(edge=file.edge, path=request.path, fresh=len(missing))


def _course(request: EdgeRequest, reporter: Reporter) -> _Course:
    found = checkpoints_of(request, reporter.say)
    problem = _problem(request)
    keys, kept = [], False
    for each in found:
        state, digest = each.state(problem.model, request.learning_rate)
        keys.append(digest)
        kept = kept or bool(state.entries)
    refuse_without_state(found, state, kept=kept)
    options = HessianRequest.of(
        problem, top=1, bottom=0, rtol=request.rtol, seed=request.seed, weights=[str(each.weights) for each in found],
        split=request.split, samples=request.samples, device=request.device, dtype=request.dtype, memory=request.memory,
    )  # fmt: skip
    targets = checkpoint_targets(options, reporter.say, 0)
    shapes = dict(zip(targets.layout.names, targets.layout.shapes, strict=True))
    names = tuple(name for name in state.names if name in shapes)
    if not names:
        raise CheckpointError(f"{found[-1].weights}: the optimiser trains no parameter of the problem's model")
    weights = [str(point.fields["weights_sha256"]) for point in targets.points]
    return _Course(
        request=request, checkpoints=found, options=options, kind=state.kind,
        keys=[f"{w[:16]}-{s[:16]}-{each.step}" for w, s, each in zip(weights, keys, found, strict=True)],
        targets=replace(targets, layout=ParameterLayout(names, tuple(shapes[name] for name in names))),
        batch_size=batch_size_of(request, targets.split.count),
    )  # fmt: skip


def _problem(request: EdgeRequest) -> Problem:
    if isinstance(request.problem, Problem):
        return request.problem
    if request.problem is None and not is_trained_folder(request.folder):
        raise CheckpointError(f"{request.folder} does not name its problem; give it by --problem FILE.py:FACTORY")
    return resolve(request.problem or str(request.folder), request.data)


def _is_known(point: EdgePoint | None, request: EdgeRequest) -> bool:
    if point is None:
        return False
    return not math.isnan(point.critical_sharpness if request.critical else point.lambda_max)


def _compute(course: _Course, missing: Sequence[int], file: EdgeFile, ranks: Ranks) -> None:
    """Compute the missing checkpoints and store each.

    Raises:
        Interrupted: a signal arrived.
    """
    targets, done = course.targets, 0
    try:
        with borrowed(targets.problem.model, targets.device), torch.enable_grad(), _measure(course, ranks) as measure:
            for done, number in enumerate(missing, start=1):
                signals.raise_if_interrupted()
                state = course.state(number)
                point = EdgePoint(
                    step=course.checkpoints[number].step, learning_rate=state.learning_rate, threshold=state.threshold,
                    **measure(number, state),
                )  # fmt: skip
                if not math.isfinite(point.loss):
                    ranks.reporter.warn(f"step {point.step:g}: the loss is {point.loss:g}, and has no curvature")
                file.put(course.keys[number], point)
                ranks.reporter.advance(done, len(missing), done)
    except Interrupted as error:
        kept = "; the checkpoints that were finished are in the file, and the same command resumes from there"
        raise Interrupted(error.signum, f"{error}{kept if course.request.path else ''}") from None


@contextmanager
def _measure(course: _Course, ranks: Ranks) -> Iterator[Callable[[int, OptimiserState], dict[str, Any]]]:
    """Provide the function that measures a checkpoint, from its number and the optimiser's state."""
    request, targets = course.request, course.targets
    worth = targets.layout.dimension * targets.split.count > _WORTH_SHARING
    spec = worker_spec(targets, ranks, len(targets.split.given) or targets.split.count, worth=worth)
    memory = divide_memory(targets, course.options, bases=1, processes=spec.count)
    measures = Measures(
        targets=targets, request=course.options, memory=memory, batches=_batches(course, ranks.reporter),
        spec=SpectrumSpec(top=1, bottom=0, rtol=request.rtol, seed=request.seed, memory=memory.vectors),
    )  # fmt: skip
    if request.critical:
        yield measures.critical
        return
    check_at(targets, 0, ranks.reporter)
    with measures.second_derivatives(spec) as measure:
        yield measure


def _batches(course: _Course, reporter: Reporter) -> list[Any]:
    request, split = course.request, course.targets.split
    if request.critical or not request.batches:
        return []
    if course.batch_size is None and not split.given:
        reporter.say("batch sharpness: left out, as the folder does not hold the size of a batch; give --batch")
        return []
    return random_batches(split, course.batch_size or split.count, request.batches, request.seed)


def _provenance(course: _Course, command: str) -> Mapping[str, str | int | float]:
    targets, request = course.targets, course.request
    known: dict[str, str | int | float] = {
        "surfaceviz": VERSION, "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": command, "problem": targets.name, "data_sha256": targets.identity["data"],
        "split": targets.split.name, "samples": targets.split.count, "optimiser": course.kind,
        "dtype": str(targets.dtype).removeprefix("torch."), "options": request.words, "caveat": _CAVEAT,
    }  # fmt: skip
    if course.batch_size is not None and not request.critical:
        known["batch"] = f"{course.batch_size} samples, batch norms in training mode, dropout off, without augmentation"
    return known
