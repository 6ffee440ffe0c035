"""The checkpoint files of trainings, in the order of the training, with their steps."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path

from surfaceviz.directions.training.training_plane import TrainingRun
from surfaceviz.errors import CheckpointError

ENDINGS = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
_OTHER = re.compile(r"optimi[sz]er|scheduler|scaler|rng_state|training_args|random_states", re.IGNORECASE)
_USUAL = ("model", "pytorch_model", "weights")  # names of files in a folder for each checkpoint
_LEAST = 2  # checkpoints of a trajectory

Say = Callable[[str], None]


def runs_of(paths: Sequence[str], say: Say) -> tuple[TrainingRun, ...]:
    """Return the trainings whose checkpoints are named: each folder is one, and so are the files of one folder.

    Files are in natural order, epoch-2 before epoch-10. In a folder, files without a number among numbered ones, such
    as best.pt, are left out.

    Args:
        paths: folders of checkpoints, and ``FILE[:KEY]``.
        say: receives a line about files that are left out.

    Raises:
        CheckpointError: a path does not exist, or a training has fewer than two checkpoints.
    """
    groups: dict[str, list[str]] = {}
    for path in paths:
        if Path(path).is_dir():
            groups.setdefault(str(Path(path)), []).extend(_files_in(Path(path), say))
        elif not _path(path).is_file():
            raise CheckpointError(f"{path}: no such file or folder of checkpoints")
        else:
            groups.setdefault(str(_folder(path)), []).append(path)
    runs = tuple(_run(folder, list(dict.fromkeys(files))) for folder, files in groups.items())
    if sum(len(run.files) for run in runs) < _LEAST:
        raise CheckpointError(f"{paths[0]} is one checkpoint; a trajectory needs at least {_LEAST}, or their folder")
    return runs


def _files_in(folder: Path, say: Say) -> list[str]:
    """Return the checkpoints in a folder; where it has none, those in its subfolders, one in each."""
    found = _weights(folder) or [file for each in folder.iterdir() if each.is_dir() for file in _weights(each)[:1]]
    names = [str(path.relative_to(folder)) for path in found]
    numbered = [name for name in names if re.search(r"\d", _stem(name))]
    left_out = sorted(set(names) - set(numbered)) if numbered else []
    if left_out:
        say(f"{folder}: {', '.join(left_out)} have no number in their names and are left out; name files to take them")
    kept = numbered or names
    if len(kept) < _LEAST:
        endings = ", ".join(ENDINGS)
        raise CheckpointError(
            f"{folder} holds {len(kept)} checkpoints ({endings}); a trajectory needs at least {_LEAST}"
        )
    return [str(folder / name) for name in kept]


def _weights(folder: Path) -> list[Path]:
    """Return the files of weights in a folder, without the states of optimisers."""
    files = [path for path in folder.iterdir() if path.suffix in ENDINGS and path.is_file()]
    return sorted(path for path in files if not _OTHER.search(path.name))


def _run(folder: str, files: Sequence[str]) -> TrainingRun:
    ordered = sorted(files, key=_natural)
    ordered.sort(key=lambda file: not _numbers(file))  # stable: files without a number are last
    return TrainingRun(name=folder, files=tuple(ordered), steps=steps_of([_stem(file) for file in ordered]))


def _stem(file: str) -> str:
    """Return a file's name without its ending, and with its folder's name if only that tells it from others."""
    path = _path(file)
    return f"{path.parent.name}/{path.stem}" if path.stem in _USUAL else path.stem


def _path(file: str) -> Path:
    """Return the path in ``FILE[:KEY]``."""
    return Path(file if Path(file).exists() else file.rsplit(":", 1)[0])


def _folder(file: str) -> Path:
    """Return the folder of a training that a checkpoint lies in, itself or in a folder of its own."""
    path = _path(file)
    own = path.stem in _USUAL and re.search(r"\d", path.parent.name)
    return path.parent.parent if own else path.parent


def _natural(file: str) -> list[tuple[int, str]]:
    """Return a key that sorts numbers in names by their value."""
    parts = re.split(r"(\d+)", file)
    return [(int(part), "") if k % 2 else (0, part) for k, part in enumerate(parts)]


def _numbers(file: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", _stem(file))]


def steps_of(names: Sequence[str]) -> tuple[int, ...]:
    """Return the step of each name: its first number that rises from name to name, else its place.

    >>> steps_of(["epoch=1-step=90", "epoch=1-step=180"]), steps_of(["a", "b"])
    ((90, 180), (0, 1))
    """
    numbers = [[int(part) for part in re.findall(r"\d+", name)] for name in names]
    if len({len(each) for each in numbers}) == 1:
        for column in zip(*numbers, strict=True):
            if all(a < b for a, b in itertools.pairwise(column)):
                return column
    return tuple(range(len(names)))
