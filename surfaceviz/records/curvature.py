"""Frozen numpy records of curvature: spectra of points, maps over slices, spectra along trainings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records.arrays import FloatArray, html_table
from surfaceviz.records.describe_spectrum import describe_spectrum


@dataclass(frozen=True, slots=True)
class Density:
    """A spectral density as stochastic Lanczos quadrature gives it: one rule a probe, unsmoothed.

    Attributes:
        nodes: shape (probes, steps); NaN behind the end of a probe whose Krylov space was exhausted.
        weights: likewise, the rows adding up to 1, and 0 where there is no node.
    """

    nodes: FloatArray
    weights: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Layers:
    """The curvature of each tensor by itself: the diagonal blocks of the matrix.

    Attributes:
        names: canonical names, (L,).
        sizes: numbers of entries, (L,).
        trace: of the block, (L,).
        trace_stderr: its standard error over probes, (L,).
        top: the largest eigenvalue of the block, (L,).
        residual: of that eigenvalue, (L,).
    """

    names: tuple[str, ...]
    sizes: NDArray[np.int64]
    trace: FloatArray
    trace_stderr: FloatArray
    top: FloatArray
    residual: FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """What is known of the spectrum at one point; whatever was not asked for is None.

    Attributes:
        eigenvalues: the top and bottom ones, or all, ascending, (k,).
        residuals: ||H v - lambda v|| for each unit vector v, (k,).
        converged: whether the residual is at most ``rtol`` |lambda|, or ``rtol`` ||H|| where |lambda| is less than
            that: then lambda is 0 within the residual, (k,).
        place: the point's coordinates on its slice, (ndim,); empty off a slice.
        dimension: the number of parameters P that the matrix is over.
        bottom: how many of the eigenvalues are from the bottom; the others are from the top.
        norm: ||H||, the largest |eigenvalue| that was found.
        loss: at the point, on the samples that the matrix is over.
        gradient_norm: of that loss over the same parameters, also for D H D.
        kind: what sort of point it is: ``local minimum``, ``saddle``, ``not a critical point``, ...
        reason: why, in a sentence.
        split: whose loss.
        samples: how many of them.
        operator: ``hessian`` or ``ggn`` (generalised Gauss-Newton).
        parameters: ``all``, ``weights`` or a pattern.
        normalised: whether it is D H D, D being ||w_i|| / sqrt(n_i) on each filter.
        rtol: of the eigenvalues.
        seed: of start vectors and probes.
        products: how many matrix-vector products it took.
        trace, trace_stderr: Hutchinson's estimate and its standard error over ``probes``.
        probes: the number of random vectors.
        negative_share, negative_share_stderr: of the eigenvalues that lie below -1e-6 ||H||, by the density's nodes,
            and its standard error over probes.
        negative_bounds: between what that share lies, (2,): what is unresolved around 0 counts for neither or both.
        density: by quadrature.
        layers: tensor by tensor.
        expected, expected_stderr: the curvature expected along a random filter-normalised direction, tr DHD.
        along: the 2 x 2 (1 x 1) Hessian in the slice's own coordinates, (ndim, ndim).
        slope: the gradient in the slice's own coordinates, (ndim,).
        differences: second differences of the slice's own values along each axis, (ndim,); NaN where it has none.
        weight_decay: lambda of the term lambda/2 ||theta||^2 that training had added, where told.
        decayed_gradient_norm: of the loss with that term; decay_norm: of that term alone.
        step: of a training.
        source: the weights, by name.
        weights_sha256: their fingerprint.
        dtype: of the computation.
        block: start vectors.
        beyond: how far beyond those found an eigenvalue may lie at most, with 99% probability over start vectors.
        notes: warnings that belong to the figures.
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

    @property
    def lambda_max(self) -> float:
        """The largest eigenvalue; NaN where none was looked for at the top."""
        return float(self.eigenvalues[-1]) if len(self.eigenvalues) > self.bottom or self.whole else float("nan")

    @property
    def lambda_min(self) -> float:
        """The smallest eigenvalue; NaN where none was looked for at the bottom."""
        return float(self.eigenvalues[0]) if self.bottom or self.whole else float("nan")

    @property
    def whole(self) -> bool:
        """Whether these are all eigenvalues."""
        return len(self.eigenvalues) == self.dimension

    @property
    def symbol(self) -> str:
        """The matrix, as formulas and legends write it: H, G, DHD, DGD."""
        letter = "H" if self.operator == "hessian" else "G"
        return f"D{letter}D" if self.normalised else letter

    @property
    def where(self) -> str:
        """The point, in words: its source, or its place on the slice."""
        if self.source:
            return self.source
        if not any(self.place):
            return "theta"
        return f"({', '.join(f'{x:g}' for x in self.place)})"

    def is_zero(self, k: int) -> bool:
        """Return whether the k-th eigenvalue is 0 within its residual: converged beside ||H||, not beside itself."""
        value, residual = abs(float(self.eigenvalues[k])), float(self.residuals[k])
        return bool(self.converged[k]) and (residual > self.rtol * value or value == 0)

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

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.origin.shape))
        return f"<HessianMap of {shape} points, {int(np.count_nonzero(self.origin))} done>"

    @property
    def complete(self) -> bool:
        """Whether no point is missing."""
        return bool(np.all(self.origin))

    @property
    def unconverged(self) -> int:
        """The number of points where an eigenvalue has not converged: to ``rtol`` of itself, or of ||H|| near 0."""
        rtol, norm = float(self.provenance.get("rtol", 0)), np.maximum(np.abs(self.lambda_max), np.abs(self.lambda_min))
        pairs = ((self.lambda_max, self.residual_max), (self.lambda_min, self.residual_min))
        open_ = [r > rtol * np.where(np.abs(v) <= rtol * norm, norm, np.abs(v)) for v, r in pairs]
        return int(np.count_nonzero(open_[0] | open_[1]))

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
        provenance: what made them; ``learning_rate`` where told.
    """

    spectra: tuple[Spectrum, ...]
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The problem's name, for a picture."""
        return str(self.provenance.get("problem", ""))
