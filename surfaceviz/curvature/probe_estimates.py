"""Traces, densities, shares and layers of a point: estimated from random probes, or exact from all eigenvalues."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from surfaceviz.curvature.bounds.negative_share import share_below, zero_threshold
from surfaceviz.curvature.dense import DenseSpectrum
from surfaceviz.curvature.density import QuadratureRules, quadrature, rademacher
from surfaceviz.curvature.krylov import Matvec
from surfaceviz.curvature.lanczos import ExtremeEigenpairs, extreme_eigenpairs, min_basis_size
from surfaceviz.curvature.operator import Operator
from surfaceviz.curvature.spectrum_spec import SpectrumPoint, SpectrumSpec
from surfaceviz.curvature.trace import HutchinsonTraces, random_directions
from surfaceviz.records import Density, Layers

_DIRECTIONS = 400  # random directions whose curvature is computed where that needs no products; ours


def estimates_by_probes(
    matvec: Matvec, operator: Operator, point: SpectrumPoint, spec: SpectrumSpec, *, found: ExtremeEigenpairs
) -> dict[str, Any]:
    """Return trace, expected curvature, density and layers, all from the same probes."""
    layout, rules = operator.layout, []
    if spec.density:
        spec.basis_capacity(layout.dimension, operator.dtype, min(spec.steps, layout.dimension))
    traces = HutchinsonTraces(found.eigenvalues, found.vectors)
    generator = spec.generator(2)
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
    if _has_expected(spec):
        # The expected curvature along a random filter-normalised direction is tr DHD, the trace if D H D is the matrix.
        expected = trace if spec.normalised else traces.trace(point.filter_scales.square())
        fields |= {"expected": expected.mean, "expected_stderr": expected.stderr}
        fields |= _spread(matvec, point, spec, spec.probes, dtype=operator.dtype)
    if rules:
        fields |= _bracketed(rules, zero_threshold(found.norm, layout.dimension, operator.dtype))
    if spec.by_layer:
        fields["layers"] = _layers(operator, point, spec, traces)
    return fields


def exact_values(operator: Operator, point: SpectrumPoint, spec: SpectrumSpec, whole: DenseSpectrum) -> dict[str, Any]:
    """Return trace, expected curvature, density and layers from the whole matrix: without an error but rounding."""
    values, count = whole.values, len(whole.values)
    trace, squares = float(values.sum()), float(values.square().sum())
    fields: dict[str, Any] = {"trace": trace, "trace_stderr": 0.0, "probes": spec.probes}
    if squares > 0:
        fields |= {"effective_rank": trace**2 / squares, "effective_rank_stderr": 0.0}
    if _has_expected(spec):
        expected = trace if spec.normalised else float(point.filter_scales.square() @ whole.matrix.diagonal())
        fields |= {"expected": expected, "expected_stderr": 0.0}
        fields |= _spread(lambda rows: rows @ whole.matrix, point, spec, _DIRECTIONS, dtype=torch.float64)
    if spec.density:
        negative, zero, _ = whole.counts()
        share = negative / count
        fields |= {
            "negative_share": share, "negative_share_stderr": 0.0, "negative_bounds": np.array([share, share]),
            "zero_share": zero / count, "zero_threshold": whole.zero,
            "density": Density(values.numpy()[None], np.full((1, count), 1 / count)),
        }  # fmt: skip
    if spec.by_layer:
        fields["layers"] = _exact_layers(operator, whole)
    return fields


def _has_expected(spec: SpectrumSpec) -> bool:
    return spec.operator == "hessian" and spec.parameters in ("all", "weights")


def _spread(
    matvec: Matvec, point: SpectrumPoint, spec: SpectrumSpec, count: int, *, dtype: torch.dtype
) -> dict[str, Any]:
    """Return the standard deviation of the curvature along ``count`` random filter-normalised directions."""
    if point.filter_numbers is None or count < 2:  # noqa: PLR2004
        return {}
    scales = (point.filter_scales > 0).double() if spec.normalised else point.filter_scales
    generator, seen = spec.generator(6), []
    for _ in range(count):
        direction = random_directions(scales, point.filter_numbers, 1, generator).to(dtype)
        seen.append(float((direction * matvec(direction)).double().sum()))
    return {"expected_spread": float(np.std(seen, ddof=1)), "expected_directions": count}


def _bracketed(rules: list[QuadratureRules], zero: float) -> dict[str, Any]:
    """Return the density by quadrature and the bracket of the share of negative eigenvalues."""
    low, high = share_below(rules, -zero)
    return {
        "negative_share": (low + high) / 2, "negative_share_stderr": (high - low) / 4,
        "negative_bounds": np.array([low, high]), "zero_threshold": zero,
        "density": Density(
            torch.cat([rule.nodes for rule in rules]).numpy(), torch.cat([rule.weights for rule in rules]).numpy()
        ),
    }  # fmt: skip


def _layers(operator: Operator, point: SpectrumPoint, spec: SpectrumSpec, traces: HutchinsonTraces) -> Layers:
    """Return trace and top eigenvalue of each tensor's diagonal block."""
    layout, rows = operator.layout, []
    for name, entries in layout.slices().items():
        trace, size = traces.block_trace(entries), entries.stop - entries.start
        block, d = operator.block(entries), point.filter_scales[entries].to(operator.dtype)
        scaled: Matvec = (lambda v, block=block, d=d: d * block(d * v)) if spec.normalised else block  # type: ignore[misc]
        first = torch.randn((1, size), generator=spec.generator(3), dtype=torch.float64).to(operator.dtype)
        capacity = spec.basis_capacity(size, operator.dtype, min_basis_size(1, 0))
        found = extreme_eigenpairs(
            scaled, first, top=1, bottom=0, rtol=spec.rtol, capacity=capacity, generator=spec.generator(4)
        )
        rows.append((name, size, trace.mean, trace.stderr, float(found.eigenvalues[-1]), float(found.residuals[-1])))
    return _layers_of(rows)


def _exact_layers(operator: Operator, whole: DenseSpectrum) -> Layers:
    """Return trace and top eigenvalue of each tensor's diagonal block of the whole matrix."""
    rows = []
    for name, entries in operator.layout.slices().items():
        block = whole.matrix[entries, entries]
        top = float(torch.linalg.eigvalsh(block)[-1])
        rows.append((name, len(block), float(block.trace()), 0.0, top, whole.zero))
    return _layers_of(rows)


def _layers_of(rows: list[tuple[str, int, float, float, float, float]]) -> Layers:
    names, sizes, *columns = zip(*rows, strict=True)
    means, stderr, top, residual = (np.array(column, dtype=np.float64) for column in columns)
    return Layers(
        names=names, sizes=np.array(sizes, dtype=np.int64), trace=means, trace_stderr=stderr, top=top, residual=residual
    )
