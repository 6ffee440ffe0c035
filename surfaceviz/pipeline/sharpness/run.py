"""The sharpness job: its request, the measures of each checkpoint, and the JSON file."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from surfaceviz.curvature import MAX_BASIS_SIZE
from surfaceviz.errors import Interrupted, StoreError
from surfaceviz.execute import keep_memory
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.run import ground_of
from surfaceviz.pipeline.hessian.spectra import Memory, kinks
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.problem.functional import borrowed, coupling_norms
from surfaceviz.problem.problem import Problem
from surfaceviz.reporting import QuietReporter, Reporter
from surfaceviz.sharpness_measures import CAUTION, CheckpointLabel, Objective, Sharpness, measure_sharpness
from surfaceviz.signals import interruptible

Target = str | Path | Problem

_BATCH = 128  # samples in a batch, as for m-sharpness


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpnessRequest:
    """The options of a sharpness run.

    Attributes:
        targets: files of slices, problems or names of problems.
        weights: checkpoints ``FILE[:KEY]`` of the only problem; by default its own weights.
        problem: the problem of a slice whose file does not name it.
        split: split of the loss; by default the first.
        samples: size of a seeded subset; by default all samples.
        data: data folder of a catalogue problem.
        batch: samples in a batch; by default 128.
        memory: bytes for graphs and vectors; by default half of the free memory.
        seed: seed of directions, probes and factors.
        rescaled: number of checkpoints to rescale, from the first; None for all.
        json: output file for all measurements.
        device: torch's name of the device; ``auto`` is a GPU if there is one.
    """

    targets: tuple[Target, ...]
    weights: tuple[str, ...] = ()
    problem: str | Problem | None = None
    split: str | None = None
    samples: int | None = None
    data: str | None = None
    batch: int | None = None
    memory: int | None = None
    seed: int = 0
    rescaled: int | None = 1
    json: Path | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        """Validate the options before anything is built."""
        if not self.targets:
            raise ValueError("nothing to measure: name a slice's file or a problem")
        if self.weights and len(self.targets) > 1:
            raise ValueError(f"weights are those of one problem, but {len(self.targets)} targets are given")
        if self.json is not None and not self.json.absolute().parent.is_dir():
            raise StoreError(f"{self.json}: there is no folder {self.json.absolute().parent}; make it first")

    def hessian_requests(self) -> list[HessianRequest]:
        """Return a request for each target, for the code shared with Hessian runs."""
        common = {
            "split": self.split, "samples": self.samples, "data": self.data, "batch": self.batch, "memory": self.memory,
            "weights": self.weights, "problem": self.problem, "device": self.device,
        }  # fmt: skip
        # A slice is rebuilt in its own dtype to be compared with its file; the measures then use float64.
        dtypes = [None if HessianRequest(target).file else "float64" for target in self.targets]
        return [HessianRequest(t, dtype=d, **common) for t, d in zip(self.targets, dtypes, strict=True)]  # type: ignore[arg-type]


def measure(request: SharpnessRequest, reporter: Reporter | None = None) -> tuple[Sharpness, ...]:
    """Return the sharpness of every checkpoint and write the JSON file.

    Raises:
        ValueError: an option is invalid.
        SurfacevizError: problem, weights, data or file are invalid.
        Interrupted: a signal arrived.
    """
    reporter = reporter or QuietReporter()
    keep_memory()
    with interruptible():
        grounds = [(each, ground_of(each, reporter.say, 0)) for each in request.hessian_requests()]
        names = iter(_names(grounds))
        found: list[Sharpness] = []
        for hessian_request, targets in grounds:
            with borrowed(targets.problem.model, targets.device):
                for number in range(len(targets.points)):
                    label = CheckpointLabel(next(names), targets.name)
                    rescale = request.rescaled is None or len(found) < request.rescaled
                    found.append(
                        _at(
                            targets, number, hessian_request, label, reporter=reporter, seed=request.seed,
                            rescale=rescale,
                        )
                    )  # fmt: skip
    if request.json is not None:
        _write(request.json, found)
    return tuple(found)


def _at(
    targets: HessianTargets,
    number: int,
    request: HessianRequest,
    label: CheckpointLabel,
    *,
    reporter: Reporter,
    seed: int,
    rescale: bool,
) -> Sharpness:
    """Return the sharpness at one target point, in float64 for any dtype of the targets."""
    for line in _caveats(targets, number, request.batch or _BATCH):
        reporter.warn(f"{label.name}: {line}")
    problem, device = targets.problem, targets.device
    memory = Memory.of(request.memory, 8 * targets.layout.dimension, most=MAX_BASIS_SIZE, bases=1, processes=1)
    objective = Objective(
        problem=problem, split=targets.split.mapped(lambda tree: problem.cast(tree, torch.float64, device)),
        layout=targets.layout, filters=targets.filters, own_names=targets.own_names, device=device,
        batch=request.batch or _BATCH, memory=memory.graphs,
    )  # fmt: skip
    weights = targets.points[number].make()
    theta = {name: tensor.double() if tensor.is_floating_point() else tensor for name, tensor in weights.items()}
    return measure_sharpness(
        objective, theta, label, seed=seed, vectors=memory.vectors, rescale=rescale, say=reporter.say
    )


def _caveats(targets: HessianTargets, number: int, batch: int) -> Iterator[str]:
    """Yield warnings about the loss at a target point."""
    if words := kinks(targets, number):
        yield f"there is no Hessian in the strict sense: {words} at a kink or tie exactly"
    if norms := coupling_norms(targets.problem.model):
        yield (
            f"{len(norms)} batch norms keep no running statistics: the loss depends on how samples fall into batches "
            f"of {batch}"
        )


def _names(grounds: Sequence[tuple[HessianRequest, HessianTargets]]) -> list[str]:
    """Return the names of the checkpoints: short ones if these are unique."""
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
            json.dumps({"checkpoints": [each.to_json() for each in found], "caution": CAUTION}, indent=1) + "\n",
            encoding="utf-8",
        )
    except OSError as error:
        raise StoreError(f"{path} can't be written: {error.strerror}") from error


def sharpness(
    target: Target,
    *,
    weights: str | None = None,
    problem: str | Problem | None = None,
    split: str | None = None,
    samples: int | None = None,
    data: str | None = None,
    batch: int | None = None,
    memory: int | None = None,
    seed: int = 0,
    rescale: bool = True,
    device: str = "auto",
    reporter: Reporter | None = None,
) -> Sharpness:
    """Return the sharpness of a minimum by every measure, and which survive rescalings that keep the function.

    All computations are in float64. One set of measures costs about 150 forward passes over the samples, 25 forward and
    backward passes, and 30 to 100 products with the Hessian; each possible rescaling (of four kinds) costs the same.

    Args:
        target: a `Problem`, its name as on the command line, or the file of a slice, for its theta.
        weights: ``FILE[:KEY]`` for a problem; by default its own weights.
        problem: the problem of a slice that was made from Python objects.
        split: split of the loss; by default the first.
        samples: size of a seeded subset; by default all samples.
        data: data folder of a catalogue problem.
        batch: samples in a batch; by default 128.
        memory: bytes for graphs and vectors; by default half of the free memory.
        seed: seed of directions, probes and factors.
        rescale: whether to rescale.
        device: torch's name of the device; ``auto`` is a GPU if there is one.
        reporter: receives progress; by default warnings go to `warnings`.

    Raises:
        ValueError: an option is invalid.
        SurfacevizError: problem, weights, data or file are invalid, or memory is too short.
        KeyboardInterrupt: at Ctrl-C; at SIGTERM `SystemExit`.

    Example:
        >>> from torch import nn
        >>> model = nn.Linear(2, 1, bias=False)
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
        >>> found = sharpness(Problem(model, (x, model(x).detach()), "mse"), rescale=False)
        >>> round(found["lambda_max"].value, 4), round(found["trace"].value, 4)
        (9.0, 10.0)
    """
    request = SharpnessRequest(
        targets=(target,), weights=() if weights is None else (weights,), problem=problem, split=split,
        samples=samples, data=data, batch=batch, memory=memory, seed=seed, rescaled=None if rescale else 0,
        device=device,
    )  # fmt: skip
    try:
        return measure(request, reporter)[0]
    except Interrupted as error:
        if error.signum == signal.SIGINT:
            raise KeyboardInterrupt(*error.args) from None
        raise SystemExit(128 + error.signum) from None
