"""Directions along single entries of parameters."""

from __future__ import annotations

import torch

from surfaceviz.directions.minimum import Minimum
from surfaceviz.directions.random import Direction
from surfaceviz.directions.specs import Coordinates, parse_entry
from surfaceviz.errors import DirectionError
from surfaceviz.problem.parameters import aliases, canonical_name, fingerprint
from surfaceviz.records import DirectionRecord

_SHOWN = 6  # names in a message


def coordinate_directions(spec: Coordinates, minimum: Minimum) -> list[Direction]:
    """Return a unit vector for each entry, so that a coordinate is the entry's change from its value in the model.

    Raises:
        DirectionError: there is no such parameter or entry, or it never moves.
    """
    return [_direction(entry, minimum) for entry in spec.entries]


def _direction(entry: str, minimum: Minimum) -> Direction:
    given, index = parse_entry(entry)
    name = aliases(minimum.problem.model).get(canonical_name(given), given)
    if name not in minimum.filters:
        known = list(minimum.filters)
        more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        raise DirectionError(f"along {entry}: no parameter {given!r}; the model has {', '.join(known[:_SHOWN])}{more}")
    theta, tensors = minimum.theta[name], torch.zeros_like(minimum.theta[name])
    where = () if theta.ndim == 0 and index == (0,) else index
    if len(where) != theta.ndim or any(not -n <= i < n for i, n in zip(where, theta.shape, strict=True)):
        raise DirectionError(
            f"along {entry}: {name} has the shape {tuple(theta.shape)}; expected {_example(name, theta)}"
        )
    if not theta.is_floating_point():
        raise DirectionError(f"along {entry}: {name} has {str(theta.dtype).removeprefix('torch.')} entries, which stay")
    tensors[where] = 1.0
    if not minimum.filters[name].moving(tensors).any():
        raise DirectionError(
            f"along {entry}: this entry never moves, as it is pruned or a padding row; name another one"
        )
    made = {name: tensors}
    record = DirectionRecord(
        kind="coordinate", sha256=fingerprint(made), rule={name: "coordinate"}, source=f"{name}[{_text(where) or 0}]"
    )
    return Direction(record, made)


def _example(name: str, theta: torch.Tensor) -> str:
    return f"{name}[{_text(tuple(n - 1 for n in theta.shape)) or 0}] or smaller indices"


def _text(index: tuple[int, ...]) -> str:
    return ",".join(map(str, index))
