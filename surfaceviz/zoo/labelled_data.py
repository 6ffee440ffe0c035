"""Data with labels: the record of a data set, and checks that its readers share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surfaceviz.errors import ProblemError

TensorPair = tuple[Tensor, Tensor]
Splits = Mapping[str, TensorPair]

IMAGES, VECTORS, TEXT = "images", "vectors", "text"
_IMAGE_AXES, _VECTOR_AXES = 4, 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The splits of a data set.

    Attributes:
        splits: inputs and targets by split; ``train`` is there always. Images have shape (N, C, H, W), vectors (N, F),
            text (N, T), whose targets are the inputs.
        classes: number of classes, or of distinct characters.
        kind: ``images``, ``vectors`` or ``text``.
        shift: largest random translation of augmentation, in pixels.
        flip: whether augmentation mirrors images left to right.
    """

    splits: Splits
    classes: int
    kind: str = IMAGES
    shift: int = 0
    flip: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one input."""
        return tuple(self.splits["train"][0].shape[1:])


def kind_of(inputs: Tensor, where: Path) -> str:
    """Return ``images`` for inputs of shape (N, C, H, W), and ``vectors`` for (N, F).

    Raises:
        ProblemError: the shape is another one.
    """
    if inputs.ndim not in (_IMAGE_AXES, _VECTOR_AXES):
        raise ProblemError(
            f"{where}: x has shape {tuple(inputs.shape)}; expected images (N, C, H, W) or (N, H, W), or vectors (N, F)"
        )
    return IMAGES if inputs.ndim == _IMAGE_AXES else VECTORS


def checked_labels(labels: np.ndarray, count: int, where: Path, classes: int | None = None) -> Tensor:
    """Return labels as int64 of shape (N,).

    Args:
        labels: the labels as read.
        count: the number of inputs.
        where: the file, for messages.
        classes: the number of classes; None accepts every label from 0.

    Raises:
        ProblemError: they are not a vector of integers, differ in number from the inputs, or lie out of range.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ProblemError(
            f"{where}: labels have shape {labels.shape} and type {labels.dtype}; expected a vector of integers"
        )
    if len(labels) != count:
        raise ProblemError(f"{where}: {count} inputs but {len(labels)} labels")
    if count == 0:
        raise ProblemError(f"{where}: no samples; expected at least one")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or (classes is not None and high >= classes):
        bad = low if low < 0 else high
        expected = "0 or more" if classes is None else f"0 to {classes - 1}"
        at = int(np.flatnonzero(labels == bad)[0])
        raise ProblemError(f"{where}: label {bad} of sample {at} is out of range; expected {expected}")
    return torch.from_numpy(labels.astype(np.int64))
