"""The checkpoints of a training's folder, with the recorded states of the optimiser."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from surfaceviz.curvature.stability.state import OptimiserState, optimiser_state
from surfaceviz.errors import CheckpointError
from surfaceviz.pipeline.edge.request import EdgeRequest
from surfaceviz.pipeline.train.trained_folder import is_trained_folder, read_trained
from surfaceviz.pipeline.trajectory.checkpoint_files import runs_of
from surfaceviz.problem.parameters import aliases, canonical_name, fingerprint, named_tensors
from surfaceviz.recording import recorded_steps, weights_path
from surfaceviz.recording.folder import optimiser_path, read_optimiser

_LEAST = 2  # checkpoints of a course
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A checkpoint of a training.

    Attributes:
        step: number of steps done.
        weights: the file of the weights.
        folder: the folder, where its records are those of `surfaceviz train` or `Recorder`; else None.
    """

    step: int
    weights: Path
    folder: Path | None

    def state(self, model: nn.Module, learning_rate: float | None) -> tuple[OptimiserState, str]:
        """Return the optimiser at the checkpoint, and the fingerprint of its state.

        Args:
            model: the problem's model, which names the parameters.
            learning_rate: of plain gradient descent, instead of what is recorded.

        Raises:
            CheckpointError: a file is torn; there is no learning rate; the optimiser is not known.
        """
        tensors: dict[str, Tensor] = {}
        groups: list[dict[str, Any]] = []
        if learning_rate is not None:
            names = [name for name, named in named_tensors(model).items() if named.is_parameter]
            trained = [name for name in names if named_tensors(model)[name].tensor.requires_grad] or names
            groups = [{"kind": "SGD", "names": trained, "lr": learning_rate}]
        elif self.folder is not None:
            tensors, facts = read_optimiser(self.folder, self.step)
            groups = list(facts.get("groups", []))
        state = optimiser_state(groups, tensors, _translation(model, self.weights), str(self.weights))
        digest = hashlib.sha256(f"{fingerprint(tensors)}{json.dumps(groups, sort_keys=True)}".encode())
        return state, digest.hexdigest()


def checkpoints_of(request: EdgeRequest, say: Say) -> list[Checkpoint]:
    """Return the checkpoints of a folder, at most as many as requested, evenly spread.

    Raises:
        CheckpointError: the folder does not exist, or has fewer than two checkpoints.
    """
    folder = request.folder
    if not folder.is_dir():
        what = "is a file" if folder.is_file() else "no such folder"
        raise CheckpointError(f"{folder}: {what}; give the folder of surfaceviz train or of a Recorder")
    steps = recorded_steps(folder)
    if not steps and request.learning_rate is None:
        raise CheckpointError(
            f"{folder} holds no checkpoints of surfaceviz train or of a Recorder; for those of another program, give "
            "the learning rate of gradient descent by --lr"
        )
    if steps:
        found = [Checkpoint(step=step, weights=weights_path(folder, step), folder=folder) for step in steps]
    else:
        (run,) = runs_of([str(folder)], say)
        found = [
            Checkpoint(step=step, weights=Path(file), folder=None)
            for step, file in zip(run.steps, run.files, strict=True)
        ]
    if len(found) < _LEAST:
        raise CheckpointError(f"{folder} holds one checkpoint; a course needs at least {_LEAST}")
    return _spread(found, request.checkpoints)


def _spread(found: Sequence[Checkpoint], most: int) -> list[Checkpoint]:
    """Return at most ``most`` checkpoints, evenly spread by their numbers, with the first and the last."""
    if len(found) <= most:
        return list(found)
    return [found[round(i * (len(found) - 1) / (most - 1))] for i in range(most)]


def refuse_without_state(found: Sequence[Checkpoint], state: OptimiserState, *, kept: bool) -> None:
    """Refuse checkpoints of an optimiser with a preconditioner whose state is nowhere recorded.

    Args:
        found: the checkpoints.
        state: the optimiser at the last one.
        kept: whether a state is recorded at any of them.

    Raises:
        CheckpointError: as said.
    """
    if state.rule.preconditioner is not None and not kept:
        where = optimiser_path(found[-1].weights.parent, found[-1].step)
        raise CheckpointError(
            f"{found[-1].weights.parent} keeps no state of its {state.kind} ({where.parent.name}/{where.name} is "
            "missing); record it with the optimiser, or give the learning rate by --lr for lambda_max and 2 / eta alone"
        )


def batch_size_of(request: EdgeRequest, samples: int) -> int | None:
    """Return the mini-batch size of the training, at most ``samples``; None where it is not known."""
    if request.batch_size is None and is_trained_folder(request.folder):
        size = read_trained(request.folder).recipe.get("batch_size")
        return min(int(size or samples), samples)
    return None if request.batch_size is None else min(request.batch_size, samples)


def _translation(model: nn.Module, where: Path) -> Callable[[str], str]:
    """Return a function from a recorded name to the problem's canonical one, which may lack a prefix of it."""
    known = aliases(model)

    def translate(name: str) -> str:
        own = canonical_name(name)
        parts = own.split(".")
        for start in range(len(parts)):
            if (found := known.get(".".join(parts[start:]))) is not None:
                return found
        raise CheckpointError(f"{where} is of an optimiser of {name}, which the problem's model does not have")

    return translate
