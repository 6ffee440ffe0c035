"""Maps of the extreme eigenvalues over a slice. Each row of a map is one chunk of work."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from surfaceviz.curvature import (
    ExtremeEigenpairs,
    Operator,
    SampleShare,
    SpectrumSpec,
    eigenpairs,
    loss_gradient_at,
    spectrum_matvec,
    start_vectors,
)
from surfaceviz.errors import NotFiniteError
from surfaceviz.pipeline.hessian.operators import MemoryBudget, build_hvp
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import HessianTargets
from surfaceviz.records import FloatArray, HessianMap

# Ours, tuned on 8 small networks whose whole spectra are known.
_RANDOM_WEIGHT = 1.0  # weight of the random part of a start vector next to unit eigenvectors
# Times the map's rtol: the search's own. The second eigenvalue may reach a residual before the first one appears: of
# 648 points, 17 were wrong at 1, 1 at 0.1, none at 0.03.
_STRICT = 0.01
# Between neighbours, |cosine| of eigenvectors and relative change of eigenvalues that are a jump.
_SAME = 0.05
_JUMP = 0.3
_NAMES = ("lambda_max", "lambda_min", "residual_max", "residual_min", "gradient_norm", "products", "beyond")


@dataclass(frozen=True, slots=True)
class MapRow:
    """One row of a map: the numbers of its points along the last axis."""

    index: int
    numbers: tuple[int, ...]


class RowEvaluator:
    """Evaluates rows of a map. The first point starts from a random vector, the others also from a neighbour's vectors.

    Where an eigenvalue and its eigenvector jump between neighbours, one of them may not be the extreme one; both points
    are then searched again, from both and from a new random vector.

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
        before: _MapPoint | None = None
        jumped = False  # whether the point before differs from the one before that
        for j, number in enumerate(row.numbers):
            here = self._point(number, None if self._request.cold or before is None else before.vectors)
            jump = before is not None and _differ(before, here)
            if before is not None:
                if jumped or jump:
                    before = self._again(row.numbers[j - 1], before, here)
                before.store(values, j - 1)
                if jump:
                    here = self._again(number, here, before)
            before, jumped = here, False
        if before is not None:
            before.store(values, len(row.numbers) - 1)
        return values

    def _point(self, number: int, vectors: Tensor | None) -> _MapPoint:
        """Return the first result at a point."""
        operator = self._operator
        before = operator.products
        try:
            gradient = float(torch.linalg.vector_norm(loss_gradient_at(operator, self._targets.site(number)).gradient))
            found = self._search(number, vectors, stream=0)
        except NotFiniteError:  # the loss diverges here or has no second derivatives: the map shows NaN
            return _MapPoint(values={"products": operator.products - before}, vectors=None)
        return _MapPoint(values={**_values(found), "gradient_norm": gradient}, vectors=_ends(found))

    def _again(self, number: int, here: _MapPoint, neighbour: _MapPoint) -> _MapPoint:
        """Return a point after a second search; each end is the more extreme one of both searches."""
        if here.vectors is None or neighbour.vectors is None:
            return here
        loss_gradient_at(self._operator, self._targets.site(number))
        return here.merged(self._search(number, torch.cat([here.vectors, neighbour.vectors]), stream=1))

    def _search(self, number: int, vectors: Tensor | None, *, stream: int) -> ExtremeEigenpairs:
        """Return the eigenpairs at the operator's point, from a random vector and the sum of some others.

        One vector along all of them takes fewer products than a block. The random part is another one for each point:
        it is independent of the other vectors, so that the bound for random starts holds.
        """
        operator, spec = self._operator, replace(self._spec, rtol=_STRICT * self._spec.rtol)
        matvec = spectrum_matvec(operator, self._targets.site(number), spec)
        own = replace(spec, seed=1_000_003 * spec.seed + 2 * number + stream)
        start = start_vectors(own, operator.layout.dimension, operator.dtype)
        if vectors is None:
            return eigenpairs(matvec, operator, spec, start)
        random = start[0] / torch.linalg.vector_norm(start[0])
        start[0] = vectors.sum(0) + _RANDOM_WEIGHT * random
        part = _RANDOM_WEIGHT / float(torch.linalg.vector_norm(start[0]))
        return eigenpairs(matvec, operator, spec, start, random_part=part)


@dataclass(frozen=True, slots=True, kw_only=True)
class _MapPoint:
    """The values of a map at one point, and the two eigenvectors, (2, P); None where the loss is not finite."""

    values: Mapping[str, float]
    vectors: Tensor | None

    def store(self, values: Mapping[str, FloatArray], j: int) -> None:
        """Write the values into the arrays of a row, in place."""
        for name, value in self.values.items():
            values[name][j] = value

    def merged(self, found: ExtremeEigenpairs) -> _MapPoint:
        """Return the point with the more extreme eigenvalues of this and of another search."""
        new, values, vectors = _values(found), dict(self.values), self.vectors
        values["products"] += new["products"]
        for end, row, better in (
            ("min", 0, new["lambda_min"] < values["lambda_min"]), ("max", -1, new["lambda_max"] > values["lambda_max"])
        ):  # fmt: skip
            if better and vectors is not None:
                values |= {name: new[name] for name in (f"lambda_{end}", f"residual_{end}")}
                vectors = vectors.clone()
                vectors[row] = found.vectors[row]
        return _MapPoint(values=values, vectors=vectors)


def _values(found: ExtremeEigenpairs) -> dict[str, float]:
    return {
        "lambda_max": float(found.eigenvalues[-1]), "lambda_min": float(found.eigenvalues[0]),
        "residual_max": float(found.residuals[-1]), "residual_min": float(found.residuals[0]),
        "products": found.products, "beyond": found.beyond,
    }  # fmt: skip


def _ends(found: ExtremeEigenpairs) -> Tensor:
    """Return the eigenvectors of both ends, (2, P), though a search of a small matrix finds all; (1, P) if P is 1."""
    return found.vectors if len(found.vectors) == 1 else found.vectors[[0, -1]]


def _differ(a: _MapPoint, b: _MapPoint) -> bool:
    """Return whether an eigenvalue and its eigenvector jump between two neighbours."""
    if a.vectors is None or b.vectors is None:
        return False
    turned = (a.vectors * b.vectors).sum(1).abs() < _SAME
    x, y = (torch.tensor([each.values["lambda_min"], each.values["lambda_max"]]) for each in (a, b))
    changed = (x - y).abs() > _JUMP * torch.maximum(x.abs(), y.abs())
    return bool((turned.cpu() & changed)[[0, -1]].any()) if len(turned) > 1 else bool(turned[0] & changed[1])


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
