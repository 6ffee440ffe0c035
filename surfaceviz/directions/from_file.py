"""Directions from a file: of the reference code, with numbered tensors, or of a slice, with named tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from surfaceviz import reference_format, store
from surfaceviz.directions.random import Direction
from surfaceviz.errors import DirectionError
from surfaceviz.problem.parameters import aliases, canonical_name, fingerprint, named_tensors, unwrap
from surfaceviz.records import DirectionRecord, TensorEntry

Say = Callable[[str], None]
Shape = tuple[int, ...]
_SHOWN = 4  # names in a message
_AXES = ("xdirection", "ydirection")


@dataclass(frozen=True, slots=True)
class TensorOrders:
    """The two orders in which a direction file may number a model's tensors."""

    parameters: tuple[TensorEntry, ...]
    state: tuple[TensorEntry, ...]  # tied tensors once for each module

    @classmethod
    def of(cls, model: nn.Module) -> TensorOrders:
        """Return the orders of ``parameters()`` and of ``state_dict()``, by canonical names."""
        model = unwrap(model)
        known, own = aliases(model), named_tensors(model)
        by_identity = {id(named.tensor): name for name, named in own.items()}
        state = [known.get(canonical_name(name)) for name in model.state_dict(keep_vars=True)]

        def entries(names: Sequence[str | None]) -> tuple[TensorEntry, ...]:
            return tuple(
                TensorEntry(n, tuple(own[n].real.shape), not own[n].is_parameter) for n in names if n is not None
            )

        return cls(entries([by_identity[id(p)] for p in model.parameters()]), entries(state))

    @property
    def layout(self) -> tuple[TensorEntry, ...]:
        """The layout for records: the order of the state dict; empty if ``parameters()`` has another order."""
        shared = dict.fromkeys(entry for entry in self.state if not entry.is_buffer)
        return self.state if tuple(shared) == self.parameters else ()


def tensor_layout(model: nn.Module) -> tuple[TensorEntry, ...]:
    """Return the layout of a model's tensors for a direction's record, in the order of its state dict."""
    return TensorOrders.of(model).layout


def directions_of_file(
    path: Path, model: nn.Module, theta: Mapping[str, Tensor], *, count: int | None, say: Say
) -> list[Direction]:
    """Return the directions in a file as they are, neither normalised nor ignored, in the dtype of ``theta``.

    From a file of the reference code, buffers are not moved: batch norms' running statistics have no meaning along a
    random direction. From a slice's file, all stored tensors are moved.

    Args:
        path: a direction file of the reference code, or a slice's file that keeps its tensors.
        model: the model, whose tensors the file must fit.
        theta: canonical name -> weights and buffers.
        count: number of directions, from the first; None for all.
        say: receives a line about buffers that are not moved.

    Raises:
        SchemaError: the file is missing, broken, unsafe, or of another kind.
        DirectionError: too few directions, or tensors that don't fit the model, are not finite, or are all 0.
    """
    own = store.holds_slice(path)
    found = _read_slice_file(path, theta) if own else _read_reference_file(path, model, count, say)
    if count is not None and len(found) < count:
        raise DirectionError(f"{path} has {len(found)} direction, but {count} axes are given; give one --axis")
    moves = [name for name, named in named_tensors(model).items() if named.is_parameter]
    return [
        _direction(path, name, tensors, theta, moves=moves) for name, tensors in zip(_AXES, found[:count], strict=False)
    ]


def _read_slice_file(path: Path, theta: Mapping[str, Tensor]) -> list[dict[str, NDArray[Any]]]:
    """Return the tensors that a slice's file stores."""
    found = store.read_directions(path)
    if not found or not all(found):
        raise DirectionError(
            f"{path} stores no directions (they were over 64 MB, regenerated, or those of rays, or its run was killed, "
            "and the same command adds them); give another file"
        )
    for arrays in found:
        for name, array in arrays.items():
            if name not in theta or array.shape != theta[name].shape:
                mine = f"shape {tuple(theta[name].shape)} in the model" if name in theta else "not in the model"
                raise DirectionError(
                    f"{path}: {name}, of shape {array.shape}, is {mine}; the file is for another network"
                )
    return found


def _read_reference_file(path: Path, model: nn.Module, count: int | None, say: Say) -> list[dict[str, NDArray[Any]]]:
    """Return the tensors of a direction file by name, without buffers."""
    orders = TensorOrders.of(model)
    places = [
        _match_entries(path, axis, shapes, orders)
        for axis, shapes in zip(_AXES, reference_format.direction_shapes(path)[:count], strict=False)
    ]  # checked before any tensor is read
    found, fixed = [], []
    for entries, arrays in zip(places, reference_format.read_direction_file(path), strict=False):
        tensors: dict[str, NDArray[Any]] = {}
        for i, (entry, array) in enumerate(zip(entries, arrays, strict=True)):
            if entry.is_buffer:
                fixed += [entry.name] if array.any() else []
            elif not np.array_equal(tensors.setdefault(entry.name, array), array, equal_nan=True):
                raise DirectionError(
                    f"{path}: tensor {i} is of {entry.name}, which is tied, and differs from an earlier copy"
                )
        found.append(tensors)
    if names := sorted(set(fixed)):
        more = ", ..." if len(names) > _SHOWN else ""
        say(f"{path.name}: {len(names)} buffers stay fixed ({', '.join(names[:_SHOWN])}{more})")
    return found


def _match_entries(path: Path, axis: str, shapes: Sequence[Shape], orders: TensorOrders) -> tuple[TensorEntry, ...]:
    """Return the entry of each tensor, by the one order in which all shapes fit."""
    both = {"parameters()": orders.parameters, "state_dict()": orders.state}
    fitting = {entries for entries in both.values() if [entry.shape for entry in entries] == list(shapes)}
    if len(fitting) > 1:
        raise DirectionError(f"{path}: {axis} fits the orders of parameters() and of state_dict(), which differ here")
    if fitting:
        return fitting.pop()
    order, entries = max(both.items(), key=lambda each: (len(each[1]) == len(shapes), _count_agreeing(each[1], shapes)))
    i = _count_agreeing(entries, shapes)
    if i == min(len(entries), len(shapes)):
        raise DirectionError(
            f"{path}: {axis} has {len(shapes)} tensors, the model {len(orders.parameters)} parameters and "
            f"{len(orders.state)} entries in its state_dict(); the file is for another network"
        )
    raise DirectionError(
        f"{path}: tensor {i} of {axis} has shape {shapes[i]}, {entries[i].name} {entries[i].shape} in the model, by "
        f"the order of {order}; the file is for another network"
    )


def _count_agreeing(entries: Sequence[TensorEntry], shapes: Sequence[Shape]) -> int:
    """Return the number of leading shapes that agree."""
    pairs = enumerate(zip(entries, shapes, strict=False))
    return next((i for i, (e, shape) in pairs if e.shape != shape), min(len(entries), len(shapes)))


def _direction(
    path: Path, axis: str, arrays: Mapping[str, NDArray[Any]], theta: Mapping[str, Tensor], *, moves: Sequence[str]
) -> Direction:
    tensors = {}
    for name in sorted(arrays):
        if not np.isfinite(arrays[name]).all():
            raise DirectionError(f"{path}: {axis} holds NaN or inf for {name}")
        if arrays[name].any():
            tensors[name] = torch.from_numpy(arrays[name].astype(np.float64)).to(theta[name].dtype)
    if not any(tensor.any() for tensor in tensors.values()):
        raise DirectionError(f"{path}: {axis} is 0 in all tensors that may move; give another file")
    rule = {name: "as in the file" if name in tensors else "stays" for name in dict.fromkeys([*moves, *tensors])}
    return Direction(DirectionRecord(kind="file", sha256=fingerprint(tensors), rule=rule, source=path.name), tensors)
