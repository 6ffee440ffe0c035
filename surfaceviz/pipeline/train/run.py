"""One training: start or resume, steps, checkpoints on a schedule, the log."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from surfaceviz.errors import CheckpointError, Interrupted, StoreError
from surfaceviz.lock import held
from surfaceviz.pipeline.resolve import device_of
from surfaceviz.pipeline.train import log
from surfaceviz.pipeline.train.request import ALL, TrainRequest
from surfaceviz.pipeline.train.trained_folder import (
    Trained,
    describe_samples,
    is_trained_folder,
    read_trained,
    write_trained,
)
from surfaceviz.problem.checkpoints import read_weights
from surfaceviz.recording import folder as records
from surfaceviz.recording.optimiser_state import packed, restore
from surfaceviz.reporting import QuietReporter, Reporter
from surfaceviz.signals import deferred_signals, interruptible, raise_if_interrupted
from surfaceviz.zoo import catalogue, datasets, network_table
from surfaceviz.zoo.labelled_data import Dataset
from surfaceviz.zoo.networks import parameter_count
from surfaceviz.zoo.training import Recipe, Sums, Training, evaluate, make_optimiser

SNAPSHOT_SECONDS = 60.0  # between checkpoints, at most: a killed run loses no more
_CHECKPOINTS = 100  # about as many, by default
_ROWS = 100  # of the table, about


@dataclass(slots=True, kw_only=True)
class _Run:
    """A training in its folder.

    Attributes:
        folder: the folder.
        training: the training.
        every: steps between checkpoints.
        columns: of the log.
        reporter: takes the rows of the table.
        started: time at which step 0 would have begun, if all runs so far were one.
        saved: time of the last checkpoint.
    """

    folder: Path
    training: Training
    every: int
    columns: list[str]
    reporter: Reporter
    started: float
    saved: float

    def run(self) -> None:
        """Train to the end."""
        if self.training.step == 0:
            self._save()
        if self.training.step < self.training.total:
            self.reporter.say(log.header(self.columns))
        try:
            while self.training.step < self.training.total:
                with deferred_signals():
                    self._advance()
                raise_if_interrupted()
        except Interrupted as error:
            with deferred_signals(raise_after=False):
                self._save()
            step = self.training.step
            raise Interrupted(error.signum, f"{error} at step {step}; the same command resumes from it") from None

    def _advance(self) -> None:
        training = self.training
        training.advance()
        if training.step % training.epoch_steps == 0:
            self._end_epoch()
        if self._is_scheduled(training.step) or time.monotonic() - self.saved > SNAPSHOT_SECONDS:
            self._save()

    def _is_scheduled(self, step: int) -> bool:
        """Return whether a checkpoint stays: 0, powers of two up to the first regular one, regular ones, the last."""
        dense = step < self.every and step & (step - 1) == 0
        return dense or step % self.every == 0 or step == self.training.total

    def _end_epoch(self) -> None:
        training, sums = self.training, self.training.sums
        epoch = training.step // training.epoch_steps
        row = {"epoch": epoch, "step": training.step, "lr": training.optimiser.param_groups[0]["lr"]}
        values = {"train": (sums.loss / sums.count, sums.right / sums.count)}
        for split, pair in training.data.splits.items():
            if split != "train":
                values[split] = evaluate(training.model, pair, training.data.kind)
        for split, (loss, accuracy) in values.items():
            row |= {f"{split}_loss": loss, f"{split}_accuracy": accuracy}
        row["seconds"] = round(time.monotonic() - self.started, 3)
        log.add_row(self.folder, self.columns, row)
        if epoch % -(-training.recipe.epochs // _ROWS) == 0 or training.step == training.total:
            self.reporter.say(log.table_row(self.columns, row))

    def _save(self) -> None:
        """Write a checkpoint, and remove earlier ones that are not on the schedule."""
        training = self.training
        if training.step in records.recorded_steps(self.folder):
            return
        for group in training.optimiser.param_groups:
            group["lr"] = training.rate  # that of the next step
        tensors, groups = packed(training.optimiser, training.model)
        sums = training.sums
        seconds = round(time.monotonic() - self.started, 3)
        facts = {"groups": groups, "sums": [sums.loss, sums.right, sums.count], "seconds": seconds}
        record = records.Record(
            step=training.step, weights=training.model.state_dict(), optimiser=tensors, facts=facts
        )  # fmt: skip
        records.write_record(self.folder, training.step, records.encoded(record))
        for step in records.recorded_steps(self.folder):
            if step < training.step and not self._is_scheduled(step):
                records.remove_record(self.folder, step)
        self.saved = time.monotonic()


def run_train(request: TrainRequest, reporter: Reporter | None = None) -> Path:
    """Train, or resume, and return the folder.

    Raises:
        ProblemError: the network or the data are not as they should be, or the loss is not finite.
        CheckpointError: the last checkpoint is torn or does not fit.
        StoreError: the folder can't be written, or belongs to another training.
        Interrupted: a signal arrived; the weights so far are in the folder.
    """
    reporter = reporter or QuietReporter()
    data = datasets.load(request.dataset, request.data)
    trained = _described(request, data)
    network_table.build(request.network, data, request.seed)  # a network that does not fit is told before the folder
    folder = request.output
    if str(folder) in catalogue.CATALOGUE:
        raise StoreError(f"{folder} is the name of a problem of the catalogue; give another folder by -o")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"{folder}: can't be a folder ({error.strerror}); give another one by -o") from error
    with interruptible(), held(folder / records.TRAINING):
        _prepare(folder, trained, request)
        run = _begin(folder, trained, data, device=request.device, reporter=reporter)
        reporter.say(_first_line(trained, run.training))
        run.run()
    return folder


def recipe_of(request: TrainRequest, data: Dataset) -> Recipe:
    """Return the network's recipe with the request's options, and the augmentation of the data."""
    recipe = network_table.network_of(request.network).recipe
    given = {
        "epochs": request.epochs,
        "batch_size": request.batch_size,
        "peak_rate": request.lr,
        "optimiser": request.optimiser,
        "momentum": request.momentum,
        "nesterov": request.nesterov,
        "weight_decay": request.weight_decay,
        "schedule": request.schedule,
    }
    if request.optimiser is not None and request.optimiser != recipe.optimiser and request.lr is None:
        given["peak_rate"] = 0.1 if request.optimiser == "sgd" else 1e-3  # torch's default for Adam
    changes: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    if request.batch_size == ALL:
        changes["batch_size"] = None
    # Gradient descent is a deterministic map: augmentation would make it stochastic.
    augmented = request.augment and changes.get("batch_size", recipe.batch_size) is not None
    return replace(recipe, **changes, shift=data.shift * augmented, flip=data.flip and augmented)


def _described(request: TrainRequest, data: Dataset) -> Trained:
    recipe = recipe_of(request, data)
    named = request.dataset in datasets.DATASETS
    every = request.every or -(-recipe.epochs // _CHECKPOINTS)
    return Trained(
        network=request.network,
        dataset=request.dataset if named else str(Path(request.data or request.dataset).absolute()),
        data=str(Path(request.data).absolute()) if named and request.data else None,
        seed=request.seed,
        every=every,
        recipe=asdict(recipe),
        samples=describe_samples(data),
    )


def _prepare(folder: Path, trained: Trained, request: TrainRequest) -> None:
    """Check that the folder is free or holds this training; clear it on request.

    Raises:
        StoreError: it holds another training.
    """
    if request.overwrite:
        (folder / log.LOG).unlink(missing_ok=True)
        for step in records.recorded_steps(folder):
            records.remove_record(folder, step)
    elif is_trained_folder(folder):
        differences = trained.differences(read_trained(folder))
        if differences:
            raise StoreError(
                f"{folder} holds another training ({'; '.join(differences)}); give another folder by -o, or --overwrite"
            )
    elif records.recorded_steps(folder):
        raise StoreError(f"{folder} holds checkpoints of another program; give another folder by -o")
    records.remove_leftovers(folder)
    write_trained(folder, trained)


def _begin(folder: Path, trained: Trained, data: Dataset, *, device: str, reporter: Reporter) -> _Run:
    """Return the training at its start, or at the last checkpoint."""
    place = device_of(device, 0)
    recipe = Recipe(**trained.recipe)
    model = network_table.build(trained.network, data, trained.seed).to(place)
    splits = {split: (x.to(place), y.to(place)) for split, (x, y) in data.splits.items()}
    training = Training(
        model=model, optimiser=make_optimiser(model, recipe), data=replace(data, splits=splits), recipe=recipe,
        seed=trained.seed,
    )  # fmt: skip
    now = time.monotonic()
    steps = records.recorded_steps(folder)
    seconds = _resume(training, folder, steps[-1]) if steps else 0.0
    columns = log.open_log(folder, ["train", *(s for s in data.splits if s != "train")], training.step)
    return _Run(
        folder=folder, training=training, every=trained.every * training.epoch_steps, columns=columns,
        reporter=reporter, started=now - seconds, saved=now,
    )  # fmt: skip


def _resume(training: Training, folder: Path, step: int) -> float:
    """Load a checkpoint, and return the seconds that it took.

    Raises:
        CheckpointError: it is torn or does not fit.
    """
    record = records.read_record(folder, step)
    path = records.weights_path(folder, step)
    state = read_weights(str(path), training.model, lambda _line: None)
    training.model.load_state_dict(state)
    try:
        restore(training.optimiser, training.model, record.optimiser)
        loss, right, count = record.facts["sums"]
        seconds = float(record.facts["seconds"])
    except (KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path}: no whole state of the training ({error}); remove it") from error
    training.step, training.sums = step, Sums(loss, right, count)
    return seconds


def _first_line(trained: Trained, training: Training) -> str:
    recipe, size = training.recipe, parameter_count(training.model)
    batch = "all samples" if recipe.batch_size is None else f"batches of {recipe.batch_size}"
    moves = f", shifts of {recipe.shift}" * bool(recipe.shift) + ", mirror images" * recipe.flip
    begun = f", from step {training.step}" if training.step else ""
    return (
        f"{trained.network} ({size:,} parameters) on {Path(trained.dataset).name}: {recipe.epochs} epochs of "
        f"{training.epoch_steps} steps, {batch}{moves}, {recipe.optimiser}, learning rate {recipe.peak_rate:g} "
        f"({recipe.schedule}), weight decay {recipe.weight_decay:g}{begun}"
    )
