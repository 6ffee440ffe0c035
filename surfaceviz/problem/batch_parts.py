"""The parts of a batch: inputs and targets; how the model is called with them, and what it gives."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from surfaceviz.errors import ProblemError
from surfaceviz.pytree import like_mapping, like_tuple

TARGET_KEYS = (
    "labels",
    "label",
    "targets",
    "target",
    "y",
)  # where batches that are dicts or objects keep their targets


def target_key(batch: Any) -> str | None:
    """Return the entry or attribute under which a batch that is a mapping or an object has its targets."""
    if isinstance(batch, Tensor | tuple | list):
        return None
    for key in TARGET_KEYS:
        if key in batch if isinstance(batch, Mapping) else isinstance(getattr(batch, key, None), Tensor):
            return key
    return None


def parts_of(batch: Any) -> tuple[Any, Any]:
    """Return (inputs, targets) of a batch: its last element, or the entry or attribute that labels go by.

    A dict's inputs are the other entries; an object's are the object.

    Raises:
        ProblemError: the batch has no targets.
    """
    if isinstance(batch, tuple) and len(batch) > 1:
        return (batch[0] if len(batch) == 2 else batch[:-1]), batch[-1]  # noqa: PLR2004  (inputs, targets)
    key = target_key(batch)
    if isinstance(batch, Mapping):
        if key is None:
            raise ProblemError(f"a dict batch has {sorted(batch)}; expected targets under one of {TARGET_KEYS}")
        return {other: value for other, value in batch.items() if other != key}, batch[key]
    if key is not None:
        return batch, getattr(batch, key)
    kind = "" if isinstance(batch, Tensor | tuple | list) else f" ({type(batch).__name__})"
    raise ProblemError(
        f"a batch has no targets{kind}; expected (inputs, targets), a dict or an object with labels, or measure= to be "
        "given (columns of data go in a tuple; a list holds batches, a mapping splits)"
    )


def rejoined(batch: Any, targets: Any) -> Any:
    """Return a tuple or a dict, as it is, with other targets."""
    if isinstance(batch, Mapping):
        return like_mapping(batch, {**batch, target_key(batch): targets})
    return like_tuple(batch, (*batch[:-1], targets))


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardArguments:
    """The arguments that a model's forward takes.

    Attributes:
        fewest: number of positional arguments without defaults.
        most: number of positional arguments; inf for ``*args``.
        labels: names among `TARGET_KEYS` of arguments without a default.
        optional: such names of arguments with a default; all for ``**kwargs``.
    """

    fewest: int = 0
    most: float = math.inf
    labels: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()

    @classmethod
    def of(cls, model: nn.Module) -> ForwardArguments:
        """Return the arguments of a model's forward; those of code without a signature are any."""
        try:
            parameters = list(inspect.signature(model.forward).parameters.values())
        except (TypeError, ValueError):
            return cls()
        positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        takes_any = any(p.kind == p.VAR_KEYWORD for p in parameters)
        required = [p for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
        return cls(
            fewest=sum(p in positional for p in required),
            most=math.inf if any(p.kind == p.VAR_POSITIONAL for p in parameters) else len(positional),
            labels=frozenset(p.name for p in required if p.name in TARGET_KEYS),
            optional=frozenset(TARGET_KEYS if takes_any else [p.name for p in parameters if p.name in TARGET_KEYS]),
        )

    def call(self, model: nn.Module, inputs: Any) -> Any:
        """Return the model's outputs on inputs: a dict by name, a tuple element by element where forward takes so many.

        A model whose `labels` are required gets a batch with targets in place of inputs.
        """
        if self.labels:
            own, _ = parts_of(inputs)
            key = target_key(inputs)
            inputs = inputs if isinstance(inputs, Mapping) and key in self.labels else own
        if isinstance(inputs, Mapping):
            return model(**inputs)
        if isinstance(inputs, tuple) and self.fewest <= len(inputs) <= self.most:
            return model(*inputs)
        return model(inputs)

    def hint(self, batch: Any) -> str:
        """Return advice for a model that fails without the labels of a dict batch; '' if that is not the cause."""
        key = target_key(batch)
        if not isinstance(batch, Mapping) or key not in self.optional - self.labels:
            return ""
        return (
            f"the model got no {key!r}: of a dict batch they go to the loss alone. If it needs them, give measure=, "
            "which gets the whole batch"
        )


def logits_of(outputs: Any) -> Any:
    """Return the outputs, or their ``logits`` if they have such an entry (Hugging Face)."""
    if isinstance(outputs, Mapping) and "logits" in outputs:
        return outputs["logits"]
    return getattr(outputs, "logits", outputs)


def described(outputs: Any) -> str:
    """Return the type of outputs and the types of their entries, for messages."""
    if isinstance(outputs, Mapping):
        return f"a {type(outputs).__name__} with {', '.join(f'{k!r}: {_kind(v)}' for k, v in outputs.items())}"
    if isinstance(outputs, tuple | list):
        return f"a {type(outputs).__name__} of {len(outputs)} ({', '.join(map(_kind, outputs))})"
    return f"an object of type {type(outputs).__name__}"


def _kind(value: Any) -> str:
    return f"tensor {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
