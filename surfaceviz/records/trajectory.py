"""The trajectory of a training, projected onto a slice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from surfaceviz.records.arrays import FloatArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Trajectory:
    """The iterates of a training, projected onto a slice.

    Attributes:
        coordinates: of each iterate's projection, (t, ndim).
        step: of training, (t,).
        distance: of each iterate from the slice, in the norm of weight space, (t,); NaN where it is not known.
        values: ``train_loss`` of the iterates themselves, ``projected_loss`` of their projections, ..., (t,) each.
        provenance: ``explained_variance``, ``random_walk``, ``centred``, where they are known.
    """

    coordinates: FloatArray
    step: FloatArray
    distance: FloatArray
    values: Mapping[str, FloatArray] = field(default_factory=dict)
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<Trajectory of {len(self.step)} iterates>"
