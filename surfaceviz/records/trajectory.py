"""Trajectories of trainings, projected onto a slice."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records.arrays import FloatArray

PROJECTED_LOSS = "projected_loss"
_SAME = 1e-6  # of the extent: coordinates that agree so well are of the same iterates


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The iterates of one or several trainings, projected onto a slice.

    Attributes:
        coordinates: of each iterate's projection, (t, ndim).
        step: of training, (t,).
        distance: of each iterate from the slice, in the norm of weight space, (t,); NaN where it is not known.
        values: ``<split>_<metric>`` of the iterates themselves, ``projected_loss`` of their projections with the
            buffers of theta, (t,) each.
        run: number of the training that an iterate belongs to, not decreasing, (t,); None for one training.
        provenance: where they are known: ``explained_variance`` (the share of the iterates' squared distance from
            theta, or of their variance, that lies in the slice) and its parts ``explained_variance_alpha``, ``_beta``;
            ``random_walk``, that of random walks of the same length; ``centred``; ``runs``, names as JSON; ``loss``,
            the name of the loss that ``projected_loss`` is of.
    """

    coordinates: FloatArray
    step: FloatArray
    distance: FloatArray
    values: Mapping[str, FloatArray] = field(default_factory=dict)
    run: NDArray[np.intp] | None = None
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the trainings; empty where they are not known."""
        return tuple(map(str, json.loads(str(self.provenance.get("runs", "[]")))))

    @property
    def own_loss(self) -> FloatArray | None:
        """The loss of the iterates that ``projected_loss`` is compared with, (t,); None where it is not known."""
        known = [name for name in self.values if name.endswith("_loss") and name != PROJECTED_LOSS]
        return self.values.get(str(self.provenance.get("loss", known[0] if len(known) == 1 else "train_loss")))

    @property
    def projected_loss(self) -> FloatArray | None:
        """The loss of the projections of the iterates, (t,); None where it is not known."""
        return self.values.get(PROJECTED_LOSS)

    @property
    def paths(self) -> tuple[Trajectory, ...]:
        """The trajectory of each training."""
        if self.run is None:
            return (self,)
        return tuple(self._part(self.run == number) for number in np.unique(self.run))

    def first(self, count: int) -> Trajectory:
        """Return the first ``count`` iterates of each training."""
        run = np.zeros(len(self.step), np.intp) if self.run is None else self.run
        kept = np.concatenate([np.arange((run == number).sum()) < count for number in np.unique(run)])
        return replace(self._part(kept), run=None if self.run is None else self.run[kept])

    def _part(self, kept: NDArray[np.bool_]) -> Trajectory:
        return replace(
            self, coordinates=self.coordinates[kept], step=self.step[kept], distance=self.distance[kept],
            values={name: array[kept] for name, array in self.values.items()}, run=None,
        )  # fmt: skip

    @property
    def with_gaps(self) -> Trajectory:
        """The trajectory with an iterate of NaN between trainings, where a line has to end; of one training, itself."""
        if self.run is None:
            return self
        places = np.flatnonzero(np.diff(self.run)) + 1
        return replace(
            self, run=None, coordinates=np.insert(self.coordinates, places, np.nan, axis=0),
            step=np.insert(self.step, places, np.nan), distance=np.insert(self.distance, places, np.nan),
            values={name: np.insert(array, places, np.nan) for name, array in self.values.items()},
        )  # fmt: skip

    def with_values_of(self, other: Trajectory | None) -> Trajectory:
        """Return this trajectory with the values of another one, if both have the same iterates."""
        if other is None or other.coordinates.shape != self.coordinates.shape:
            return self
        pairs = ((self.coordinates, other.coordinates), (self.distance, other.distance), (self.step, other.step))
        scale = _SAME * float(np.abs(self.coordinates).max())
        same = all(np.allclose(mine, theirs, rtol=_SAME, atol=scale) for mine, theirs in pairs)
        known = {**self.provenance, **({"loss": other.provenance["loss"]} if "loss" in other.provenance else {})}
        return replace(self, values=other.values, provenance=known) if same else self

    def __repr__(self) -> str:
        runs = f" of {len(self.paths)} runs" if self.run is not None else ""
        return f"<Trajectory of {len(self.step)} iterates{runs}>"
