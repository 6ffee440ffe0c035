"""The critical points that a search has found, as a frozen numpy record."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records.arrays import FloatArray, html_table

_NOT_SMOOTH = "not smooth here"  # a kind of `hessian`
_HEAD = ("loss", "index", "zeros", "kind", "points", "starts", "gradient norm")
_ALIKE = 1e-6  # relative difference of losses that count as one in the table


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPoints:
    """Distinct critical points, by rising loss.

    Attributes:
        theta: the parameters, (k, P), in the order of ``names``.
        loss: (k,).
        gradient_norm: (k,).
        index: number of negative eigenvalues of the Hessian, (k,).
        zeros: number of eigenvalues that rounding can't tell from 0, (k,).
        eigenvalues: ascending, (k, P).
        kinds: kind of each point, such as ``saddle``, by the rules of `surfaceviz.hessian`.
        reasons: the reason of each kind.
        reached: number of starts that ended in each, (k,).
        starts: number of starts.
        unconverged: number of starts that reached no critical point.
        flat: of these, the number that ended where H g is 0 and the gradient g is not: minima of |g|^2 that are not
            critical points.
        seed: of the starts.
        spread: standard deviation of the starts around the problem's weights.
        permuted: whether points that differ by a permutation of hidden units count as one.
        names: names of the parameter tensors (JSON).
        problem: the name of the problem.
    """

    theta: FloatArray
    loss: FloatArray
    gradient_norm: FloatArray
    index: NDArray[np.int64]
    zeros: NDArray[np.int64]
    eigenvalues: FloatArray
    kinds: tuple[str, ...]
    reasons: tuple[str, ...]
    reached: NDArray[np.int64]
    starts: int
    unconverged: int
    flat: int
    seed: int
    spread: float
    permuted: bool
    names: tuple[str, ...]
    problem: str = ""

    def __len__(self) -> int:
        return len(self.loss)

    @property
    def negative_share(self) -> FloatArray:
        """The index over the number of parameters, (k,)."""
        return np.asarray(self.index / max(self.eigenvalues.shape[1], 1))

    def families(self) -> list[NDArray[np.int64]]:
        """Return the numbers of the points of each family: one loss, index, number of zeros and kind.

        A family of points with zeros is often one connected set, such as the minima of a network that may be rescaled.
        """
        families: list[list[int]] = []
        for k in range(len(self)):
            same = next((each for each in families if self._alike(each[0], k)), None)
            if same is None:
                families.append([k])
            else:
                same.append(k)
        return [np.array(each) for each in families]

    def _alike(self, i: int, k: int) -> bool:
        close = abs(self.loss[i] - self.loss[k]) <= _ALIKE * max(1.0, abs(self.loss[i]))
        counts = (self.index[i], self.zeros[i], self.kinds[i]) == (self.index[k], self.zeros[k], self.kinds[k])
        return bool(close and counts)

    def __repr__(self) -> str:
        return f"<CriticalPoints: {len(self)} from {self.starts} starts, {self.unconverged} starts without one>"

    def _repr_html_(self) -> str:
        return html_table([(row[3], ", ".join(row)) for row in critical_rows(self)[1:]])


def critical_rows(points: CriticalPoints) -> list[tuple[str, ...]]:
    """Return the cells of a table of families, with a head."""
    return [_HEAD, *(_row(points, family) for family in points.families())]


def _row(points: CriticalPoints, family: NDArray[np.int64]) -> tuple[str, ...]:
    k = int(family[0])
    return (
        f"{points.loss[k]:.6g}",
        str(points.index[k]),
        str(points.zeros[k]),
        points.kinds[k],
        str(len(family)),
        str(int(points.reached[family].sum())),
        f"{points.gradient_norm[family].max():.1e}",
    )


def critical_summary(points: CriticalPoints) -> str:
    """Return the number of points and of starts that reached none, in one line."""
    merged = ", up to permutations of hidden units" if points.permuted else ""
    rough = points.kinds.count(_NOT_SMOOTH)
    kinks = f" Points that are {_NOT_SMOOTH}: {rough}; at a kink no Hessian proves a kind." if rough else ""
    flat = f", {points.flat} of them at a minimum of |grad|^2 that is not critical" if points.flat else ""
    return (
        f"{len(points)} critical points{merged} from {points.starts} starts (seed {points.seed}); {points.unconverged} "
        f"starts reached none{flat}.{kinks} A search finds points, and does not prove that there are no others"
    )
