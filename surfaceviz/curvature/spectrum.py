"""From products to a record: eigenvalues, traces, density, layers, the kind of a point."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfaceviz.curvature.critical_points import ZERO, Evidence, classify_point
from surfaceviz.curvature.density import negative_bounds, negative_share, quadrature, rademacher
from surfaceviz.curvature.hvp import OPERATORS
from surfaceviz.curvature.krylov import Matvec
from surfaceviz.curvature.lanczos import Extremes, extremes, least_room
from surfaceviz.curvature.operator import Operator, Start
from surfaceviz.curvature.trace import Traces
from surfaceviz.errors import MemoryShortError, NotFiniteError, ProblemError
from surfaceviz.records import Density, FloatArray, Layers, Spectrum

_SMALL = 64  # parameters of which all eigenvalues are as soon had, and prove what kind a point is; ours
MOST_ROOM = 256  # vectors of a basis; more would cost more than the products that they save; ours


@dataclass(frozen=True, slots=True)
class SpectrumSpec:
    """What to find out about a point.

    Attributes:
        top, bottom: numbers of eigenvalues; None: 5 and 1, or all of a matrix over at most 64 parameters.
        density: whether by quadrature; trace: whether to estimate it; by_layer: whether tensor by tensor.
        operator: ``hessian`` or ``ggn``.
        parameters: ``all``, ``weights`` or a pattern.
        normalised: whether D H D instead.
        rtol: relative residual of eigenvalues.
        probes: random vectors of trace and density. Source: 10, as Ghorbani et al., arXiv 1901.10159.
        steps: quadrature nodes of a probe; 60: ours, tuned on ResNet-20.
        block: start vectors, the multiplicity up to which copies of an eigenvalue are found.
        seed: of start vectors and probes.
        weight_decay: lambda of the term lambda/2 ||theta||^2 of training.
        memory: bytes for basis vectors.
    """

    top: int | None = None
    bottom: int | None = None
    density: bool = False
    trace: bool = False
    by_layer: bool = False
    operator: str = "hessian"
    parameters: str = "all"
    normalised: bool = False
    rtol: float = 1e-3
    probes: int = 10
    steps: int = 60
    block: int = 1
    seed: int = 0
    weight_decay: float | None = None
    memory: int = 2**30

    def __post_init__(self) -> None:
        if self.operator not in OPERATORS:
            raise ValueError(f"operator: expected one of {', '.join(OPERATORS)}, got {self.operator!r}")
        for name in ("top", "bottom"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name}: expected a number of eigenvalues, got {value}")
        if self.top == 0 and self.bottom == 0:
            raise ValueError(
                "top and bottom are both 0: ask for one eigenvalue at least, which is the scale of all else"
            )
        for name in ("probes", "steps", "block"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.weight_decay is not None and not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight decay: expected a number of at least 0, got {self.weight_decay:g}")
        if not 0 < self.rtol < 1:
            raise ValueError(f"rtol must lie between 0 and 1, got {self.rtol:g}")

    def counts(self, dimension: int) -> tuple[int, int]:
        """Return how many eigenvalues from the top and the bottom, of a matrix of so many.

        Raises:
            ProblemError: more are asked for than there are.
        """
        asked = (self.top or 0) + (self.bottom or 0)
        if asked > dimension or max(self.top or 0, self.bottom or 0) > dimension:
            raise ProblemError(
                f"{asked} eigenvalues are asked for, of a matrix over {dimension} parameters ({self.parameters}): "
                "lower top and bottom"
            )
        if self.top is None and self.bottom is None and dimension <= _SMALL:
            return dimension, 0
        top = min(5, dimension - (self.bottom or 0)) if self.top is None else self.top
        return top, min(1, dimension - top) if self.bottom is None else self.bottom


@dataclass(frozen=True, slots=True)
class SpectrumPoint:
    """What a point is, besides its number.

    Attributes:
        number: by which the operator opens it.
        scale: of the loss, for the gradient's tolerance: the loss of a guess; 0 where there is none.
        all_parameters: whether the matrix is over all that training moves.
        theta: the weights there, (P,) float64.
        filter_scales: the diagonal of D, (P,) float64.
        directions: of the slice, rows (ndim, P) float64; None off a slice.
        fields: further attributes of the record: place, split, samples, step, source, differences, notes.
    """

    number: int
    scale: float
    all_parameters: bool
    theta: Tensor
    filter_scales: Tensor
    directions: Tensor | None
    fields: dict[str, Any]


def spectrum(
    operator: Operator,
    site: SpectrumPoint,
    wanted: SpectrumSpec,
    *,
    start: Tensor | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[Spectrum, Extremes]:
    """Return what is wanted of a point, and its eigenvectors.

    Args:
        operator: not opened yet.
        site: the point.
        wanted: what.
        start: rows to start from, such as a neighbour's eigenvectors.
        say: told of each stage.

    Raises:
        ProblemError: the loss or its gradient is not finite there, or more eigenvalues are wanted than there are.
        MemoryShortError: too little memory for the basis.
    """
    say = say or (lambda _line: None)
    before = operator.products
    begun = opened(operator, site)
    matvec = matrix(operator, site, wanted)
    found = eigen(matvec, operator, wanted, start)
    low, high = float(found.eigenvalues[0]), float(found.eigenvalues[-1])
    say(f"eigenvalues: {low:.5g} .. {high:.5g}, {found.products} products")
    fields = dict(site.fields)
    if wanted.density or wanted.trace or wanted.by_layer:
        fields |= _by_probes(matvec, operator, site, wanted, found)
        say(f"trace: {fields['trace']:.5g} +- {fields['trace_stderr']:.2g}")
    fields |= _along(operator, site, begun, wanted)
    bottom = wanted.counts(operator.layout.dimension)[1]
    evidence = Evidence(
        float(torch.linalg.vector_norm(begun.gradient)), site.scale or abs(begun.loss) or 1.0,
        max(1.0, float(torch.linalg.vector_norm(site.theta))), found.eigenvalues.numpy(), found.norm, found.whole,
        found.products, wanted.operator, part="" if site.all_parameters else wanted.parameters,
    )  # fmt: skip
    kind, reason = classify_point(evidence)
    return Spectrum(
        eigenvalues=found.eigenvalues.numpy(), residuals=found.residuals.numpy(), converged=found.converged.numpy(),
        dimension=operator.layout.dimension, bottom=0 if found.whole else bottom, norm=found.norm, loss=begun.loss,
        gradient_norm=evidence.gradient_norm, kind=kind, reason=reason, operator=wanted.operator,
        parameters=wanted.parameters, normalised=wanted.normalised, rtol=wanted.rtol, seed=wanted.seed,
        products=operator.products - before, block=wanted.block, beyond=found.beyond,
        dtype=str(operator.dtype).removeprefix("torch."), **fields,
    ), found  # fmt: skip


def opened(operator: Operator, site: SpectrumPoint) -> Start:
    """Return the loss and gradient of a site, the operator being there.

    Raises:
        NotFiniteError: one of them is not finite.
    """
    begun = operator.open(site.number)
    if not begun.finite:
        raise NotFiniteError(
            f"the loss is {begun.loss:g} there, or its gradient not finite: nothing to differentiate twice"
        )
    return begun


def matrix(operator: Operator, site: SpectrumPoint, wanted: SpectrumSpec) -> Matvec:
    """Return the products that are wanted: with the operator's matrix, or with D times it times D."""
    return operator.scaled(site.filter_scales) if wanted.normalised else operator


def eigen(matvec: Matvec, operator: Operator, wanted: SpectrumSpec, start: Tensor | None = None) -> Extremes:
    """Return the wanted eigenvalues.

    Raises:
        MemoryShortError: too little memory for the vectors that this takes.
    """
    dimension = operator.layout.dimension
    top, bottom = wanted.counts(dimension)
    first = corner(wanted, dimension, operator.dtype) if start is None else start.to(operator.dtype)
    return extremes(
        matvec, first, top=top, bottom=bottom, rtol=wanted.rtol, generator=_generator(wanted, 1),
        room=_room(dimension, operator.dtype, wanted.memory, least_room(top, bottom, len(first))),
    )  # fmt: skip


def corner(wanted: SpectrumSpec, dimension: int, dtype: torch.dtype) -> Tensor:
    """Return the seeded random rows that a search starts from."""
    count = min(wanted.block, dimension)
    return torch.randn((count, dimension), generator=_generator(wanted, 0), dtype=torch.float64).to(dtype)


def _generator(wanted: SpectrumSpec, stream: int) -> torch.Generator:
    return torch.Generator().manual_seed((1_000_003 * wanted.seed + stream) % 2**63)


def _room(dimension: int, dtype: torch.dtype, memory: int, least: int) -> int:
    """Return how many vectors may be held.

    Raises:
        MemoryShortError: fewer than the least.
    """
    each, least = dimension * torch.finfo(dtype).bits // 8, min(least, dimension)
    if memory // each < least:
        raise MemoryShortError(
            f"{least} vectors over {dimension} parameters take {least * each / 2**20:,.1f} MB, over the "
            f"{memory / 2**20:,.1f} MB there are for vectors; give more --memory, or ask for less (eigenvalues, steps)"
        )
    return min(max(MOST_ROOM, least), memory // each)


def _by_probes(
    matvec: Matvec, operator: Operator, site: SpectrumPoint, wanted: SpectrumSpec, found: Extremes
) -> dict[str, Any]:
    """Return trace, expected curvature, density and layers, all of the same probes."""
    layout, rules = operator.layout, []
    if wanted.density:
        _room(layout.dimension, operator.dtype, wanted.memory, min(wanted.steps, layout.dimension))
    traces = Traces(found.eigenvalues, found.vectors)
    generator = _generator(wanted, 2)
    for _ in range(wanted.probes):
        probe = rademacher(1, layout.dimension, generator, operator.dtype)
        if wanted.density:
            rule = quadrature(matvec, probe, wanted.steps)
            rules.append(rule)
            traces.add(probe[0], rule.first[0])
        else:
            traces.add(probe[0], matvec(probe)[0])
    whole = traces.weighted()
    fields: dict[str, Any] = {"trace": whole.mean, "trace_stderr": whole.stderr, "probes": wanted.probes}
    if wanted.operator == "hessian" and wanted.parameters in ("all", "weights"):
        # What a random filter-normalised direction shows: tr DHD, which of D H D itself is the trace.
        expected = whole if wanted.normalised else traces.weighted(site.filter_scales.square())
        fields |= {"expected": expected.mean, "expected_stderr": expected.stderr}
    if rules:
        nodes, weights = torch.cat([rule.nodes for rule in rules]), torch.cat([rule.weights for rule in rules])
        share, error = negative_share(nodes, weights, ZERO * found.norm)
        fields |= {"negative_share": share, "negative_share_stderr": error}
        fields["negative_bounds"] = np.array(negative_bounds(nodes, weights, ZERO * found.norm))
        fields["density"] = Density(nodes.numpy(), weights.numpy())
    if wanted.by_layer:
        fields["layers"] = _layers(operator, site, wanted, traces)
    return fields


def _layers(operator: Operator, site: SpectrumPoint, wanted: SpectrumSpec, traces: Traces) -> Layers:
    """Return trace and top eigenvalue of each tensor's own block."""
    layout, rows = operator.layout, []
    for name, where in layout.slices().items():
        trace, size = traces.within(where), where.stop - where.start
        block, d = operator.block(where), site.filter_scales[where].to(operator.dtype)
        scaled: Matvec = (lambda v, block=block, d=d: d * block(d * v)) if wanted.normalised else block  # type: ignore[misc]
        first = torch.randn((1, size), generator=_generator(wanted, 3), dtype=torch.float64).to(operator.dtype)
        room = _room(size, operator.dtype, wanted.memory, least_room(1, 0))
        found = extremes(scaled, first, top=1, bottom=0, rtol=wanted.rtol, room=room, generator=_generator(wanted, 4))
        rows.append((name, size, trace.mean, trace.stderr, float(found.eigenvalues[-1]), float(found.residuals[-1])))
    names, sizes, *columns = zip(*rows, strict=True)
    means, stderr, top, residual = (np.array(column, dtype=np.float64) for column in columns)
    return Layers(
        names=names, sizes=np.array(sizes, dtype=np.int64), trace=means, trace_stderr=stderr, top=top, residual=residual
    )


def _along(operator: Operator, site: SpectrumPoint, begun: Start, wanted: SpectrumSpec) -> dict[str, Any]:
    """Return the slice's own Hessian and gradient, and the gradient's norm with weight decay."""
    fields: dict[str, Any] = {}
    if site.directions is not None:
        fields["slope"] = (site.directions @ begun.gradient).numpy()
        fields["along"] = _quadratic_form(operator, site.directions)
    if wanted.weight_decay is not None:
        own = wanted.weight_decay * site.theta
        decayed = begun.gradient + own
        fields["decay_norm"] = float(torch.linalg.vector_norm(own))
        fields |= {
            "weight_decay": wanted.weight_decay,
            "decayed_gradient_norm": float(torch.linalg.vector_norm(decayed)),
        }
    return fields


def _quadratic_form(operator: Operator, directions: Tensor) -> FloatArray:
    """Return d_i' A d_j for the rows of directions, symmetric."""
    products = torch.stack([operator(d[None].to(operator.dtype))[0].double() for d in directions])
    form = directions @ products.T
    return np.asarray((form + form.T).numpy() / 2)
