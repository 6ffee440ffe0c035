"""Coordinates of points on a stored slice."""

from __future__ import annotations

from collections.abc import Sequence

from surfaceviz.errors import ProblemError
from surfaceviz.records import Slice


def check_place(surface: Slice, place: Sequence[float]) -> None:
    """Refuse a point that is not on the slice.

    Raises:
        ProblemError: it has other coordinates, lies off the range, or on several rays without being theta.
    """
    if surface.seeds and any(place):
        raise ProblemError(
            f"point {_format_point(place)} is another one on each of {len(surface.seeds)} rays; give --at 0, or take a "
            "slice of the seed of one ray"
        )
    if len(place) != surface.ndim:
        form = "--at A, such as --at 0.5" if surface.ndim == 1 else "--at A,B, such as --at 0.5,0"
        raise ProblemError(
            f"point {_format_point(place)} has {len(place)} coordinates, the slice {surface.ndim}; give {form}"
        )
    for x, axis, name in zip(place, surface.axes, ("alpha", "beta"), strict=False):
        if not float(axis[0]) <= x <= float(axis[-1]):
            raise ProblemError(
                f"point {_format_point(place)} is off the slice: {name} is {x:g}, its range {axis[0]:g} .. {axis[-1]:g}"
            )


def _format_point(place: Sequence[float]) -> str:
    return "(" + ", ".join(f"{x:g}" for x in place) + ")"
