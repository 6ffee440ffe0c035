"""The specification of the plane of trainings."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from surfaceviz.directions.axes import Axes
from surfaceviz.options import IGNORES, PLANES, one_of


@dataclass(frozen=True, slots=True)
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
    repeat: ClassVar[int] = 1

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
