"""Slices as frozen numpy records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records.arrays import FloatArray, html_table
from surfaceviz.records.curvature import HessianMap, Spectrum
from surfaceviz.records.trajectory import Trajectory

MISSING, EVALUATED, INTERPOLATED = 0, 1, 2  # the values of `Slice.origin`
AXIS_NAMES = ("alpha", "beta")
CLAIMED_SHARE = 0.10  # of the interpolated points that may be over the tolerance: what an audit must show


class TensorEntry(NamedTuple):
    """A tensor's place in its model's state dict."""

    name: str  # canonical
    shape: tuple[int, ...]
    is_buffer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionRecord:
    """The description of a direction; its tensors are not part of the record.

    Attributes:
        kind: ``random``, ``difference``, ``eigenvector``, ``gradient``, ``gradient difference``,
            ``ascent`` or ``file``.
        sha256: fingerprint of the tensors, hexadecimal.
        rule: canonical tensor name -> how it was normalised, in words.
        seed: of a random direction.
        normalise: of a random direction, a name of `definitions`: filter, layer, ...
        ignore: of a random direction, ``biasbn`` or ``none``.
        source: of a difference, the weights that it leads to; of an eigenvector its residual, in words; of an
            ascent what it reached; of a file its name.
        eigenvalue: of an eigenvector.
        layout: all tensors of the model, in the order of its state dict, tied ones once for each place: what files
            that number tensors go by.
    """

    kind: str
    sha256: str
    rule: Mapping[str, str]
    seed: int | None = None
    normalise: str | None = None
    ignore: str | None = None
    source: str | None = None
    eigenvalue: float | None = None
    layout: tuple[TensorEntry, ...] = ()


@dataclass(frozen=True, slots=True)
class Mark:
    """A model marked on the slice, with its values where it lies."""

    name: str
    coordinates: tuple[float, ...]  # (ndim,)
    values: Mapping[str, float]  # <split>_<metric> -> value


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The error of the interpolated points, estimated at fresh random ones.

    Attributes:
        tolerance: the largest error allowed.
        count: the number of points taken; 0 where nothing is left to interpolate.
        over: the number of them over the tolerance in any of the losses.
        share_upper95: the bound on the share over the tolerance among the points that stay interpolated, with 95%
            confidence for all audits of the run together.
        worst: the largest error seen; infinite where a point had diverged.
        confidence: of this audit only, 1 - 0.05 / 2^j for the j-th.
    """

    tolerance: float
    count: int
    over: int
    share_upper95: float
    worst: float
    confidence: float

    @property
    def passed(self) -> bool:
        """Whether at most 10% are over, by the bound."""
        return self.share_upper95 <= CLAIMED_SHARE


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A 1-D or 2-D cut through the loss.

    Attributes:
        axes: one coordinate array for each dimension, shapes (n_alpha,)[, (n_beta,)], in units of
            the directions.
        values: ``<split>_<metric>`` -> array of shape (n_alpha[, n_beta]), element [i, j] taken at
            (axes[0][i], axes[1][j]); NaN where missing.
        stderr: likewise, the standard error of the mean over samples, where samples have values.
        rise_stderr: likewise, that of the paired difference to the centre.
        origin: uint8 (n_alpha[, n_beta]): 0 missing, 1 evaluated, 2 interpolated.
        centre: ``<split>_<metric>`` -> the value at theta itself.
        directions: one for each dimension.
        marks: models that lie on the slice, theta apart.
        audit: of the interpolated points, once a refinement has ended.
        provenance: how it was made: command, problem, fingerprints, seed, dtype, engine, ...
        spectra: of points of it, in the order in which they were asked for.
        hessian_map: the extreme eigenvalues on a grid over it.
        trajectory: of a training, projected onto it.
    """

    axes: tuple[FloatArray, ...]
    values: Mapping[str, FloatArray]
    origin: NDArray[np.uint8]
    centre: Mapping[str, float]
    directions: tuple[DirectionRecord, ...] = ()
    stderr: Mapping[str, FloatArray] = field(default_factory=dict)
    rise_stderr: Mapping[str, FloatArray] = field(default_factory=dict)
    marks: tuple[Mark, ...] = ()
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)
    audit: Audit | None = None
    spectra: tuple[Spectrum, ...] = ()
    hessian_map: HessianMap | None = None
    trajectory: Trajectory | None = None

    @property
    def ndim(self) -> int:
        """1 for a curve, 2 for a surface."""
        return len(self.axes)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n_alpha[, n_beta])."""
        return tuple(len(axis) for axis in self.axes)

    @property
    def done(self) -> int:
        """The number of points that have a value."""
        return int(np.count_nonzero(self.origin))

    @property
    def evaluated(self) -> int:
        """The number of points that were evaluated."""
        return int(np.count_nonzero(self.origin == EVALUATED))

    @property
    def complete(self) -> bool:
        """Whether no point is missing."""
        return bool(np.all(self.origin))

    @property
    def splits(self) -> list[str]:
        """The names of the splits, in order: as noted, or read off the names of the losses."""
        noted = str(self.provenance.get("splits", ""))
        return noted.split(",") if noted else [k.removesuffix("_loss") for k in self.values if k.endswith("_loss")]

    @property
    def unaudited(self) -> bool:
        """Whether there are interpolated points that no audit has checked yet."""
        return self.audit is None and self.done > self.evaluated

    @property
    def title(self) -> str:
        """The problem's name, for a picture."""
        return str(self.provenance.get("problem", ""))

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.shape))
        return f"<Slice of {self.title or 'a problem'}: {shape}, {self.done} points, {', '.join(self.values)}>"

    def _repr_html_(self) -> str:
        return html_table(describe(self))


def describe(surface: Slice) -> list[tuple[str, str]]:
    """Return the contents of a slice as (label, text) rows, for `info` and for notebooks.

    >>> import numpy as np
    >>> line = Slice(axes=(np.array([0.0, 1.0]),), values={"train_loss": np.array([1.0, 2.0])},
    ...              origin=np.array([1, 1], np.uint8), centre={"train_loss": 1.0})
    >>> describe(line)[0]
    ('grid', '2 points: alpha 0 .. 1; 2 done')
    """
    ranges = ", ".join(
        f"{name} {axis[0]:g} .. {axis[-1]:g}" for name, axis in zip(AXIS_NAMES, surface.axes, strict=False)
    )
    shape = " x ".join(map(str, surface.shape))
    done = f"{surface.done} done" if surface.complete else f"{surface.done} of {surface.origin.size} done"
    if surface.evaluated < surface.done:
        done = f"{surface.evaluated} evaluated, {surface.done - surface.evaluated} interpolated"
    shard = str(surface.provenance.get("shard", "none"))
    part = "" if shard == "none" else f" (part {shard})"
    rows = [("grid", f"{shape} points: {ranges}; {done}{part}")]
    if surface.audit is not None:
        rows.append(("audit", describe_audit(surface.audit)))
    if surface.unaudited:
        rows.append(("audit", "none yet: the run is not finished, and what is interpolated may be far off"))
    rows += [("centre", f"{name} {value:.6g}") for name, value in surface.centre.items()]
    for name, array in surface.values.items():
        finite = array[np.isfinite(array)]
        bounds = f"{finite.min():.6g} .. {finite.max():.6g}" if finite.size else "no finite value"
        diverged = int(np.count_nonzero((surface.origin > 0) & ~np.isfinite(array)))
        rows.append((name, bounds + (f", {diverged} diverged" if diverged else "")))
    for axis, direction in zip(AXIS_NAMES, surface.directions, strict=False):
        rows.append((f"direction {axis}", _describe_direction(direction)))
    for mark in surface.marks:
        where = ", ".join(f"{x:.4g}" for x in mark.coordinates)
        rows.append(
            (
                "mark",
                f"{mark.name} at ({where}): " + ", ".join(f"{k} {v:.6g}" for k, v in mark.values.items()),
            )
        )
    rows += [("spectrum", f"{spectrum!r}"[1:-1]) for spectrum in surface.spectra]
    if surface.hessian_map is not None:
        measured = int(np.count_nonzero(surface.hessian_map.origin))
        rows.append(("hessian map", f"{measured} of {surface.hessian_map.origin.size} points"))
        rows.append(("", surface.hessian_map.beyond_words))
    if surface.trajectory is not None:
        rows.append(("trajectory", f"{len(surface.trajectory.step)} iterates"))
    rows += [(key.replace("_", " "), str(value)) for key, value in surface.provenance.items()]
    return rows


def describe_audit(audit: Audit) -> str:
    """Return the result of an audit, in words."""
    if audit.count == 0:
        return "every point was evaluated"
    return (
        f"{audit.over} of {audit.count} fresh points over {audit.tolerance:g}: with 95% confidence at most "
        f"{audit.share_upper95:.1%} of the interpolated ones are; worst of the {audit.count}: {audit.worst:.2g}"
    )


def _describe_direction(direction: DirectionRecord) -> str:
    parts = [direction.kind]
    if direction.source is not None:
        parts.append(f"to {direction.source}" if direction.kind == "difference" else direction.source)
    if direction.seed is not None:
        parts.append(f"seed {direction.seed}, normalise {direction.normalise}, ignore {direction.ignore}")
    return ", ".join(parts) + (f", sha256 {direction.sha256[:12]}" if direction.sha256 else "")
