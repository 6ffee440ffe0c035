"""Maps of the extreme eigenvalues over a slice: a row is a chunk, the points are shared out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from surfaceviz.curvature import (
    Operator,
    SampleShare,
    SpectrumPoint,
    SpectrumSpec,
    eigenpairs,
    loss_gradient_at,
    spectrum_matvec,
    start_vectors,
)
from surfaceviz.errors import NotFiniteError
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.spectra import Memory, make_sums
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.records import FloatArray, HessianMap

_FRESH = 0.3  # beside unit vectors, of a start from a neighbour; ours, tuned on mlp-digits
_NAMES = ("lambda_max", "lambda_min", "residual_max", "residual_min", "gradient_norm", "products")


@dataclass(frozen=True, slots=True)
class Row:
    """The points of a map along its last axis, by number."""

    index: int
    numbers: tuple[int, ...]


class Rows:
    """Measures rows of a map: cold at the head, each next point starting from its neighbour's eigenvectors.

    Args:
        ground: whose spots are the map's points.
        inquiry: what is asked.
        memory: of this process.
    """

    def __init__(self, targets: HessianTargets, request: HessianRequest, memory: Memory) -> None:
        self._ground, self._inquiry = targets, request
        self._wanted = map_wanted(request, targets.layout.dimension, memory.vectors)
        sums = make_sums(targets, request, memory, SampleShare())
        self._operator = Operator(lambda message: [sums(message)], targets.layout, targets.dtype)

    def __call__(self, row: Row) -> dict[str, FloatArray]:
        """Return the figures of a row, arrays (q,), NaN where the loss is not finite."""
        figures = {name: np.full(len(row.numbers), math.nan) for name in _NAMES}
        vectors: Tensor | None = None
        for j, number in enumerate(row.numbers):
            found, vectors = self._point(number, None if self._inquiry.cold else vectors)
            for name, value in found.items():
                figures[name][j] = value
        return figures

    def _point(self, number: int, vectors: Tensor | None) -> tuple[Mapping[str, float], Tensor | None]:
        operator, site = self._operator, self._ground.site(number)
        before = operator.products
        try:
            return self._measured(site, vectors)
        except NotFiniteError:  # it has diverged there, or has no second derivatives, which a map shows
            return {"products": operator.products - before}, None

    def _measured(self, site: SpectrumPoint, vectors: Tensor | None) -> tuple[Mapping[str, float], Tensor | None]:
        operator, wanted = self._operator, self._wanted
        begun = loss_gradient_at(operator, site)
        start = start_vectors(wanted, operator.layout.dimension, operator.dtype)
        if vectors is not None:
            # One vector along both of the neighbour's takes fewer products than a block of them; what is random in it
            # sees what they are blind to.
            fresh = start[0] / torch.linalg.vector_norm(start[0])
            start[0] = vectors.sum(0) + _FRESH * fresh
        found = eigenpairs(spectrum_matvec(operator, site, wanted), operator, wanted, start)
        figures = {
            "lambda_max": float(found.eigenvalues[-1]), "lambda_min": float(found.eigenvalues[0]),
            "residual_max": float(found.residuals[-1]), "residual_min": float(found.residuals[0]),
            "gradient_norm": float(torch.linalg.vector_norm(begun.gradient)), "products": found.products,
        }  # fmt: skip
        return figures, found.vectors


def map_wanted(request: HessianRequest, dimension: int, vectors: int) -> SpectrumSpec:
    """Return what is found out at each point of a map: the extreme eigenvalues."""
    return replace(request.spectrum, top=1, bottom=min(1, dimension - 1), rtol=request.map_rtol, memory=vectors)


def blank_map(axes: Sequence[FloatArray], request: HessianRequest, targets: HessianTargets) -> HessianMap:
    """Return a map with nothing in it."""
    shape = tuple(len(axis) for axis in axes)
    arrays = {name: np.full(shape, np.nan) for name in _NAMES if name != "products"}
    return HessianMap(
        axes=tuple(axes), **arrays, products=np.zeros(shape, np.int64), origin=np.zeros(shape, np.uint8),
        provenance=map_provenance(request, targets),
    )  # fmt: skip


def map_provenance(request: HessianRequest, targets: HessianTargets) -> dict[str, str | int | float]:
    """Return what two maps must share to be one."""
    wanted = request.spectrum
    return {
        "split": targets.split.name, "samples": targets.split.count, "operator": wanted.operator,
        "parameters": wanted.parameters, "normalised": int(wanted.normalised), "rtol": request.map_rtol,
        "seed": wanted.seed,
        "block": wanted.block, "start": "random" if request.cold else "neighbour",
        "dtype": str(targets.dtype).removeprefix("torch."),
    }  # fmt: skip


def batch_of(found: HessianMap, targets: HessianTargets, request: HessianRequest, memory: Memory, first: int) -> int:
    """Return the samples in a batch of a map: as asked, as its file has it, or measured, once for all processes."""
    known = found.provenance.get("batch")
    if request.batch_size or known:
        return request.batch_size or int(known or 0)
    sums = make_sums(targets, request, memory, SampleShare())
    sums.set_point(first)
    return sums.batch_size


def rows_of(found: HessianMap, first: int) -> list[Row]:
    """Return the rows of a map that are missing; its points are numbered from ``first``."""
    shape = found.origin.shape if found.origin.ndim > 1 else (1, *found.origin.shape)
    origin, width = found.origin.reshape(shape), shape[1]
    return [
        Row(i, tuple(range(first + i * width, first + (i + 1) * width))) for i in range(shape[0]) if not origin[i].all()
    ]


def enter_row(found: HessianMap, row: Row, figures: Mapping[str, FloatArray]) -> None:
    """Put a row's figures into a map, in place; its origin last."""
    width = len(row.numbers)
    where = slice(row.index * width, (row.index + 1) * width)
    for name, values in figures.items():
        getattr(found, name).reshape(-1)[where] = values
    found.origin.reshape(-1)[where] = 1
