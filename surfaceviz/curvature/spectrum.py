"""The spectrum of a point as a record: eigenvalues, traces, density, layers, the kind of the point."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surfaceviz.curvature.bounds.missed import find_missed
from surfaceviz.curvature.critical_points import judge_point
from surfaceviz.curvature.dense import DENSE_VECTORS, DenseSpectrum, dense_spectrum
from surfaceviz.curvature.krylov import Matvec
from surfaceviz.curvature.lanczos import ExtremeEigenpairs, extreme_eigenpairs, min_basis_size
from surfaceviz.curvature.operator import LossGradient, Operator
from surfaceviz.curvature.probe_estimates import estimates_by_probes, exact_values
from surfaceviz.curvature.spectrum_spec import SpectrumPoint, SpectrumSpec
from surfaceviz.errors import NotFiniteError
from surfaceviz.records import FloatArray, Spectrum


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
    top, bottom = spec.counts(operator.layout.dimension)
    whole = _whole(matvec, operator, spec)
    found = _found(matvec, operator, spec, start, whole=whole)
    say(f"eigenvalues: {found.eigenvalues[0]:.5g} .. {found.eigenvalues[-1]:.5g}, {found.products} products")
    notes = (*_notes(found, top + bottom), *_rounding_notes(found, operator, point, spec))
    fields = {**point.fields, "notes": (*point.fields.get("notes", ()), *notes)}
    if spec.density or spec.trace or spec.by_layer:
        exact = None if whole is None else exact_values(operator, point, spec, whole)
        fields |= exact or estimates_by_probes(matvec, operator, point, spec, found=found)
        say(f"trace: {fields['trace']:.5g} +- {fields['trace_stderr']:.2g} (standard error)")
    fields |= _along(operator, point, here, spec)
    fields |= judge_point(
        operator,
        point,
        spec,
        here=here,
        found=found,
        counts=None if whole is None else whole.counts(point.rounding.matrix if point.rounding else 0.0),
    )
    fields["products"] = operator.products - products_before
    return _record(operator, spec, here, found, fields=fields), found


def _record(
    operator: Operator, spec: SpectrumSpec, here: LossGradient, found: ExtremeEigenpairs, *, fields: dict[str, Any]
) -> Spectrum:
    counts = spec.counts(operator.layout.dimension)
    return Spectrum(
        eigenvalues=found.eigenvalues.numpy(), residuals=found.residuals.numpy(), converged=found.converged.numpy(),
        dimension=operator.layout.dimension, bottom=0 if found.complete else counts[1], norm=found.norm, loss=here.loss,
        operator=spec.operator, parameters=spec.parameters, normalised=spec.normalised, rtol=spec.rtol, seed=spec.seed,
        block=spec.block, beyond=_beyond(found, *counts),
        listed_below=_finite(found.listed_below), listed_above=_finite(found.listed_above),
        dtype=str(operator.dtype).removeprefix("torch."), **fields,
    )  # fmt: skip


def _whole(matvec: Matvec, operator: Operator, spec: SpectrumSpec) -> DenseSpectrum | None:
    """Return the whole matrix with all eigenvalues if the spec asks for it and memory permits it."""
    dimension = operator.layout.dimension
    if not spec.is_dense(dimension) or 8 * DENSE_VECTORS * dimension**2 > spec.memory:
        return None
    return dense_spectrum(
        matvec, dimension, operator.dtype, with_vectors=2 * sum(spec.counts(dimension)) >= dimension,
        seconds=spec.dense_seconds(dimension),
    )  # fmt: skip


def _found(
    matvec: Matvec, operator: Operator, spec: SpectrumSpec, start: Tensor | None, *, whole: DenseSpectrum | None
) -> ExtremeEigenpairs:
    """Return the eigenpairs that a spec asks for, with all copies that a short second search finds."""
    top, bottom = spec.counts(operator.layout.dimension)
    if whole is not None:
        return whole.eigenpairs(top, bottom, spec.rtol, operator.dtype)
    found = eigenpairs(matvec, operator, spec, start, random_part=1.0 if start is None else 0.0)
    capacity = spec.basis_capacity(operator.layout.dimension, operator.dtype, 0)
    return find_missed(
        matvec, found, top=top, bottom=bottom, rtol=spec.rtol, capacity=capacity, generator=spec.generator(5)
    )


def _beyond(found: ExtremeEigenpairs, top: int, bottom: int) -> float:
    """Return how far an eigenvalue may lie outside the found range, at the ends that were looked for."""
    low, high = float(found.eigenvalues[0]), float(found.eigenvalues[-1])
    error = float(torch.linalg.vector_norm(found.residuals))
    outside = max(
        max(found.listed_above - high, error) if top else 0.0, max(low - found.listed_below, error) if bottom else 0.0
    )
    return 0.0 if found.complete else min(found.beyond, outside)


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


def _notes(found: ExtremeEigenpairs, asked: int) -> tuple[str, ...]:
    """Return a note if eigenvalues are missing or have not converged, or none."""
    missing = 0 if found.complete else max(0, asked - len(found.eigenvalues))
    open_ = int((~found.converged).sum())
    if not missing and not open_:
        return ()
    short = f"only {len(found.eigenvalues)} of {asked} eigenvalues were found, and " if missing else ""
    note = (
        f"{short}{open_} of {len(found.eigenvalues)} eigenvalues have not converged in {found.products} products: ask "
        "for fewer eigenvalues, or a larger --rtol, or for at least half of all, which are then computed at once"
    )
    return (note,)


def _rounding_notes(
    found: ExtremeEigenpairs, operator: Operator, point: SpectrumPoint, spec: SpectrumSpec
) -> tuple[str, ...]:
    """Return a note if the matrix in the run's dtype is off by more than the tolerance of eigenvalues, or none."""
    if point.rounding is None or not point.rounding.matrix > spec.rtol * found.norm:
        return ()
    error, dtype = point.rounding.matrix, str(operator.dtype).removeprefix("torch.")
    share = f", {error / found.norm:.2g} of the largest" if found.norm else ""
    return (f"in {dtype} eigenvalues may be off by up to {error:.2g}{share}, or missing: take --dtype float64",)


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
    matvec: Matvec, operator: Operator, spec: SpectrumSpec, start: Tensor | None = None, *, random_part: float = 1.0
) -> ExtremeEigenpairs:
    """Return the eigenpairs that a spec asks for; see `extreme_eigenpairs` for ``random_part``.

    Raises:
        MemoryShortError: too little memory for the basis.
    """
    dimension = operator.layout.dimension
    top, bottom = spec.counts(dimension)
    first = start_vectors(spec, dimension, operator.dtype) if start is None else start.to(operator.dtype)
    return extreme_eigenpairs(
        matvec, first, top=top, bottom=bottom, rtol=spec.rtol, generator=spec.generator(1), random_part=random_part,
        capacity=spec.basis_capacity(dimension, operator.dtype, min_basis_size(top, bottom, len(first))),
    )  # fmt: skip


def start_vectors(spec: SpectrumSpec, dimension: int, dtype: torch.dtype) -> Tensor:
    """Return the seeded random start vectors, rows (block, P)."""
    count = min(spec.block, dimension)
    return torch.randn((count, dimension), generator=spec.generator(0), dtype=torch.float64).to(dtype)


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
