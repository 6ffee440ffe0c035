"""Specifications of directions: one of five kinds, each with its own options. No torch is needed to parse them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeAlias

from surfaceviz.directions.axes import AutoAxis, Axis
from surfaceviz.options import IGNORES, NORMALISATIONS, PLANES, one_of

RADIUS = 0.05  # Source: Foret et al., arXiv 2010.01412, section 3
Axes: TypeAlias = tuple[Axis | AutoAxis, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LossDirection:
    """A kind of direction that the loss determines.

    Attributes:
        help: description for the command line.
        maker: ``module:function`` that returns the directions; see `surfaceviz.directions.from_loss`.
        argument: name of the argument after the colon, for kinds that take one.
    """

    help: str
    maker: str
    argument: str = ""

    def load(self) -> Callable[..., Any]:
        """Import and return the function."""
        module, _, function = self.maker.partition(":")
        return getattr(importlib.import_module(module), function)  # type: ignore[no-any-return]


_FROM_LOSS = "surfaceviz.directions.from_loss"
LOSS_DIRECTIONS = {
    "hessian": LossDirection(help="top eigenvectors of the Hessian", maker=f"{_FROM_LOSS}:top_eigenvectors"),
    "extremes": LossDirection(help="top and bottom eigenvectors", maker=f"{_FROM_LOSS}:extreme_eigenvectors"),
    "gradient": LossDirection(help="the gradient", maker=f"{_FROM_LOSS}:gradient"),
    "ascent": LossDirection(help="toward the highest loss within --radius", maker=f"{_FROM_LOSS}:ascent"),
    "labels": LossDirection(
        help="the difference of the gradients of labels A and B",
        maker="surfaceviz.directions.label_gradients:label_gradients",
        argument="A,B",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Random:
    """Random directions.

    Attributes:
        seed: seed of the random numbers, any integer.
        normalise: one of `options.NORMALISATIONS`.
        ignore: ``biasbn`` sets gains (biases, normalisation layers) to 0, as in the paper's figures; with ``none``
            they are d := w, as in the reference code, and not noise.
        orthogonal: make eta orthogonal to delta filter by filter (the normalisation would undo a global Gram-Schmidt
            step).
        regenerate: generate the tensors at each point instead of holding them; the same bits.
        only: patterns of parameter names; the others stay fixed.
        freeze: patterns of parameters that stay fixed.
    """

    seed: int = 0
    normalise: str = "filter"
    ignore: str = "biasbn"
    orthogonal: bool = False
    regenerate: bool = False
    only: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    around_one_minimum: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse unknown names, and a combination that cannot be generated one direction at a time."""
        one_of("normalise", self.normalise, NORMALISATIONS)
        one_of("ignore", self.ignore, IGNORES)
        if self.orthogonal and self.regenerate:
            raise ValueError("regenerate generates one direction at a time; leave out orthogonal, which needs two")

    @property
    def held(self) -> bool:
        """Whether the tensors are held in memory, and kept in the file."""
        return not self.regenerate

    def check_axes(self, axes: Axes | None) -> None:
        """Refuse axes that do not fit.

        Raises:
            ValueError: one axis only, with ``orthogonal``.
        """
        if self.orthogonal and axes is not None and len(axes) == 1:
            raise ValueError("orthogonal makes the second direction orthogonal to the first; give two axes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Toward:
    """The line to another model, or the plane through three models.

    Attributes:
        models: one or two ``FILE[:KEY]``.
    """

    models: tuple[str, ...]
    around_one_minimum: ClassVar[bool] = False
    held: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse more than two models."""
        if len(self.models) not in (1, 2):
            raise ValueError(f"a line leads toward 1 model, a plane toward 2; got {len(self.models)}")

    def check_axes(self, axes: Axes | None) -> None:
        """Refuse axes that do not fit.

        Raises:
            ValueError: another number of axes than models, or an axis whose range is not known.
        """
        if axes is not None and len(axes) != len(self.models):
            raise ValueError(f"{len(self.models)} x toward makes {len(self.models)} axes; got {len(axes)} axes")
        if any(not axis.has_range for axis in axes or ()):
            raise ValueError("axis auto finds a range around one minimum; with toward, give MIN:MAX:NUM or no axis")


@dataclass(frozen=True, slots=True, kw_only=True)
class FromLoss:
    """Unit directions that the loss determines, with a random second direction where there is only one.

    Attributes:
        kind: a key of `LOSS_DIRECTIONS`.
        argument: what follows the colon of ``KIND:ARGUMENT``; empty for kinds that take no argument.
        radius: distance within which ``ascent`` looks for the highest loss.
        seed: seed of the random second direction.
        only: patterns of parameter names; the others stay fixed.
        freeze: patterns of parameters that stay fixed.
    """

    kind: str
    argument: str = ""
    radius: float = RADIUS
    seed: int = 0
    only: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    around_one_minimum: ClassVar[bool] = True
    held: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse an unknown kind, a missing or needless argument, and a radius that is not positive."""
        one_of("along", self.kind, tuple(LOSS_DIRECTIONS))
        named = LOSS_DIRECTIONS[self.kind].argument
        if bool(named) != bool(self.argument):
            expected = f"{self.kind}:{named}" if named else self.kind
            raise ValueError(f"along: expected {expected}, got {self}")
        if not self.radius > 0:
            raise ValueError(f"radius: expected a positive distance, got {self.radius:g}")
        if self.radius != RADIUS and self.kind != "ascent":
            raise ValueError(f"got radius with along {self}, which has none; leave out radius, or take along ascent")

    def __str__(self) -> str:
        return f"{self.kind}:{self.argument}" if self.argument else self.kind

    def check_axes(self, axes: Axes | None) -> None:
        """Accept any axes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FromFile:
    """The directions in a file, neither normalised nor ignored.

    Attributes:
        path: a direction file of the reference code, or the file of a slice that keeps its directions.
    """

    path: str
    around_one_minimum: ClassVar[bool] = True
    held: ClassVar[bool] = True

    def check_axes(self, axes: Axes | None) -> None:
        """Accept any axes; the file is compared with them when it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRun:
    """The checkpoints of a training.

    Attributes:
        name: what distinguishes it from other runs in a picture.
        files: ``FILE[:KEY]`` of each checkpoint, in the order of the training.
        steps: the step or epoch of each.
    """

    name: str
    files: tuple[str, ...]
    steps: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FromTraining:
    """The plane of the checkpoints of trainings; the slice's weights must be one of the checkpoints.

    Attributes:
        runs: the trainings.
        plane: ``pca``: the principal plane of all iterates; ``last``: of the last half of each run; or
            ``START,MIDDLE,END``, the steps (of the first run) or the files' names of three checkpoints.
        centred: whether principal directions are those of the iterates minus their mean.
        ignore: ``biasbn`` leaves out biases and the gains of normalisation layers.
        only: patterns of parameter names; the others are left out.
        freeze: patterns of parameters that are left out.
    """

    runs: tuple[TrainingRun, ...]
    plane: str = PLANES[0]
    centred: bool = False
    ignore: str = "none"
    only: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    around_one_minimum: ClassVar[bool] = True
    held: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse an unknown plane, and ``centred`` where there is nothing to centre."""
        one_of("ignore", self.ignore, IGNORES)
        if self.plane in PLANES:
            return
        if len(self.through) != 3 or not all(self.through):  # noqa: PLR2004  a plane has three points
            raise ValueError(f"plane: expected {', '.join(PLANES)} or START,MIDDLE,END, got {self.plane!r}")
        if self.centred:
            raise ValueError(f"plane {self.plane} passes through three checkpoints; leave out centred")

    @property
    def through(self) -> tuple[str, ...]:
        """The three checkpoints that the plane passes through; empty for a principal plane."""
        return () if self.plane in PLANES else tuple(part.strip() for part in self.plane.split(","))

    def check_axes(self, axes: Axes | None) -> None:
        """Accept any axes: ranges that are left open are fitted to the path."""


Directions: TypeAlias = Random | Toward | FromLoss | FromFile | FromTraining


def parse_directions(
    *, toward: Sequence[str] = (), along: str | None = None, directions: str | None = None, **options: Any
) -> Directions:
    """Return the directions that options describe.

    Args:
        toward: models to lead to.
        along: ``KIND[:ARGUMENT]``, a key of `LOSS_DIRECTIONS`.
        directions: a file.
        options: fields of `Random` and `FromLoss`; those that have their default value count as not given.

    Raises:
        ValueError: two kinds at once, or an option that the kind does not have.

    >>> parse_directions(along="ascent", radius=0.1, seed=0)
    FromLoss(kind='ascent', argument='', radius=0.1, seed=0, only=(), freeze=())
    """
    chosen: dict[str, tuple[type[Any], dict[str, Any]]] = {}
    if toward:
        chosen["toward"] = Toward, {"models": tuple(toward)}
    if along:
        kind, _, argument = along.partition(":")
        chosen["along"] = FromLoss, {"kind": kind, "argument": argument}
    if directions:
        chosen["directions"] = FromFile, {"path": str(directions)}
    if len(chosen) > 1:
        raise ValueError(f"got {' and '.join(chosen)}; each determines the directions. Give one of them")
    variant, own = next(iter(chosen.values()), (Random, {}))
    given = {key: value for key, value in options.items() if value != _DEFAULTS[key]}
    unknown = sorted(given.keys() - {field.name for field in fields(variant)})
    if unknown:
        listed = ", ".join(unknown)
        raise ValueError(f"got {listed}; {_TITLES[variant]} have no such option. Leave out {listed}")
    made: Directions = variant(**own, **given)
    return made


_DEFAULTS = {field.name: field.default for variant in (FromLoss, Random) for field in fields(variant)}
_TITLES = {
    Random: "random directions", Toward: "directions toward models", FromLoss: "directions along the loss",
    FromFile: "directions from a file",
}  # fmt: skip
