"""The sharpness job: the measures of each checkpoint, and the JSON and CSV files."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from surfaceviz import atomic_write, start_folder
from surfaceviz.errors import StoreError
from surfaceviz.execute import retain_freed_memory
from surfaceviz.file_kinds import is_own_output
from surfaceviz.notebook import default_reporter
from surfaceviz.pipeline.hessian.checks.trained import untrained_lines
from surfaceviz.pipeline.hessian.float64_objective import BATCH, float64_objective, float64_theta
from surfaceviz.pipeline.hessian.points import targets_of
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.spectra import check_at, kink_note, kinks_at
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.pipeline.outputs import claimed, refuse_inputs
from surfaceviz.pipeline.request_inputs import inputs_of_hessian, joined_inputs
from surfaceviz.pipeline.sharpness.request import SharpnessRequest
from surfaceviz.problem.batching import coupling_norms
from surfaceviz.problem.forward.forward_writes import write_lines
from surfaceviz.problem.functional import borrowed
from surfaceviz.reporting import Reporter
from surfaceviz.sharpness_measures import (
    CAUTION,
    CheckpointLabel,
    Sharpness,
    SharpnessSpec,
    measure_sharpness,
)
from surfaceviz.sharpness_measures.table import COLUMNS, csv_rows
from surfaceviz.signals import interruptible


def run_sharpness(request: SharpnessRequest, reporter: Reporter | None = None) -> tuple[Sharpness, ...]:
    """Return the sharpness of every checkpoint, one after another, and write the JSON and the CSV file.

    Raises:
        ValueError: an option is invalid.
        SurfacevizError: problem, weights, data or file are invalid.
        Interrupted: a signal arrived.
    """
    reporter = reporter or default_reporter()
    retain_freed_memory()
    with interruptible(), start_folder.fixed():
        each_target = [(each, targets_of(each, reporter.say, 0)) for each in request.points]
        inputs = joined_inputs(inputs_of_hessian(each) for each in request.points)
        for path in filter(None, (request.json, request.csv)):  # before the work
            refuse_inputs([path], inputs)
            _check_target(path, overwrite=request.overwrite)
        names = iter(_names(each_target))
        found: list[Sharpness] = []
        derivatives = ""
        for hessian_request, targets in each_target:
            with borrowed(targets.problem.model, targets.device):
                for number in range(len(targets.points)):
                    derivatives = derivatives or check_at(targets, number, reporter)
                    label = CheckpointLabel(next(names), targets.name)
                    rescale = request.rescaled is None or len(found) < request.rescaled
                    found.append(
                        _at(
                            targets, number, hessian_request, label, reporter=reporter, request=request, rescale=rescale
                        )
                    )
                    found[-1] = replace(found[-1], derivatives=derivatives)
        for output, text in ((request.json, _json), (request.csv, _csv)):
            if output is not None:
                with claimed(output, inputs=inputs):
                    _write(output, text(found), overwrite=request.overwrite)
    return tuple(found)


def _at(
    targets: HessianTargets,
    number: int,
    options: HessianRequest,
    label: CheckpointLabel,
    *,
    reporter: Reporter,
    request: SharpnessRequest,
    rescale: bool,
) -> Sharpness:
    """Return the sharpness at a target point, in float64 for any dtype of the targets."""
    for line in _caveats(targets, number, options.batch_size or BATCH):
        reporter.warn(f"{label.name}: {line}")
    objective, memory = float64_objective(targets, memory=options.memory, batch=options.batch_size)
    theta = float64_theta(targets, number)
    if line := objective.other_draws(theta, targets.dtype):
        reporter.warn(f"{label.name}: {line}")
    spec = SharpnessSpec(
        seed=request.seed, vectors=memory.vectors, starts=request.starts, iterations=request.iterations
    )
    return measure_sharpness(objective, theta, label, spec=spec, rescale=rescale, say=reporter.say)


def _caveats(targets: HessianTargets, number: int, batch: int) -> Iterator[str]:
    """Yield warnings about the loss at a target point."""
    yield from untrained_lines(targets, number)
    yield from filter(None, [*write_lines(targets.problem), targets.problem.draws.caveat])
    if kinks := kinks_at(targets, number):
        yield kink_note(kinks)
    if norms := coupling_norms(targets.problem.model):
        yield (
            f"{len(norms)} batch norms keep no running statistics: the loss depends on how samples fall into batches "
            f"of {batch}"
        )


def _names(each_target: Sequence[tuple[HessianRequest, HessianTargets]]) -> list[str]:
    """Return the names of the checkpoints: short ones if these are unique."""
    short: list[str] = []
    long: list[str] = []
    for request, targets in each_target:
        file = request.file
        short += [Path(w).name for w in request.weights] or [targets.name if file is None else file.stem]
        long += request.weights or [targets.name if file is None else str(file)]
    return short if len(set(short)) == len(short) else long


def _json(found: Sequence[Sharpness]) -> str:
    return json.dumps({"checkpoints": [each.to_json() for each in found], "caution": CAUTION}, indent=1) + "\n"


def _csv(found: Sequence[Sharpness]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(csv_rows(found))
    return text.getvalue()


def _check_target(path: Path, *, overwrite: bool) -> None:
    try:
        atomic_write.check_target(path, lambda head: overwrite or is_own_output(path, head, path.suffix[1:]))
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror}") from error


def _write(path: Path, text: str, *, overwrite: bool) -> None:
    content = text.encode("utf-8", "backslashreplace")
    kind = path.suffix[1:]
    try:
        atomic_write.write_bytes(path, content, accept=lambda head: overwrite or is_own_output(path, head, kind))
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror}") from error
