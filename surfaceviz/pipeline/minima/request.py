"""The request for minima: the user's options. Importing this module does not import torch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from surfaceviz.options import AUTO
from surfaceviz.start_folder import anchored

if TYPE_CHECKING:
    from surfaceviz.problem.problem import Problem
    from surfaceviz.records import Slice


@dataclass(frozen=True, slots=True, kw_only=True)
class MinimaRequest:
    """The user's options for the minima of a slice.

    Attributes:
        surface: the slice, or the path of its file, which gets the result.
        split: the split whose loss is meant; None for the first.
        most: largest number of minima that are judged, the most persistent first.
        problem: the problem of a slice whose file does not name one that can be found on this machine.
        data: folder of a catalogue problem's data.
        device: a torch device name; ``auto`` takes a GPU if there is one.
        trust: whether to follow the names of code and files in a slice's file that the user did not make.
    """

    surface: Slice | Path
    split: str | None
    most: int
    problem: str | Problem | None
    data: str | None
    device: str
    trust: bool

    @classmethod
    def of(
        cls,
        surface: Slice | str | Path,
        *,
        split: str | None = None,
        most: int = 50,
        problem: str | Problem | None = None,
        data: str | None = None,
        device: str = AUTO,
        trust: bool = False,
    ) -> MinimaRequest:
        """Return the request that raw options describe; their defaults are defined only here (50: ours).

        Raises:
            ValueError: an option is invalid.
        """
        return cls(
            surface=anchored(surface) if isinstance(surface, str | Path) else surface,
            split=split, most=most, problem=problem, data=data, device=device, trust=trust,
        )  # fmt: skip

    def __post_init__(self) -> None:
        """Check the options before anything is built."""
        if self.most < 1:
            raise ValueError(f"most must be at least 1, got {self.most}")

    @property
    def path(self) -> Path | None:
        """The slice's file; None for a slice in memory."""
        return self.surface if isinstance(self.surface, Path) else None
