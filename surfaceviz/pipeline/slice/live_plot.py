"""Live plot of a run: a picture next to the file, redrawn when a level is complete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

import numpy as np

import surfaceviz.lock
from surfaceviz.records import Slice
from surfaceviz.signals import deferred_signals
from surfaceviz.store.file_names import stem_of

SHARE = 0.018  # largest share of the run's time
_EVERY = 0.5  # seconds between two updates, as each counts the complete points of the whole grid
_FIRST = 0.5  # estimated seconds for the first picture


def picture_path(path: Path) -> Path:
    """Return the path of the picture next to a file: the file's stem with ``.png``."""
    return path.with_name(f"{stem_of(path)}.png")


class LivePlot:
    """Draws the picture of a run when a level is complete: a lattice of the grid, or a round of a refinement.

    A picture is skipped if all pictures together would take more than 1.8% of the run's time.

    Args:
        path: path of the picture; None draws nothing.
        warn: receives a warning once, if the picture can't be drawn.
    """

    def __init__(self, path: Path | None, warn: Callable[[str], None]) -> None:
        self._path, self._warn = path, warn
        self._started = monotonic()
        self._drawn: object = None
        self._next = _FIRST
        self._looked = -np.inf
        if path is not None:
            # only if needed, as the import is slow; before the run starts, not during it
            from surfaceviz.render import figure, slice_figure  # noqa: F401, PLC0415

            self._render = figure
            self._started = monotonic()
        self.seconds = 0.0

    def update(self, surface: Callable[[], Slice], level: Callable[[], object]) -> None:
        """Draw the picture if there is a new level and enough time.

        Args:
            surface: returns the present slice.
            level: returns a value that changes with each complete level; None before the first.
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
            with surfaceviz.lock.held(path):
                self._render.save(self._render.draw([surface]), path)
        except Exception as error:  # noqa: BLE001  no error of a picture may end the run
            self._path = None
            self._warn(f"the live plot ends: {error}")
