"""The request for a slice: the user's options, checked before anything is built. No import of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from surfaceviz.directions.axes import Axes, Axis, parse_axis
from surfaceviz.directions.specs import RADIUS, Directions, Random, parse_directions
from surfaceviz.directions.training.training_plane import FromTraining
from surfaceviz.options import AUTO, BN_MODES, DTYPES, ENGINES, check_noise_seed, one_of
from surfaceviz.pipeline.slice.planning.coverage import Coverage, Shard
from surfaceviz.start_folder import anchored

if TYPE_CHECKING:
    from surfaceviz.problem.problem import Problem

Names = str | Sequence[str]
_RANDOM = Random()
_POINTS = 25  # on each axis of the default plane


@dataclass(frozen=True, slots=True, kw_only=True)
class Destination:
    """The output of a slice.

    Attributes:
        path: the HDF5 file; None keeps the slice in memory.
        default: whether the file is named after the problem, in the current folder.
        overwrite: whether to start a new run even if the file holds one.
        watch: whether to redraw the picture next to the file during the run.
    """

    path: Path | None = None
    default: bool = False
    overwrite: bool = False
    watch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """The user's options for a slice.

    Attributes:
        problem: a problem or its name.
        axes: None for the default ones of the directions.
        weights: ``FILE[:KEY]``; None for the problem's own.
        data: folder of a catalogue problem's data.
        directions: one of the five kinds.
        coverage: which points are evaluated.
        splits: names of splits; all if empty.
        samples: size of a seeded subset of each split, or ``auto`` for as few as the tolerance permits.
        subset: the number that ``auto`` chose, once it is known.
        draws: number of draws of the model's random numbers, over which values are averaged.
        noise_seed: seed of the first of them.
        bn: batch norms with ``fixed`` statistics, or ``recalibrate`` at each point.
        dtype: None for the model's usual dtype; ``auto`` for the fastest one that is accurate enough.
        device: a torch device name, several ones separated by commas, or ``auto``.
        engine: None to measure and take the fastest.
        batch_size: samples in a batch, at most; None to measure.
        group: number of weight sets that a chosen engine evaluates at once.
        destination: the output.
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
    draws: int = 1
    noise_seed: int = 0
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
        repeat: int = _RANDOM.repeat,
        toward: Names | None = None,
        along: Names | None = None,
        radius: float = RADIUS,
        directions: str | Path | None = None,
        regenerate: bool = False,
        splits: Names | None = None,
        samples: int | str | None = None,
        draws: int = 1,
        noise_seed: int = 0,
        bn: str = "fixed",
        dtype: str | None = None,
        device: str = AUTO,
        engine: str | None = None,
        batch_size: int | None = None,
        tol: float | None = None,
        level: float | None = None,
        shard: str | None = None,
        output: str | Path | None = None,
        default_output: bool = False,
        overwrite: bool = False,
        watch: bool = False,
    ) -> Request:
        """Return the request that raw options describe; their defaults are defined only here.

        Raises:
            ValueError: an option is invalid, or two options contradict each other.
        """
        spec = parse_directions(
            toward=_names(toward), along=_names(along), directions=None if directions is None else str(directions),
            seed=seed, normalise=normalise, ignore=ignore, orthogonal=orthogonal, only=_names(only),
            freeze=_names(freeze), repeat=repeat, radius=radius, regenerate=regenerate,
        )  # fmt: skip
        return cls(
            problem=problem,
            axes=_parse_axes(axes, reach, 2 if repeat == 1 else 1),
            weights=weights,
            data=data,
            directions=spec,
            coverage=Coverage(tolerance=tol, shard=None if shard is None else Shard.parse(shard), level=level),
            splits=_names(splits),
            samples=_samples(samples),
            draws=draws,
            noise_seed=noise_seed,
            bn=bn,
            dtype=dtype,
            device=device,
            engine=None if engine == AUTO else engine,
            batch_size=batch_size,
            destination=Destination(
                path=None if output is None else anchored(output),
                default=default_output,
                overwrite=overwrite,
                watch=watch,
            ),
        )

    def __post_init__(self) -> None:
        """Check the options before anything is built."""
        one_of("engine", self.engine, (None, *ENGINES))
        one_of("dtype", self.dtype, (None, AUTO, *DTYPES))
        one_of("bn", self.bn, BN_MODES)
        if self.axes is not None and len(self.axes) not in (1, 2):
            raise ValueError(f"a slice has 1 or 2 axes, got {len(self.axes)}")
        for name, value in (("samples", self.limit), ("batch", self.batch_size), ("draws", self.draws)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        check_noise_seed(self.noise_seed)
        self.directions.check_axes(self.axes)
        if self.directions.repeat > 1 and not self.coverage.complete:
            raise ValueError(
                "got repeat and tol; each ray would need an audit of its own, of some 45 points, which are nearly all "
                "that a curve has. Leave out tol"
            )
        self._check_auto()
        to = self.destination
        if to.watch and (self.coverage.shard is not None or (to.path is None and not to.default)):
            raise ValueError("watch draws a picture next to the output; give an output, and no shard")

    def _check_auto(self) -> None:
        """Check that the options ``auto`` have a criterion to choose by."""
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
        """The requested number of samples; None for all, and for ``auto``."""
        return self.samples if isinstance(self.samples, int) else None

    @property
    def devices(self) -> tuple[str, ...]:
        """The names of the devices, one for each local process."""
        return tuple(name.strip() for name in self.device.split(","))

    @property
    def open_range(self) -> bool:
        """Whether the range of an axis is still to be chosen."""
        fitted = isinstance(self.directions, FromTraining)  # to the path, with the directions
        return not fitted and any(not axis.has_range for axis in self.axes or ())


def _parse_axes(axes: Sequence[str | Sequence[float]] | None, reach: float | None, count: int) -> Axes | None:
    """Return the axes, or ``count`` default ones over [-reach, reach]; None where neither is given."""
    if reach is None:
        return tuple(map(parse_axis, axes)) if axes else None
    if axes or not reach > 0:
        raise ValueError(f"got reach {reach:g}{' and axes' if axes else ''}; give a positive reach, or axes")
    return (Axis(-reach, reach, _POINTS),) * count


def _names(names: Names | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _samples(given: int | str | None) -> int | str | None:
    if not isinstance(given, str) or given == AUTO:
        return given
    if not given.isdecimal():
        raise ValueError(f"samples: expected a number, or auto, got {given!r}")
    return int(given)
