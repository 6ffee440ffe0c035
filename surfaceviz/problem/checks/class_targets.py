"""Class numbers and probabilities as targets of logits: their shapes, and the axis of the classes."""

from __future__ import annotations

import warnings
from typing import Any

import torch
from torch import Tensor

from surfaceviz.errors import ProblemError

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.uint8)


def classes_second(outputs: Any, targets: Any) -> Any:
    """Return logits with the classes along axis 1, as torch expects them.

    Logits (B, T, V) become (B, V, T) if the targets have shape (B, T) and T is not V: the classes are then along the
    last axis, as language models give them. A warning says where both are possible.
    """
    if not (isinstance(outputs, Tensor) and isinstance(targets, Tensor)) or outputs.shape[:-1] != targets.shape:
        return outputs
    if outputs.ndim < 3:  # noqa: PLR2004  (n, C)
        return outputs
    if _shape_of_classes(outputs) != targets.shape:
        return outputs.movedim(-1, 1)
    if not targets.is_floating_point():
        warnings.warn(
            f"outputs of shape {tuple(outputs.shape)} have as many classes as places: cross_entropy takes the classes "
            "along axis 1, as torch does; if they are along the last axis, transpose the outputs by forward=",
            stacklevel=2,
        )
    return outputs


def targets_are_classes(outputs: Any, targets: Any) -> bool:
    """Return whether targets are class numbers for the outputs' second axis."""
    return (
        isinstance(outputs, Tensor)
        and isinstance(targets, Tensor)
        and targets.dtype in _INTEGERS
        and outputs.ndim == targets.ndim + 1
        and _shape_of_classes(outputs) == targets.shape
    )


def refuse_targets(outputs: Tensor, targets: Tensor) -> None:
    """Raise for targets that are neither class numbers nor probabilities for logits (n, C) or (n, C, ...).

    Raises:
        ProblemError: the message tells how to convert the usual ones.
    """
    if outputs.ndim < 2:  # noqa: PLR2004
        raise ProblemError(
            f"cross_entropy: the outputs have shape {tuple(outputs.shape)}; expected logits (n, C). For one output a "
            "sample give torch.nn.BCEWithLogitsLoss() and float targets, or 'mse'"
        )
    expected, soft = _shape_of_classes(outputs), targets.is_floating_point()
    if targets.shape == (outputs.shape if soft else expected):
        return
    advice = ""
    if targets.shape == outputs.shape:
        advice = "; for one-hot rows give targets.argmax(1), or targets.float()"
    elif targets.shape in (expected, (*expected, 1)):
        advice = f"; give targets{'' if targets.shape == expected else '.squeeze(-1)'}{'.long()' if soft else ''}"
    raise ProblemError(
        f"cross_entropy: the targets are {str(targets.dtype).removeprefix('torch.')} of shape {tuple(targets.shape)}; "
        f"for outputs {tuple(outputs.shape)} expected class numbers {tuple(expected)} or probabilities "
        f"{tuple(outputs.shape)}{advice}"
    )


def out_of_range(outputs: Tensor, targets: Tensor, ignore_index: int) -> ProblemError:
    """Return the error for class numbers that the outputs do not have."""
    counted = targets[targets != ignore_index]
    low, high, classes = int(counted.min()), int(counted.max()), outputs.shape[1]
    advice = "give a model with more outputs, or other targets"
    if classes == 1:
        advice = "for one output a sample give torch.nn.BCEWithLogitsLoss() and float targets of the outputs' shape"
    elif high - low < classes:
        shift = f"- {low}" if low > 0 else f"+ {-low}"
        advice = f"give targets {shift}"
        advice += ", or ignore_index= for those that do not count" if low < 0 else ""
    has = "one class, 0" if classes == 1 else f"{classes} classes, 0 to {classes - 1}"
    return ProblemError(
        f"cross_entropy: the targets are class numbers from {low} to {high}, but the outputs have {has}; {advice}"
    )


def _shape_of_classes(outputs: Tensor) -> tuple[int, ...]:
    return (*outputs.shape[:1], *outputs.shape[2:])
