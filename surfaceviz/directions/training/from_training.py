"""Directions of the plane of trainings, and the trainings' paths on it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from surfaceviz.directions.axes import Axes, Axis, axes_around
from surfaceviz.directions.minimum import DirectionSet, Minimum
from surfaceviz.directions.random import Direction
from surfaceviz.directions.training.iterates import BLOCK_BYTES, Iterates
from surfaceviz.directions.training.path_plane import PathPlane, PlaneRule, plane_of, random_walk_share
from surfaceviz.directions.training.training_plane import FromTraining
from surfaceviz.errors import DirectionError
from surfaceviz.problem.parameters import fingerprint, moving_parameters
from surfaceviz.records import AXIS_NAMES, DirectionRecord, FloatArray, Trajectory

Say = Callable[[str], None]
_POINTS = (25, 25)  # of the default plane
_MARGIN = 0.2  # around the path, as a share of its extent; ours
_SHOWN = 3  # names in a message


def iterate_at(spec: FromTraining, item: str) -> int:
    """Return the index, among the iterates of all runs, of a file's name or of a step of the first run.

    Raises:
        DirectionError: there is no such iterate.
    """
    files = [file for run in spec.runs for file in run.files]
    for index, file in enumerate(files):
        if item in (file, Path(file).name, Path(file).stem):
            return index
    steps = spec.runs[0].steps
    if item.lstrip("-").isdecimal() and int(item) in steps:
        return steps.index(int(item))
    known = ", ".join(map(str, steps[:_SHOWN])) + (", ..." if len(steps) > _SHOWN else "")
    raise DirectionError(f"plane: got {item!r}; expected the name of a checkpoint, or a step: {known}")


def origin_of(spec: FromTraining) -> int:
    """Return the index of the iterate at the origin: END of ``START,MIDDLE,END``, else the last of the first run."""
    return iterate_at(spec, spec.through[-1]) if spec.through else len(spec.runs[0].files) - 1


def plane_rule(spec: FromTraining, count: int) -> PlaneRule:
    """Return how the runs determine a plane, or for ``count`` = 1 a line."""
    lengths = [len(run.files) for run in spec.runs]
    through = (iterate_at(spec, spec.through[0]), iterate_at(spec, spec.through[1])) if spec.through else None
    starts = np.cumsum([0, *lengths[:-1]])
    skipped = [length // 2 if spec.plane == "last" else 0 for length in lengths]
    rows = [np.arange(s + k, s + n) for s, k, n in zip(starts, skipped, lengths, strict=True)]
    return PlaneRule(count=count, rows=np.concatenate(rows), centred=spec.centred, through=through)


def directions_from_training(spec: FromTraining, minimum: Minimum, axes: Axes | None, *, say: Say) -> DirectionSet:
    """Return the unit directions of the plane of trainings, axes that hold the path, and the path.

    The iterates are read in blocks of parameters, each part of a file once for the Gram matrix and, if there is more
    than one block, once more for the directions.

    Args:
        spec: the trainings and the kind of plane.
        minimum: the iterate at the origin.
        axes: the requested axes; open ranges are fitted to the path.
        say: receives lines of information.

    Raises:
        DirectionError: the iterates span no plane.
        CheckpointError: a file can't be read, or does not fit the model.
    """
    names = moving_parameters(minimum.problem.model, only=spec.only or ("*",), freeze=spec.freeze)
    gains = [name for name in names if minimum.filters[name].is_gain and spec.ignore == "biasbn"]
    names = sorted(set(names) - set(gains))
    files = [file for run in spec.runs for file in run.files]
    theta = {name: minimum.theta[name] for name in names}
    iterates = Iterates(files=files, model=minimum.problem.model, theta=theta, block_bytes=BLOCK_BYTES)
    iterates.check(say)
    count = 2 if axes is None else len(axes)
    rule = plane_rule(spec, count)
    gram, blocks = _gram(iterates)
    plane = plane_of(gram, rule)
    if plane is None:
        raise DirectionError(_no_plane(gram, rule, len(files)))
    rows, distance = _unit_directions(iterates, plane, blocks)
    path = _path(spec, plane, distance, random_walk_share([len(run.files) for run in spec.runs], origin_of(spec), rule))
    return DirectionSet(
        directions=[_direction(iterates, row, _source(spec, k), minimum) for k, row in enumerate(rows)],
        axes=_fitted(axes, plane.coordinates[_shown(spec, rule)]),
        moving=names,
        path=path,
    )


def _gram(iterates: Iterates) -> tuple[FloatArray, list[FloatArray]]:
    """Return the Gram matrix of the rows, and the rows themselves where they are one block."""
    gram = np.zeros((len(iterates.files),) * 2)
    rows = np.zeros((0, 0))
    for _, rows in iterates.blocks():
        gram += rows @ rows.T
    return gram, [rows] if iterates.size <= iterates.width else []


def _unit_directions(
    iterates: Iterates, plane: PathPlane, blocks: Sequence[FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Return the directions, (k, P), and the distance of each iterate from the plane, (t,)."""
    directions = np.empty((plane.weights.shape[1], iterates.size))
    squares = np.zeros(len(iterates.files))
    held = ((slice(0, iterates.size), rows) for rows in blocks)
    for entries, rows in held if blocks else iterates.blocks():
        directions[:, entries] = plane.weights.T @ rows
        # The part off the plane itself, as a difference of squared norms would lose half of the digits.
        squares += ((rows - plane.coordinates @ directions[:, entries]) ** 2).sum(axis=1)
    return directions, np.sqrt(squares)


def _path(spec: FromTraining, plane: PathPlane, distance: FloatArray, walk: float) -> Trajectory:
    several = len(spec.runs) > 1
    shares = {f"explained_variance_{axis}": float(x) for axis, x in zip(AXIS_NAMES, plane.explained, strict=False)}
    return Trajectory(
        coordinates=plane.coordinates,
        step=np.array([step for run in spec.runs for step in run.steps], np.float64),
        distance=distance,
        run=np.repeat(np.arange(len(spec.runs)), [len(run.files) for run in spec.runs]) if several else None,
        provenance={
            "explained_variance": float(plane.explained.sum()), **shares, "random_walk": walk,
            "centred": int(spec.centred), "runs": json.dumps([run.name for run in spec.runs]),
        },
    )  # fmt: skip


def _direction(iterates: Iterates, row: FloatArray, source: str, minimum: Minimum) -> Direction:
    tensors = iterates.split(row)
    rule = {name: "trajectory" if name in tensors else "stays" for name in minimum.filters}
    return Direction(DirectionRecord(kind="trajectory", sha256=fingerprint(tensors), rule=rule, source=source), tensors)


def _source(spec: FromTraining, axis: int) -> str:
    if spec.through:
        files = {name for run in spec.runs for file in run.files for name in (file, Path(file).name, Path(file).stem)}
        item = spec.through[axis]
        return f"toward {item if item in files else f'step {item}'}" + " at a right angle" * axis
    return f"principal direction {axis + 1}" + (" of the last half" if spec.plane == "last" else "")


def _shown(spec: FromTraining, rule: PlaneRule) -> Sequence[int] | slice:
    """Return the iterates that a fitted range holds: those that determine the plane."""
    return rule.rows.tolist() if spec.plane == "last" else slice(None)


def _fitted(axes: Axes | None, places: FloatArray) -> tuple[Axis, ...]:
    counts = _POINTS[: places.shape[1]] if axes is None else [axis.count for axis in axes]
    fitted = axes_around([tuple(place) for place in places.tolist()], counts, margin=_MARGIN)
    given = axes or [None] * len(fitted)
    return tuple(own if isinstance(own, Axis) else around for own, around in zip(given, fitted, strict=True))


def _no_plane(gram: FloatArray, rule: PlaneRule, count: int) -> str:
    if not np.trace(gram) > 0:
        return f"all {count} checkpoints have the same weights; a trajectory needs different ones"
    if rule.count == 1:
        return "the chosen checkpoints have the same weights; choose others"
    return f"the chosen ones of {count} checkpoints lie on one line, and span no plane; give more of them, or one axis"
