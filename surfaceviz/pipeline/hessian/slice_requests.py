"""The request of a stored slice, whose file may come from anybody."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from surfaceviz.errors import ProblemError
from surfaceviz.pipeline.confirm import MODULE_FOLDER, confirm_names, names_in
from surfaceviz.pipeline.file_locations import with_found_files
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.provenance import request_from, with_problem
from surfaceviz.pipeline.resolve import add_to_path
from surfaceviz.pipeline.slice.planning.coverage import Coverage
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice


def slice_request(request: HessianRequest, surface: Slice, say: Callable[[str], None]) -> Request:
    """Return the request of a stored slice, in a dtype for second derivatives.

    Raises:
        ProblemError: the file does not name its problem and the request names none, or nobody confirmed the names.
    """
    assert request.file is not None
    stored = surface.provenance
    if "imported_from" in stored:
        raise ProblemError(
            f"{request.file} was imported from {stored['imported_from']}, which names neither the network nor the "
            "directions; compute the slice again by slice --directions"
        )
    if request.problem is None and names_in(str(stored.get("made_from", "{}"))).get("problem") is None:
        raise ProblemError(
            f"{request.file} was computed from live objects, by surfaceviz.slice, and does not name its problem; name "
            "it by --problem FILE.py:FACTORY (problem= in Python)"
        )
    given = {name for name in ("problem", "data") if getattr(request, name) is not None}
    found = with_found_files(stored, request.file, problem=request.problem is None)
    confirm_names(request.file, stored, found=found, given=given, trust=request.trust, say=say)
    if request.problem is not None:
        found = with_problem(found, "" if isinstance(request.problem, Problem) else request.problem)
    elif folder := names_in(str(found["made_from"])).get(MODULE_FOLDER):
        add_to_path(Path(folder))
    stored_request = _stored_request(request.file, found, surface)
    return replace(
        stored_request,
        problem=request.problem if isinstance(request.problem, Problem) else stored_request.problem,
        data=request.data or stored_request.data,
        coverage=Coverage(),
        samples=stored_request.limit,
        subset=None,
        # the request's dtype would give another fingerprint
        dtype="float64" if stored_request.dtype == "float64" else "float32",
        device=request.device,
        engine=None,  # the batch size is kept, on which random numbers depend
        group=None,
    )


def _stored_request(path: Path, stored: Mapping[str, Any], surface: Slice) -> Request:
    """Return the request in a file's attributes, which may be anything.

    Raises:
        ProblemError: they are not those of a run that gives a slice of this shape, or these rays.
    """
    try:
        found = request_from(stored)
    except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
        raise ProblemError(
            f"{path}: its attributes are not those that a run writes ({type(error).__name__}: {error}); compute the "
            "slice again"
        ) from error
    if found.axes is not None and [axis.count for axis in found.axes] != [len(axis) for axis in surface.axes]:
        raise ProblemError(
            f"{path}: its attribute axes is of other numbers of points than its arrays; compute it again"
        )
    if (found.directions.repeat > 1 or surface.seeds) and found.directions.repeat != len(surface.seeds):
        raise ProblemError(
            f"{path}: its attribute repeat is of another number of rays than its arrays; compute it again"
        )
    return found
