"""Provenance: the root attributes of a request's file, and the request of a file.

`attributes_of` and `request_from` are inverse to each other, except for the destination, which does not affect the
result, and for a problem of live objects, which has no name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from surfaceviz.directions.axes import parse_axis
from surfaceviz.directions.specs import Coordinates, Directions, FromFile, FromLoss, Random, Toward
from surfaceviz.directions.training.training_plane import FromTraining, TrainingRun
from surfaceviz.errors import ProblemError
from surfaceviz.pipeline.slice.planning.coverage import Coverage, Shard
from surfaceviz.pipeline.slice.request import Request

Attributes = dict[str, str | int | float]
_NONE = "none"
ALPHA_TOWARD = "alpha_toward"  # of a plane through three models; files without it have alpha toward the second
_FIRST = "first"


def attributes_of(request: Request) -> Attributes:
    """Return the root attributes from which a request can be restored.

    Names of files are in ``made_from``, as JSON; `Plan.identity` adds fingerprints of their contents.
    """
    coverage, samples = request.coverage, request.samples
    return {
        "made_from": json.dumps(_names_of(request)),
        "axes": " ".join(map(str, request.axes)) if request.axes else _NONE,
        "shard": _or_none(coverage.shard),
        "tolerance": _NONE if coverage.tolerance is None else coverage.tolerance,
        "level": _NONE if coverage.level is None else coverage.level,
        "splits": ",".join(request.splits),
        "samples": "all" if samples is None else samples,
        **({"subset": request.subset or "all"} if samples == "auto" else {}),
        "draws": request.draws,
        "noise_seed": request.noise_seed,
        **_attributes_of_directions(request.directions),
        "bn": request.bn,
        "dtype": request.dtype or _NONE,
        "device": request.device,
        "engine": request.engine or _NONE,
        "batch_size": request.batch_size or 0,
        "group": request.group or 0,
    }


def request_from(attributes: Mapping[str, Any]) -> Request:
    """Return the request of a file's attributes, written by this version or an earlier one.

    Raises:
        ProblemError: the file does not name its problem.
    """
    names = json.loads(str(attributes.get("made_from", "{}")))
    if names.get("problem") is None:
        raise ProblemError("the file does not name its problem")
    axes, shard = str(attributes["axes"]), str(attributes.get("shard", _NONE))
    tolerance, level = (attributes.get(name, _NONE) for name in ("tolerance", "level"))
    return Request(
        problem=names["problem"],
        axes=None if axes == _NONE else tuple(map(parse_axis, axes.split())),
        weights=names.get("weights"),
        data=names.get("data"),
        directions=_directions_from(attributes, names),
        coverage=Coverage(
            tolerance=None if tolerance == _NONE else float(tolerance),
            shard=None if shard == _NONE else Shard.parse(shard),
            level=None if level == _NONE else float(level),
        ),
        splits=tuple(filter(None, str(attributes["splits"]).split(","))),
        samples=_samples_from(attributes["samples"]),
        subset=_number(attributes.get("subset")),
        draws=int(attributes.get("draws", 1)),
        noise_seed=int(attributes.get("noise_seed", 0)),
        bn=str(attributes["bn"]),
        dtype=_word(attributes["dtype"]),
        device=str(attributes["device"]),
        engine=_word(attributes.get("engine", _NONE)),
        batch_size=_number(attributes.get("batch_size")),
        group=_number(attributes.get("group")),
    )


def with_problem(attributes: Mapping[str, Any], problem: str) -> dict[str, Any]:
    """Return the attributes with another problem, for a file that does not name its own."""
    names = json.loads(str(attributes.get("made_from", "{}")))
    return {**attributes, "made_from": json.dumps({**names, "problem": problem})}


def _names_of(request: Request) -> dict[str, Any]:
    """Return the names of problem, weights, data and other files."""
    directions = request.directions
    return {
        "problem": request.problem if isinstance(request.problem, str) else None,
        "weights": request.weights,
        "data": request.data,
        "toward": directions.models if isinstance(directions, Toward) else [],
        "directions": directions.path if isinstance(directions, FromFile) else None,
        **({"training": [asdict(run) for run in directions.runs]} if isinstance(directions, FromTraining) else {}),
        **({"regenerate": True} if isinstance(directions, Random) and directions.regenerate else {}),
    }


def _attributes_of_directions(directions: Directions) -> Attributes:
    """Return the attributes that identify directions, except for the contents of files."""
    common: Attributes = {
        "orthogonal": 0, "only": "[]", "freeze": "[]", "toward": _NONE, "along": _NONE, "repeat": directions.repeat
    }  # fmt: skip
    match directions:
        case Random():
            own = _random_attributes(directions)
        case FromLoss(kind=kind, radius=radius):
            random = Random(seed=directions.seed, only=directions.only, freeze=directions.freeze)
            own = {
                **_random_attributes(random),
                "along": f"{kind} {_shortest(radius)}" if kind == "ascent" else str(directions),
            }
        case Coordinates(entries=entries):
            own = {"seed": _NONE, "normalise": _NONE, "ignore": _NONE, "along": json.dumps(entries)}
        case FromTraining():
            own = {
                "seed": _NONE,
                "normalise": _NONE,
                "ignore": directions.ignore,
                "only": json.dumps(directions.only),
                "freeze": json.dumps(directions.freeze),
                "plane": directions.plane,
                "centred": int(directions.centred),
                "iterates": " ".join(str(len(run.files)) for run in directions.runs),
            }
        case _:
            own = {"seed": _NONE, "normalise": _NONE, "ignore": _NONE}
            if isinstance(directions, Toward) and len(directions.models) > 1:
                own[ALPHA_TOWARD] = _FIRST
    return common | own


def _random_attributes(random: Random) -> Attributes:
    return {
        "seed": random.seed,
        "normalise": random.normalise,
        "ignore": random.ignore,
        "orthogonal": int(random.orthogonal),
        "only": json.dumps(random.only),
        "freeze": json.dumps(random.freeze),
    }


def _directions_from(attributes: Mapping[str, Any], names: Mapping[str, Any]) -> Directions:
    if names.get("toward"):
        models = tuple(names["toward"])
        return Toward(models=models if attributes.get(ALPHA_TOWARD) == _FIRST else models[::-1])
    if names.get("directions"):
        return FromFile(path=names["directions"])
    if str(attributes.get("along", _NONE)).startswith("["):
        return Coordinates(entries=tuple(json.loads(str(attributes["along"]))))
    if names.get("training"):
        return _from_training(attributes, names)
    random = Random(
        seed=int(attributes["seed"]),
        normalise=str(attributes["normalise"]),
        ignore=str(attributes["ignore"]),
        orthogonal=bool(attributes["orthogonal"]),
        regenerate=bool(names.get("regenerate", False)),
        only=tuple(json.loads(str(attributes["only"]))),
        freeze=tuple(json.loads(str(attributes["freeze"]))),
        repeat=int(attributes.get("repeat", 1)),
    )
    return _from_loss(str(attributes.get("along", _NONE)), random)


def _from_training(attributes: Mapping[str, Any], names: Mapping[str, Any]) -> FromTraining:
    runs = [
        TrainingRun(name=run["name"], files=tuple(run["files"]), steps=tuple(run["steps"])) for run in names["training"]
    ]
    return FromTraining(
        runs=tuple(runs),
        plane=str(attributes["plane"]),
        centred=bool(attributes["centred"]),
        ignore=str(attributes["ignore"]),
        only=tuple(json.loads(str(attributes["only"]))),
        freeze=tuple(json.loads(str(attributes["freeze"]))),
    )


def _from_loss(along: str, random: Random) -> Directions:
    """Return the directions that ``KIND[:ARGUMENT][ RADIUS]`` describes; the random ones for ``none``."""
    if along == _NONE:
        return random
    name, _, radius = along.partition(" ")
    kind, _, argument = name.partition(":")
    spec = FromLoss(kind=kind, argument=argument, seed=random.seed, only=random.only, freeze=random.freeze)
    return replace(spec, radius=float(radius)) if radius else spec


def _samples_from(given: Any) -> int | str | None:
    return None if given == "all" else "auto" if given == "auto" else int(given)


def _shortest(number: float) -> str:
    """Return a number with six digits if these are exact, as in files of earlier versions, else with all digits."""
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


def _or_none(value: object) -> str:
    return _NONE if value is None else str(value)


def _word(given: Any) -> str | None:
    return None if given == _NONE else str(given)


def _number(given: Any) -> int | None:
    """Return a number; None for 0."""
    return int(given) or None if isinstance(given, int | np.integer) else None
