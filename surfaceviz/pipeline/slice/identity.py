"""Whether a file is this run's own, and what is written into it of where it came from."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch

from surfaceviz import store
from surfaceviz.errors import StoreError
from surfaceviz.pipeline.slice.plan import Plan
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.records import Slice
from surfaceviz.reporting import Reporter

ROUNDING = 1e-4  # of a centre on another kind of CPU; more means that something changed


def refuse_other(plan: Plan, before: Slice) -> None:
    """Raise `StoreError` where a file holds another run, naming what differs and a free name."""
    differing = [
        f"{key} is {_short(before.provenance.get(key))} there, {_short(value)} here"
        for key, value in plan.identity.items()
        if before.provenance.get(key) != value
    ]
    if not differing and not same_directions(plan, before, plan.output):
        differing = ["its directions, made again, came out otherwise"]
    if differing:
        assert plan.output is not None
        raise StoreError(
            f"{plan.output} holds another run ({'; '.join(differing[:4])}) and is kept; give -o "
            f"{_free_name(plan.output)} to write beside it, or --overwrite"
        )


def same_directions(plan: Plan, before: Slice, path: Path | None) -> bool:
    """Return whether the directions are those of the file: by fingerprint, or within rounding of another CPU."""
    if [d.sha256 for d in before.directions] == [d.record.sha256 for d in plan.directions]:
        return True
    assert path is not None
    kept = store.read_directions(path)
    return len(kept) == len(plan.directions) and all(
        arrays.keys() == direction.tensors.keys()
        and all(np.allclose(arrays[name], tensor, rtol=1e-5) for name, tensor in direction.tensors.items())
        for arrays, direction in zip(kept, plan.directions, strict=True)
    )


def _short(value: object) -> str:
    text = str(value)
    return text[:12] if len(text) == 64 else text  # noqa: PLR2004  a sha256


def _free_name(path: Path) -> Path:
    number = 2
    while (free := path.with_stem(f"{path.stem}-{number}")).exists():
        number += 1
    return free


def same_values(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    """Return whether two points have the same bits, NaN being equal to itself."""
    return a.keys() == b.keys() and all(
        value == b[k] or (math.isnan(value) and math.isnan(b[k])) for k, value in a.items()
    )


def compare_centres(plan: Plan, before: Slice, centre: Mapping[str, float], reporter: Reporter) -> str:
    """Return a note for the file where the centre differs by rounding; refuse where it differs by more."""
    for name, value in centre.items():
        old = before.centre.get(name, math.nan)
        if not (math.isclose(value, old, rel_tol=ROUNDING, abs_tol=1e-7) or (math.isnan(value) and math.isnan(old))):
            raise StoreError(
                f"{plan.output}: {name} at the centre is {value:.9g} now, {old:.9g} in the file: the code has changed; "
                "write to another file by -o, or --overwrite"
            )
    same = [d.sha256 for d in before.directions] == [d.record.sha256 for d in plan.directions]
    if same and same_values(centre, before.centre):
        return str(before.provenance.get("rounding", ""))
    reporter.warn(
        "the centre or a direction differs from the file's within rounding (another machine or torch), and so will the "
        "new points"
    )
    return "continued where the centre or a direction differs within rounding"


def made_from(request: Request) -> str:
    """Return the names by which a run's problem, weights and data are found again, as JSON; none of live objects."""
    problem = request.problem if isinstance(request.problem, str) else None
    named = {
        "weights": request.weights,
        "data": request.data,
        "toward": request.toward,
        "directions": request.directions,
    }
    return json.dumps({"problem": problem, **named})


def provenance(plan: Plan, command: str, before: Slice | None, rounding: str) -> dict[str, str | int | float]:
    """Return what a file's root says of the run, the beginning kept from the slice it goes on from."""
    made: dict[str, str | int | float] = {
        "surfaceviz": version("surfaceviz"),
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": command,
        "made_from": made_from(plan.request),
        "worker_points": "{}",
        "seconds": 0.0,
    }
    if before is not None:
        kept = [*made, "engine_asked", "engine_timings", "dtype_reason", "range_level", "samples_reason"]
        made |= {key: before.provenance[key] for key in kept if key in before.provenance}
    if plan.cosine is not None:
        made["cosine"] = plan.cosine
    made.setdefault("engine_asked", plan.request.engine or "auto")
    return made | plan.identity | ({"rounding": rounding} if rounding else {})
