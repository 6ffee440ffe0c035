"""The minimum at the origin of a slice, and its set of directions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz.directions.axes import Axes
from surfaceviz.directions.random import Direction
from surfaceviz.problem.data import DataSplit
from surfaceviz.problem.parameters import Filters
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Trajectory


@dataclass(frozen=True, slots=True, kw_only=True)
class Minimum:
    """A trained model and its data.

    Attributes:
        theta: canonical name -> weights and buffers, on the CPU.
        filters: filters of every parameter.
        split: the samples whose loss determines directions, as loaded.
        dtype: a key of `evaluate.DTYPES`, float32 or wider.
    """

    problem: Problem
    theta: dict[str, Tensor]
    filters: Mapping[str, Filters]
    split: DataSplit
    dtype: str
    device: torch.device


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionSet:
    """The directions of a slice with their axes and the models on it.

    Attributes:
        directions: one for each axis.
        axes: the requested axes, or the default ones of these directions.
        moving: names of the parameters that may move.
        marks: name and coordinates of each model on the slice other than theta.
        models: fingerprints of the models that the slice leads to.
        path: the iterates of trainings on the slice, for directions from trainings.
        differing: integer buffers in which those models differ from theta; they stay fixed.
        cosine: of the angle between two directions within the parameters; None for one direction.
    """

    directions: list[Direction]
    axes: Axes
    moving: Sequence[str]
    marks: Sequence[tuple[str, tuple[float, ...]]] = ()
    models: Sequence[str] = ()
    differing: Sequence[str] = ()
    path: Trajectory | None = None
    cosine: float | None = None
