"""Sharpness of checkpoints: where they come from, what is measured, where the figures go."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from surfaceviz.curvature import MOST_ROOM
from surfaceviz.errors import Interrupted, StoreError
from surfaceviz.execute import retain_freed_memory
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.run import ground_of
from surfaceviz.pipeline.hessian.spectra import Memory, kinks
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.problem.functional import borrowed, coupling_norms
from surfaceviz.problem.problem import Problem
from surfaceviz.reporting import QuietReporter, Reporter
from surfaceviz.sharpness_measures import CAUTION, Label, Objective, Sharpness, all_measures
from surfaceviz.signals import interruptible

Target = str | Path | Problem

_BATCH = 128  # samples of a batch: those of m-sharpness, whose graph there must be room for anyway


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about sharpness.

    Attributes:
        targets: slices' files, problems or their names.
        weights: checkpoints ``FILE[:KEY]`` of the one problem; its own where none is named.
        problem: of a slice whose file does not name it.
        split: whose loss; the first without.
        samples: a seeded subset of so many.
        data: the folder of a catalogue problem's data.
        batch: samples in a batch; 128 without.
        memory: bytes in all; None: half of what is free.
        seed: of directions, probes and factors.
        rescaled: how many checkpoints are rescaled, from the first; None for all.
        json: a file for all figures.
        device: as torch names it; ``auto``: a GPU where there is one.
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
        """Refuse what can be seen to be wrong before anything is built."""
        if not self.targets:
            raise ValueError("nothing to measure: name a slice's file or a problem")
        if self.weights and len(self.targets) > 1:
            raise ValueError(f"weights are those of one problem, but {len(self.targets)} targets are given")
        if self.json is not None and not self.json.absolute().parent.is_dir():
            raise StoreError(f"{self.json}: there is no folder {self.json.absolute().parent}; make it first")

    def inquiries(self) -> list[HessianRequest]:
        """Return what is asked of each target, in words that curvature is asked in."""
        common = {
            "split": self.split, "samples": self.samples, "data": self.data, "batch": self.batch, "memory": self.memory,
            "weights": self.weights, "problem": self.problem, "device": self.device,
        }  # fmt: skip
        # A slice is made again in its own dtype, to be compared with its file; then all goes on in float64.
        dtypes = [None if HessianRequest(target).file else "float64" for target in self.targets]
        return [HessianRequest(t, dtype=d, **common) for t, d in zip(self.targets, dtypes, strict=True)]  # type: ignore[arg-type]


def measure(asked: Asked, reporter: Reporter | None = None) -> tuple[Sharpness, ...]:
    """Return the sharpness of every checkpoint, one after another, and write the JSON file.

    Raises:
        ValueError: an option that can't be.
        SurfacevizError: problem, weights, data or file are not as they should be.
        Interrupted: by a signal.
    """
    reporter = reporter or QuietReporter()
    retain_freed_memory()
    with interruptible():
        grounds = [(each, ground_of(each, reporter.say, 0)) for each in asked.inquiries()]
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
    for line in _caveats(targets, number, request.batch or _BATCH):
        reporter.warn(f"{label.name}: {line}")
    problem, device = targets.problem, targets.device
    memory = Memory.of(request.memory, 8 * targets.layout.dimension, most=MOST_ROOM, bases=1, processes=1)
    objective = Objective(
        problem, targets.split.mapped(lambda tree: problem.cast(tree, torch.float64, device)), targets.layout,
        targets.filters, targets.own_names, device, request.batch or _BATCH, memory.graphs,
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
    """Return the sharpness of a minimum by every measure, and which survive what leaves the function as it is.

    All is in float64. One set of measures costs about 150 passes over the samples, 25 there and back, and 30 to 100
    products with the Hessian; each rescaling that is possible (of four kinds) as much again.

    Args:
        target: a `Problem`, its name as on the command line, or a slice's file, for its theta.
        weights: ``FILE[:KEY]`` for a problem; by default its own.
        problem: of a slice of live objects.
        split: whose loss; by default the first.
        samples: the size of a seeded subset; by default all.
        data: the folder of a catalogue problem's data.
        batch: samples in a batch; by default 128.
        memory: bytes for graphs and vectors; by default half of what is free.
        seed: of directions, probes and factors.
        rescale: whether to rescale.
        device: as torch names it; ``auto`` takes a GPU where there is one.
        reporter: told what happens; by default warnings go to `warnings`.

    Raises:
        ValueError: an option that can't be.
        SurfacevizError: problem, weights, data or file are not as they should be, or memory is too short.
        KeyboardInterrupt: at Ctrl-C; at SIGTERM `SystemExit`.

    Example:
        >>> from torch import nn
        >>> model = nn.Linear(2, 1, bias=False)
        >>> x = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
        >>> found = sharpness(Problem(model, (x, model(x).detach()), "mse"), rescale=False)
        >>> round(found["lambda_max"].value, 4), round(found["trace"].value, 4)
        (9.0, 10.0)
    """
    asked = Asked(
        (target,), () if weights is None else (weights,), problem, split, samples, data, batch, memory, seed,
        rescaled=None if rescale else 0, device=device,
    )  # fmt: skip
    try:
        return measure(asked, reporter)[0]
    except Interrupted as error:
        if error.signum == signal.SIGINT:
            raise KeyboardInterrupt(*error.args) from None
        raise SystemExit(128 + error.signum) from None
