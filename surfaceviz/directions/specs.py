"""Specifications of directions: one of five kinds, each with its own options. No torch is needed to parse them."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeAlias

from surfaceviz.directions.axes import Axes
from surfaceviz.directions.ray_seeds import check_rays
from surfaceviz.directions.training.training_plane import FromTraining
from surfaceviz.options import IGNORES, NORMALISATIONS, one_of

RADIUS = 0.05  # Source: Foret et al., arXiv 2010.01412, section 3


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
            they are d := w, as in the reference code, and not noise, except with ``normalise="none"``.
        orthogonal: make eta orthogonal to delta filter by filter (the normalisation undoes a global Gram-Schmidt step).
        regenerate: generate the tensors at each point instead of holding them; the same bits.
        only: patterns of parameter names; the others stay fixed.
        freeze: patterns of parameters that stay fixed.
        repeat: number of rays along one axis, each with its own direction; 1 for one curve or surface.
    """

    seed: int = 0
    normalise: str = "filter"
    ignore: str = "biasbn"
    orthogonal: bool = False
    regenerate: bool = False
    only: tuple[str, ...] = ()
    freeze: tuple[str, ...] = ()
    repeat: int = 1
    around_one_minimum: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse unknown names, and a combination that cannot be generated one direction at a time."""
        one_of("normalise", self.normalise, NORMALISATIONS)
        one_of("ignore", self.ignore, IGNORES)
        if self.orthogonal and self.regenerate:
            raise ValueError("regenerate generates one direction at a time; leave out orthogonal, which needs two")
        check_rays(self.repeat, orthogonal=self.orthogonal, regenerate=self.regenerate)

    @property
    def held(self) -> bool:
        """Whether the tensors are held in memory, and kept in the file."""
        return not self.regenerate

    def check_axes(self, axes: Axes | None) -> None:
        """Refuse axes that do not fit.

        Raises:
            ValueError: one axis only, with ``orthogonal``; two, with ``repeat``.
        """
        check_rays(self.repeat, axes=axes)
        if self.orthogonal and axes is not None and len(axes) == 1:
            raise ValueError("orthogonal makes the second direction orthogonal to the first; give two axes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Toward:
    """The line to another model, or the plane through three models.

    Attributes:
        models: one or two ``FILE[:KEY]``; alpha leads to the first.
    """

    models: tuple[str, ...]
    around_one_minimum: ClassVar[bool] = False
    held: ClassVar[bool] = True
    repeat: ClassVar[int] = 1

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
    repeat: ClassVar[int] = 1

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
    repeat: ClassVar[int] = 1

    def check_axes(self, axes: Axes | None) -> None:
        """Accept any axes; the file is compared with them when it is read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinates:
    """Unit vectors of single entries of parameters.

    Attributes:
        entries: one or two of ``NAME[I]``, ``NAME[I,J]`` ..., with as many indices as the parameter has dimensions;
            ``NAME[0]`` for a parameter of no dimension.
    """

    entries: tuple[str, ...]
    around_one_minimum: ClassVar[bool] = True
    held: ClassVar[bool] = True
    repeat: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse more than two entries, and an entry without an index."""
        if len(self.entries) not in (1, 2):
            raise ValueError(f"along: a slice has 1 or 2 axes, got {len(self.entries)} entries")
        for entry in self.entries:
            parse_entry(entry)

    def check_axes(self, axes: Axes | None) -> None:
        """Refuse axes that do not fit.

        Raises:
            ValueError: another number of axes than entries.
        """
        if axes is not None and len(axes) != len(self.entries):
            raise ValueError(f"{len(self.entries)} x along makes {len(self.entries)} axes; got {len(axes)} axes")


def parse_entry(given: str) -> tuple[str, tuple[int, ...]]:
    """Return the parameter and the index of an entry.

    Raises:
        ValueError: it has another form.

    >>> parse_entry("fc.weight[0,-1]")
    ('fc.weight', (0, -1))
    """
    found = _ENTRY.fullmatch(given.strip())
    if found is None:
        raise ValueError(
            f"along: expected one of {', '.join(LOSS_DIRECTIONS)}, or an entry of a parameter such as weight[0,1] or, "
            f"of a scalar, p[0], got {given!r}"
        )
    return found["name"], tuple(int(i) for i in found["index"].split(","))


_ENTRY = re.compile(r"(?P<name>[^\[\]]+)\[(?P<index>\s*-?\d+\s*(,\s*-?\d+\s*)*)\]")


Directions: TypeAlias = Random | Toward | FromLoss | FromFile | Coordinates | FromTraining


def parse_directions(
    *, toward: Sequence[str] = (), along: str | Sequence[str] = (), directions: str | None = None, **options: Any
) -> Directions:
    """Return the directions that options describe.

    Args:
        toward: models to lead to.
        along: ``KIND[:ARGUMENT]``, a key of `LOSS_DIRECTIONS`; or one or two entries of parameters, see `Coordinates`.
        directions: a file.
        options: fields of `Random` and `FromLoss`; those that have their default value count as not given.

    Raises:
        ValueError: two kinds at once, or an option that the kind does not have.

    >>> parse_directions(along=["ascent"], radius=0.1, seed=0)
    FromLoss(kind='ascent', argument='', radius=0.1, seed=0, only=(), freeze=())
    """
    chosen: dict[str, tuple[type[Any], dict[str, Any]]] = {}
    if toward:
        chosen["toward"] = Toward, {"models": tuple(toward)}
    if along:
        chosen["along"] = _along([along] if isinstance(along, str) else along)
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


def _along(given: Sequence[str]) -> tuple[type[Any], dict[str, Any]]:
    """Return the variant that ``along`` means, and its own fields."""
    kinds = [each for each in given if each.partition(":")[0] in LOSS_DIRECTIONS]
    if not kinds:
        return Coordinates, {"entries": tuple(given)}
    if len(given) > 1:
        raise ValueError(
            f"along: {kinds[0]} determines the directions, so that it stands alone; got {', '.join(given)}"
        )
    kind, _, argument = given[0].partition(":")
    return FromLoss, {"kind": kind, "argument": argument}


_DEFAULTS = {field.name: field.default for variant in (FromLoss, Random) for field in fields(variant)}
_TITLES = {
    Random: "random directions", Toward: "directions toward models", FromLoss: "directions along the loss",
    FromFile: "directions from a file", Coordinates: "directions along entries of parameters",
}  # fmt: skip
