"""The ways that a slice takes: along what the loss names, toward other models, or along what a file gives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from surfaceviz import evaluate, store
from surfaceviz.directions import random
from surfaceviz.directions.axes import AutoAxis, Axis, fitted
from surfaceviz.pipeline.slice.along import Around, directions_along
from surfaceviz.pipeline.slice.given import directions_of_file
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.problem.parameters import fingerprint

Say = Callable[[str], None]

LINE = (Axis(-0.5, 1.5, 41),)  # between two models; the range of Goodfellow et al. with room on both sides
_MARGIN = 0.25  # around three models, as a share of their extent


def along(request: Request, around: Around, count: int, kept: Path | None) -> list[random.Direction]:
    """Return the directions that the loss names, those of a file where it keeps them."""
    assert request.along is not None
    return _kept(kept, count) or directions_along(
        request.along, around, request.random, count=count, radius=request.radius
    )


def given(
    request: Request, model: nn.Module, theta: Mapping[str, Tensor], say: Say, kept: Path | None
) -> list[random.Direction]:
    """Return the directions of the file that the request names, or those of its own file where that keeps them."""
    assert request.directions is not None
    count = None if request.axes is None else len(request.axes)
    return _kept(kept, count or 0) or directions_of_file(Path(request.directions), model, theta, count=count, say=say)


def _kept(path: Path | None, count: int) -> list[random.Direction]:
    """Return the directions that a file keeps; none where these are not so many."""
    tensors = [] if path is None else store.read_directions(path)
    if path is None or len(tensors) != count or not all(tensors):
        return []
    made = [{name: torch.from_numpy(array) for name, array in arrays.items()} for arrays in tensors]
    return [
        random.Direction(replace(record, sha256=fingerprint(each)), each)
        for record, each in zip(store.read(path).directions, made, strict=True)
    ]


def toward(
    request: Request, theta: dict[str, Tensor], others: list[dict[str, Tensor]], parameters: list[str]
) -> tuple[list[random.Direction], list[tuple[str, tuple[float, ...]]], tuple[Axis | AutoAxis, ...]]:
    """Return the directions to other models, what they are marked by, and the axes."""
    names = [Path(given).name for given in request.toward]
    if len(others) == 1:
        return [random.line(theta, others[0], names[0])], [(names[0], (1.0,))], request.axes or LINE
    made, places = random.plane(theta, others[0], others[1], parameters, (names[0], names[1]))
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
