"""Watching a run: its picture beside the file, drawn again as levels complete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np

from surfaceviz.records import Slice
from surfaceviz.signals import deferred_signals

SHARE = 0.018  # of the run's time at the most
_EVERY = 0.5  # seconds between two looks: what is complete is counted over the whole grid
_FIRST = 0.5  # seconds that the first picture is expected to take


def picture_beside(path: Path) -> Path:
    """Return the picture's name for a file: its own with ``.png`` for ``.h5``, whatever dots it has."""
    stem = path.stem if path.suffix.lower() in (".h5", ".hdf5") else path.name
    return path.with_name(f"{stem}.png")


class LivePlot:
    """Draws a run's picture when a level is complete: of a grid its next lattice, of a refinement its next round.

    A picture is left out while all together would take more than 1.8% of the run's time.

    Args:
        path: of the picture; None: nothing is watched.
        warn: told once, where it can't be drawn.
    """

    def __init__(self, path: Path | None, warn: Callable[[str], None]) -> None:
        self._path, self._warn = path, warn
        self._started = monotonic()
        self._drawn: object = None
        self._next = _FIRST
        self._looked = -np.inf
        if path is not None:
            # most runs are not watched; imported before the run starts, not during it
            from surfaceviz.render import figure, slice_figure  # noqa: F401, PLC0415

            self._render = figure
            self._started = monotonic()
        self.seconds = 0.0

    def look(self, surface: Callable[[], Slice], level: Callable[[], object]) -> None:
        """Draw where there is something new and time for it.

        Args:
            surface: gives the slice so far.
            level: gives what changes whenever there is something new; None while nothing is whole.
        """
        begun = monotonic()
        affordable = self.seconds + self._next <= SHARE * (begun - self._started)
        if self._path is None or not affordable or begun - self._looked < _EVERY:
            return
        now, self._looked = level(), begun
        new = now is not None and now != self._drawn
        if new:
            with deferred_signals():
                self._draw(self._path, surface())
            self._drawn = now
        spent = monotonic() - begun
        self.seconds += spent
        self._next = spent if new else self._next

    def _draw(self, path: Path, surface: Slice) -> None:
        if not any(np.isfinite(values).any() for values in surface.values.values()):
            return
        try:
            self._render.save(self._render.draw([surface]), path)
        except Exception as error:  # noqa: BLE001  whatever it is, the run is worth more than its picture
            self._path = None
            self._warn(f"watching ends: {error}")
