"""Comparison of a run with the file that it resumes, and the file's provenance."""

from __future__ import annotations

import datetime as dt
import math
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from surfaceviz import store
from surfaceviz.errors import StoreError
from surfaceviz.pipeline.confirm import MARK, is_own, names_mark
from surfaceviz.pipeline.file_locations import FOLDER
from surfaceviz.pipeline.provenance import ALPHA_TOWARD, Attributes, attributes_of
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.records import Slice
from surfaceviz.records.rounding import TENSOR_ATOL, TENSOR_RTOL, same_bits, within_rounding
from surfaceviz.reporting import Reporter
from surfaceviz.start_folder import start_folder
from surfaceviz.version import VERSION

# Attributes that files of earlier versions lack, and what they stand for there.
_BEFORE: Attributes = {"level": "none", "draws": 1, "noise_seed": 0, "repeat": 1, ALPHA_TOWARD: "second"}


def refuse_other_run(plan: Plan, before: Slice) -> None:
    """Raise `StoreError` if a file holds another run; the message names the differences and a free file name."""
    differing = [
        f"{key} is {_short(kept)} there, {_short(value)} here"
        for key, value in plan.identity.items()
        if (kept := before.provenance.get(key, _BEFORE.get(key))) != value and not _adds_rays(plan, before, key)
    ]
    if not differing and not same_directions(plan, before, plan.output):
        differing = ["its directions differ from those of this request"]
    if differing:
        assert plan.output is not None
        raise StoreError(
            f"{plan.output} holds another run ({'; '.join(differing[:4])}) and is kept; give -o "
            f"{shlex.quote(str(_free_name(plan.output)))} to write to a new file, or --overwrite"
        )


def _adds_rays(plan: Plan, before: Slice, key: str) -> bool:
    """Return whether an attribute is the number of rays, and the file holds the first ones of the plan's."""
    return key == "repeat" and bool(before.seeds) and before.seeds == plan.seeds[: len(before.seeds)]


def same_directions(plan: Plan, before: Slice, path: Path | None) -> bool:
    """Return whether a plan has the directions of a file: the same bits, or equal within rounding."""
    if [d.sha256 for d in before.directions] == [d.record.sha256 for d in plan.directions]:
        return True
    assert path is not None
    kept = store.read_directions(path)
    return len(kept) == len(plan.directions) and all(
        within_rounding(arrays, direction.tensors, rtol=TENSOR_RTOL, atol=TENSOR_ATOL)
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


def compare_centres(plan: Plan, before: Slice, centre: Mapping[str, float], reporter: Reporter) -> str:
    """Return a note for the file if the centre differs by rounding; raise `StoreError` if it differs by more."""
    for name, value in centre.items():
        old = before.centre.get(name, math.nan)
        if not within_rounding({name: value}, {name: old}):
            raise StoreError(
                f"{plan.output}: {name} at the centre is {value:.9g} now, {old:.9g} in the file: the code has changed; "
                "write to another file by -o, or --overwrite"
            )
    same = [d.sha256 for d in before.directions] == [d.record.sha256 for d in plan.directions]
    if same and same_bits(centre, before.centre):
        return str(before.provenance.get("rounding", ""))
    reporter.warn(
        "the centre or a direction differs from the file's within rounding (another machine or torch), and the "
        "new points will, too"
    )
    return "continued where the centre or a direction differs within rounding"


def provenance(plan: Plan, command: str, before: Slice | None, rounding: str) -> Attributes:
    """Return the root attributes of a run's file; a resumed slice keeps its first attributes."""
    made_from = str(attributes_of(plan.request)["made_from"])
    made: Attributes = {
        "surfaceviz": VERSION,
        "torch": str(torch.__version__),
        "numpy": np.__version__,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "command": command,
        "made_from": made_from,
        MARK: names_mark(made_from),
        FOLDER: str(start_folder()),
        "worker_points": "{}",
        "seconds": 0.0,
    }
    if before is not None:
        kept = [*made, "engine_asked", "engine_timings", "dtype_reason", "range_level", "samples_reason"]
        if not is_own(before.provenance):  # this run's names are the user's
            kept = [key for key in kept if key not in ("made_from", MARK)]
        made |= {key: before.provenance[key] for key in kept if key in before.provenance}
    if plan.made.cosine is not None:
        made["cosine"] = plan.made.cosine
    made.setdefault("engine_asked", plan.request.engine or "auto")
    return made | plan.identity | ({"rounding": rounding} if rounding else {})
