"""The files that the requests of slices, curvature and sharpness read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from surfaceviz import store
from surfaceviz.directions.specs import FromFile, Toward
from surfaceviz.errors import SchemaError
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.outputs import Inputs
from surfaceviz.pipeline.slice.request import Request


def inputs_of_slice(request: Request) -> Inputs:
    """Return the files that a slice is computed from."""
    directions = request.directions
    return _inputs(
        {
            "problem": request.problem,
            "weights": request.weights,
            "data": request.data,
            "toward": directions.models if isinstance(directions, Toward) else (),
            "directions": directions.path if isinstance(directions, FromFile) else None,
        }
    )


def inputs_of_hessian(request: HessianRequest) -> Inputs:
    """Return the files that curvature is computed from; those that a slice's file names are among them."""
    own = _inputs({"problem": request.problem, "weights": request.weights, "data": request.data})
    if request.file is None:
        return joined_inputs([own, _inputs({"problem": request.target})])
    try:
        named = json.loads(str(store.read(request.file).provenance.get("made_from", "{}")))
    except (SchemaError, ValueError):
        named = {}
    return joined_inputs([own, Inputs(files=(request.file,)), _inputs(named if isinstance(named, dict) else {})])


def joined_inputs(each: Iterable[Inputs]) -> Inputs:
    """Return the files of several commands in one."""
    found = list(each)
    return Inputs(
        files=tuple(file for inputs in found for file in inputs.files),
        folders=tuple(folder for inputs in found for folder in inputs.folders),
    )


def _inputs(named: Mapping[str, Any]) -> Inputs:
    """Return the inputs that have these names; a live problem has none."""
    files: list[str | Path] = []
    for key in ("problem", "weights", "toward", "directions"):
        value = named.get(key)
        files += [value] if isinstance(value, str | Path) else []
        files += [each for each in value if isinstance(each, str | Path)] if isinstance(value, tuple | list) else []
    data = named.get("data")
    return Inputs(files=tuple(files), folders=(data,) if isinstance(data, str | Path) else ())
