"""The buffer of a slice during its run, and its snapshots."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
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
LONGEST_INTERVAL = 10.0  # seconds between snapshots that cost more than their share; ours
LARGEST_REPEATED = 4 * 2**20  # bytes of directions that each snapshot repeats; ours
SNAPSHOT_SHARE = 0.015  # largest share of the run's time; below 2% with the last snapshot


class SliceBuffer:
    """The arrays of a slice that is being computed.

    Args:
        axes: coordinates.
        centre: the values at theta, which name the values of all points.
        seeds: of rays.
        before: the slice that the run resumes, with the same axes and seeds.
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
        seeds: Sequence[int] = (),
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
        self._seeds = tuple(seeds)
        empty = Slice(axes=self.axes, values={}, origin=np.zeros(0, np.uint8), centre={}, seeds=self._seeds)
        shape = empty.shape
        kept = before if before is not None else replace(empty, origin=np.zeros(shape, np.uint8))
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
            audit=self.audit, seeds=self._seeds, **self._unchanged,
        )  # fmt: skip


def _arrays(like: Iterable[str], kept: Mapping[str, FloatArray], shape: tuple[int, ...]) -> dict[str, FloatArray]:
    return {name: kept[name].copy() if name in kept else np.full(shape, np.nan) for name in like}


def _check_names(names: Sequence[str]) -> None:
    for name in names:
        if "/" in name or name.endswith("_stderr") or not name.isprintable():
            raise ProblemError(f"a split and a metric give {name!r}; names must not contain '/' or end in '_stderr'")


class Snapshots:
    """Writes the buffer to its file every few seconds.

    The bytes are made here, and written and synced by a thread, because a slow disk takes its time. This process waits
    for the thread as long as that costs at most `SNAPSHOT_SHARE` of the run's time. Snapshots come less often where
    even the bytes would cost more than that, but at least every `LONGEST_INTERVAL` unless the disk is slower.

    Directions never change. If they are large, only `save` writes them: at the beginning and at the end of a run, also
    of an interrupted one. The file of a killed run has their sha256 alone; the run that resumes it makes them again.

    Args:
        output: the file; None writes nothing.
        buffer: what is written.
        tensors: the arrays of the directions, which are encoded once.
    """

    def __init__(
        self, output: store.OutputFile | None, buffer: SliceBuffer, tensors: Sequence[Mapping[str, NDArray[Any]]]
    ) -> None:
        self._output, self._buffer, self._tensors = output, buffer, tensors
        size = sum(array.nbytes for arrays in tensors for array in arrays.values())
        self._large = size > LARGEST_REPEATED
        self._repeated = () if self._large else tensors
        self._started = self._last = time.monotonic()
        self._writer: threading.Thread | None = None
        self._error: BaseException | None = None
        self.seconds = 0.0

    def save_if_due(self, update: Callable[[], None]) -> None:
        """Save if enough time has passed; ``update`` updates the buffer first.

        Raises:
            StoreError: this snapshot or an earlier one could not be written.
        """
        if self._output is None or (self._writer is not None and self._writer.is_alive()):
            return
        self.wait()
        now = time.monotonic()
        affordable = SNAPSHOT_SHARE * (now - self._started) - self.seconds
        due = SNAPSHOT_SECONDS if affordable >= 0 else max(SNAPSHOT_SECONDS, LONGEST_INTERVAL)
        if now - self._last < due:
            return
        with deferred_signals():
            update()
            image = store.encode(self._buffer.surface(), self._repeated, self._output)
            self._writer = threading.Thread(target=self._write, args=(self._output, image), daemon=True)
            self._last = now
            self._writer.start()
        unlimited = SNAPSHOT_SHARE >= 1
        self._writer.join(None if unlimited else max(0.0, affordable - (time.monotonic() - now)))
        if not self._writer.is_alive():
            self.wait()
        self.seconds += time.monotonic() - now

    def save(self, *, hurried: bool = False) -> None:
        """Save now; a signal waits until this is done.

        Args:
            hurried: whether this process may be killed in a moment: the points are saved first, without directions
                that take longer.
        """
        if self._output is None:
            return
        begun = time.monotonic()
        with deferred_signals():
            self.wait()
            for tensors in (self._repeated, self._tensors) if hurried and self._large else (self._tensors,):
                store.write(self._output, self._buffer.surface(), tensors)
        self._last = time.monotonic()
        self.seconds += self._last - begun

    def wait(self) -> None:
        """Wait until nothing is being written.

        Raises:
            StoreError: the snapshot could not be written.
        """
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        error, self._error = self._error, None
        if error is not None:
            raise error

    def _write(self, output: store.OutputFile, image: bytes) -> None:
        try:
            output.write(image)
        except BaseException as error:  # noqa: BLE001  the main thread raises it
            self._error = error
