"""Construction of the plan of a slice: problem, weights, data and directions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from surfaceviz import evaluate, store
from surfaceviz.directions.axes import Axes, Axis
from surfaceviz.directions.build import build_directions
from surfaceviz.directions.minimum import Minimum
from surfaceviz.directions.specs import FromFile, Toward
from surfaceviz.directions.training.training_plane import FromTraining
from surfaceviz.errors import ProblemError, StoreError
from surfaceviz.evaluate import EngineConfig
from surfaceviz.lock import check_output
from surfaceviz.options import AUTO
from surfaceviz.pipeline.outputs import refuse_inputs
from surfaceviz.pipeline.request_inputs import inputs_of_slice
from surfaceviz.pipeline.resolve import device_of, file_name, load_splits, read_theta, resolve
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.request import Destination, Request
from surfaceviz.problem.batching import batch_norms
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.parameters import filters_of
from surfaceviz.problem.problem import Problem
from surfaceviz.start_folder import anchored

Say = Callable[[str], None]


def make_plan(request: Request, say: Say, *, place: int = 0, kept: Path | None = None) -> Plan:
    """Build the problem, read weights and data, make directions, and return the plan.

    Args:
        request: the user's options.
        say: receives lines of information.
        place: number of this process on its node, whose processes share its devices.
        kept: a file of the same slice, from which directions are read if recomputing them is slow.

    Raises:
        SurfacevizError: one of these steps fails.
    """
    problem = request.problem if isinstance(request.problem, Problem) else resolve(request.problem, request.data)
    name = problem.name or type(problem.model).__name__
    output = _output(name, request)
    before = _resumed_provenance(output, request.destination)
    device, usual = device_of(request.device, place), evaluate.default_dtype(problem.model)
    requested = None if request.dtype == AUTO and before else request.dtype
    dtype = requested or str(before.get("dtype", usual))
    theta = read_theta(problem, request.weights, _moving_dtype(request, usual, dtype), say)
    splits = load_splits(
        problem, request.splits or problem.splits, theta, say, samples=request.limit, draws=request.draws,
        noise_seed=request.noise_seed, batch_size=request.batch_size or int(before.get("batch_size", 0)),
    )  # fmt: skip
    if fixed_size := max(split.batch for split in splits):
        request = replace(request, batch_size=fixed_size)
    filters = filters_of(problem.model, problem.rules, theta, problem.forward_pass.padding_rows)
    minimum = Minimum(
        problem=problem, theta=theta, filters=filters, split=splits[0], dtype=usual, device=device,
    )  # fmt: skip
    made = build_directions(
        request.directions,
        minimum,
        request.axes,
        kept=_directions_file(request, output if before else None, kept),
        say=say,
    )
    return Plan(
        request=request,
        minimum=minimum,
        name=name,
        made=made,
        axes=_with_ranges(made.axes, before),
        splits=splits,
        calibration=_calibration(request, problem, splits),
        dtype=dtype,
        engine=_engine(request, before),
        subset=_subset(request, before),
        output=output,
    )


def _output(name: str, request: Request) -> Path | None:
    """Return the file to write.

    Raises:
        ValueError: it has the name of a picture.
        StoreError: its folder is missing, or it is an input.
    """
    output, shard = request.destination.path, request.coverage.shard
    kind = "-trajectory" if isinstance(request.directions, FromTraining) else ""
    if request.destination.default:
        part = "" if shard is None else f"-{shard.number}of{shard.count}"
        output = anchored(f"{file_name(name)}{kind}{part}.h5")
    if output is not None:
        store.check_name(output)
        if not output.absolute().parent.is_dir():
            raise StoreError(f"{output}: the folder {output.absolute().parent} does not exist; create it first")
        refuse_inputs([output], inputs_of_slice(request))
        check_output(output)
    return output


def _resumed_provenance(output: Path | None, destination: Destination) -> Mapping[str, Any]:
    """Return the provenance of the file that the run resumes; empty for a new run."""
    return {} if output is None or destination.overwrite or not output.exists() else store.read(output).provenance


def _directions_file(request: Request, own: Path | None, kept: Path | None) -> Path | None:
    """Return the file from which directions are read; None to make them.

    A resumed run reads the request's direction file or checkpoints again, so that a changed file is detected.
    """
    return kept if own is None else None if isinstance(request.directions, FromFile | FromTraining) else own


def _moving_dtype(request: Request, usual: str, dtype: str) -> str:
    """Return the dtype in which weights move.

    Between models and along a training, float64: adding their difference in float32 would lose small weights next to a
    large difference.
    """
    between = isinstance(request.directions, Toward | FromTraining)
    return "float64" if between or "float64" in (usual, dtype) else "float32"


def _engine(request: Request, before: Mapping[str, Any]) -> EngineConfig | None:
    """Return the engine of the resumed file, updated by the request's options; None if it is to be chosen."""
    if before:
        same = request.engine in (None, before.get("engine_asked"))  # the engine used may differ from the requested one
        return EngineConfig(
            str(before.get("engine", "eager")) if same else str(request.engine),
            request.batch_size or int(before.get("batch_size", 0)),
            request.group or int(before.get("group", 1)),
        )
    if request.engine and request.batch_size and request.group:
        return EngineConfig(request.engine, request.batch_size, request.group)
    return None


def _subset(request: Request, before: Mapping[str, Any]) -> int | None:
    """Return the subset size of the resumed file; None for all samples, or if it is to be chosen."""
    found = before.get("subset", "all") if request.samples == AUTO else "all"
    return request.subset or (None if found == "all" else int(found))


def _with_ranges(axes: Axes, before: Mapping[str, Any]) -> tuple[Axis, ...]:
    """Return axes with ranges. An ``auto`` axis gets the resumed file's range, or a preliminary one."""
    found = [Axis.parse(text) for text in str(before.get("axes", "")).split()]
    if [axis.count for axis in found] != [axis.count for axis in axes]:
        return tuple(axis.with_range(1.0) for axis in axes)
    return tuple(axis.with_range(1.0) if axis.has_range else known for axis, known in zip(axes, found, strict=True))


def _calibration(request: Request, problem: Problem, splits: Sequence[DataSplit]) -> DataSplit | None:
    """Return the training data for recalibrating batch norms; None with fixed statistics."""
    if request.bn == "fixed":
        return None
    if not batch_norms(problem.model):
        raise ProblemError("bn recalibrate: the model has no batch norm with running statistics; leave out bn")
    name = "train" if "train" in problem.splits else problem.splits[0]
    loaded = next((split for split in splits if split.name == name), None)
    return replace(loaded, batch=0) if loaded else problem.load(name, samples=request.limit)
