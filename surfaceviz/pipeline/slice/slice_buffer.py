"""The buffer of a slice during its run, and its snapshots."""

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
from surfaceviz.records import (
    EVALUATED,
    INTERPOLATED,
    MISSING,
    Audit,
    DirectionRecord,
    FloatArray,
    Mark,
    Slice,
    Trajectory,
)
from surfaceviz.signals import deferred_signals

SNAPSHOT_SECONDS = 3.0
SNAPSHOT_SHARE = 0.015  # largest share of the run's time; below 2% with the last snapshot


class SliceBuffer:
    """The arrays of a slice that is being computed.

    Args:
        axes: coordinates.
        centre: the values at theta, which name the values of all points.
        before: the slice that the run resumes.
        path: of trainings on the slice; by default that of ``before``.
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
        path: Trajectory | None = None,
    ) -> None:
        _check_names(list(centre.values))
        self.audit: Audit | None = None
        kept_as_is = () if before is None else ("spectra", "hessian_map", "trajectory")
        self._unchanged: dict[str, Any] = {name: getattr(before, name) for name in kept_as_is}
        if path is not None:
            self._unchanged["trajectory"] = path.with_values_of(self._unchanged.get("trajectory"))
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
        self._rise_stderr = _arrays(centre.rise_stderr, kept.rise_stderr, shape)

    @property
    def centre(self) -> Mapping[str, float]:
        """The values at theta itself."""
        return self._centre

    def put(self, indices: Sequence[int], values: PointValues) -> None:
        """Store the values of points at flat indices; the origin last, as it marks them as evaluated."""
        for arrays, given in (
            (self._values, values.values),
            (self._stderr, values.stderr),
            (self._rise_stderr, values.rise_stderr),
        ):
            for name, value in given.items():
                arrays[name].flat[list(indices)] = value
        self.origin.flat[list(indices)] = EVALUATED

    def clear(self) -> None:
        """Remove all points."""
        self.origin[...] = MISSING
        for arrays in (self._values, self._stderr, self._rise_stderr):
            for array in arrays.values():
                array[...] = np.nan

    def at(self, indices: NDArray[np.intp]) -> dict[str, FloatArray]:
        """Return the values at flat indices."""
        return {name: array.flat[indices] for name, array in self._values.items()}

    def interpolate(self, filled: Mapping[str, FloatArray]) -> None:
        """Store interpolated values where no point was evaluated; their standard errors are NaN."""
        rest = self.origin != EVALUATED
        for name, array in filled.items():
            self._values[name][rest] = array[rest]
        for arrays in (self._stderr, self._rise_stderr):
            for array in arrays.values():
                array[rest] = np.nan
        self.origin[rest] = INTERPOLATED

    def surface(self) -> Slice:
        """Return the present slice, which shares the buffer's arrays."""
        return Slice(
            axes=self.axes, values=self._values, origin=self.origin, centre=self._centre, directions=self._directions,
            stderr=self._stderr, rise_stderr=self._rise_stderr, marks=self._marks, provenance=dict(self.provenance),
            audit=self.audit, **self._unchanged,
        )  # fmt: skip


def _arrays(like: Iterable[str], kept: Mapping[str, FloatArray], shape: tuple[int, ...]) -> dict[str, FloatArray]:
    return {name: kept[name].copy() if name in kept else np.full(shape, np.nan) for name in like}


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if "/" in name or name.endswith("_stderr") or not name.isprintable():
            raise ProblemError(f"a split and a metric give {name!r}; names must not contain '/' or end in '_stderr'")


class Snapshots:
    """Writes the buffer to its file every few seconds; less often if that would take over 2% of the run's time."""

    def __init__(self, path: Path | None, buffer: SliceBuffer, tensors: Sequence[Mapping[str, NDArray[Any]]]) -> None:
        self._path, self._buffer, self._tensors = path, buffer, tensors
        self._started = self._last = time.monotonic()
        self.seconds = 0.0

    def save_if_due(self, update: Callable[[], None]) -> None:
        """Save if enough time has passed; ``update`` updates the buffer first."""
        now = time.monotonic()
        spent_enough = self.seconds > SNAPSHOT_SHARE * (now - self._started)
        if now - self._last >= SNAPSHOT_SECONDS and not spent_enough:
            update()
            self.save()

    def save(self) -> None:
        """Save now; a signal waits until this is done."""
        if self._path is None:
            return
        begun = time.monotonic()
        with deferred_signals():
            store.write(self._path, self._buffer.surface(), self._tensors)
        self._last = time.monotonic()
        self.seconds += self._last - begun
