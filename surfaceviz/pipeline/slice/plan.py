"""From what was asked to what will be done: problem, weights, directions, axes, data, identity."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surfaceviz import evaluate, store
from surfaceviz.directions import random
from surfaceviz.directions.axes import AutoAxis, Axis
from surfaceviz.errors import CheckpointError, ProblemError, StoreError
from surfaceviz.evaluate import EngineConfig, EvaluationContext, Perturber
from surfaceviz.pipeline.resolve import resolve
from surfaceviz.pipeline.slice.along import Around
from surfaceviz.pipeline.slice.given import laid_out
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.pipeline.slice.ways import along, differing, given, mastered, toward
from surfaceviz.problem import checkpoints
from surfaceviz.problem.data import Split, combined_sha256
from surfaceviz.problem.functional import batch_norms
from surfaceviz.problem.parameters import Filters, filters_of, fingerprint, moving, named_tensors
from surfaceviz.problem.problem import Problem

PLANE = (Axis(-1.0, 1.0, 25), Axis(-1.0, 1.0, 25))


Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a run needs, and what identifies it."""

    request: Request
    problem: Problem
    name: str
    theta: dict[str, Tensor]  # canonical name -> weights and buffers, master dtype, CPU
    filters: dict[str, Filters]
    moving: list[str]
    directions: list[random.Direction]
    cosine: float | None  # of the two; None for one
    marks: list[tuple[str, tuple[float, ...]]]  # name, coordinates
    toward: list[str]  # fingerprints of the models that the slice leads to
    differing: list[str]  # integer buffers in which they differ from theta, and which stay
    axes: tuple[Axis, ...]
    splits: list[Split]
    calibration: Split | None
    dtype: str  # "auto" until it is settled
    device: torch.device
    engine: EngineConfig | None  # None until it is settled
    subset: int | None  # samples of each split on which points are evaluated; None: all that were loaded
    output: Path | None

    @property
    def points(self) -> int:
        """The number of points of the grid."""
        return math.prod(axis.count for axis in self.axes)

    @property
    def settled(self) -> Request:
        """The request with nothing left open, for a worker that makes this plan again."""
        assert self.engine is not None
        return replace(
            self.request, axes=self.axes if self.request.axes else None, dtype=self.dtype, engine=self.engine.name,
            batch_size=self.engine.batch_size, group=self.engine.group, subset=self.subset, output=None,
            default_output=False,
        )  # fmt: skip

    @property
    def identity(self) -> dict[str, str | int | float]:
        """What two runs must share to be one: stored in the file, compared when it is continued."""
        request = self.request
        data = [*self.splits, *([self.calibration] if self.calibration else [])]
        random = not (request.toward or request.directions)
        shas = [direction.record.sha256 for direction in self.directions]
        return {
            "problem": self.name,
            "weights_sha256": fingerprint(self.theta),
            "data_sha256": combined_sha256(data),
            "axes": " ".join(map(str, self.axes)),
            "shard": "none" if request.shard is None else str(request.shard),
            "tolerance": "none" if request.tolerance is None else request.tolerance,
            "splits": ",".join(split.name for split in self.splits),
            "samples": "all" if request.samples is None else request.samples,
            **({"subset": self.subset or "all"} if request.samples == "auto" else {}),
            "seed": request.random.seed if random else "none",
            "normalise": request.random.normalise if random else "none",
            "ignore": request.random.ignore if random else "none",
            "orthogonal": int(request.random.orthogonal),
            "only": json.dumps(request.only),
            "freeze": json.dumps(request.freeze),
            "toward": json.dumps(self.toward) if self.toward else "none",
            "along": f"{request.along} {request.radius:g}" if request.along == "ascent" else request.along or "none",
            **({"directions": ",".join(shas)} if request.directions else {}),
            "bn": request.bn,
            "dtype": self.dtype,
            "device": self.device.type,
            **({} if self.engine is None else _stored(self.engine)),
        }

    @property
    def rules(self) -> dict[str, str]:
        """What is done to every parameter, in words."""
        return dict(self.directions[0].record.rule)

    def context(self, dtype: str | None = None, *, whole: bool = False) -> EvaluationContext:
        """Return what the points of this plan are made of, in its dtype or another; ``whole``: on all samples."""
        dtype = dtype or self.dtype
        few = None if whole else self.subset

        def there(split: Split) -> Split:
            return split.mapped(lambda tree: self.problem.cast(tree, evaluate.DTYPES[dtype], self.device))

        names = {name: named.own_name for name, named in named_tensors(self.problem.model).items()}
        steps = [direction.tensors for direction in self.directions]
        return EvaluationContext(
            problem=self.problem,
            perturb=Perturber(names, self.theta, steps, dtype, self.device),
            splits=[there(split if few is None else split.subset(few)) for split in self.splits],
            calibration=None if self.calibration is None else there(self.calibration),
        )


def _stored(engine: EngineConfig) -> dict[str, str | int]:
    return {"engine": engine.name, "batch_size": engine.batch_size, "group": engine.group}


def make_plan(request: Request, say: Say, *, place: int = 0, kept: Path | None = None) -> Plan:
    """Return the plan for a request: builds the problem, reads weights and data, makes directions.

    Args:
        request: what was asked.
        say: told where weights were found.
        place: of this process among those of its node, which share out its devices.
        kept: a file of the same slice, whose directions are taken where making them again would take long.

    Raises:
        SurfacevizError: whatever of that fails, in one line.
    """
    problem = request.problem if isinstance(request.problem, Problem) else resolve(request.problem, request.data)
    name = problem.name or type(problem.model).__name__
    output = _default_output(name, request) if request.default_output else request.output
    if output is not None and not output.absolute().parent.is_dir():
        raise StoreError(f"{output}: there is no folder {output.absolute().parent}; make it first")
    before = {} if output is None or request.overwrite or not output.exists() else store.read(output).provenance
    kept = output if before else kept
    device = device_of(request.device, place)
    usual = evaluate.default_dtype(problem.model)
    asked = None if request.dtype == "auto" and before else request.dtype
    dtype = asked or str(before.get("dtype", usual))
    # Along a line the difference of two models is added back: in float32 what is small beside it would be lost.
    moves_in = "float64" if request.toward or "float64" in (usual, dtype) else "float32"
    theta = read_theta(problem, request.weights, moves_in, say)
    names = list(request.splits) or problem.splits
    splits = [problem.load(name, samples=request.limit) for name in dict.fromkeys(names)]
    filters = filters_of(problem.model, problem.rules)
    parameters = list(filters)
    marks: list[tuple[str, tuple[float, ...]]] = []
    axes: tuple[Axis | AutoAxis, ...]
    others = [mastered(checkpoints.read_weights(f, problem.model, say), "float64") for f in request.toward]
    if others:
        moves = parameters
        made, marks, axes = toward(request, theta, others, parameters)
    elif request.directions:
        moves = parameters
        # A run that is gone on with takes the file that is named now, so that another one is found out.
        made = given(request, problem.model, theta, say, None if before else kept)
        axes = request.axes or PLANE[: len(made)]
    else:
        moves = moving(problem.model, only=request.only, freeze=request.freeze)
        axes = request.axes or PLANE
        made = (
            along(request, Around(problem, theta, filters, moves, splits[0], usual, device), len(axes), kept)
            if request.along
            else random.random_directions(
                theta, filters, moves, request.random, count=len(axes), regenerate=request.regenerate
            )
        )
    made = laid_out(made, problem.model)
    return Plan(
        request, problem, name, theta, filters, moves, made, _cosine(made, filters), marks,
        [fingerprint(o) for o in others], differing(theta, others), _concrete(axes, before), splits,
        _calibration(request, problem, splits), dtype, device, _how(request, before), _subset(request, before), output,
    )  # fmt: skip


def _cosine(made: Sequence[random.Direction], filters: Mapping[str, Filters]) -> float | None:
    if len(made) < 2:  # noqa: PLR2004
        return None
    return random.cosine(made[0].tensors, made[1].tensors, list(filters))  # no buffers


def _how(request: Request, before: Mapping[str, str | int | float]) -> EngineConfig | None:
    """Return the engine of the file that is gone on from, but for what is asked otherwise; None where it is open."""
    if before:
        same = request.engine in (None, before.get("engine_asked"))  # what was asked may not have been possible
        return EngineConfig(
            str(before.get("engine", "eager")) if same else str(request.engine),
            request.batch_size or int(before.get("batch_size", 0)),
            request.group or int(before.get("group", 1)),
        )
    if request.engine and request.batch_size and request.group:
        return EngineConfig(request.engine, request.batch_size, request.group)
    return None


def _subset(request: Request, before: Mapping[str, str | int | float]) -> int | None:
    """Return the samples that the file to go on from was content with; None where it is open, or all."""
    found = before.get("subset") if request.samples == "auto" else None
    return request.subset or (int(found) if isinstance(found, int | np.integer) else None)


def _concrete(axes: Sequence[Axis | AutoAxis], before: Mapping[str, str | int | float]) -> tuple[Axis, ...]:
    """Return axes with ranges: of those to be found, the file's, or one to begin with."""
    found = [Axis.parse(text) for text in str(before.get("axes", "")).split()]
    if len(found) != len(axes):
        found = [Axis(-1.0, 1.0, axis.count) for axis in axes]
    return tuple(
        f if isinstance(axis, AutoAxis) and axis.count == f.count else _as_axis(axis)
        for axis, f in zip(axes, found, strict=True)
    )


def _as_axis(axis: Axis | AutoAxis) -> Axis:
    return axis.over(1.0) if isinstance(axis, AutoAxis) else axis


def _default_output(name: str, request: Request) -> Path:
    part = "" if request.shard is None else f"-{request.shard.number}of{request.shard.count}"
    return Path(f"{file_name(name)}{part}.h5")


def file_name(name: str) -> str:
    """Return a problem's name as a file may be called."""
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "slice"


def device_of(given: str, place: int) -> torch.device:
    """Return the device of the process at a place of its node.

    Raises:
        ProblemError: it is not to be had.
    """
    if given == "auto":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return torch.device("cuda", place % count) if count else torch.device("cpu")
    devices = [_there(name) for name in given.split(",")]
    if len({device.type for device in devices}) > 1:
        raise ProblemError(f"devices {given}: values are the same bits on devices of one kind; name those of one")
    return devices[place % len(devices)]


def _there(name: str) -> torch.device:
    try:
        device = torch.device(name.strip())
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ProblemError(f"device {name!r} is not to be had: {str(error).splitlines()[0]}") from error
    return device


def read_theta(problem: Problem, weights: str | None, dtype: str, say: Say) -> dict[str, Tensor]:
    """Return the weights and buffers of ``FILE[:KEY]``, or the problem's own, floating ones in the master dtype.

    Raises:
        CheckpointError: they can't be read, don't fit, or hold NaN or inf.
    """
    model = problem.model
    state = checkpoints.read_state(model) if weights is None else checkpoints.read_weights(weights, model, say)
    theta = mastered(state, dtype)
    broken = [name for name, tensor in theta.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"the weights hold NaN or inf, in {', '.join(broken[:4])}; nothing to cut around")
    return theta


def _calibration(request: Request, problem: Problem, splits: Sequence[Split]) -> Split | None:
    """Return the training data that batch norms are recalibrated with."""
    if request.bn == "fixed":
        return None
    if not batch_norms(problem.model):
        raise ProblemError("bn recalibrate: the model has no batch norm with running statistics; leave it out")
    name = "train" if "train" in problem.splits else problem.splits[0]
    loaded = next((split for split in splits if split.name == name), None)
    return loaded or problem.load(name, samples=request.limit)
