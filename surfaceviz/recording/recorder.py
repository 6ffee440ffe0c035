"""The recorder of checkpoints for a training loop of the user's own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from surfaceviz.errors import CheckpointError, StoreError
from surfaceviz.recording import folder as records
from surfaceviz.recording.optimiser_state import packed
from surfaceviz.recording.thinning import to_remove

_UNITS = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


class Recorder:
    """Writes checkpoints of a training into a folder, and keeps them within a number of bytes.

    A checkpoint is one or two files of safetensors, written atomically: after a kill at any time, every file in the
    folder is whole. (After a power failure the last ones may be torn, which readers tell.) When space is short,
    checkpoints are removed so that the others stay evenly spread; the first and the last one stay. The model is only
    read. Of several processes that train together, one records.

    Args:
        model: the model in training.
        folder: the folder; it is created. It may hold earlier checkpoints of the same training, which is resumed:
            those of the first recorded step and later are then replaced.
        optimiser: the optimiser, for its state and its options; None records the weights alone.
        every: steps between checkpoints: `record` does nothing at other steps.
        limit: the most bytes that the checkpoints may take, also as ``"500M"`` or ``"2G"``.
        overwrite: whether checkpoints of another training in the folder are removed at the first record.

    Raises:
        ValueError: ``every`` or ``limit`` is not a number of at least 1.

    Example:
        >>> import tempfile, torch
        >>> model, folder = nn.Linear(2, 1), tempfile.mkdtemp()
        >>> optimiser = torch.optim.Adam(model.parameters())
        >>> recorder = Recorder(model, folder, optimiser=optimiser, every=10)
        >>> for step in range(31):
        ...     recorder.record(step)  # and a step of the optimiser
        >>> recorder.steps
        [0, 10, 20, 30]
    """

    def __init__(
        self,
        model: nn.Module,
        folder: str | Path,
        *,
        optimiser: Any = None,
        every: int = 1,
        limit: int | str = "1G",
        overwrite: bool = False,
    ) -> None:
        if every < 1:
            raise ValueError(f"every must be at least 1 step, got {every}")
        self.model, self.folder, self.optimiser = model, Path(folder), optimiser
        self.every, self.limit, self._overwrite = every, _bytes_of(limit), overwrite
        self._begun = False

    @property
    def steps(self) -> list[int]:
        """The recorded steps."""
        return records.recorded_steps(self.folder)

    def record(self, step: int) -> None:
        """Write the model as it is after ``step`` steps, if ``step`` is a multiple of ``every``.

        Raises:
            ValueError: the limit is below the size of a checkpoint, the step is negative, or not after the last one.
            StoreError: the folder can't be written, or holds checkpoints of another training.
            CheckpointError: weights have no values yet, or the folder's last checkpoint is torn.
        """
        if step < 0:
            raise ValueError(f"step must be at least 0, got {step}")
        if step % self.every:
            return
        before = self.steps
        if not self._begun:
            before = self._begin(step, before)
        elif before and step <= before[-1]:
            raise ValueError(f"step {step} is not after the last recorded step, {before[-1]}")
        contents = records.encoded(self._now(step))
        size = sum(len(content) for content in contents if content is not None)
        if size > self.limit:
            raise ValueError(f"a checkpoint takes {size} bytes, but the limit is {self.limit}; give a larger one")
        sizes = [records.record_bytes(self.folder, each) for each in before]
        for each in to_remove([*before, step], [*sizes, size], self.limit):
            records.remove_record(self.folder, each)
        records.write_record(self.folder, step, contents, synced=False)  # a sync takes longer than the write
        self._begun = True

    def _now(self, step: int) -> records.Record:
        state, groups = packed(self.optimiser, self.model) if self.optimiser is not None else ({}, [])
        weights = {name: value for name, value in self.model.state_dict().items() if isinstance(value, Tensor)}
        for name, value in weights.items():
            if is_lazy(value) or value.is_meta:
                raise CheckpointError(f"{name} has no values yet; call the model on a batch, or build it on a device")
        return records.Record(step=step, weights=weights, optimiser=state, facts={"groups": groups})

    def _begin(self, step: int, before: list[int]) -> list[int]:
        """Check what the folder holds, remove what this training replaces, and return the steps that stay."""
        if before and not self._overwrite:
            self._refuse_another_training(step, before)
        for each in before:
            if each >= step or self._overwrite:
                records.remove_record(self.folder, each)
        records.remove_leftovers(self.folder)
        return [] if self._overwrite else [each for each in before if each < step]

    def _refuse_another_training(self, step: int, before: list[int]) -> None:
        if (self.folder / records.TRAINING).exists():
            raise StoreError(f"{self.folder} is a folder of surfaceviz train; give another folder")
        if step <= before[0]:
            raise StoreError(
                f"{self.folder} holds checkpoints of another training, up to step {before[-1]}; give another folder, "
                "or overwrite=True"
            )
        here = {name: tuple(value.shape) for name, value in self._now(step).weights.items()}
        if records.shapes_of(self.folder, before[-1]) != here:
            raise StoreError(f"{self.folder} holds checkpoints of another architecture; give another folder")


def _bytes_of(limit: int | str) -> int:
    """Return a number of bytes.

    >>> _bytes_of("1.5M")
    1572864
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)B?", str(limit).strip().upper())
    count = int(float(match[1]) * _UNITS[match[2]]) if match else 0
    if count < 1:
        raise ValueError(f"limit must be a number of bytes such as 1000000 or '500M', got {limit!r}")
    return count
