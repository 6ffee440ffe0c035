"""The spectrum of a point as a record: eigenvalues, traces, density, layers, the kind of the point."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfaceviz.curvature.critical_points import judge_point
from surfaceviz.curvature.density import negative_bounds, negative_share, quadrature, rademacher
from surfaceviz.curvature.krylov import Matvec
from surfaceviz.curvature.lanczos import ExtremeEigenpairs, extreme_eigenpairs, min_basis_size
from surfaceviz.curvature.operator import LossGradient, Operator
from surfaceviz.curvature.spectrum_spec import SpectrumPoint, SpectrumSpec
from surfaceviz.curvature.trace import HutchinsonTraces
from surfaceviz.errors import MemoryShortError, NotFiniteError
from surfaceviz.records import Density, FloatArray, Layers, Spectrum

ZERO = 1e-6  # of ||H||: a smaller eigenvalue counts as 0 in the share of negative ones
MAX_BASIS_SIZE = 256  # basis vectors; more would cost more than the products that they save; ours


def spectrum(
    operator: Operator,
    point: SpectrumPoint,
    spec: SpectrumSpec,
    *,
    start: Tensor | None = None,
    say: Callable[[str], None] | None = None,
) -> tuple[Spectrum, ExtremeEigenpairs]:
    """Return the spectrum at a point, and its eigenpairs.

    Args:
        operator: the matrix; it is moved to the point.
        point: the point.
        spec: the quantities to compute.
        start: start vectors, rows (s, P), such as the eigenvectors of a neighbour.
        say: called with a line after each stage.

    Raises:
        NotFiniteError: the loss or its gradient is not finite at the point.
        ProblemError: more eigenvalues are requested than the matrix has.
        MemoryShortError: too little memory for the basis.
    """
    say = say or (lambda _line: None)
    products_before = operator.products
    here = loss_gradient_at(operator, point)
    matvec = spectrum_matvec(operator, point, spec)
    found = eigenpairs(matvec, operator, spec, start)
    low, high = float(found.eigenvalues[0]), float(found.eigenvalues[-1])
    say(f"eigenvalues: {low:.5g} .. {high:.5g}, {found.products} products")
    fields = dict(point.fields)
    if spec.density or spec.trace or spec.by_layer:
        fields |= _by_probes(matvec, operator, point, spec, found=found)
        say(f"trace: {fields['trace']:.5g} +- {fields['trace_stderr']:.2g}")
    fields |= _along(operator, point, here, spec)
    fields |= judge_point(operator, point, spec, here=here, found=found)
    bottom = 0 if found.complete else spec.counts(operator.layout.dimension)[1]
    return Spectrum(
        eigenvalues=found.eigenvalues.numpy(), residuals=found.residuals.numpy(), converged=found.converged.numpy(),
        dimension=operator.layout.dimension, bottom=bottom, norm=found.norm, loss=here.loss,
        operator=spec.operator, parameters=spec.parameters, normalised=spec.normalised, rtol=spec.rtol, seed=spec.seed,
        products=operator.products - products_before, block=spec.block, beyond=found.beyond,
        dtype=str(operator.dtype).removeprefix("torch."), **fields,
    ), found  # fmt: skip


def loss_gradient_at(operator: Operator, point: SpectrumPoint) -> LossGradient:
    """Move the operator to a point and return the loss and gradient there.

    Raises:
        NotFiniteError: one of them is not finite.
    """
    here = operator.set_point(point.number)
    if not here.finite:
        raise NotFiniteError(
            f"the loss is {here.loss:g} there, or its gradient not finite: nothing to differentiate twice"
        )
    return here


def spectrum_matvec(operator: Operator, point: SpectrumPoint, spec: SpectrumSpec) -> Matvec:
    """Return the matvec that a spec asks for: of the operator A, or of D A D."""
    return operator.scaled(point.filter_scales) if spec.normalised else operator


def eigenpairs(
    matvec: Matvec, operator: Operator, spec: SpectrumSpec, start: Tensor | None = None
) -> ExtremeEigenpairs:
    """Return the eigenpairs that a spec asks for.

    Raises:
        MemoryShortError: too little memory for the basis.
    """
    dimension = operator.layout.dimension
    top, bottom = spec.counts(dimension)
    first = start_vectors(spec, dimension, operator.dtype) if start is None else start.to(operator.dtype)
    return extreme_eigenpairs(
        matvec, first, top=top, bottom=bottom, rtol=spec.rtol, generator=_generator(spec, 1),
        capacity=_basis_capacity(dimension, operator.dtype, spec.memory, min_basis_size(top, bottom, len(first))),
    )  # fmt: skip


def start_vectors(spec: SpectrumSpec, dimension: int, dtype: torch.dtype) -> Tensor:
    """Return the seeded random start vectors, rows (block, P)."""
    count = min(spec.block, dimension)
    return torch.randn((count, dimension), generator=_generator(spec, 0), dtype=torch.float64).to(dtype)


def _generator(spec: SpectrumSpec, stream: int) -> torch.Generator:
    return torch.Generator().manual_seed((1_000_003 * spec.seed + stream) % 2**63)


def _basis_capacity(dimension: int, dtype: torch.dtype, memory: int, least: int) -> int:
    """Return the number of basis vectors that fit into memory, at most `MAX_BASIS_SIZE` unless more are needed.

    Raises:
        MemoryShortError: fewer than ``least`` fit.
    """
    each, least = dimension * torch.finfo(dtype).bits // 8, min(least, dimension)
    if memory // each < least:
        raise MemoryShortError(
            f"{least} vectors over {dimension} parameters need {least * each / 2**20:,.1f} MB, but only "
            f"{memory / 2**20:,.1f} MB are available for vectors; give more --memory, or fewer eigenvalues or steps"
        )
    return min(max(MAX_BASIS_SIZE, least), memory // each)


def _by_probes(
    matvec: Matvec, operator: Operator, point: SpectrumPoint, spec: SpectrumSpec, *, found: ExtremeEigenpairs
) -> dict[str, Any]:
    """Return trace, expected curvature, density and layers, all from the same probes."""
    layout, rules = operator.layout, []
    if spec.density:
        _basis_capacity(layout.dimension, operator.dtype, spec.memory, min(spec.steps, layout.dimension))
    traces = HutchinsonTraces(found.eigenvalues, found.vectors)
    generator = _generator(spec, 2)
    for _ in range(spec.probes):
        probe = rademacher(1, layout.dimension, generator, operator.dtype)
        if spec.density:
            rule = quadrature(matvec, probe, spec.steps)
            rules.append(rule)
            traces.add(probe[0], rule.products[0])
        else:
            traces.add(probe[0], matvec(probe)[0])
    trace = traces.trace()
    fields: dict[str, Any] = {"trace": trace.mean, "trace_stderr": trace.stderr, "probes": spec.probes}
    if (rank := traces.effective_rank()) is not None:
        fields |= {"effective_rank": rank.mean, "effective_rank_stderr": rank.stderr}
    if spec.operator == "hessian" and spec.parameters in ("all", "weights"):
        # The expected curvature along a random filter-normalised direction is tr DHD, the trace if D H D is the matrix.
        expected = trace if spec.normalised else traces.trace(point.filter_scales.square())
        fields |= {"expected": expected.mean, "expected_stderr": expected.stderr}
    if rules:
        nodes, weights = torch.cat([rule.nodes for rule in rules]), torch.cat([rule.weights for rule in rules])
        share, error = negative_share(nodes, weights, ZERO * found.norm)
        fields |= {"negative_share": share, "negative_share_stderr": error}
        fields["negative_bounds"] = np.array(negative_bounds(nodes, weights, ZERO * found.norm))
        fields["density"] = Density(nodes.numpy(), weights.numpy())
    if spec.by_layer:
        fields["layers"] = _layers(operator, point, spec, traces)
    return fields


def _layers(operator: Operator, point: SpectrumPoint, spec: SpectrumSpec, traces: HutchinsonTraces) -> Layers:
    """Return trace and top eigenvalue of each tensor's diagonal block."""
    layout, rows = operator.layout, []
    for name, entries in layout.slices().items():
        trace, size = traces.block_trace(entries), entries.stop - entries.start
        block, d = operator.block(entries), point.filter_scales[entries].to(operator.dtype)
        scaled: Matvec = (lambda v, block=block, d=d: d * block(d * v)) if spec.normalised else block  # type: ignore[misc]
        first = torch.randn((1, size), generator=_generator(spec, 3), dtype=torch.float64).to(operator.dtype)
        capacity = _basis_capacity(size, operator.dtype, spec.memory, min_basis_size(1, 0))
        found = extreme_eigenpairs(
            scaled, first, top=1, bottom=0, rtol=spec.rtol, capacity=capacity, generator=_generator(spec, 4)
        )
        rows.append((name, size, trace.mean, trace.stderr, float(found.eigenvalues[-1]), float(found.residuals[-1])))
    names, sizes, *columns = zip(*rows, strict=True)
    means, stderr, top, residual = (np.array(column, dtype=np.float64) for column in columns)
    return Layers(
        names=names, sizes=np.array(sizes, dtype=np.int64), trace=means, trace_stderr=stderr, top=top, residual=residual
    )


def _along(operator: Operator, point: SpectrumPoint, here: LossGradient, spec: SpectrumSpec) -> dict[str, Any]:
    """Return the Hessian and gradient in slice coordinates, and the gradient's norm with weight decay."""
    fields: dict[str, Any] = {}
    if point.directions is not None:
        fields["slope"] = (point.directions @ here.gradient).numpy()
        fields["along"] = _quadratic_form(operator, point.directions)
    if spec.weight_decay is not None:
        decay = spec.weight_decay * point.theta
        decayed = here.gradient + decay
        fields["decay_norm"] = float(torch.linalg.vector_norm(decay))
        fields |= {
            "weight_decay": spec.weight_decay,
            "decayed_gradient_norm": float(torch.linalg.vector_norm(decayed)),
        }
    return fields


def _quadratic_form(operator: Operator, directions: Tensor) -> FloatArray:
    """Return d_i' A d_j for the rows of directions, symmetric."""
    products = torch.stack([operator(d[None].to(operator.dtype))[0].double() for d in directions])
    form = directions @ products.T
    return np.asarray((form + form.T).numpy() / 2)
