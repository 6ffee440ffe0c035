"""Directions between labels: along the difference of the gradients of two labels' losses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from surfaceviz.directions.from_loss import LossNearTheta, unit_direction
from surfaceviz.directions.minimum import Minimum
from surfaceviz.directions.random import Direction
from surfaceviz.directions.specs import FromLoss
from surfaceviz.errors import DirectionError
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.functional import borrowed
from surfaceviz.pytree import map_tensors


def label_gradients(spec: FromLoss, minimum: Minimum, moving: Sequence[str], _count: int) -> list[Direction]:
    """Return the unit vector along g_a - g_b, the gradients of the mean losses of the samples of two labels.

    Along it the loss of label a rises fastest relative to that of label b, to first order. Source: ours.

    Args:
        spec: ``spec.argument`` holds the two labels, as ``"3,8"``.
        minimum: the model, with samples that have integer labels.
        moving: names of the parameters that move.

    Raises:
        DirectionError: not two labels, a label without samples, or equal gradients.
    """
    first, second = _parse_labels(spec.argument)
    slope = _gradient(minimum, moving, first) - _gradient(minimum, moving, second)
    norm = float(torch.linalg.vector_norm(slope))
    if not norm > 0:
        raise DirectionError(f"the losses of labels {first} and {second} have the same gradient; take --along gradient")
    path = LossNearTheta(minimum, moving)
    with borrowed(minimum.problem.model, minimum.device):
        checked = path.check(order=1)
    words = f"label {first} - label {second}, norm {norm:.6g}"
    return [unit_direction("gradient difference", slope / norm, path.layout, words, derivatives=checked)]


def _gradient(minimum: Minimum, moving: Sequence[str], label: int) -> Tensor:
    """Return the gradient (P,) float64 of the mean loss over the samples of a label."""
    path = LossNearTheta(replace(minimum, split=_samples_of(minimum.split, label)), moving)
    with borrowed(minimum.problem.model, minimum.device):
        return path.at(torch.zeros(path.layout.dimension, dtype=torch.float64))[1]


def _samples_of(split: DataSplit, label: int) -> DataSplit:
    """Return the samples of a split that have a label."""
    labels = split.rows[1] if isinstance(split.rows, tuple) and len(split.rows) > 1 else None
    if not isinstance(labels, Tensor) or labels.ndim != 1 or labels.is_floating_point():
        raise DirectionError("along labels: expected samples (input, label) with one integer label each")
    index = torch.nonzero(labels == label)[:, 0]
    if not len(index):
        known = sorted(set(labels.tolist()))
        raise DirectionError(f"along labels: no sample of split {split.name} has label {label}; got {known[:12]}")
    return replace(split, count=len(index), rows=map_tensors(lambda tensor: tensor[index], split.rows))


def _parse_labels(argument: str) -> tuple[int, int]:
    parts = argument.split(",")
    if len(parts) != 2 or not all(part.strip().lstrip("-").isdecimal() for part in parts):  # noqa: PLR2004
        raise DirectionError(f"along labels:{argument}: expected two labels, such as labels:3,8")
    return int(parts[0]), int(parts[1])
