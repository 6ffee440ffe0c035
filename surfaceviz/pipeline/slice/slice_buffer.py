"""The slice as it fills, and its snapshots."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from surfaceviz import store
from surfaceviz.errors import ProblemError
from surfaceviz.evaluate import PointValues
from surfaceviz.records import EVALUATED, INTERPOLATED, MISSING, Audit, DirectionRecord, FloatArray, Mark, Slice
from surfaceviz.signals import deferred_signals

SNAPSHOT_SECONDS = 3.0
SNAPSHOT_SHARE = 0.015  # of the run's time at the most, so that all of it stays under 2%


class SliceBuffer:
    """The arrays of a slice; points are put in, records taken out.

    Args:
        axes: coordinates.
        centre: the values at theta, whose names are those of all points.
        before: the slice to go on from.
    """

    def __init__(
        self,
        axes: Sequence[FloatArray],
        centre: PointValues,
        *,
        directions: Sequence[DirectionRecord],
        marks: Sequence[Mark],
        provenance: Mapping[str, str | int | float],
        before: Slice | None = None,
    ) -> None:
        _check_names(list(centre.values))
        self.audit: Audit | None = None
        kept_as_is = () if before is None else ("spectra", "hessian_map", "trajectory")
        self._unchanged: dict[str, Any] = {name: getattr(before, name) for name in kept_as_is}
        self.axes = tuple(axes)
        self.provenance = dict(provenance)
        self._centre, self._directions, self._marks = centre.first, tuple(directions), tuple(marks)
        shape = tuple(len(axis) for axis in axes)
        kept = (
            before
            if before is not None
            else Slice(axes=self.axes, values={}, origin=np.zeros(shape, np.uint8), centre={})
        )
        self.origin = kept.origin.copy()
        self._values = _arrays(centre.values, kept.values, shape)
        self._stderr = _arrays(centre.stderr, kept.stderr, shape)
        self._rise = _arrays(centre.rise_stderr, kept.rise_stderr, shape)

    @property
    def centre(self) -> Mapping[str, float]:
        """The values at theta itself."""
        return self._centre

    def put(self, indices: Sequence[int], values: PointValues) -> None:
        """Enter points at flat indices; their origin last."""
        for arrays, given in (
            (self._values, values.values),
            (self._stderr, values.stderr),
            (self._rise, values.rise_stderr),
        ):
            for name, value in given.items():
                arrays[name].flat[list(indices)] = value
        self.origin.flat[list(indices)] = EVALUATED

    def forget_all(self) -> None:
        """Let go of all points."""
        self.origin[...] = MISSING
        for arrays in (self._values, self._stderr, self._rise):
            for array in arrays.values():
                array[...] = np.nan

    def at(self, indices: NDArray[np.intp]) -> dict[str, FloatArray]:
        """Return the values at flat indices."""
        return {name: array.flat[indices] for name, array in self._values.items()}

    def interpolate(self, filled: Mapping[str, FloatArray]) -> None:
        """Take over whole surfaces wherever no point was evaluated; standard errors there are unknown."""
        rest = self.origin != EVALUATED
        for name, array in filled.items():
            self._values[name][rest] = array[rest]
        for arrays in (self._stderr, self._rise):
            for array in arrays.values():
                array[rest] = np.nan
        self.origin[rest] = INTERPOLATED

    def surface(self) -> Slice:
        """Return the slice so far (its arrays are the board's own)."""
        return Slice(
            axes=self.axes, values=self._values, origin=self.origin, centre=self._centre, directions=self._directions,
            stderr=self._stderr, rise_stderr=self._rise, marks=self._marks, provenance=dict(self.provenance),
            audit=self.audit, **self._unchanged,
        )  # fmt: skip


def _arrays(like: Iterable[str], kept: Mapping[str, FloatArray], shape: tuple[int, ...]) -> dict[str, FloatArray]:
    return {name: kept[name].copy() if name in kept else np.full(shape, np.nan) for name in like}


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if "/" in name or name.endswith("_stderr") or not name.isprintable():
            raise ProblemError(f"a split and metric make the name {name!r}; it may hold no '/', nor end in '_stderr'")


class Snapshots:
    """Writes the board to its file every few seconds, or more rarely where that would cost over 2%."""

    def __init__(self, path: Path | None, board: SliceBuffer, tensors: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        self._path, self._board, self._tensors = path, board, tensors
        self._started = self._last = time.monotonic()
        self.seconds = 0.0

    def save_if_due(self, update: Callable[[], None]) -> None:
        """Save where enough time has passed; ``update`` brings the board's provenance up to date first."""
        now = time.monotonic()
        spent_enough = self.seconds > SNAPSHOT_SHARE * (now - self._started)
        if now - self._last >= SNAPSHOT_SECONDS and not spent_enough:
            update()
            self.save()

    def save(self) -> None:
        """Save now; a signal waits until it is done."""
        if self._path is None:
            return
        begun = time.monotonic()
        with deferred_signals():
            store.write(self._path, self._board.surface(), self._tensors)
        self._last = time.monotonic()
        self.seconds += self._last - begun
