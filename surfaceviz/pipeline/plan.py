"""From what was asked to what will be done: problem, weights, directions, axes, data, identity."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surfaceviz import checkpoints, directions, evaluate, store
from surfaceviz.data import Split, combined_sha256
from surfaceviz.errors import CheckpointError, ProblemError, StoreError
from surfaceviz.evaluate import Evaluator
from surfaceviz.functional import batch_norms
from surfaceviz.grid import Axis, fitted
from surfaceviz.parameters import Filters, filters_of, fingerprint, moving, named_tensors
from surfaceviz.pipeline.resolve import resolve
from surfaceviz.problem import Problem

PLANE = (Axis(-1.0, 1.0, 25), Axis(-1.0, 1.0, 25))
LINE = (Axis(-0.5, 1.5, 41),)  # between two models; the range of Goodfellow et al. with room on both sides
_MARGIN = 0.25  # around three models, as a share of their extent

_PICTURES = (".png", ".svg", ".pdf", ".jpg", ".jpeg")

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for, checked as far as that goes without building anything.

    ``dtype``, ``engine`` and ``batch_size`` are None where the user leaves them open.
    """

    problem: str | Problem
    axes: tuple[Axis, ...] | None = None
    weights: str | None = None
    data: str | None = None
    random: directions.RandomSpec = field(default_factory=directions.RandomSpec)
    only: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    toward: tuple[str, ...] = ()
    splits: tuple[str, ...] = ()
    samples: int | None = None
    bn: str = "fixed"
    dtype: str | None = None
    device: str = "auto"
    engine: str | None = None
    batch_size: int | None = None
    output: Path | None = None
    default_output: bool = False  # write to the problem's name in the current folder
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse what can be seen to be wrong before anything is built."""
        _one_of("engine", self.engine, (None, *evaluate.ENGINES))
        _one_of("dtype", self.dtype, (None, *evaluate.DTYPES))
        _one_of("bn", self.bn, evaluate.BN_MODES)
        if self.axes is not None and len(self.axes) not in (1, 2):
            raise ValueError(f"a slice has 1 or 2 axes, got {len(self.axes)}")
        if len(self.toward) > 2:  # noqa: PLR2004
            raise ValueError(f"a line leads toward 1 model, a plane toward 2, got {len(self.toward)}")
        if self.toward and self.axes is not None and len(self.axes) != len(self.toward):
            raise ValueError(
                f"{len(self.toward)} x toward makes {len(self.toward)} axes, but {len(self.axes)} are given"
            )
        if self.toward and (self.only or self.freeze or self.random != directions.RandomSpec(self.random.seed)):
            raise ValueError("toward leads to whole models; leave out only, freeze, orthogonal, normalise and ignore")
        for name, value in (("samples", self.samples), ("batch", self.batch_size)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.orthogonal_alone:
            raise ValueError("orthogonal makes the second direction orthogonal to the first: it takes two axes")
        if self.output is not None and self.output.suffix.lower() in _PICTURES:
            raise ValueError(
                f"{self.output}: the output is an HDF5 file, its picture is drawn beside it; end it in .h5"
            )
        if self.output is not None and not self.output.absolute().parent.is_dir():
            raise StoreError(f"{self.output}: there is no folder {self.output.absolute().parent}; make it first")

    @property
    def orthogonal_alone(self) -> bool:
        """Whether there is but one direction to be orthogonal."""
        return self.random.orthogonal and self.axes is not None and len(self.axes) == 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a run needs, and what identifies it."""

    request: Request
    problem: Problem
    name: str
    theta: dict[str, Tensor]  # canonical name -> weights and buffers, master dtype, CPU
    filters: dict[str, Filters]
    moving: list[str]
    directions: list[directions.Direction]
    marks: list[tuple[str, tuple[float, ...]]]  # name, coordinates
    toward: list[str]  # fingerprints of the models that the slice leads to
    differing: list[str]  # integer buffers in which they differ from theta, and which stay
    axes: tuple[Axis, ...]
    splits: list[Split]
    calibration: Split | None
    dtype: str
    device: torch.device
    engine: str
    batch_size: int
    output: Path | None

    @property
    def settled(self) -> Request:
        """The request with nothing left open, for a worker that makes this plan again."""
        return replace(
            self.request, dtype=self.dtype, engine=self.engine, batch_size=self.batch_size, device=str(self.device),
            output=None, default_output=False,
        )  # fmt: skip

    @property
    def identity(self) -> dict[str, str | int | float]:
        """What two runs must share to be one: stored in the file, compared when it is continued."""
        request = self.request
        data = [*self.splits, *([self.calibration] if self.calibration else [])]
        random = not request.toward
        return {
            "problem": self.name,
            "weights_sha256": fingerprint(self.theta),
            "data_sha256": combined_sha256(data),
            "axes": " ".join(map(str, self.axes)),
            "splits": ",".join(split.name for split in self.splits),
            "samples": "all" if request.samples is None else request.samples,
            "seed": request.random.seed if random else "none",
            "normalise": request.random.normalise if random else "none",
            "ignore": request.random.ignore if random else "none",
            "orthogonal": int(request.random.orthogonal),
            "only": json.dumps(request.only),
            "freeze": json.dumps(request.freeze),
            "toward": json.dumps(self.toward) if self.toward else "none",
            "bn": request.bn,
            "dtype": self.dtype,
            "device": self.device.type,
            "engine": self.engine,
            "batch_size": self.batch_size,
        }

    @property
    def cosine(self) -> float | None:
        """The cosine of the two directions; None for one."""
        if len(self.directions) < 2:  # noqa: PLR2004
            return None
        across = [{k: v for k, v in d.tensors.items() if k in self.filters} for d in self.directions]  # no buffers
        return directions.cosine(across[0], across[1])

    @property
    def rules(self) -> dict[str, str]:
        """What is done to every parameter, in words."""
        return dict(self.directions[0].record.rule)

    def evaluator(self) -> Evaluator:
        """Return the evaluator of this plan's points."""
        dtype = evaluate.DTYPES[self.dtype]
        own_names = {name: named.own_name for name, named in named_tensors(self.problem.model).items()}

        def batches(split: Split) -> list[Any]:
            there = split.mapped(lambda tree: self.problem.cast(tree, dtype, self.device))
            return there.batches(self.batch_size)

        return Evaluator(
            self.problem,
            names=own_names,
            theta=self.theta,
            directions=[direction.tensors for direction in self.directions],
            batches={split.name: batches(split) for split in self.splits},
            dtype=self.dtype,
            device=self.device,
            calibration=None if self.calibration is None else batches(self.calibration),
        )


def make_plan(request: Request, say: Say) -> Plan:
    """Return the plan for a request: builds the problem, reads weights and data, makes directions.

    Raises:
        SurfacevizError: whatever of that fails, in one line.
    """
    problem = request.problem if isinstance(request.problem, Problem) else resolve(request.problem, request.data)
    name = problem.name or type(problem.model).__name__
    output = Path(f"{_file_name(name)}.h5") if request.default_output else request.output
    before = {} if output is None or request.overwrite or not output.exists() else store.read(output).provenance
    device = _device(request.device)
    dtype = request.dtype or str(before.get("dtype", evaluate.default_dtype(problem.model)))
    # Along a line the difference of two models is added back: in float32 what is small beside it would be lost.
    theta = _theta(problem, request.weights, "float64" if request.toward else dtype, say)
    filters = filters_of(problem.model, problem.rules)
    parameters = list(filters)
    marks: list[tuple[str, tuple[float, ...]]] = []
    others = [_mastered(checkpoints.read_weights(f, problem.model, say), "float64") for f in request.toward]
    if others:
        moves = parameters
        made, marks, axes = _toward(request, theta, others, parameters)
    else:
        moves = moving(problem.model, only=request.only, freeze=request.freeze)
        axes = request.axes or PLANE
        made = directions.random_directions(theta, filters, moves, request.random, count=len(axes))
    names = list(request.splits) or problem.splits
    splits = [problem.load(name, samples=request.samples) for name in dict.fromkeys(names)]
    return Plan(
        request, problem, name, theta, filters, moves, made, marks, [fingerprint(o) for o in others],
        _differing(theta, others), axes, splits,
        _calibration(request, problem, splits), dtype, device, request.engine or str(before.get("engine", "eager")),
        request.batch_size or int(before.get("batch_size", evaluate.EAGER_BATCH)), output,
    )  # fmt: skip


def _file_name(name: str) -> str:
    return re.sub(r"[^\w.-]+", "-", name).strip("-.") or "slice"


def _one_of(name: str, value: str | None, known: Sequence[str | None]) -> None:
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(k for k in known if k)}, got {value!r}")


def _device(given: str) -> torch.device:
    if given == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(given)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ProblemError(f"device {given!r} is not to be had: {str(error).splitlines()[0]}") from error
    return device


def _theta(problem: Problem, weights: str | None, dtype: str, say: Say) -> dict[str, Tensor]:
    """Return the weights and buffers around which the slice is cut, floating ones in the master dtype."""
    model = problem.model
    state = checkpoints.read_state(model) if weights is None else checkpoints.read_weights(weights, model, say)
    theta = _mastered(state, dtype)
    broken = [name for name, tensor in theta.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise CheckpointError(f"the weights hold NaN or inf, in {', '.join(broken[:4])}; nothing to cut around")
    return theta


def _mastered(state: dict[str, Tensor], dtype: str) -> dict[str, Tensor]:
    master = evaluate.master_dtype(dtype)
    return {
        name: tensor.to(device="cpu", dtype=master if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in state.items()
    }


def _toward(
    request: Request, theta: dict[str, Tensor], others: list[dict[str, Tensor]], parameters: list[str]
) -> tuple[list[directions.Direction], list[tuple[str, tuple[float, ...]]], tuple[Axis, ...]]:
    names = [Path(given).name for given in request.toward]
    if len(others) == 1:
        return [directions.line(theta, others[0], names[0])], [(names[0], (1.0,))], request.axes or LINE
    made, places = directions.plane(theta, others[0], others[1], parameters, (names[0], names[1]))
    axes = request.axes or tuple(fitted(places, [25, 25], margin=_MARGIN))
    return made, list(zip(names, places, strict=True)), axes


def _differing(theta: dict[str, Tensor], others: Sequence[dict[str, Tensor]]) -> list[str]:
    """Return the tensors off the line in which models differ, but for batch norms' counters, which do nothing."""
    rigid = [k for k, w in theta.items() if not w.is_floating_point() and not k.endswith("num_batches_tracked")]
    return [name for name in rigid if any(not torch.equal(theta[name], other[name]) for other in others)]


def _calibration(request: Request, problem: Problem, splits: Sequence[Split]) -> Split | None:
    """Return the training data that batch norms are recalibrated with."""
    if request.bn == "fixed":
        return None
    if not batch_norms(problem.model):
        raise ProblemError("bn recalibrate: the model has no batch norm with running statistics; leave it out")
    name = "train" if "train" in problem.splits else problem.splits[0]
    loaded = next((split for split in splits if split.name == name), None)
    return loaded or problem.load(name, samples=request.samples)
