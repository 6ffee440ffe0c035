"""What the user asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from surfaceviz import evaluate, store
from surfaceviz.directions.axes import AutoAxis, Axis
from surfaceviz.directions.random import RandomSpec
from surfaceviz.pipeline.slice.along import ALONG
from surfaceviz.problem.problem import Problem


@dataclass(frozen=True, slots=True)
class Shard:
    """One of ``count`` parts of the grid, the ``number``-th, counted from 1.

    >>> Shard.parse("2/8")
    Shard(number=2, count=8)
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.count:
            raise ValueError(f"shard: expected I/N with I from 1 to N, got {self}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, given: str) -> Shard:
        """Return the part that ``"I/N"`` means."""
        number, _, count = given.partition("/")
        if not (number.isdecimal() and count.isdecimal()):
            raise ValueError(f"shard: expected I/N, such as 2/8 for the second of eight parts, got {given!r}")
        return cls(int(number), int(count))


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for, checked as far as that goes without building anything.

    ``dtype``, ``engine`` and ``batch_size`` are None where the user leaves them open; ``tolerance`` is None
    where every point is to be evaluated.
    """

    problem: str | Problem
    axes: tuple[Axis | AutoAxis, ...] | None = None
    weights: str | None = None
    data: str | None = None
    random: RandomSpec = field(default_factory=RandomSpec)
    only: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    toward: tuple[str, ...] = ()
    along: str | None = None  # of `ALONG`: directions that the loss names
    radius: float = 0.05  # of an ascent
    directions: str | None = None  # a file of the reference code or of a slice
    splits: tuple[str, ...] = ()
    samples: int | str | None = None  # "auto": as few as the tolerance bears
    subset: int | None = None  # how many those are, where it is known
    bn: str = "fixed"
    dtype: str | None = None
    device: str = "auto"
    engine: str | None = None
    batch_size: int | None = None
    group: int | None = None
    tolerance: float | None = None
    regenerate: bool = False
    output: Path | None = None
    shard: Shard | None = None
    default_output: bool = False  # write to the problem's name in the current folder
    overwrite: bool = False
    watch: bool = False  # draw the picture beside the output again and again

    def __post_init__(self) -> None:
        """Refuse what can be seen to be wrong before anything is built."""
        _one_of("engine", self.engine, (None, *evaluate.ENGINES))
        _one_of("dtype", self.dtype, (None, "auto", *evaluate.DTYPES))
        _one_of("bn", self.bn, evaluate.BN_MODES)
        if self.axes is not None and len(self.axes) not in (1, 2):
            raise ValueError(f"a slice has 1 or 2 axes, got {len(self.axes)}")
        self._check_samples()
        for name, value in (("samples", self.limit), ("batch", self.batch_size)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self._check_toward()
        self._check_along()
        self._check_directions()
        if self.tolerance is not None and not 0 < self.tolerance < 1:
            raise ValueError(f"tol must lie between 0 and 1 (0.05 is five per cent), got {self.tolerance:g}")
        self._check_shard()
        if self.watch and (self.shard is not None or (self.output is None and not self.default_output)):
            raise ValueError("watch draws a picture beside the output: it takes one, and no part of a grid")
        if self.orthogonal_alone:
            raise ValueError("orthogonal makes the second direction orthogonal to the first: it takes two axes")
        if self.regenerate and (self.toward or self.random.orthogonal):
            raise ValueError("regenerate is for random directions one by one; leave out toward and orthogonal")
        if self.output is not None:
            store.check_name(self.output)

    def _check_samples(self) -> None:
        if isinstance(self.samples, str) and self.samples != "auto":
            raise ValueError(f"samples: expected a number, or auto, got {self.samples!r}")
        if self.samples == "auto" and self.tolerance is None:
            raise ValueError("samples auto takes as few as a tolerance bears; give tol as well, or a number of samples")
        if self.samples == "auto" and self.toward:
            raise ValueError("samples auto refers losses to one minimum; with toward, give a number of samples or none")

    def _check_shard(self) -> None:
        if self.shard is None:
            return
        if self.tolerance is not None:
            raise ValueError(
                "shard and tol don't go together: refinement is global, each round depends on all points; use mpirun"
            )
        if self.dtype == "auto":
            raise ValueError("shard: parts that choose a dtype by themselves may not fit together; name one")

    def _check_toward(self) -> None:
        if len(self.toward) > 2:  # noqa: PLR2004
            raise ValueError(f"a line leads toward 1 model, a plane toward 2, got {len(self.toward)}")
        if self.toward and self.axes is not None and len(self.axes) != len(self.toward):
            raise ValueError(
                f"{len(self.toward)} x toward makes {len(self.toward)} axes, but {len(self.axes)} are given"
            )
        if self.toward and (self.only or self.freeze or self.random != RandomSpec(seed=self.random.seed)):
            raise ValueError("toward leads to whole models; leave out only, freeze, orthogonal, normalise and ignore")
        if self.toward and any(isinstance(axis, AutoAxis) for axis in self.axes or ()):
            raise ValueError("axis auto looks for a range around one minimum; with toward, give MIN:MAX:NUM or no axis")

    def _check_along(self) -> None:
        _one_of("along", self.along, (None, *ALONG))
        if not self.radius > 0:
            raise ValueError(f"radius: expected a positive distance, got {self.radius:g}")
        plain = RandomSpec(seed=self.random.seed)
        if self.along and (self.toward or self.regenerate or self.random != plain):
            raise ValueError(
                "along names the directions; leave out toward, regenerate, orthogonal, normalise and ignore"
            )

    def _check_directions(self) -> None:
        others = self.toward or self.along or self.regenerate or self.only or self.freeze
        if self.directions and (others or self.random != RandomSpec(seed=self.random.seed)):
            raise ValueError(
                "directions are taken as their file has them; leave out toward, along, regenerate, only, freeze, "
                "orthogonal, normalise and ignore"
            )

    @property
    def limit(self) -> int | None:
        """The number of samples that were asked for; None for all, of which a subset may then do."""
        return self.samples if isinstance(self.samples, int) else None

    @property
    def devices(self) -> tuple[str, ...]:
        """The devices that are named, one for each local process; one name where nothing is said of others."""
        return tuple(name.strip() for name in self.device.split(","))

    @property
    def orthogonal_alone(self) -> bool:
        """Whether there is but one direction to be orthogonal."""
        return self.random.orthogonal and self.axes is not None and len(self.axes) == 1


def _one_of(name: str, value: str | None, known: Sequence[str | None]) -> None:
    if value not in known:
        raise ValueError(f"{name}: expected one of {', '.join(k for k in known if k)}, got {value!r}")
