"""The quantity that a picture shows: a metric of a split, or its rise over the centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray, Slice
from surfaceviz.render.labels import plain

_RISE = "rise"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantity:
    """A quantity of a slice.

    Attributes:
        name: ``<split>_<metric>``, or ``<split>_rise``.
        label: in words, for an axis or a colour bar.
        values: (n_alpha[, n_beta]).
        centre: the value at theta; NaN where it is not known.
        is_loss: whether ``levels`` auto may choose a log scale.
        level: of a loss, above which nothing is resolved; None where none is known.
        unresolved: where it is interpolated and its split's loss above the level, (n_alpha[, n_beta]).
    """

    name: str
    label: str
    values: FloatArray
    centre: float
    is_loss: bool
    level: float | None = None
    unresolved: NDArray[np.bool_]

    def hidden(self, clip: float | None) -> NDArray[np.bool_]:
        """Return where nothing may be drawn: what is not resolved, unless it lies above the clip, which is marked."""
        if clip is not None and self.is_loss:
            return self.unresolved & (self.values <= clip)
        return self.unresolved


def quantity(surface: Slice, of: str | None = None) -> Quantity:
    """Return the quantity that ``of`` names.

    Args:
        surface: a slice.
        of: ``<split>_<metric>``; a metric, such as ``loss`` or ``accuracy``: of the first split that has it; ``rise``
            or ``<split>_rise``: the loss less that of the centre. By default the loss.

    Raises:
        ValueError: the slice does not have it.
    """
    of = of or "loss"
    names = list(dict.fromkeys([of, *(f"{split}_{of}" for split in surface.splits)]))
    for name in names:
        if name in surface.values:
            is_loss = name.endswith("loss")
            centre = surface.centre.get(name, np.nan)
            return Quantity(
                name=name, label=_words(name), values=surface.values[name], centre=centre, is_loss=is_loss,
                level=surface.levels.get(name), unresolved=surface.unresolved(name),
            )  # fmt: skip
        loss = f"{name.removesuffix(_RISE)}loss"
        if name.endswith(f"_{_RISE}") and loss in surface.values and loss in surface.centre:
            centre, level = surface.centre[loss], surface.levels.get(loss)
            return Quantity(
                name=name, label=f"rise of {_words(loss)}", values=surface.values[loss] - centre, centre=0.0,
                is_loss=True, level=None if level is None else level - centre, unresolved=surface.unresolved(loss),
            )  # fmt: skip
    raise ValueError(f"no {of!r} in {surface.title or 'the slice'}; it has {', '.join(surface.values)}")


def shared_quantity(surfaces: Sequence[Slice], of: str | None = None) -> list[Quantity]:
    """Return one quantity of all slices: what ``of`` names in the first one, of the first split for which all have it.

    Raises:
        ValueError: they don't all have it.
    """
    first = quantity(surfaces[0], of)
    names = [first.name, *(f"{split}_{of or 'loss'}" for split in surfaces[0].splits)]
    for name in dict.fromkeys(names):
        if all(_has(surface, name) for surface in surfaces):
            return [quantity(surface, name) for surface in surfaces]
    odd = next(surface for surface in surfaces if not _has(surface, first.name))
    raise ValueError(f"no {first.name!r} in {odd.title or 'the slice'}; it has {', '.join(odd.values)}")


def _has(surface: Slice, name: str) -> bool:
    loss = f"{name.removesuffix(_RISE)}loss"
    return name in surface.values or (name.endswith(f"_{_RISE}") and loss in surface.values and loss in surface.centre)


def _words(name: str) -> str:
    return plain(name).replace("_", " ")
