"""The ways that a slice takes: along what the loss names, or toward other models."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from surfaceviz import directions, evaluate, store
from surfaceviz.grid import AutoAxis, Axis, fitted
from surfaceviz.parameters import fingerprint
from surfaceviz.pipeline.along import Around, directions_along
from surfaceviz.pipeline.request import Request

LINE = (Axis(-0.5, 1.5, 41),)  # between two models; the range of Goodfellow et al. with room on both sides
_MARGIN = 0.25  # around three models, as a share of their extent


def along(request: Request, around: Around, count: int, kept: Path | None) -> list[directions.Direction]:
    """Return the directions that the loss names, those of a file where it keeps them."""
    assert request.along is not None
    tensors = [] if kept is None else store.read_directions(kept)
    if kept is not None and len(tensors) == count and all(tensors):
        made = [{name: torch.from_numpy(array) for name, array in arrays.items()} for arrays in tensors]
        return [
            directions.Direction(replace(record, sha256=fingerprint(each)), each)
            for record, each in zip(store.read(kept).directions, made, strict=True)
        ]
    return directions_along(request.along, around, request.random, count=count, radius=request.radius)


def toward(
    request: Request, theta: dict[str, Tensor], others: list[dict[str, Tensor]], parameters: list[str]
) -> tuple[list[directions.Direction], list[tuple[str, tuple[float, ...]]], tuple[Axis | AutoAxis, ...]]:
    """Return the directions to other models, what they are marked by, and the axes."""
    names = [Path(given).name for given in request.toward]
    if len(others) == 1:
        return [directions.line(theta, others[0], names[0])], [(names[0], (1.0,))], request.axes or LINE
    made, places = directions.plane(theta, others[0], others[1], parameters, (names[0], names[1]))
    axes: tuple[Axis | AutoAxis, ...] = request.axes or tuple(fitted(places, [25, 25], margin=_MARGIN))
    return made, list(zip(names, places, strict=True)), axes


def differing(theta: dict[str, Tensor], others: Sequence[dict[str, Tensor]]) -> list[str]:
    """Return the tensors off the line in which models differ, but for batch norms' counters, which do nothing."""
    rigid = [k for k, w in theta.items() if not w.is_floating_point() and not k.endswith("num_batches_tracked")]
    return [name for name in rigid if any(not torch.equal(theta[name], other[name]) for other in others)]


def mastered(state: dict[str, Tensor], dtype: str) -> dict[str, Tensor]:
    """Return tensors on the CPU, floating ones in the master dtype of a dtype."""
    master = evaluate.master_dtype(dtype)
    return {
        name: tensor.to(device="cpu", dtype=master if tensor.is_floating_point() else tensor.dtype)
        for name, tensor in state.items()
    }
