"""A folder of checkpoints: ``step-00000042.safetensors`` for the weights, ``optimiser/`` for the optimiser's state.

The file of the weights is written last and removed first: a step whose weights are there is whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor

from surfaceviz.atomic_write import remove_dead_parts_in, write_bytes
from surfaceviz.errors import CheckpointError, StoreError
from surfaceviz.recording.safetensors_bytes import safetensors_bytes

TRAINING = "training.json"  # what `surfaceviz train` trains in the folder
_NAME = re.compile(r"step-(\d+)\.safetensors")
_OPTIMISER = "optimiser"
_FACTS = "surfaceviz"  # the entry of a file's metadata


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A checkpoint.

    Attributes:
        step: the number of steps done.
        weights: parameters and buffers, by the names of the model's state dict.
        optimiser: tensors of the optimiser's state, by ``name:entry``, such as ``conv.weight:exp_avg_sq``.
        facts: numbers and words about the training, as JSON holds them; ``groups`` are the optimiser's options.
    """

    step: int
    weights: Mapping[str, Tensor]
    optimiser: Mapping[str, Tensor] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


def weights_path(folder: Path, step: int) -> Path:
    """Return the path of the weights after ``step`` steps."""
    return folder / f"step-{step:08}.safetensors"


def optimiser_path(folder: Path, step: int) -> Path:
    """Return the path of the optimiser's state after ``step`` steps."""
    return folder / _OPTIMISER / f"step-{step:08}.safetensors"


def recorded_steps(folder: Path) -> list[int]:
    """Return the steps whose checkpoints are whole, in order."""
    found = (_NAME.fullmatch(path.name) for path in folder.glob("step-*.safetensors"))
    return sorted(int(match[1]) for match in found if match)


def record_bytes(folder: Path, step: int) -> int:
    """Return the size of a checkpoint's files, in bytes."""
    return sum(p.stat().st_size for p in (weights_path(folder, step), optimiser_path(folder, step)) if p.exists())


def encoded(record: Record) -> tuple[bytes, bytes | None]:
    """Return the contents of the files of weights and of the optimiser's state; without a state None."""
    facts = {_FACTS: json.dumps({"step": record.step, **record.facts})}
    weights = safetensors_bytes(record.weights, facts)
    return weights, safetensors_bytes(record.optimiser, facts) if record.optimiser else None


def write_record(folder: Path, step: int, contents: tuple[bytes, bytes | None], *, synced: bool = True) -> None:
    """Write the files of a checkpoint, each atomically; unless synced, a power failure may tear the last ones.

    Raises:
        StoreError: the folder can't be written, or the disk is full.
    """
    weights, optimiser = contents
    try:
        if optimiser is not None:
            (folder / _OPTIMISER).mkdir(parents=True, exist_ok=True)
            write_bytes(optimiser_path(folder, step), optimiser, synced=synced)
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(weights_path(folder, step), weights, synced=synced)
    except OSError as error:
        raise StoreError(f"{weights_path(folder, step)} can't be written: {error.strerror}") from error


def read_record(folder: Path, step: int) -> Record:
    """Return a checkpoint.

    Raises:
        CheckpointError: a file is missing, torn or of another program.
    """
    weights, facts = _read(weights_path(folder, step))
    path = optimiser_path(folder, step)
    optimiser = _read(path)[0] if path.exists() else {}
    return Record(step=step, weights=weights, optimiser=optimiser, facts=facts)


def read_optimiser(folder: Path, step: int) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors of an optimiser's state and the facts of a checkpoint, without reading the weights.

    Raises:
        CheckpointError: a file is missing, torn or of another program.
    """
    path = optimiser_path(folder, step)
    return _read(path) if path.exists() else ({}, _read_facts(weights_path(folder, step)))


def remove_record(folder: Path, step: int) -> None:
    """Remove the files of a checkpoint."""
    weights_path(folder, step).unlink(missing_ok=True)
    optimiser_path(folder, step).unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Remove what a killed writer left: temporary files, and states of optimisers without weights."""
    for place in (folder, folder / _OPTIMISER):
        remove_dead_parts_in(place, _NAME.pattern)
    for path in (folder / _OPTIMISER).glob("step-*.safetensors"):
        if _NAME.fullmatch(path.name) and not (folder / path.name).exists():
            path.unlink(missing_ok=True)


def shapes_of(folder: Path, step: int) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a checkpoint's weights by name, without reading the weights.

    Raises:
        CheckpointError: the file is torn.
    """
    path = weights_path(folder, step)
    try:
        with safe_open(path, "pt") as stream:
            return {name: tuple(stream.get_slice(name).get_shape()) for name in stream.keys()}  # noqa: SIM118  no dict
    except (SafetensorError, OSError) as error:
        raise CheckpointError(_torn(path, error)) from error


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as stream:
            facts = json.loads((stream.metadata() or {}).get(_FACTS, "{}"))
            return {name: stream.get_tensor(name) for name in stream.keys()}, facts  # noqa: SIM118  no dict
    except (SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(_torn(path, error)) from error


def _read_facts(path: Path) -> dict[str, Any]:
    try:
        with safe_open(path, "pt") as stream:
            return dict(json.loads((stream.metadata() or {}).get(_FACTS, "{}")))
    except (SafetensorError, OSError, ValueError, TypeError) as error:
        raise CheckpointError(_torn(path, error)) from error


def _torn(path: Path, error: Exception) -> str:
    return f"{path}: not a whole safetensors file ({error}); remove it to use the checkpoints before it"
