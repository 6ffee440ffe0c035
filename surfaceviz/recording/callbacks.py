"""Callbacks that record trainings of Lightning and of Hugging Face's Trainer; each imports its library when called."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from surfaceviz.errors import ProblemError
from surfaceviz.recording.recorder import Recorder


def lightning_callback(folder: str | Path, *, every: int = 1, limit: int | str = "1G", overwrite: bool = False) -> Any:
    """Return a callback for Lightning's ``Trainer(callbacks=[...])`` that records checkpoints.

    It records before the first step, and then at each global step that is a multiple of ``every``, with the state of
    the first optimiser. Only the process of rank 0 records.

    Args:
        folder: see `Recorder`, as for the other arguments.
        every: steps between checkpoints.
        limit: the most bytes that the checkpoints may take.
        overwrite: whether checkpoints of another training are removed.

    Raises:
        ProblemError: Lightning is not installed.
    """
    names = ["lightning.pytorch", "pytorch_lightning"]  # two packages of one library, whose classes differ
    names.sort(key=lambda name: name not in sys.modules)
    base = _imported(names, "lightning").Callback
    options = {"every": every, "limit": limit, "overwrite": overwrite}
    return type("LightningRecorder", (_LightningHooks, base), {})(folder, options)


def transformers_callback(
    folder: str | Path, *, every: int = 1, limit: int | str = "1G", overwrite: bool = False
) -> Any:
    """Return a callback for Hugging Face's ``Trainer(callbacks=[...])`` that records checkpoints.

    It records before the first step, and then at each global step that is a multiple of ``every``. Only the process of
    rank 0 records.

    Args:
        folder: see `Recorder`, as for the other arguments.
        every: steps between checkpoints.
        limit: the most bytes that the checkpoints may take.
        overwrite: whether checkpoints of another training are removed.

    Raises:
        ProblemError: transformers is not installed.
    """
    base = _imported(["transformers"], "transformers").TrainerCallback
    options = {"every": every, "limit": limit, "overwrite": overwrite}
    return type("TransformersRecorder", (_TransformersHooks, base), {})(folder, options)


def _imported(names: list[str], package: str) -> ModuleType:
    """Return the first module that is installed."""
    for name in names:
        try:
            return importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name not in (name, name.partition(".")[0]):
                raise
    raise ProblemError(f"{package} is not installed; pip install {package}")


class _Recording:
    """A recorder that is made at the start of a training, and records each step once.

    With accumulated gradients, several batches make one step.
    """

    def __init__(self, folder: str | Path, options: dict[str, Any]) -> None:
        super().__init__()
        self._folder, self._options, self._last = folder, options, -1
        self._recorder: Recorder | None = None

    def _start(self, step: int, model: Any, optimiser: Any) -> None:
        self._recorder, self._last = Recorder(model, self._folder, optimiser=optimiser, **self._options), -1
        self._record(step)

    def _record(self, step: int) -> None:
        if self._recorder is not None and step != self._last:
            self._last = step
            self._recorder.record(step)


class _LightningHooks(_Recording):
    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Record the start."""
        if trainer.is_global_zero:
            self._start(trainer.global_step, pl_module, next(iter(trainer.optimizers), None))

    def on_train_batch_end(self, trainer: Any, *_: Any, **__: Any) -> None:
        """Record the step."""
        self._record(trainer.global_step)


class _TransformersHooks(_Recording):
    def on_train_begin(self, _args: Any, state: Any, _control: Any, **given: Any) -> None:
        """Record the start."""
        if state.is_world_process_zero:
            self._start(state.global_step, given["model"], given.get("optimizer"))

    def on_step_end(self, _args: Any, state: Any, _control: Any, **_: Any) -> None:
        """Record the step."""
        self._record(state.global_step)
