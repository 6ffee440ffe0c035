"""The file of the stability along a training: it is rewritten after each checkpoint, and resumed from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path

import numpy as np

from surfaceviz import store
from surfaceviz.errors import StoreError
from surfaceviz.pipeline.edge.measure import EdgePoint
from surfaceviz.records import Edge
from surfaceviz.signals import deferred_signals

_COMPARED = ("problem", "data_sha256", "options")


class EdgeFile:
    """Sharpness at checkpoints by their fingerprints, in a file or only in memory.

    Args:
        path: the file; None to keep it in memory.
        provenance: root attributes.
        order: fingerprints of the checkpoints, in order; others are dropped.
        overwrite: whether nothing of what the file holds is taken.

    Raises:
        StoreError: the file holds something else, or without ``overwrite`` another run.
    """

    def __init__(
        self, path: Path | None, provenance: Mapping[str, str | int | float], order: Sequence[str], *, overwrite: bool
    ) -> None:
        self._output = None if path is None else store.OutputFile(path)
        self._provenance, self._order = dict(provenance), list(order)
        self.points: dict[str, EdgePoint] = {}
        if path is None or not path.exists():
            return
        if not store.holds_edge(path):
            raise StoreError(f"{path} is not a file of surfaceviz edge, and is kept; give another -o")
        if overwrite:
            return
        stored = store.read_edge(path)
        if differing := _differences(stored, provenance):
            raise StoreError(
                f"{path} holds another run ({'; '.join(differing)}) and is kept; give another -o, or --overwrite"
            )
        self.points = {key: point for key, point in _points(stored).items() if key in self._order}

    def put(self, key: str, point: EdgePoint) -> None:
        """Add a checkpoint, with what is known of it already, and save."""
        known = self.points.get(key)
        self.points[key] = point if known is None else _joined(known, point)
        if self._output is not None:
            with deferred_signals():
                store.write_edge(self._output, self.edge)

    @property
    def edge(self) -> Edge:
        """The checkpoints so far."""
        keys = [key for key in self._order if key in self.points]
        names = [field.name for field in fields(EdgePoint)]
        arrays = {name: np.array([getattr(self.points[key], name) for key in keys]) for name in names}
        return Edge(**arrays, checkpoints=tuple(keys), provenance=self._provenance)


def _joined(known: EdgePoint, point: EdgePoint) -> EdgePoint:
    """Return a point with the values of another one where its own are NaN."""
    values = {field.name: getattr(known, field.name) for field in fields(EdgePoint)}
    missing = {name: value for name, value in values.items() if np.isnan(getattr(point, name))}
    return replace(point, **missing, converged=point.converged and known.converged)


def _points(edge: Edge) -> dict[str, EdgePoint]:
    names = [field.name for field in fields(EdgePoint)]
    rows = zip(*(getattr(edge, name).tolist() for name in names), strict=True)
    return {
        key: EdgePoint(**dict(zip(names, row, strict=True))) for key, row in zip(edge.checkpoints, rows, strict=True)
    }


def _differences(stored: Edge, provenance: Mapping[str, str | int | float]) -> list[str]:
    pairs = [(name, str(stored.provenance.get(name)), str(provenance[name])) for name in _COMPARED]
    return [f"{name} {then[:120]} there, {now[:120]} here" for name, then, now in pairs if then != now]
