"""Construction of directions from their specification."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from surfaceviz import store
from surfaceviz.directions.axes import Axes, Axis
from surfaceviz.directions.between import directions_between
from surfaceviz.directions.coordinates import coordinate_directions
from surfaceviz.directions.from_file import directions_of_file, tensor_layout
from surfaceviz.directions.minimum import DirectionSet, Minimum
from surfaceviz.directions.random import Direction, cosine, random_directions, tensor_norm
from surfaceviz.directions.specs import LOSS_DIRECTIONS, Coordinates, Directions, FromFile, FromLoss, Random, Toward
from surfaceviz.directions.training.from_training import directions_from_training
from surfaceviz.directions.training.training_plane import FromTraining
from surfaceviz.errors import DirectionError
from surfaceviz.evaluate.precision import to_master_dtype
from surfaceviz.problem import checkpoints
from surfaceviz.problem.parameters import fingerprint, moving_parameters

_ONE_LINE = 0.99  # of the cosine between two directions; ours
PLANE: Axes = (Axis(-1.0, 1.0, 25), Axis(-1.0, 1.0, 25))
Say = Callable[[str], None]


def build_directions(
    spec: Directions, minimum: Minimum, axes: Axes | None, *, kept: Path | None, say: Say
) -> DirectionSet:
    """Return the directions of a specification.

    Args:
        spec: one of the five kinds.
        minimum: the model at the origin.
        axes: the requested axes; None for the default ones.
        kept: a file of the same slice, from which directions are read if recomputing them is slow.
        say: receives lines of information.

    Raises:
        DirectionError: nothing moves, both directions lie on one line, a file does not fit, eigenvectors did not
            converge, ...
        CheckpointError: a model cannot be read.
    """
    match spec:
        case Random():
            made = _random(spec, minimum, axes or (PLANE if spec.repeat == 1 else PLANE[:1]))
        case FromLoss():
            made = _from_loss(spec, minimum, axes or PLANE, kept, say=say)
        case FromFile():
            made = _from_file(spec, minimum, axes, kept, say=say)
        case Coordinates():
            made = DirectionSet(
                directions=coordinate_directions(spec, minimum), axes=axes or PLANE[: len(spec.entries)],
                moving=list(minimum.filters),
            )  # fmt: skip
        case FromTraining():
            made = _from_training(spec, minimum, axes, kept, say=say)
        case Toward():
            read = (checkpoints.read_weights(model, minimum.problem.model, say) for model in spec.models)
            made = directions_between(spec, minimum, [to_master_dtype(state, "float64") for state in read], axes)
    between = _cosine(spec, made, minimum)
    return replace(made, directions=_completed(made.directions, minimum.problem.model), cosine=between)


def _cosine(spec: Directions, made: DirectionSet, minimum: Minimum) -> float | None:
    """Return the cosine of the angle between two directions within the parameters; None for one direction.

    Raises:
        DirectionError: it is over 0.99 or below -0.99: both are one line, and a surface would show stripes.
    """
    if len(made.directions) == 1:
        return None
    first, second = made.directions
    found = cosine(first.tensors, second.tensors, list(minimum.filters))
    if abs(found) > _ONE_LINE:
        raise DirectionError(
            f"both directions lie on one line (cosine {found:.4f}), so that a surface would show stripes; "
            f"{_advice(spec)}"
        )
    return found


def _advice(spec: Directions) -> str:
    """Return advice for two directions that lie on one line."""
    entries = "take entries of parameters (--along 'NAME[0]' --along 'NAME[1]'), or one axis"
    match spec:
        case Random(ignore="none", normalise=normalise) if normalise != "none":
            return (
                "with --ignore none, biases, gains and bare parameters move along themselves on both axes (d := w). "
                f"Take --ignore biasbn, or noise by --normalise none, {entries}"
            )
        case Random():
            return f"too few entries move for two directions: {entries}"
        case Coordinates():
            return "name two different entries"
        case _:
            return "take another second direction, or one axis"


def _random(spec: Random, minimum: Minimum, axes: Axes) -> DirectionSet:
    moves = moving_parameters(minimum.problem.model, only=spec.only, freeze=spec.freeze)
    directions = random_directions(
        minimum.theta, minimum.filters, moves, spec, count=len(axes), regenerate=spec.regenerate
    )
    return DirectionSet(directions=directions, axes=axes, moving=moves)


def _from_loss(spec: FromLoss, minimum: Minimum, axes: Axes, kept: Path | None, *, say: Say) -> DirectionSet:
    moves = moving_parameters(minimum.problem.model, only=spec.only, freeze=spec.freeze)
    directions = _kept_directions(kept, len(axes))
    if not directions:
        directions = LOSS_DIRECTIONS[spec.kind].load()(spec, minimum, moves, len(axes))
        say(f"derivatives: {directions[0].record.derivatives}")
    if len(directions) < len(axes):
        random = Random(seed=spec.seed)
        directions += random_directions(minimum.theta, minimum.filters, moves, random, count=len(axes))[1:]
    return DirectionSet(directions=directions, axes=axes, moving=moves)


def _from_file(spec: FromFile, minimum: Minimum, axes: Axes | None, kept: Path | None, *, say: Say) -> DirectionSet:
    count = None if axes is None else len(axes)
    directions = _kept_directions(kept, count or 0) or directions_of_file(
        Path(spec.path), minimum.problem.model, minimum.theta, count=count, say=say
    )
    return DirectionSet(directions=directions, axes=axes or PLANE[: len(directions)], moving=list(minimum.filters))


def _from_training(
    spec: FromTraining, minimum: Minimum, axes: Axes | None, kept: Path | None, *, say: Say
) -> DirectionSet:
    directions = [] if axes is None else _kept_directions(kept, len(axes))
    if not directions or any(not axis.has_range for axis in axes or ()):
        return directions_from_training(spec, minimum, axes, say=say)
    return DirectionSet(directions=directions, axes=axes or PLANE, moving=list(directions[0].tensors))


def _kept_directions(path: Path | None, count: int) -> list[Direction]:
    """Return the directions that a slice's file stores; an empty list if it does not store ``count`` of them."""
    tensors = [] if path is None else store.read_directions(path)
    if path is None or len(tensors) != count or not all(tensors):
        return []
    read = [{name: torch.from_numpy(array) for name, array in arrays.items()} for arrays in tensors]
    return [
        Direction(replace(record, sha256=fingerprint(each)), each)
        for record, each in zip(store.read(path).directions, read, strict=True)
    ]


def _completed(directions: list[Direction], model: nn.Module) -> list[Direction]:
    """Return directions whose records have their norm, and the layout of their model's tensors."""
    layout = tensor_layout(model)
    return [Direction(replace(d.record, layout=layout, norm=_norm(d)), d.tensors) for d in directions]


def _norm(direction: Direction) -> float:
    """Return the Euclidean norm of a direction, over parameters and buffers."""
    return math.sqrt(math.fsum(tensor_norm(tensor) ** 2 for tensor in direction.tensors.values()))
