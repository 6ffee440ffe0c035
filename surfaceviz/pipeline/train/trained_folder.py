"""The folder of a training: what is trained, and the problem that its last checkpoint is."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from surfaceviz.atomic_write import write_bytes
from surfaceviz.errors import CheckpointError, ProblemError, StoreError
from surfaceviz.problem.checkpoints import read_weights
from surfaceviz.problem.problem import Problem
from surfaceviz.recording import recorded_steps, weights_path
from surfaceviz.recording.folder import TRAINING
from surfaceviz.zoo import datasets, network_table
from surfaceviz.zoo.labelled_data import TEXT, Dataset
from surfaceviz.zoo.training import Recipe

_SCHEMA = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What is trained in a folder; it determines every weight, on one kind of machine.

    Attributes:
        network: name of the network.
        dataset: name of the data set, or its absolute path.
        data: absolute folder of a named data set; None for the default.
        seed: seed of weights, order and augmentation.
        every: epochs between checkpoints.
        recipe: the fields of the recipe.
        samples: kind, classes, and by split the number of samples and a checksum.
    """

    network: str
    dataset: str
    data: str | None
    seed: int
    every: int
    recipe: Mapping[str, Any]
    samples: Mapping[str, Any]

    def differences(self, other: Trained) -> list[str]:
        """Return a phrase for each field in which another training differs; the place of the data does not count."""
        ours, theirs = _flat(self), _flat(other)
        return [
            f"{name} {ours.get(name)} instead of {theirs.get(name)}" for name in ours if ours[name] != theirs.get(name)
        ]


def _flat(trained: Trained) -> dict[str, Any]:
    fields = {key: value for key, value in asdict(trained).items() if key not in ("data", "recipe", "samples")}
    if Path(trained.dataset).is_absolute():
        del fields["dataset"]  # the checksums tell
    return {**fields, **trained.recipe, **{f"data's {key}": value for key, value in trained.samples.items()}}


def is_trained_folder(folder: Path) -> bool:
    """Return whether a folder is one of `surfaceviz train`."""
    return (folder / TRAINING).is_file()


def describe_samples(data: Dataset) -> dict[str, Any]:
    """Return the identity of a data set, as JSON holds it."""
    sums = {
        split: [len(y), zlib.crc32(y.numpy().tobytes(), zlib.crc32(x.numpy().tobytes()))]
        for split, (x, y) in data.splits.items()
    }
    return {"kind": data.kind, "classes": data.classes, **sums}


def write_trained(folder: Path, trained: Trained) -> None:
    """Write the description of a training.

    Raises:
        StoreError: the folder can't be written.
    """
    content = json.dumps({"schema": _SCHEMA, **asdict(trained)}, indent=1)
    try:
        write_bytes(folder / TRAINING, content.encode())
    except OSError as error:
        raise StoreError(f"{folder / TRAINING} can't be written: {error.strerror}") from error


def read_trained(folder: Path) -> Trained:
    """Return the description of a folder's training.

    Raises:
        CheckpointError: the file is missing or broken.
    """
    path = folder / TRAINING
    try:
        found = json.loads(path.read_bytes())
        schema = found.pop("schema")
        trained = Trained(**found)
        Recipe(**trained.recipe)
    except FileNotFoundError:
        raise CheckpointError(
            f"{folder} holds no {TRAINING}, so it is not a folder of surfaceviz train; give a problem, and a "
            "checkpoint in the folder by --weights"
        ) from None
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path}: not a description of a training ({error}); train again") from error
    if schema != _SCHEMA:
        raise CheckpointError(f"{path}: schema {schema}; this version reads {_SCHEMA}, install a newer one")
    return trained


def load_data(trained: Trained, folder: Path, data: str | None) -> Dataset:
    """Return the data of a training.

    Args:
        trained: the training.
        folder: its folder, for messages.
        data: another place of the data; None for the recorded one.

    Raises:
        ProblemError: the data are missing, broken, or not those of the training.
    """
    loaded = datasets.load(trained.dataset, data if data is not None else trained.data)
    if describe_samples(loaded) != trained.samples:
        raise ProblemError(
            f"{folder} was trained on other data than those in {data or trained.data or trained.dataset}"
        )
    return loaded


def problem_of(folder: Path, data: str | None = None) -> Problem:
    """Return the problem of a folder's training, with the weights of its last checkpoint.

    Args:
        folder: a folder of `surfaceviz train`.
        data: where the data are now, if they were moved.

    Raises:
        CheckpointError: the description or the last checkpoint is missing or broken.
        ProblemError: the data are missing, broken, or not those of the training.
    """
    trained = read_trained(folder)
    loaded = load_data(trained, folder, data)
    steps = recorded_steps(folder)
    if not steps:
        raise CheckpointError(f"{folder} holds no checkpoint yet; train first")
    model = network_table.build(trained.network, loaded, trained.seed)
    state = read_weights(str(weights_path(folder, steps[-1])), model, lambda _line: None)
    with torch.no_grad():
        model.load_state_dict(state, strict=False)
    loss = "next_token" if loaded.kind == TEXT else "cross_entropy"
    return Problem(model, dict(loaded.splits), loss, name=folder.resolve().name)
