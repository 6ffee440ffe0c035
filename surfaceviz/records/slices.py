"""Slices as frozen numpy records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from surfaceviz.printable import printable
from surfaceviz.records.arrays import EVALUATED, INTERPOLATED, FloatArray, html_table
from surfaceviz.records.curvature import HessianMap, Spectrum
from surfaceviz.records.minima import Minima
from surfaceviz.records.trajectory import Trajectory
from surfaceviz.records.words.describe_slice import describe

CLAIMED_SHARE = 0.10  # of the interpolated points that may be over the tolerance: what an audit must show
CLAIMED_SHARE_ABOVE = 0.20  # of those above the level that may lie below it: likewise


class TensorEntry(NamedTuple):
    """A tensor's place in its model's state dict."""

    name: str  # canonical
    shape: tuple[int, ...]
    is_buffer: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class DirectionRecord:
    """The description of a direction; its tensors are not part of the record.

    Attributes:
        kind: ``random``, ``difference``, ``eigenvector``, ``gradient``, ``gradient difference``, ``coordinate``,
            ``ascent``, ``file`` or ``trajectory``.
        sha256: fingerprint of the tensors, hexadecimal.
        rule: canonical tensor name -> how it was normalised, in words.
        seed: of a random direction.
        normalise: of a random direction, a name of `definitions`: filter, layer, ...
        ignore: of a random direction, ``biasbn`` or ``none``.
        source: of a difference, the weights that it leads to; of an eigenvector its residual, in words; of an
            ascent what it reached; of a file its name.
        eigenvalue: of an eigenvector.
        norm: Euclidean norm of the tensors, of the first of several rays; None in files of older versions.
        derivatives: of a direction from the loss, whether its derivatives were compared with differences, in words that
            begin with ``checked`` or ``not checked``.
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
    derivatives: str | None = None
    norm: float | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """A model marked on the slice, with its values where it lies."""

    name: str
    coordinates: tuple[float, ...]  # (ndim,)
    values: Mapping[str, float]  # <split>_<metric> -> value


@dataclass(frozen=True, slots=True, kw_only=True)
class Audit:
    """The error of the interpolated points, estimated at fresh random ones.

    Points whose interpolated loss is at most its level are judged by their values, losses by their relative error and
    accuracies by the absolute one; points above the level only by whether they are above.

    Attributes:
        tolerance: the largest error allowed.
        count: the number of points taken below the level; 0 where none is left to interpolate there.
        over: the number of them over the tolerance in any of the losses and metrics.
        share_upper95: the bound on the share over the tolerance among the points that stay interpolated below the
            level, with 95% confidence for all audits of the run together.
        worst: the largest error seen; infinite where a point had diverged.
        confidence: of this audit only, 1 - 0.05 / 2^j for the j-th.
        above_count: the number of points taken above the level. Files written before the level was stored have None:
            their other fields are of all points, and values above the level were not judged.
        above_over: the number of them that lie below the level by more than the tolerance.
        above_share_upper95: the bound on the share of such points, with 95% confidence for all audits together.
    """

    tolerance: float
    count: int
    over: int
    share_upper95: float
    worst: float
    confidence: float
    above_count: int | None = None
    above_over: int | None = None
    above_share_upper95: float | None = None

    @property
    def passed(self) -> bool:
        """Whether at most 10% are over below the level, and at most 20% above it lie below, by the bounds."""
        return self.share_upper95 <= CLAIMED_SHARE and (self.above_share_upper95 or 0.0) <= CLAIMED_SHARE_ABOVE


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """A 1-D or 2-D cut through the loss.

    Attributes:
        axes: one coordinate array for each dimension, shapes (n_alpha,)[, (n_beta,)], in units of
            the directions.
        seeds: of the directions of K rays, which share one axis; empty for one curve or surface. All arrays over the
            grid then have the shape (K, n_alpha).
        values: ``<split>_<metric>`` -> array of shape (n_alpha[, n_beta]), element [i, j] taken at
            (axes[0][i], axes[1][j]); NaN where missing.
        stderr: likewise, the standard error of the mean over samples, where samples have values.
        rise_stderr: likewise, that of the paired difference to the centre.
        origin: uint8 (n_alpha[, n_beta]): 0 missing, 1 evaluated, 2 interpolated.
        centre: ``<split>_<metric>`` -> the value at theta itself.
        directions: one for each dimension; of rays, that of the first.
        marks: models that lie on the slice, theta apart.
        audit: of the interpolated points, once a refinement has ended.
        provenance: how it was made: command, problem, fingerprints, seed, dtype, engine, ...
        spectra: of points of it, in the order in which they were asked for.
        hessian_map: the extreme eigenvalues on a grid over it.
        trajectory: of a training, projected onto it.
        minima: of one of its losses, with the passes between them.
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
    seeds: tuple[int, ...] = ()
    minima: Minima | None = None

    @property
    def ndim(self) -> int:
        """1 for a curve and for rays, 2 for a surface."""
        return len(self.axes)

    @property
    def grid(self) -> tuple[FloatArray, ...]:
        """The coordinates along each dimension of the arrays: the axes, of rays their numbers from 1 before them."""
        return (np.arange(1.0, len(self.seeds) + 1), *self.axes) if self.seeds else self.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the arrays: (n_alpha[, n_beta]), of rays (K, n_alpha)."""
        return tuple(len(along) for along in self.grid)

    @property
    def shape_words(self) -> str:
        """The shape in words, such as ``25 x 25`` or ``10 rays x 41``."""
        rays = [f"{len(self.seeds)} rays"] if self.seeds else []
        return " x ".join([*rays, *(str(len(axis)) for axis in self.axes)])

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
    def levels(self) -> dict[str, float]:
        """Name of each loss -> its level, above which nothing is resolved; empty in files that don't have it."""
        suffix = "_level"
        return {
            key.removesuffix(suffix): float(value)
            for key, value in self.provenance.items()
            if key.endswith(f"loss{suffix}")
        }

    def loss_of(self, name: str) -> str:
        """Return the name of the loss of the split that a metric is of; the name itself where there is none."""
        splits = sorted(self.splits, key=len, reverse=True)  # a split's name may begin with another's
        split = next((split for split in splits if name.startswith(f"{split}_")), None)
        return name if split is None else f"{split}_loss"

    def unresolved(self, name: str) -> NDArray[np.bool_]:
        """Return where a metric is interpolated and its loss above the level: of values there no more is known."""
        loss = self.loss_of(name)
        if loss not in self.levels or loss not in self.values:
            return np.zeros(self.shape, np.bool_)
        above: NDArray[np.bool_] = (self.origin == INTERPOLATED) & (self.values[loss] > self.levels[loss])
        return above

    def resolved(self, name: str) -> FloatArray:
        """Return the values of a metric, NaN where it is not resolved."""
        return np.where(self.unresolved(name), np.nan, self.values[name])

    @property
    def unaudited(self) -> bool:
        """Whether there are interpolated points that no audit has checked yet."""
        return self.audit is None and self.done > self.evaluated

    @property
    def title(self) -> str:
        """The problem's name, for a picture."""
        return str(self.provenance.get("problem", ""))

    def __repr__(self) -> str:
        return printable(
            f"<Slice of {self.title or 'a problem'}: {self.shape_words}, {self.done} points, {', '.join(self.values)}>"
        )

    def _repr_html_(self) -> str:
        return html_table(describe(self))
