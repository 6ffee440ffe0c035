"""What the user asks about curvature."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields
from pathlib import Path

from surfaceviz.curvature import SpectrumSpec
from surfaceviz.problem.problem import Problem

_FILES = (".h5", ".hdf5")


@dataclass(frozen=True, slots=True)
class HessianRequest:
    """What is asked about curvature, checked as far as that goes without building anything.

    Attributes:
        target: a slice's file, or a problem or its name.
        wanted: what to find out about each point.
        map_rtol: the relative residual of a map's eigenvalues.
        at: points of the slice, by their coordinates; theta where none is named and no map is asked for.
        grid: the numbers of points of a map over the slice's range, one for each axis; () for no map.
        cold: whether each point of a map starts from random vectors, not from its neighbour's.
        weights: checkpoints of a problem, ``FILE[:KEY]``; the problem's own where none is named.
        problem: of a slice whose file does not name it, or names it otherwise than it is found here.
        data: the folder of a catalogue problem's data.
        split: whose loss; the first without.
        samples: a seeded subset of so many.
        device: as torch names it; ``auto``: a GPU where there is one.
        dtype: float64 or float32; by default float64 for such a model, else float32.
        batch: samples in a batch; None measures.
        memory: bytes in all; None: half of what is free.
        learning_rate: of the training, for the line of 2 / learning rate.
        output: of a problem's; None: what is found is returned alone.
        default_output: write to the problem's name in the current folder.
        overwrite: whether what is there of the same is computed anew.
    """

    target: str | Path | Problem
    wanted: SpectrumSpec = field(default_factory=SpectrumSpec)
    map_rtol: float = 1e-2
    at: tuple[tuple[float, ...], ...] = ()
    grid: tuple[int, ...] = ()
    cold: bool = False
    weights: tuple[str, ...] = ()
    problem: str | Problem | None = None
    data: str | None = None
    split: str | None = None
    samples: int | None = None
    device: str = "auto"
    dtype: str | None = None
    batch: int | None = None
    memory: int | None = None
    learning_rate: float | None = None
    output: Path | None = None
    default_output: bool = False
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse what can be seen to be wrong before anything is built."""
        if self.dtype not in (None, "float64", "float32"):
            raise ValueError(f"dtype: second derivatives are taken in float64 or float32, got {self.dtype!r}")
        for name in ("samples", "batch", "memory"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        if self.learning_rate is not None and not self.learning_rate > 0:
            raise ValueError(f"learning rate: expected a positive number, got {self.learning_rate:g}")
        if any(count < 1 for count in self.grid):
            raise ValueError(f"map: expected numbers of at least 1, got {':'.join(map(str, self.grid))}")
        if self.file is None and (self.at or self.grid):
            raise ValueError("points and maps lie on a slice: give its file in the problem's place")
        if self.file is not None and (self.weights or self.output or self.learning_rate):
            raise ValueError(f"{self.file} holds a slice, with its weights and place; leave weights, output and lr out")

    @property
    def file(self) -> Path | None:
        """The slice's file, where the target is one."""
        if isinstance(self.target, Problem):
            return None
        return Path(self.target) if Path(self.target).suffix.lower() in _FILES else None

    @property
    def words(self) -> str:
        """The inquiry as processes compare theirs: without what can't be sent, and what each finds for itself."""
        own = ("target", "problem", "data", "weights", "output", "memory", "overwrite")
        return ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name not in own)


def parse_point(given: str) -> tuple[float, ...]:
    """Return the coordinates that ``"A"`` or ``"A,B"`` means.

    Raises:
        ValueError: it is neither.

    >>> parse_point("0.5,-1")
    (0.5, -1.0)
    """
    try:
        point = tuple(float(part) for part in given.split(","))
    except ValueError:
        raise ValueError(f"at {given!r}: expected A,B such as 0.5,-1 (A alone on a curve)") from None
    if len(point) > 2:  # noqa: PLR2004
        raise ValueError(f"at {given!r}: a slice has 1 or 2 axes")
    return point


def parse_grid(given: str) -> tuple[int, ...]:
    """Return the numbers of points that ``"P:Q"`` (``"P"`` on a curve) means.

    Raises:
        ValueError: it is neither.

    >>> parse_grid("11:9")
    (11, 9)
    """
    parts = given.split(":")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):  # noqa: PLR2004
        raise ValueError(f"map {given!r}: expected P:Q such as 11:11 (P alone on a curve)")
    return tuple(map(int, parts))


def parse_memory(given: str) -> int:
    """Return the bytes that ``"4G"``, ``"500M"`` or a number of bytes means.

    Raises:
        ValueError: none of that.

    >>> parse_memory("1.5G")
    1610612736
    """
    units = {"K": 2**10, "M": 2**20, "G": 2**30}
    text = given.strip().upper().removesuffix("B")
    factor = units.get(text[-1:], 1)
    try:
        count = float(text[:-1] if factor > 1 else text)
    except ValueError:
        raise ValueError(f"memory {given!r}: expected a size such as 4G or 500M") from None
    if not 1 <= count * factor < math.inf:
        raise ValueError(f"memory {given!r}: expected a size such as 4G or 500M")
    return int(count * factor)
