"""The problem: a model, its data by split, and the loss and metrics of a batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from surfaceviz.errors import ProblemError
from surfaceviz.problem import data as data_module
from surfaceviz.problem.batch_parts import ForwardArguments, described, logits_of, parts_of, rejoined
from surfaceviz.problem.checks.arguments import refuse_ambiguous, refuse_model
from surfaceviz.problem.checks.class_targets import classes_second, targets_are_classes
from surfaceviz.problem.checks.input_hints import input_hint
from surfaceviz.problem.forward.function_of_weights import NO_DATA, FunctionOfWeights
from surfaceviz.problem.forward.module_state import ForwardPass
from surfaceviz.problem.forward.random_draws import RandomDraws
from surfaceviz.problem.losses import (
    LossLike,
    Measured,
    PerSample,
    accuracy,
    known_kind,
    known_loss,
    loss_measure,
    metric_measure,
)
from surfaceviz.problem.parameters import FilterAxes, unwrap
from surfaceviz.pytree import leaves, map_tensors, move_objects

_GUESSED = 2**22  # entries of an uninformed guess that are evaluated at once
# The uninformed guess for each loss: a uniform class, the targets' mean, or the logit of that mean.
_GUESSES: dict[Any, str] = {
    "cross_entropy": "class",
    "next_token": "class",
    nn.CrossEntropyLoss: "class",
    nn.NLLLoss: "class",
    "mse": "mean",
    nn.MSELoss: "mean",
    nn.L1Loss: "mean",
    nn.SmoothL1Loss: "mean",
    nn.HuberLoss: "mean",
    nn.BCELoss: "mean",
    nn.BCEWithLogitsLoss: "logit",
}

BatchMeasure = Callable[[nn.Module, Any], Mapping[str, Measured]]


class Problem:
    """A model with its data and its loss.

    Every loss reduces to one primitive, ``measure(model, batch) -> {"loss": (sum, weight), ...}``. A user may
    give the primitive instead of a loss, to slice any number. It runs in ``eval()`` mode, with the weights
    of the current point in ``model``; autograd works inside it.

    Args:
        model: the network at the minimum; never changed.
        data: one source (the split is then called ``train``) or a mapping from split names to
            sources; a source is a pair of tensors or arrays, a map-style data set, or a re-iterable
            of batches (tuples with the targets last, dicts, or objects that hold tensors, such as graphs of PyTorch
            Geometric, with targets in ``y`` or ``labels``), such as a `DataLoader`. None for a function of the
            weights: ``loss`` then takes the output of a model whose forward takes no inputs (without ``loss``, that is
            the loss), or the model itself.
        loss: ``"cross_entropy"``, ``"mse"``, ``"next_token"``, a ``torch.nn`` loss, or a callable on
            (outputs, targets) giving the batch's mean or one value a sample.
        metrics: name -> callable of the same kind. Accuracy comes by itself for integer targets.
        forward: ``forward(model, inputs) -> outputs`` where the model is not just called.
        measure: the primitive itself, instead of ``loss``; values are (sum, weight) or `PerSample`.
            The batches of a loader then stay as they come.
        rules: pattern on parameter names -> the axes of its filters, or ``"gain"``.
        name: for titles and file names.

    Raises:
        ValueError: no module, an unknown loss, both or neither of ``loss`` and ``measure``.

    Example:
        >>> x = torch.linspace(-1, 1, 8).reshape(8, 1)
        >>> Problem(nn.Linear(1, 1), (x, 2 * x), "mse").splits
        ['train']
    """

    def __init__(
        self,
        model: nn.Module,
        data: Any = None,
        loss: LossLike | None = None,
        *,
        metrics: Mapping[str, Callable[[Any, Any], Any]] | None = None,
        forward: Callable[[nn.Module, Any], Any] | None = None,
        measure: BatchMeasure | None = None,
        rules: Mapping[str, FilterAxes] | None = None,
        name: str = "",
    ) -> None:
        refuse_model(model)
        if data is None:
            data, loss, measure = NO_DATA, None, FunctionOfWeights.of(model, loss, metrics, forward, measure)
        if (loss is None) == (measure is None):
            raise ValueError("give either a loss, such as 'cross_entropy', or measure=")
        self.model = unwrap(model)
        self.sources: dict[str, Any] = dict(data) if isinstance(data, Mapping) else {"train": data}
        if not self.sources:
            raise ProblemError("the data have no split; give one source, or a mapping such as {'train': ...}")
        refuse_ambiguous(self.sources)
        self.rules = dict(rules or {})
        self.name = name
        self._loss = None if loss is None else loss_measure(loss)
        known = None if loss is None or isinstance(loss, str) else known_loss(loss)
        self._guess = _GUESSES.get(loss if isinstance(loss, str) else None if known is None else known_kind(known))
        self.loss_name = _name_of(loss, known)
        self._is_known = isinstance(loss, str) or known is not None
        self._shifts = loss == "next_token"
        self._ignore_index = getattr(known, "ignore_index", -100)
        if "loss" in (metrics or {}):
            raise ValueError("a metric can't be called 'loss'; that is the loss")
        self._metrics = {key: metric_measure(metric) for key, metric in (metrics or {}).items()}
        arguments = ForwardArguments.of(self.model)
        self._forward = forward or arguments.call
        self._takes_labels = forward is None and bool(arguments.labels)
        self._arguments = arguments if forward is None and measure is None else ForwardArguments()
        self._measure = measure
        self.forward_pass = ForwardPass()
        self.draws = RandomDraws()
        self.class_count: int | None = None  # of the outputs; known once a batch with class numbers was measured

    @property
    def splits(self) -> list[str]:
        """The names of the splits, in order."""
        return list(self.sources)

    @property
    def is_mean_over_samples(self) -> bool:
        """Whether the loss is known to be a mean over samples, and there is no metric besides the accuracy."""
        return self._is_known and not self._metrics

    @property
    def keeps_batches(self) -> bool:
        """Whether a loader's batches stay fixed, because a given ``measure`` may couple the samples of a batch."""
        return self._measure is not None

    def load(self, split: str, *, samples: int | None = None) -> data_module.DataSplit:
        """Return a split's data, materialised.

        Raises:
            ProblemError: unknown split, empty or unsteady data.
        """
        if split not in self.sources:
            raise ProblemError(f"no split {split!r}; the problem has {', '.join(self.sources)}")
        return data_module.load(split, self.sources[split], samples=samples, as_given=self.keeps_batches)

    def classes(self, split: data_module.DataSplit) -> int | None:
        """Return the number of distinct classes among a split's targets, or None if the targets are not classes."""
        if self._measure is not None or split.given:
            return None
        targets = parts_of(split.rows)[1]
        if not isinstance(targets, Tensor) or targets.is_floating_point():
            return None
        return int((targets.unique() != self._ignore_index).sum())

    def outputs(self, model: nn.Module, batch: Any) -> Any:
        """Return the model's outputs, or their ``logits`` if they have such an entry."""
        return logits_of(self._forward(model, batch if self._takes_labels else parts_of(batch)[0]))

    def hint(self, batch: Any, error: BaseException) -> str:
        """Return a line that may help where the model raised for a batch, or an empty string."""
        return self._arguments.hint(batch) or input_hint(self.model, batch, error)

    def uninformed_loss(self, split: data_module.DataSplit, outputs: Any) -> float | None:
        """Return the loss of an uninformed guess: the uniform class distribution, or the mean of the targets.

        None if the loss is not a classification or regression loss of torch, or the targets do not suit it.

        Args:
            split: the samples.
            outputs: the outputs for a few samples; only their shape is used.
        """
        targets = self.targets(split.rows)
        if self._guess is None or not isinstance(outputs, Tensor) or not isinstance(targets, Tensor):
            return None
        shape = tuple(outputs.shape[1:])
        if self._guess == "class":
            classes = shape[-1 if self._shifts else 0] if shape else 1
            guess = torch.full(shape, -math.log(classes), dtype=torch.float64, device=outputs.device)
        elif targets.is_floating_point() and tuple(targets.shape[1:]) == shape:
            mean = targets.double().mean(0)
            guess = torch.logit(mean, eps=1e-12) if self._guess == "logit" else mean
        else:
            return None
        assert self._loss is not None
        total = weight = 0.0
        for some in targets.split(max(1, _GUESSED // max(guess.numel(), 1))):
            part = self._loss(guess.expand(len(some), *shape), some)
            assert isinstance(part, PerSample)
            total, weight = total + float(part.values.sum()), weight + float(part.weights.sum())
        return total / weight if weight and total > 0 else None

    @property
    def has_loss(self) -> bool:
        """Whether the problem has a loss of outputs and targets, not a ``measure``."""
        return self._loss is not None

    def cast(self, batch: Any, dtype: torch.dtype, device: torch.device) -> Any:
        """Return a batch on ``device`` with floating inputs in ``dtype``, targets in float32 or wider."""
        batch = batch if device.type == "cpu" else move_objects(batch, device)
        wide = torch.promote_types(dtype, torch.float32)
        if self._measure is None and not isinstance(batch, Mapping | tuple):
            targets = {id(tensor) for tensor in leaves(parts_of(batch)[1])}  # inside of an object
            return map_tensors(lambda t: _cast(t, wide if id(t) in targets else dtype, device), batch)
        inputs = map_tensors(lambda t: _cast(t, dtype, device), batch)
        if self._measure is not None:
            return inputs
        return rejoined(inputs, map_tensors(lambda t: _cast(t, wide, device), parts_of(batch)[1]))

    def measure(self, model: nn.Module, batch: Any) -> dict[str, Measured]:
        """Return metric name -> sums on one batch; ``"loss"`` is always among them.

        Raises:
            ProblemError: the batch has no targets, or the given ``measure`` gives no ``"loss"``, or values and
                weights of samples that would be broadcast.
        """
        if self._measure is not None:
            measured = dict(self._measure(model, batch))
            if "loss" not in measured:
                raise ProblemError(f"measure gave {sorted(measured)}; expected a 'loss' among them")
            for name, value in measured.items():
                _check_samples(name, value)
            return measured
        return self.measure_outputs(self.outputs(model, batch), self.targets(batch))

    def measure_loss(self, model: nn.Module, batch: Any) -> Measured:
        """Return the loss's sums on one batch, without the metrics if the problem has a loss.

        Raises:
            ProblemError: see `measure`.
        """
        if self._loss is None:
            return self.measure(model, batch)["loss"]
        return self.measure_outputs_loss(self.outputs(model, batch), self.targets(batch))

    def measure_outputs_loss(self, outputs: Any, targets: Any) -> Measured:
        """Return the loss's sums of outputs against targets."""
        assert self._loss is not None
        self._refuse_other_outputs(outputs)
        return self._loss(outputs, targets)

    def _refuse_other_outputs(self, outputs: Any) -> None:
        if self._is_known and not isinstance(outputs, Tensor):
            entry = next(iter(outputs), "") if isinstance(outputs, Mapping) else 0
            pick = f"[{entry!r}]" if isinstance(outputs, Mapping | tuple | list) else ".NAME"
            raise ProblemError(
                f"the model gives {described(outputs)}; the loss expects one tensor. Pick it by "
                f"forward=lambda model, x: model(x){pick}, or give a loss on (outputs, targets) that takes them all"
            )

    @staticmethod
    def targets(batch: Any) -> Any:
        """Return the targets of a batch."""
        return parts_of(batch)[1]

    def measure_outputs(self, outputs: Any, targets: Any) -> dict[str, Measured]:
        """Return metric name -> sums of outputs against targets."""
        assert self._loss is not None
        self._refuse_other_outputs(outputs)
        measured = {"loss": self._loss(outputs, targets)}
        if self._shifts:
            outputs, targets = outputs[:, :-1].transpose(1, 2), targets[:, 1:]
        logits = classes_second(outputs, targets) if self._guess == "class" else outputs
        if targets_are_classes(logits, targets):
            self.class_count = self.class_count or logits.shape[1]
            measured["accuracy"] = accuracy(logits, targets, ignore_index=self._ignore_index)
        return {**measured, **{key: metric(outputs, targets) for key, metric in self._metrics.items()}}


def _check_samples(name: str, value: Measured) -> None:
    if isinstance(value, PerSample) and (value.values.ndim != 1 or value.values.shape != value.weights.shape):
        raise ProblemError(
            f"{name}: PerSample has values of shape {tuple(value.values.shape)} and weights of shape "
            f"{tuple(value.weights.shape)}; expected (n,) for both"
        )


def _cast(tensor: Tensor, dtype: torch.dtype, device: torch.device) -> Tensor:
    # A copy, so that a model that writes into its input does not reach the user's data.
    wide = torch.promote_types(dtype, torch.float32)
    given = dtype if tensor.is_floating_point() else wide.to_complex() if tensor.is_complex() else tensor.dtype
    return tensor.to(device=device, dtype=given, copy=True)


def _name_of(loss: LossLike | None, known: nn.Module | None) -> str:
    """Return the name of a loss, the same for a name and for the loss of torch that it stands for."""
    if known is not None:
        return str(getattr(known_kind(known), "__name__", type(known).__name__))
    if loss is None or isinstance(loss, str):
        return {"cross_entropy": "CrossEntropyLoss", "mse": "MSELoss"}.get(loss or "", loss or "measure")
    return str(getattr(loss, "__name__", type(loss).__name__))
