"""Densities of eigenvalues, smoothed along a symmetric-log axis that bulk and outliers share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from surfaceviz.records import FloatArray, Spectrum

_DECADE = float(np.log(10.0))
_KERNEL = 0.013  # of the axis, the standard deviation: half of what a reader tells apart in a column; ours
_PAD = 4.0  # standard deviations of the kernel beyond the outermost eigenvalue: nothing visible is cut off
_DEEPEST, _SHALLOWEST = 1e-5, 1e-1  # of the largest |eigenvalue|: between them lies the threshold; ours
_BRIDGED = 2.5  # times the distance of the nodes at 0: with the kernel above it closes the gap between them; ours
_MANY = 30  # eigenvalues: a complete spectrum of at least so many is drawn as a density
_FEW = 4  # decades whose ticks have ticks between them in a column's width
_FINE = 1200  # points of a density's line: several a kernel


@dataclass(frozen=True, slots=True, kw_only=True)
class EigenvalueScale:
    """A symmetric-log axis of eigenvalues, one for all spectra that are compared.

    An eigenvalue x is drawn at u(x) = asinh(x / w) / ln 10: linear within the threshold w, one unit a decade
    far outside it. Unlike the piecewise symmetric logarithm it has no kink, which would show in a density.

    Attributes:
        threshold: w.
        low, high: the ends of the axis, as eigenvalues.
        bandwidth: the kernel's standard deviation, in units of u.
        floor, ceiling: the densities that the other axis spans; NaN where no spectrum has a density.
    """

    threshold: float
    low: float
    high: float
    bandwidth: float
    floor: float = float("nan")
    ceiling: float = float("nan")

    def transform(self, x: FloatArray) -> FloatArray:
        """Return where eigenvalues lie on the axis, in decades."""
        return np.asarray(np.arcsinh(x / self.threshold) / _DECADE)

    def inverse_transform(self, u: FloatArray) -> FloatArray:
        """Return the eigenvalues at places of the axis."""
        return np.asarray(self.threshold * np.sinh(u * _DECADE))

    def points(self) -> FloatArray:
        """Return eigenvalues at equal distances on the axis, from end to end."""
        low, high = self.transform(np.array([self.low, self.high]))
        return self.inverse_transform(np.linspace(low, high, _FINE))

    def ticks(self, apart: float) -> tuple[FloatArray, FloatArray]:
        """Return 0 and the powers of ten to be labelled, the largest first, ``apart`` of the axis apart; and the rest.

        The rest are the other powers of ten, and where they are at most four, their multiples too.
        """
        reach = max(-self.low, self.high)
        decades = 10.0 ** np.arange(np.floor(np.log10(self.threshold)), np.log10(reach) + 1e-9)
        axis = float(np.ptp(self.transform(np.array([self.low, self.high]))))
        kept: list[float] = []
        for decade in decades[::-1]:
            place, above = self.transform(np.array([decade, kept[-1] if kept else np.inf]))
            if min(above - place, place) >= apart * axis:
                kept.append(float(decade))
        finer = decades if len(decades) > _FEW else np.concatenate([decades * m for m in range(1, 10)])
        major = np.array([-x for x in kept] + [0.0] + kept[::-1])
        minor = np.setdiff1d(np.concatenate([-finer, finer]), major)
        return tuple(x[(x >= self.low) & (x <= self.high)] for x in (major, minor))  # type: ignore[return-value]


def rule_of(spectrum: Spectrum) -> tuple[FloatArray, FloatArray] | None:
    """Return nodes and weights (probes, steps) of a spectrum's density; None where only some eigenvalues are known.

    Where all are known, and they are many, they are their own rule, of weights 1/P.
    """
    if spectrum.density is not None:
        return spectrum.density.nodes, spectrum.density.weights
    if spectrum.whole and spectrum.dimension >= _MANY:
        return spectrum.eigenvalues[None], np.full((1, spectrum.dimension), 1 / spectrum.dimension)
    return None


def smoothed(rule: tuple[FloatArray, FloatArray], scale: EigenvalueScale, x: FloatArray) -> FloatArray:
    """Return the density at ``x`` as the share of eigenvalues a decade, that is, per unit of u.

    p(u(x)) = mean over probes of sum_j w_j N(u(x); u(t_j), s^2) for nodes t_j, weights w_j and the bandwidth s. The
    kernel is as wide everywhere on the axis, so that its width in eigenvalues grows with |x| and one picture shows
    the bulk and the outliers. The integral over u is the sum of the weights, 1. Source: ours; a kernel of one width
    in x, as in Ghorbani et al., arXiv 1901.10159, shows either.
    """
    nodes, weights = rule
    held = np.isfinite(nodes)
    u, w = scale.transform(nodes[held]), weights[held] / len(nodes)
    z = (scale.transform(x)[:, None] - u) / scale.bandwidth
    return np.asarray(np.exp(-0.5 * z**2) @ w / (np.sqrt(2 * np.pi) * scale.bandwidth))


def choose_scale(spectra: Sequence[Spectrum]) -> EigenvalueScale:
    """Return the axis on which spectra are compared: it holds 0, every eigenvalue and every node.

    The threshold is the median |eigenvalue| by the density, so that half of the eigenvalues lie where the axis is
    linear and not in decades of rounding; and at least 2.5 times the distance between the two nodes next to 0, since a
    quadrature knows nothing of what lies between them, and a finer axis would show a gap where the bulk is. Where no
    spectrum has a density it is the smallest |eigenvalue| that was found. It stays within 1e-5 and 1e-1 of the
    largest; the largest of several spectra's is taken, for which none of them is too coarse. Ours.
    """
    seen = np.concatenate([_seen(spectrum) for spectrum in spectra])
    ruled = [spectrum for spectrum in spectra if rule_of(spectrum) is not None]
    width = max(_threshold(spectrum) for spectrum in ruled or spectra)
    bare = EigenvalueScale(
        threshold=width, low=min(0.0, float(seen.min())), high=max(0.0, float(seen.max())), bandwidth=1.0
    )
    low, high = bare.transform(np.array([bare.low, bare.high]))
    bandwidth = _KERNEL * float(high - low) or _KERNEL
    low, high = bare.inverse_transform(np.array([low - _PAD * bandwidth, high + _PAD * bandwidth]))
    scale = EigenvalueScale(threshold=width, low=float(low), high=float(high), bandwidth=bandwidth)
    return replace(scale, **_densities(spectra, scale))


def _seen(spectrum: Spectrum) -> FloatArray:
    rule = rule_of(spectrum)
    if rule is None:
        return spectrum.eigenvalues
    return np.concatenate([spectrum.eigenvalues, rule[0][np.isfinite(rule[0])]])


def _threshold(spectrum: Spectrum) -> float:
    seen = np.abs(_seen(spectrum))
    largest = float(seen.max())
    if largest == 0:
        return 1.0
    rule = rule_of(spectrum)
    typical = max(_median(*rule), _BRIDGED * _gap(rule[0])) if rule else float(seen[seen > 0].min())
    return float(np.clip(typical, _DEEPEST * largest, _SHALLOWEST * largest))


def _median(nodes: FloatArray, weights: FloatArray) -> float:
    """Return the median |eigenvalue| by a rule."""
    held = np.isfinite(nodes)
    order = np.argsort(np.abs(nodes[held]))
    below = np.cumsum(weights[held][order])
    return float(np.abs(nodes[held][order])[np.searchsorted(below, below[-1] / 2)])


def _gap(nodes: FloatArray) -> float:
    """Return the distance between the nodes to either side of 0, the median over probes."""
    above = np.min(nodes, axis=1, where=nodes > 0, initial=np.inf)
    below = np.max(nodes, axis=1, where=nodes <= 0, initial=-np.inf)
    return float(np.median(np.where(np.isfinite(above), above, 0) - np.where(np.isfinite(below), below, 0)))


def _densities(spectra: Sequence[Spectrum], scale: EigenvalueScale) -> dict[str, float]:
    """Return the floor and the ceiling of densities: a single eigenvalue's peak is a decade high.

    An outlier of multiplicity 1 weighs 1/P, and its peak is that over sqrt(2 pi) times the bandwidth.
    """
    ruled = [(spectrum, rule) for spectrum in spectra if (rule := rule_of(spectrum)) is not None]
    if not ruled:
        return {}
    peak = max(float(smoothed(rule, scale, scale.points()).max()) for _, rule in ruled)
    single = min(1 / spectrum.dimension for spectrum, _ in ruled) / (np.sqrt(2 * np.pi) * scale.bandwidth)
    return {"floor": float(min(single, peak) / 10), "ceiling": 2 * peak}
