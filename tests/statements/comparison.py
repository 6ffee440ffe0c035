"""A list of what was compared and what was off by more than allowed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike


@dataclass(slots=True)
class Comparison:
    """Comparisons of told with true values.

    Attributes:
        title: the problem.
        count: number of comparisons.
        faults: what was off, in words.
    """

    title: str
    count: int = 0
    faults: list[str] = field(default_factory=list)

    def close(self, what: str, told: ArrayLike, true: ArrayLike, allowed: ArrayLike) -> None:
        """Compare values; both may be infinite or NaN together."""
        a, b, c = np.broadcast_arrays(np.asarray(told, float), np.asarray(true, float), np.asarray(allowed, float))
        self.count += a.size
        with np.errstate(invalid="ignore"):
            off = ~((np.abs(a - b) <= c) | (a == b) | (np.isnan(a) & np.isnan(b)))
        for index in np.argwhere(off):
            where = tuple(map(int, index))
            place = f" {where}" if where else ""
            off_by = abs(a[where] - b[where])
            self.faults.append(f"{what}{place}: told {a[where]:.10g}, true {b[where]:.10g}, off by {off_by:.3g}, "
                               f"allowed {c[where]:.3g}")  # fmt: skip

    def holds(self, what: str, claim: object) -> None:
        """Count a claim, and note it where it is false."""
        self.count += 1
        if not claim:
            self.faults.append(what)

    def report(self) -> str:
        """Return all faults in words."""
        return "\n".join([self.title, *self.faults])
