"""The ways to multiply with a Hessian and to find its extreme eigenvalues that `bench_hessian.py` compares; the judge.

Vectors are flat, (P,), in the order of ``model.parameters()``, whatever a library's own order is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from curvlinops import HessianLinearOperator
from hessian_eigenthings import HessianOperator
from hessian_eigenthings.algorithms.lanczos import lanczos
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz.curvature import Operator, SampleShare, spectrum
from surfaceviz.pipeline.hessian.operators import build_hvp, divide_memory
from surfaceviz.pipeline.hessian.points import targets_of
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.pipeline.hessian.targets import HessianTargets

TOP, BOTTOM = 5, 1

# Samples of the batches that are tried, of which the fastest counts; 0: its own choice. hessian-eigenthings takes the
# plain mean over batches, which is that over samples only where all are of one size: 1437 = 3 x 479.
BATCHES = {
    "surfaceviz": (0,),
    "curvlinops": (128, 480, 1437),
    "hessian-eigenthings": (479, 1437),
    "plain": (128, 480, 1437),
}
_ITERATIONS = 100  # of the power method for each eigenvalue. Source: the default of PyHessian's `eigenvalues`
_JUDGED = 479  # samples of the judge's batches

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class EvaluationContext:
    """What all contenders are given: ours the ground, the others model and batches."""

    request: HessianRequest
    targets: HessianTargets

    @classmethod
    def of(cls, name: str) -> EvaluationContext:
        """Return the train split of a catalogue problem in float32."""
        request = HessianRequest.of(name, top=TOP, bottom=BOTTOM, split="train", device="cpu", dtype="float32")
        return cls(request, targets_of(request, lambda _line: None, 0))

    @property
    def model(self) -> nn.Module:
        """The network."""
        return self.targets.problem.model

    @property
    def dimension(self) -> int:
        """The number P of parameters."""
        return self.targets.layout.dimension

    @property
    def order(self) -> Tensor:
        """Where the entries of ``model.parameters()`` lie in surfaceviz's vectors, (P,)."""
        slices = {self.targets.own_names[name]: where for name, where in self.targets.layout.slices().items()}
        places = [slices[name] for name, _ in self.model.named_parameters()]
        return torch.cat([torch.arange(place.start, place.stop) for place in places])

    def batches(self, size: int) -> list[tuple[Tensor, Tensor]]:
        """Return inputs and targets in batches."""
        return [(x, y) for x, y in self.targets.split.batches(size)]


class Count:
    """Counts the calls of a method of one object."""

    def __init__(self, holder: object, name: str) -> None:
        self.calls = 0
        inner = getattr(holder, name)

        def counted(*given: Any) -> Any:
            self.calls += 1
            return inner(*given)

        setattr(holder, name, counted)


class Kept:
    """Products by two backward passes, written down plainly; the graphs of the gradients are built once and kept."""

    def __init__(self, model: nn.Module, batches: Sequence[tuple[Tensor, Tensor]]) -> None:
        self._parameters = list(model.parameters())
        self._sizes = [p.numel() for p in self._parameters]
        samples = sum(len(y) for _, y in batches)
        losses = [functional.cross_entropy(model(x), y, reduction="sum") / samples for x, y in batches]
        self._slopes = [torch.autograd.grad(loss, self._parameters, create_graph=True) for loss in losses]
        self.products = 0

    def __call__(self, vector: Tensor) -> Tensor:
        """Return H v of the mean loss."""
        self.products += 1
        parts = [part.view_as(p) for part, p in zip(vector.split(self._sizes), self._parameters, strict=True)]
        total = torch.zeros_like(vector)
        for slopes in self._slopes:
            images = torch.autograd.grad(slopes, self._parameters, parts, retain_graph=True)
            total += torch.cat([image.reshape(-1) for image in images])
        return total


def surfaceviz_operator(context: EvaluationContext) -> Operator:
    """Return ours as the tool builds it, not opened yet."""
    memory = divide_memory(context.targets, context.request, bases=1, processes=1)
    sums = build_hvp(context.targets, context.request, memory, SampleShare())
    return Operator(lambda message: [sums(message)], context.targets.layout, context.targets.dtype)


def curvlinops_operator(context: EvaluationContext, batch: int) -> Any:
    """Return the operator of curvlinops; without its check for determinism, which takes time and finds nothing."""
    parameters = list(context.model.parameters())
    return HessianLinearOperator(
        context.model, nn.CrossEntropyLoss(), parameters, context.batches(batch), check_deterministic=False
    )


def eigenthings_operator(context: EvaluationContext, batch: int) -> Any:
    """Return the operator of hessian-eigenthings."""
    return HessianOperator(
        context.model, context.batches(batch), lambda model, b: functional.cross_entropy(model(b[0]), b[1])
    )


def product_of(context: EvaluationContext, library: str, batch: int) -> Product:
    """Return the products of a library, everything that is built once being there."""
    if library == "curvlinops":
        operator = curvlinops_operator(context, batch)
        return lambda vector: operator @ vector
    if library == "hessian-eigenthings":
        return eigenthings_operator(context, batch).matvec  # type: ignore[no-any-return]
    if library == "plain":
        return Kept(context.model, context.batches(batch))
    ours, order = surfaceviz_operator(context), context.order
    ours.set_point(0)
    back = torch.argsort(order)
    return lambda vector: ours(vector[back][None])[0][order]


@dataclass(frozen=True, slots=True)
class Found:
    """Eigenvalues (k,) ascending, unit vectors as rows (k, P), products taken, and how many stopped at a cap."""

    values: Tensor
    vectors: Tensor
    products: int
    capped: int = 0


def by_surfaceviz(context: EvaluationContext, _batch: int, rtol: float) -> Found:
    """Return what `surfaceviz.hessian` finds, its choice of a batch and its graphs being made anew."""
    wanted = replace(
        context.request.spectrum,
        rtol=rtol,
        memory=divide_memory(context.targets, context.request, bases=1, processes=1).vectors,
    )
    operator = surfaceviz_operator(context)
    _, found = spectrum(operator, context.targets.site(0), wanted)
    return Found(found.eigenvalues, found.vectors[:, context.order], operator.products)


def by_eigsh(
    context: EvaluationContext,
    batch: int,
    tolerance: float,
    *,
    parts: Sequence[tuple[str, int]],
    basis: int | None = None,
) -> Found:
    """Return what scipy's ARPACK finds over curvlinops, by one call for each part of the spectrum."""
    operator = curvlinops_operator(context, batch)
    count = Count(operator, "_matmat")
    values, vectors = _eigsh(operator.to_scipy(), tolerance, parts, basis)
    return Found(values, vectors, count.calls)


def _eigsh(
    operator: Any, tolerance: float, parts: Sequence[tuple[str, int]], basis: int | None
) -> tuple[Tensor, Tensor]:
    """Return the ``BOTTOM`` first and ``TOP`` last of all that was found."""
    start = np.random.default_rng(0).standard_normal(operator.shape[0])
    values, vectors = [], []
    for which, number in parts:
        part, columns = eigsh(operator, k=number, which=which, v0=start, tol=tolerance, ncv=basis)  # type: ignore[call-overload]
        values.append(torch.as_tensor(part))
        vectors.append(torch.as_tensor(columns.T))
    return _ends(torch.cat(values), torch.cat(vectors))


def _ends(values: Tensor, vectors: Tensor) -> tuple[Tensor, Tensor]:
    order = torch.argsort(values)
    kept = torch.cat([order[:BOTTOM], order[-TOP:]])
    return values[kept], vectors[kept]


def by_lanczos(context: EvaluationContext, batch: int, steps: float) -> Found:
    """Return what hessian-eigenthings finds by so many steps; it has no test when to stop.

    One call for all Ritz pairs gives both ends, where one for the top and one for the bottom would take the products
    twice. Orthogonalisation is asked for, which it would leave out beyond 50 steps.
    """
    operator = eigenthings_operator(context, batch)
    count = Count(operator, "matvec")
    found = lanczos(operator, k=int(steps), max_iter=int(steps), which="LA", reorthogonalize=True, seed=0)
    values, vectors = _ends(found.eigenvalues, found.eigenvectors)
    return Found(values, vectors, count.calls)


def by_power(context: EvaluationContext, batch: int, tolerance: float) -> Found:
    """Return what PyHessian's algorithm finds: the largest |lambda| one by one, the bottom one after a shift.

    A run stops when its quotient changes by less than ``tolerance``, or after 100 products. Source: Yao et al., arXiv
    1912.07145, and the code of PyHessian's `eigenvalues`, with the whole split as its ``data``, of which it keeps the
    graph. It has nothing for the bottom one: the shift is what its users do.
    """
    matvec = Kept(context.model, context.batches(batch))
    generator = torch.Generator().manual_seed(0)
    values: list[float] = []
    vectors: list[Tensor] = []
    capped = 0
    for number in range(TOP + BOTTOM):
        shift = values[0] if number >= TOP else 0.0
        start = torch.randn(context.dimension, generator=generator)
        value, vector, ended = _power(matvec, shift, start, vectors[TOP:] if number >= TOP else vectors, tolerance)
        values.append(value)
        vectors.append(vector)
        capped += not ended
    kept, rows = _ends(torch.tensor(values, dtype=torch.float64), torch.stack(vectors))
    return Found(kept, rows, matvec.products, capped)


def _power(
    matvec: Product, shift: float, vector: Tensor, known: Sequence[Tensor], tolerance: float
) -> tuple[float, Tensor, bool]:
    """Return eigenvalue and vector of the largest |lambda - shift| beside those known, and whether it settled."""
    before = 0.0
    for step in range(_ITERATIONS):
        for other in known:
            vector = vector - (vector @ other) * other
        vector = vector / torch.linalg.vector_norm(vector)
        image = matvec(vector) - shift * vector
        now = float(image @ vector)
        vector = image / torch.linalg.vector_norm(image)
        if step and abs(now - before) < tolerance * (abs(before) + 1e-6):
            return now + shift, vector, True
        before = now
    return before + shift, vector, False


@dataclass(frozen=True, slots=True)
class Method:
    """A way to the extreme eigenvalues, with the tolerances (or steps) that are tried until the residual is reached."""

    title: str
    library: str
    efforts: tuple[float, ...]
    solve: Callable[[EvaluationContext, int, float], Found]


_TOLERANCES = (1e-2, 1e-3, 3e-4)  # ARPACK looks at restarts alone, and often has more than it was asked for
_ENDS, _BOTH = (("LA", TOP), ("SA", BOTTOM)), (("BE", 2 * TOP - 1),)  # of an odd number, BE takes one more at the top
METHODS = (
    Method("surfaceviz", "surfaceviz", (1e-3, 7e-4, 5e-4), by_surfaceviz),
    Method("eigsh LA + SA", "curvlinops", _TOLERANCES, partial(by_eigsh, parts=_ENDS)),
    Method("eigsh BE", "curvlinops", _TOLERANCES, partial(by_eigsh, parts=_BOTH)),
    Method("eigenthings lanczos", "hessian-eigenthings", (32, 34, 36, 40, 48, 64, 96), by_lanczos),
    Method("power iteration", "plain", (1e-3,), by_power),  # PyHessian's own tolerance, and at most 100 steps each
)


class Judge:
    """An independent product in float64 over all samples, by which every contender's residuals are computed."""

    def __init__(self, context: EvaluationContext) -> None:
        model = copy.deepcopy(context.model).double().eval()
        self.product = Kept(model, [(x.double(), y) for x, y in context.batches(_JUDGED)])
        self._shape = (context.dimension, context.dimension)

    def residuals(self, found: Found) -> Tensor:
        """Return ||H v - lambda v||, (k,), for the eigenvalues as they were given and v made of unit length."""
        vectors = found.vectors.double()
        vectors = vectors / torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
        images = torch.stack([self.product(vector) for vector in vectors])
        residuals: Tensor = torch.linalg.vector_norm(images - found.values.double()[:, None] * vectors, dim=1)
        return residuals

    def eigenvalues(self) -> Tensor:
        """Return the extreme eigenvalues by scipy to residuals of 1e-4 |lambda|, (k,), so that errors are far less."""
        matvec = lambda vector: self.product(torch.as_tensor(vector).reshape(-1)).numpy()  # noqa: E731
        values, _ = _eigsh(LinearOperator(self._shape, matvec=matvec, dtype=np.float64), 1e-4, _ENDS, 30)
        return values
