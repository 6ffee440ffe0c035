"""The request for a slice: what the user asked for, checked before anything is built. No torch is needed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from surfaceviz.directions.axes import Axis, parse_axis
from surfaceviz.directions.specs import RADIUS, Axes, Directions, Random, parse_directions
from surfaceviz.options import AUTO, BN_MODES, DTYPES, ENGINES, one_of
from surfaceviz.pipeline.slice.planning.coverage import Coverage, Shard

if TYPE_CHECKING:
    from surfaceviz.problem.problem import Problem

Names = str | Sequence[str]
_RANDOM = Random()
_POINTS = 25  # on each axis of the default plane


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """Where a slice goes.

    Attributes:
        path: the HDF5 file; None keeps the slice in memory.
        default: whether the file is named after the problem, in the current folder.
        overwrite: whether to start again, whatever the file holds.
        watch: whether to draw the picture next to the file again and again.
    """

    path: Path | None = None
    default: bool = False
    overwrite: bool = False
    watch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the user asked for.

    Attributes:
        problem: a problem or its name.
        axes: None for the default ones of the directions.
        weights: ``FILE[:KEY]``; None for the problem's own.
        data: folder of a catalogue problem's data.
        directions: one of the four kinds.
        coverage: which points are evaluated.
        splits: names; all where empty.
        samples: size of a seeded subset of each split, or ``auto`` for as few as the tolerance permits.
        subset: the number that ``auto`` came to, once it is known.
        bn: batch norms with ``fixed`` statistics, or ``recalibrate`` at each point.
        dtype: None for the model's usual one; ``auto`` for the fastest that is exact enough.
        device: as torch names it; several, separated by commas; or ``auto``.
        engine: None to measure which is fastest.
        batch_size: samples in a batch, at most; None to measure.
        group: weight sets at once, of an engine that was chosen before.
        destination: where the slice goes.
    """

    problem: str | Problem
    axes: Axes | None = None
    weights: str | None = None
    data: str | None = None
    directions: Directions = field(default_factory=Random)
    coverage: Coverage = field(default_factory=Coverage)
    splits: tuple[str, ...] = ()
    samples: int | str | None = None
    subset: int | None = None
    bn: str = "fixed"
    dtype: str | None = None
    device: str = AUTO
    engine: str | None = None
    batch_size: int | None = None
    group: int | None = None
    destination: Destination = field(default_factory=Destination)

    @classmethod
    def of(
        cls,
        problem: str | Problem,
        axes: Sequence[str | Sequence[float]] | None = None,
        *,
        reach: float | None = None,
        weights: str | None = None,
        data: str | None = None,
        seed: int = _RANDOM.seed,
        normalise: str = _RANDOM.normalise,
        ignore: str = _RANDOM.ignore,
        orthogonal: bool = False,
        only: Names | None = None,
        freeze: Names | None = None,
        toward: Names | None = None,
        along: str | None = None,
        radius: float = RADIUS,
        directions: str | Path | None = None,
        regenerate: bool = False,
        splits: Names | None = None,
        samples: int | str | None = None,
        bn: str = "fixed",
        dtype: str | None = None,
        device: str = AUTO,
        engine: str | None = None,
        batch_size: int | None = None,
        tol: float | None = None,
        shard: str | None = None,
        output: str | Path | None = None,
        default_output: bool = False,
        overwrite: bool = False,
        watch: bool = False,
    ) -> Request:
        """Return the request that raw options describe; their defaults are stated here only.

        Raises:
            ValueError: an option has a value that it cannot have, or two options contradict each other.
        """
        spec = parse_directions(
            toward=_names(toward), along=along, directions=None if directions is None else str(directions),
            seed=seed, normalise=normalise, ignore=ignore, orthogonal=orthogonal, only=_names(only),
            freeze=_names(freeze), radius=radius, regenerate=regenerate,
        )  # fmt: skip
        return cls(
            problem=problem,
            axes=_parse_axes(axes, reach),
            weights=weights,
            data=data,
            directions=spec,
            coverage=Coverage(tolerance=tol, shard=None if shard is None else Shard.parse(shard)),
            splits=_names(splits),
            samples=_samples(samples),
            bn=bn,
            dtype=dtype,
            device=device,
            engine=None if engine == AUTO else engine,
            batch_size=batch_size,
            destination=Destination(
                path=None if output is None else Path(output), default=default_output, overwrite=overwrite, watch=watch
            ),
        )

    def __post_init__(self) -> None:
        """Refuse what can be seen to be wrong before anything is built."""
        one_of("engine", self.engine, (None, *ENGINES))
        one_of("dtype", self.dtype, (None, AUTO, *DTYPES))
        one_of("bn", self.bn, BN_MODES)
        if self.axes is not None and len(self.axes) not in (1, 2):
            raise ValueError(f"a slice has 1 or 2 axes, got {len(self.axes)}")
        for name, value in (("samples", self.limit), ("batch", self.batch_size)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.directions.check_axes(self.axes)
        self._check_auto()
        to = self.destination
        if to.watch and (self.coverage.shard is not None or (to.path is None and not to.default)):
            raise ValueError("watch draws a picture next to the output; give an output, and no shard")

    def _check_auto(self) -> None:
        """Refuse ``auto`` where there is nothing to choose by."""
        if self.samples == AUTO and self.coverage.complete:
            raise ValueError(
                "samples auto takes as few as a tolerance permits; give tol as well, or a number of samples"
            )
        if self.samples == AUTO and not self.directions.around_one_minimum:
            raise ValueError("samples auto refers losses to one minimum; with toward, give a number of samples or none")
        if self.dtype == AUTO and self.coverage.shard is not None:
            raise ValueError("shard: parts that choose a dtype by themselves may not fit together; name one")

    @property
    def limit(self) -> int | None:
        """The number of samples that were asked for; None for all, of which a subset may then suffice."""
        return self.samples if isinstance(self.samples, int) else None

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that are named, one for each local process."""
        return tuple(name.strip() for name in self.device.split(","))

    @property
    def open_range(self) -> bool:
        """Whether the range of an axis is still to be found."""
        return any(not axis.has_range for axis in self.axes or ())


def _parse_axes(axes: Sequence[str | Sequence[float]] | None, reach: float | None) -> Axes | None:
    """Return the axes, or the default ones over [-reach, reach]; None where neither is given."""
    if reach is None:
        return tuple(map(parse_axis, axes)) if axes else None
    if axes or not reach > 0:
        raise ValueError(f"got reach {reach:g}{' and axes' if axes else ''}; give a positive reach, or axes")
    return (Axis(-reach, reach, _POINTS),) * 2


def _names(names: Names | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _samples(given: int | str | None) -> int | str | None:
    if not isinstance(given, str) or given == AUTO:
        return given
    if not given.isdecimal():
        raise ValueError(f"samples: expected a number, or auto, got {given!r}")
    return int(given)
