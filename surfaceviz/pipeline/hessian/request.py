"""The request for spectra and Hessian maps: the user's options. Importing this module does not import torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from surfaceviz.options import AUTO, check_noise_seed
from surfaceviz.start_folder import anchored

if TYPE_CHECKING:
    from surfaceviz.curvature import SpectrumSpec
    from surfaceviz.problem.problem import Problem

RTOL, MAP_RTOL = 1e-3, 1e-2  # relative residuals of eigenvalues; ours


@dataclass(frozen=True, slots=True, kw_only=True)
class HessianRequest:
    """The user's options for curvature, checked before anything is built.

    Attributes:
        target: a slice's file, or a problem or its name.
        spectrum: what to compute at each point.
        map_rtol: relative residual of a map's eigenvalues.
        at: points of the slice, by their coordinates; by default theta, or none if there is only a map.
        grid: number of points of the map along each axis of the slice; () for no map.
        cold: whether each point of a map starts from random vectors instead of its neighbour's eigenvectors.
        weights: checkpoints of a problem, ``FILE[:KEY]``; by default the problem's own.
        problem: the problem of a slice, if its file does not name one that can be found on this machine.
        data: folder of a catalogue problem's data.
        split: the split whose loss is differentiated; by default the first.
        samples: size of a seeded subset.
        draws: number of draws of a problem's random numbers; None for 1, or those of the slice.
        noise_seed: seed of the first of them; None for 0, or that of the slice.
        device: a torch device name; ``auto`` takes a GPU if there is one.
        dtype: float64 or float32; by default float64 for a float64 model, else float32.
        batch_size: samples in a batch; None for a measured choice.
        memory: bytes in total; None for half of the free memory.
        output: file for the curvature of a problem; None to only return the result.
        default_output: whether the file is named after the problem, in the current folder.
        overwrite: whether to recompute what the file holds.
        trust: whether to follow the names of code and files in a slice's file that the user did not make.
    """

    target: str | Path | Problem
    spectrum: SpectrumSpec
    map_rtol: float
    at: tuple[tuple[float, ...], ...] = ()
    grid: tuple[int, ...] = ()
    cold: bool = False
    weights: tuple[str, ...] = ()
    problem: str | Problem | None = None
    data: str | None = None
    split: str | None = None
    samples: int | None = None
    draws: int | None = None
    noise_seed: int | None = None
    device: str = AUTO
    dtype: str | None = None
    batch_size: int | None = None
    memory: int | None = None
    output: Path | None = None
    default_output: bool = False
    overwrite: bool = False
    trust: bool = False

    @classmethod
    def of(
        cls,
        target: str | Path | Problem,
        at: Sequence[str | Sequence[float]] | None = None,
        *,
        top: int | None = None,
        bottom: int | None = None,
        density: bool = False,
        trace: bool = False,
        by_layer: bool = False,
        operator: str = "hessian",
        parameters: str = "all",
        normalised: bool = False,
        rtol: float | None = None,
        probes: int = 10,
        steps: int = 60,
        block: int = 1,
        seed: int = 0,
        weight_decay: float | None = None,
        grid: str | Sequence[int] | None = None,
        cold: bool = False,
        weights: str | Sequence[str] | None = None,
        problem: str | Problem | None = None,
        data: str | None = None,
        split: str | None = None,
        samples: int | None = None,
        draws: int | None = None,
        noise_seed: int | None = None,
        device: str = AUTO,
        dtype: str | None = None,
        batch_size: int | None = None,
        memory: int | str | None = None,
        output: str | Path | None = None,
        default_output: bool = False,
        overwrite: bool = False,
        trust: bool = False,
    ) -> HessianRequest:
        """Return the request that raw options describe; their defaults are defined only here.

        Raises:
            ValueError: an option is invalid, or two options contradict each other.
        """
        from surfaceviz.curvature import SpectrumSpec  # noqa: PLC0415  imports torch; --help must stay fast

        spectrum = SpectrumSpec(
            top=top, bottom=bottom, density=density, trace=trace, by_layer=by_layer, operator=operator,
            parameters=parameters, normalised=normalised, rtol=RTOL if rtol is None else rtol, probes=probes,
            steps=steps, block=block, seed=seed, weight_decay=weight_decay,
        )  # fmt: skip
        return cls(
            target=target,
            spectrum=spectrum,
            map_rtol=MAP_RTOL if rtol is None else rtol,
            at=tuple(map(parse_point, at or ())),
            grid=() if grid is None else parse_grid(grid),
            cold=cold,
            weights=(weights,) if isinstance(weights, str) else tuple(weights or ()),
            problem=problem,
            data=data,
            split=split,
            samples=samples,
            draws=draws,
            noise_seed=noise_seed,
            device=device,
            dtype=dtype,
            batch_size=batch_size,
            memory=parse_memory(memory) if isinstance(memory, str) else memory,
            output=None if output is None else anchored(output),
            default_output=default_output and file_of(target) is None,
            overwrite=overwrite,
            trust=trust,
        )

    def __post_init__(self) -> None:
        """Check the options before anything is built."""
        if self.dtype not in (None, "float64", "float32"):
            raise ValueError(f"dtype: expected float64 or float32, got {self.dtype!r}")
        for name in ("samples", "draws", "batch_size", "memory"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name.removesuffix('_size')} must be at least 1, got {value}")
        if any(count < 1 for count in self.grid):
            raise ValueError(f"map: expected numbers of at least 1, got {':'.join(map(str, self.grid))}")
        check_noise_seed(self.noise_seed or 0)
        self._check_target()

    def _check_target(self) -> None:
        """Refuse options that belong to the other kind of target: a slice's file, or a problem."""
        if self.file is None and (self.at or self.grid):
            raise ValueError("points and maps lie on a slice; give its file instead of the problem")
        if self.file is not None and not (self.draws is None and self.noise_seed is None):
            raise ValueError(f"{self.file} names the random numbers of its slice; leave out draws and noise_seed")
        if self.cold and not self.grid:
            raise ValueError("cold is about the points of a map; give a map as well, or leave it out")
        if self.file is not None and (self.weights or self.output):
            raise ValueError(
                f"{self.file} holds a slice with its own weights and gets the results; leave out weights and output"
            )

    @property
    def file(self) -> Path | None:
        """The slice's file, if the target is one; else None."""
        return file_of(self.target)

    @property
    def asks_for_spectra(self) -> bool:
        """Whether an option is given that a map does not use: numbers of eigenvalues, density, trace, layers, decay."""
        s = self.spectrum
        numbers = any(value is not None for value in (s.top, s.bottom, s.weight_decay))
        return numbers or s.density or s.trace or s.by_layer

    @property
    def words(self) -> str:
        """The options that all ranks must share, as text; without objects and without names of files."""
        own = ("target", "problem", "data", "weights", "output", "memory", "overwrite", "trust")
        return ", ".join(f"{f.name}={getattr(self, f.name)!r}" for f in fields(self) if f.name not in own)


def file_of(target: object) -> Path | None:
    """Return the path of a target that is a slice's file; None for a problem."""
    from surfaceviz.store.file_names import is_hdf5_name  # noqa: PLC0415  imports h5py; --help must stay fast

    return anchored(target) if isinstance(target, str | Path) and is_hdf5_name(target) else None


def parse_point(given: str | Sequence[float]) -> tuple[float, ...]:
    """Return the coordinates that ``"A"``, ``"A,B"`` or a sequence of numbers means.

    Raises:
        ValueError: it has another form.

    >>> parse_point("0.5,-1")
    (0.5, -1.0)
    """
    try:
        point = tuple(float(part) for part in (given.split(",") if isinstance(given, str) else given))
    except ValueError:
        raise ValueError(f"at {given!r}: expected A,B such as 0.5,-1 (only A on a curve)") from None
    if len(point) > 2:  # noqa: PLR2004
        raise ValueError(f"at {given!r}: a slice has 1 or 2 axes")
    return point


def parse_grid(given: str | Sequence[int]) -> tuple[int, ...]:
    """Return the numbers of points that ``"P:Q"`` (``"P"`` on a curve) or a sequence of numbers means.

    Raises:
        ValueError: it has another form.

    >>> parse_grid("11:9")
    (11, 9)
    """
    if not isinstance(given, str):
        return tuple(map(int, given))
    parts = given.split(":")
    if len(parts) > 2 or not all(part.isdecimal() for part in parts):  # noqa: PLR2004
        raise ValueError(f"map {given!r}: expected P:Q such as 11:11 (only P on a curve)")
    return tuple(map(int, parts))


def parse_memory(given: str) -> int:
    """Return the bytes that ``"4G"``, ``"500M"`` or a number of bytes means.

    Raises:
        ValueError: it has another form.

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
