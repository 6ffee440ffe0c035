"""Frozen numpy records of curvature: spectra of points, maps over slices, spectra along trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records.arrays import FloatArray, html_table
from surfaceviz.records.convergence import has_converged
from surfaceviz.records.words.describe_spectrum import describe_spectrum


@dataclass(frozen=True, slots=True)
class Density:
    """A spectral density, unsmoothed: a quadrature rule for each probe, or all eigenvalues with equal weights.

    Attributes:
        nodes: shape (probes, steps); NaN after the end of an exhausted Krylov space. Shape (1, P): all eigenvalues.
        weights: the same shape; rows sum to 1, and a weight without a node is 0.
    """

    nodes: FloatArray
    weights: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The curvature of each tensor: the diagonal blocks of the matrix.

    Attributes:
        names: canonical names, (L,).
        sizes: numbers of entries, (L,).
        trace: traces of the blocks, (L,).
        trace_stderr: their standard errors over probes, (L,).
        top: largest eigenvalues of the blocks, (L,).
        residual: residuals of these eigenvalues, (L,).
    """

    names: tuple[str, ...]
    sizes: NDArray[np.int64]
    trace: FloatArray
    trace_stderr: FloatArray
    top: FloatArray
    residual: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """The spectrum at one point; a quantity that was not requested is None.

    Attributes:
        eigenvalues: the largest and smallest ones, or all, ascending, (k,).
        residuals: ||H v - lambda v|| for each unit vector v, (k,).
        converged: see `has_converged`, (k,).
        place: coordinates of the point on its slice, (ndim,); empty off a slice.
        dimension: the number of parameters P.
        bottom: number of eigenvalues from the bottom; the others are from the top.
        norm: ||H||, the largest |eigenvalue| found.
        loss: the loss at the point.
        gradient_norm: norm of the loss's gradient in the same parameters, also for D H D.
        kind: the kind of the point: ``local minimum``, ``saddle``, ``not a critical point``, ``not smooth here``, ...
        reason: the reason for the kind, a sentence.
        split: the split of the loss.
        samples: number of samples of the loss.
        operator: ``hessian`` or ``ggn`` (generalised Gauss-Newton).
        parameters: ``all``, ``weights`` or a pattern.
        normalised: whether the matrix is D H D with D = ||w_i|| / sqrt(n_i) on each filter.
        rtol: relative tolerance of the eigenvalues' residuals.
        seed: seed of start vectors and probes.
        products: number of matrix-vector products.
        trace, trace_stderr: Hutchinson's estimate and its standard error over ``probes``.
        probes: the number of random vectors.
        effective_rank, effective_rank_stderr: tr(H)^2 / tr(H^2) from the same probes, and its standard error.
        negative_share: share of eigenvalues below -``zero_threshold``: counted where the density holds all eigenvalues,
            else the middle of ``negative_bounds``.
        negative_bounds, negative_share_stderr: a 95% bracket of it, (2,), and a quarter of its width.
        zero_share: share of eigenvalues within ``zero_threshold`` of 0, where all of them are known.
        zero_threshold: |eigenvalue| that rounding can't tell from 0; None in older files, whose share and error were
            those of quadrature nodes.
        density: the spectral density.
        layers: the curvature of each tensor.
        expected, expected_stderr: expected curvature along a random filter-normalised direction, tr DHD.
        expected_spread, expected_directions: its standard deviation over that many drawn directions.
        along: the Hessian in slice coordinates, (ndim, ndim).
        slope: the gradient in slice coordinates, (ndim,).
        differences: second differences of the slice's values along each axis, (ndim,); NaN if undefined.
        weight_decay: lambda of the training term lambda/2 ||theta||^2, if given.
        decayed_gradient_norm: norm of the gradient of the loss with that term.
        decay_norm: norm of the gradient of that term only.
        step: training step.
        source: name of the weights.
        weights_sha256: fingerprint of the weights.
        dtype: dtype of the computation.
        block: number of start vectors.
        beyond: largest distance of an eigenvalue outside the found range, at the ends that were looked for (99% over
            start vectors); infinite where it is not known.
        listed_below, listed_above: all eigenvalues outside this interval are found (99%); None: not checked.
        notes: warnings about the values.
        derivatives: ``checked`` or ``not checked`` against differences at the run's first point, and how.
        float64_check: samples of the comparison with float64, or why there was none; None for a run in float64.
        float64_error, float64_gradient_error: bound on the error of eigenvalues (99.5%), and error of the gradient.
        gradient_stderr: root of the trace of the mean gradient's covariance, from ``gradient_groups`` random groups.
        gradient_curvature: g'Ag / |g|^2 of the gradient g and the matrix A without normalisation.
        newton_decrement: g'A^-1 g on the ``newton_pairs`` positive eigenpairs, twice what Newton's step gains.
        newton_left_out: share of the gradient's norm orthogonal to them.
    """

    eigenvalues: FloatArray
    residuals: FloatArray
    converged: NDArray[np.bool_]
    place: tuple[float, ...]
    dimension: int
    bottom: int
    norm: float
    loss: float
    gradient_norm: float
    kind: str
    reason: str
    split: str = "train"
    samples: int = 0
    operator: str = "hessian"
    parameters: str = "all"
    normalised: bool = False
    rtol: float = 1e-3
    seed: int = 0
    products: int = 0
    trace: float | None = None
    trace_stderr: float | None = None
    probes: int | None = None
    negative_share: float | None = None
    negative_share_stderr: float | None = None
    negative_bounds: FloatArray | None = None
    density: Density | None = None
    layers: Layers | None = None
    expected: float | None = None
    expected_stderr: float | None = None
    along: FloatArray | None = None
    slope: FloatArray | None = None
    differences: FloatArray | None = None
    weight_decay: float | None = None
    decayed_gradient_norm: float | None = None
    decay_norm: float | None = None
    step: float | None = None
    source: str = ""
    weights_sha256: str = ""
    dtype: str = "float64"
    block: int = 1
    beyond: float = 0.0
    notes: tuple[str, ...] = ()
    effective_rank: float | None = None
    effective_rank_stderr: float | None = None
    gradient_stderr: float | None = None
    gradient_groups: int | None = None
    gradient_curvature: float | None = None
    newton_decrement: float | None = None
    newton_pairs: int | None = None
    newton_left_out: float | None = None
    zero_share: float | None = None
    zero_threshold: float | None = None
    expected_spread: float | None = None
    expected_directions: int | None = None
    listed_below: float | None = None
    listed_above: float | None = None
    derivatives: str | None = None
    float64_check: str | None = None
    float64_error: float | None = None
    float64_gradient_error: float | None = None

    @property
    def lambda_max(self) -> float:
        """The largest eigenvalue; NaN if none was requested at the top."""
        return float(self.eigenvalues[-1]) if len(self.eigenvalues) > self.bottom or self.whole else float("nan")

    @property
    def lambda_min(self) -> float:
        """The smallest eigenvalue; NaN if none was requested at the bottom."""
        return float(self.eigenvalues[0]) if self.bottom or self.whole else float("nan")

    @property
    def whole(self) -> bool:
        """Whether these are all eigenvalues."""
        return len(self.eigenvalues) == self.dimension

    @property
    def symbol(self) -> str:
        """The symbol of the matrix in formulas and legends: H, G, DHD, DGD."""
        letter = "H" if self.operator == "hessian" else "G"
        return f"D{letter}D" if self.normalised else letter

    @property
    def where(self) -> str:
        """The point as text: its source, or its coordinates on the slice."""
        if self.source:
            return self.source
        if not any(self.place):
            return "theta"
        return f"({', '.join(f'{x:g}' for x in self.place)})"

    @property
    def top(self) -> int:
        """The number of eigenvalues that were looked for at the top."""
        return len(self.eigenvalues) - (0 if self.whole else self.bottom)

    def is_zero(self, k: int) -> bool:
        """Return whether the residual of the k-th eigenvalue can't tell it from 0."""
        return abs(float(self.eigenvalues[k])) <= float(self.residuals[k])

    def __repr__(self) -> str:
        ends = f"{self.eigenvalues[0]:.4g} .. {self.eigenvalues[-1]:.4g}"
        return f"<Spectrum of {self.symbol} at {self.where}: {ends}, {self.kind}>"

    def _repr_html_(self) -> str:
        return html_table(describe_spectrum(self))


@dataclass(frozen=True, slots=True, kw_only=True)
class HessianMap:
    """The extreme eigenvalues on a grid over a slice.

    Attributes:
        axes: coordinates, shapes (p,)[, (q,)].
        lambda_max, lambda_min: (p[, q]), NaN where missing or diverged.
        residual_max, residual_min: their residuals, likewise.
        gradient_norm: likewise.
        products: matrix-vector products of each point, likewise, int64.
        origin: uint8, 0 missing, 1 evaluated.
        beyond: largest distance of an eigenvalue outside lambda_min .. lambda_max, at each point with 99% probability
            over its random start vector, likewise; infinite where nothing is known, None in older files.
        provenance: split, samples, operator, parameters, normalised, rtol, seed, start.
    """

    axes: tuple[FloatArray, ...]
    lambda_max: FloatArray
    lambda_min: FloatArray
    residual_max: FloatArray
    residual_min: FloatArray
    gradient_norm: FloatArray
    products: NDArray[np.int64]
    origin: NDArray[np.uint8]
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)
    beyond: FloatArray | None = None

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.origin.shape))
        return f"<HessianMap of {shape} points, {int(np.count_nonzero(self.origin))} done>"

    @property
    def complete(self) -> bool:
        """Whether no point is missing."""
        return bool(np.all(self.origin))

    @property
    def unconverged(self) -> int:
        """The number of points where an eigenvalue has not converged; see `has_converged`."""
        rtol, norm = float(self.provenance.get("rtol", 0)), np.maximum(np.abs(self.lambda_max), np.abs(self.lambda_min))
        pairs = ((self.lambda_max, self.residual_max), (self.lambda_min, self.residual_min))
        done = [has_converged(values, residuals, rtol=rtol, norm=norm) for values, residuals in pairs]
        return int(np.count_nonzero(~(done[0] & done[1]) & np.isfinite(norm)))

    @property
    def beyond_words(self) -> str:
        """How far outside the two eigenvalues others may lie, as text."""
        if self.beyond is None:
            return "how far outside of these eigenvalues lie is not known"
        width = self.lambda_max - self.lambda_min
        known = np.isfinite(self.beyond) & (width > 0)
        if not known.any():
            return "how far outside of these eigenvalues lie is not known"
        share = self.beyond[known] / width[known]
        return (
            f"at a point, with 99% probability no eigenvalue lies outside lambda_min .. lambda_max by more than "
            f"{np.median(share):.2g} of their distance (median; at most {share.max():.2g})"
        )

    @property
    def ratio(self) -> FloatArray:
        """|lambda_min / lambda_max|, small where the surface looks convex. Source: Li et al., arXiv 1712.09913, 6."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(np.abs(self.lambda_min / self.lambda_max))


@dataclass(frozen=True, slots=True)
class Curvature:
    """Spectra along the checkpoints of a training.

    Attributes:
        spectra: one a checkpoint, in order.
        provenance: what made them.
    """

    spectra: tuple[Spectrum, ...]
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The problem's name, for a picture."""
        return str(self.provenance.get("problem", ""))
