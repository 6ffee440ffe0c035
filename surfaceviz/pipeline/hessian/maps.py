"""Maps of the extreme eigenvalues over a slice. Each row of a map is one chunk of work."""

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
from surfaceviz.pipeline.hessian.spectra import MemoryBudget, build_hvp
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.records import FloatArray, HessianMap

_RANDOM_WEIGHT = 0.3  # weight of the random part of a start vector next to unit eigenvectors; ours, tuned on mlp-digits
_NAMES = ("lambda_max", "lambda_min", "residual_max", "residual_min", "gradient_norm", "products")


@dataclass(frozen=True, slots=True)
class MapRow:
    """One row of a map: the numbers of its points along the last axis."""

    index: int
    numbers: tuple[int, ...]


class RowEvaluator:
    """Evaluates rows of a map. The first point starts from random vectors, the others from a neighbour's eigenvectors.

    Args:
        targets: the points; the map's points are among them.
        request: the options.
        memory: bytes that this process may use.
    """

    def __init__(self, targets: HessianTargets, request: HessianRequest, memory: MemoryBudget) -> None:
        self._targets, self._request = targets, request
        self._spec = map_spectrum_spec(request, targets.layout.dimension, memory.vectors)
        sums = build_hvp(targets, request, memory, SampleShare())
        self._operator = Operator(lambda message: [sums(message)], targets.layout, targets.dtype)

    def __call__(self, row: MapRow) -> dict[str, FloatArray]:
        """Return the values of a row, arrays (q,); NaN where the loss is not finite."""
        values = {name: np.full(len(row.numbers), math.nan) for name in _NAMES}
        vectors: Tensor | None = None
        for j, number in enumerate(row.numbers):
            point_values, vectors = self._point(number, None if self._request.cold else vectors)
            for name, value in point_values.items():
                values[name][j] = value
        return values

    def _point(self, number: int, vectors: Tensor | None) -> tuple[Mapping[str, float], Tensor | None]:
        operator, site = self._operator, self._targets.site(number)
        before = operator.products
        try:
            return self._eigenvalues(site, vectors)
        except NotFiniteError:  # the loss diverges here or has no second derivatives: the map shows NaN
            return {"products": operator.products - before}, None

    def _eigenvalues(self, site: SpectrumPoint, vectors: Tensor | None) -> tuple[Mapping[str, float], Tensor | None]:
        operator, wanted = self._operator, self._spec
        point = loss_gradient_at(operator, site)
        start = start_vectors(wanted, operator.layout.dimension, operator.dtype)
        if vectors is not None:
            # One vector along both of the neighbour's eigenvectors takes fewer products than a block of two. The random
            # part finds eigenvectors that are orthogonal to both.
            random = start[0] / torch.linalg.vector_norm(start[0])
            start[0] = vectors.sum(0) + _RANDOM_WEIGHT * random
        found = eigenpairs(spectrum_matvec(operator, site, wanted), operator, wanted, start)
        values = {
            "lambda_max": float(found.eigenvalues[-1]), "lambda_min": float(found.eigenvalues[0]),
            "residual_max": float(found.residuals[-1]), "residual_min": float(found.residuals[0]),
            "gradient_norm": float(torch.linalg.vector_norm(point.gradient)), "products": found.products,
        }  # fmt: skip
        return values, found.vectors


def map_spectrum_spec(request: HessianRequest, dimension: int, vectors: int) -> SpectrumSpec:
    """Return the specification of each point of a map: its two extreme eigenvalues."""
    return replace(request.spectrum, top=1, bottom=min(1, dimension - 1), rtol=request.map_rtol, memory=vectors)


def empty_map(axes: Sequence[FloatArray], request: HessianRequest, targets: HessianTargets) -> HessianMap:
    """Return a map without any evaluated point."""
    shape = tuple(len(axis) for axis in axes)
    arrays = {name: np.full(shape, np.nan) for name in _NAMES if name != "products"}
    return HessianMap(
        axes=tuple(axes), **arrays, products=np.zeros(shape, np.int64), origin=np.zeros(shape, np.uint8),
        provenance=map_provenance(request, targets),
    )  # fmt: skip


def map_provenance(request: HessianRequest, targets: HessianTargets) -> dict[str, str | int | float]:
    """Return the attributes that a stored map must share with the request to be resumed."""
    wanted = request.spectrum
    return {
        "split": targets.split.name, "samples": targets.split.count, "operator": wanted.operator,
        "parameters": wanted.parameters, "normalised": int(wanted.normalised), "rtol": request.map_rtol,
        "seed": wanted.seed,
        "block": wanted.block, "start": "random" if request.cold else "neighbour",
        "dtype": str(targets.dtype).removeprefix("torch."),
    }  # fmt: skip


def map_batch_size(
    found: HessianMap, targets: HessianTargets, request: HessianRequest, memory: MemoryBudget, *, first: int
) -> int:
    """Return the batch size of a map in all processes: the request's, else the stored one, else a measured one."""
    known = found.provenance.get("batch")
    if request.batch_size or known:
        return request.batch_size or int(known or 0)
    sums = build_hvp(targets, request, memory, SampleShare())
    sums.set_point(first)
    return sums.batch_size


def missing_rows(found: HessianMap, first: int) -> list[MapRow]:
    """Return the rows of a map that are not complete; its points are numbered from ``first``."""
    shape = found.origin.shape if found.origin.ndim > 1 else (1, *found.origin.shape)
    origin, width = found.origin.reshape(shape), shape[1]
    return [
        MapRow(i, tuple(range(first + i * width, first + (i + 1) * width)))
        for i in range(shape[0])
        if not origin[i].all()
    ]


def store_row(found: HessianMap, row: MapRow, values: Mapping[str, FloatArray]) -> None:
    """Store the values of a row in a map, in place; the origin last, as it marks the row as complete."""
    width = len(row.numbers)
    where = slice(row.index * width, (row.index + 1) * width)
    for name, array in values.items():
        getattr(found, name).reshape(-1)[where] = array
    found.origin.reshape(-1)[where] = 1
