"""Options of exports and their defaults; free of heavy imports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ExportOptions:
    """How an export draws a slice.

    Attributes:
        of: the quantity shown as height: ``<split>_<metric>``, a metric, or ``rise``; None: the loss.
        log: whether the height is logarithmic.
        clip: higher values are drawn at this one.
        height: height of the drawn range, as a share of the longest side. Source: ours.
    """

    of: str | None = None
    log: bool = False
    clip: float | None = None
    height: float = 0.6
