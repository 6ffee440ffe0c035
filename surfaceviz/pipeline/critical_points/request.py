"""The request for critical points: the user's options. Importing this module does not import torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from surfaceviz.problem.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPointsRequest:
    """The user's options for a search for critical points.

    Attributes:
        problem: the problem, live or by its name.
        starts: number of starts.
        spread: standard deviation of the starts around the problem's weights, in each parameter.
        seed: of the starts.
        permuted: whether points that differ by a permutation of hidden units count as one.
        parameters: ``all``, ``weights`` or a pattern of names.
        data: folder of a catalogue problem's data.
        split: the split whose loss is meant; None for the first.
        samples: size of a seeded subset; None for all.
    """

    problem: str | Problem
    starts: int
    spread: float
    seed: int
    permuted: bool
    parameters: str
    data: str | None
    split: str | None
    samples: int | None

    @classmethod
    def of(
        cls,
        problem: str | Problem,
        *,
        starts: int = 200,
        spread: float = 1.0,
        seed: int = 0,
        permuted: bool = False,
        parameters: str = "all",
        data: str | None = None,
        split: str | None = None,
        samples: int | None = None,
    ) -> CriticalPointsRequest:
        """Return the request that raw options describe; their defaults are defined only here (ours).

        Raises:
            ValueError: an option is invalid.
        """
        return cls(
            problem=problem, starts=starts, spread=spread, seed=seed, permuted=permuted, parameters=parameters,
            data=data, split=split, samples=samples,
        )  # fmt: skip

    def __post_init__(self) -> None:
        """Check the options before anything is built."""
        if self.starts < 1:
            raise ValueError(f"got starts {self.starts}; expected a number of at least 1")
        if not 0 <= self.spread < math.inf:
            raise ValueError(f"got spread {self.spread:g}; expected a standard deviation of at least 0")
