"""The request for a trajectory: the user's options, checked before anything is built. No import of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from surfaceviz.directions.training.training_plane import FromTraining
from surfaceviz.options import AUTO
from surfaceviz.pipeline.slice.request import Names, Request

if TYPE_CHECKING:
    from surfaceviz.problem.problem import Problem

_SPEC = FromTraining(runs=())


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryRequest:
    """The user's options for a trajectory.

    Attributes:
        checkpoints: folders of checkpoints, each of one training, and ``FILE[:KEY]``.
        problem: a problem or its name; None for the folder of a training that is a problem itself.
        plane: the kind of plane, without its trainings.
        slice: the slice in this plane, without its problem, weights and directions.
    """

    checkpoints: tuple[str, ...]
    problem: str | Problem | None
    plane: FromTraining
    slice: Request

    @classmethod
    def of(
        cls,
        *checkpoints: str | Path,
        problem: str | Problem | None = None,
        plane: str = _SPEC.plane,
        centred: bool = _SPEC.centred,
        axes: Sequence[str | Sequence[float]] | None = None,
        reach: float | None = None,
        data: str | None = None,
        ignore: str = _SPEC.ignore,
        only: Names | None = None,
        freeze: Names | None = None,
        splits: Names | None = None,
        samples: int | str | None = None,
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
    ) -> TrajectoryRequest:
        """Return the request that raw options describe; their defaults are defined only here.

        Raises:
            ValueError: no checkpoint, an invalid option, or two options that contradict each other.
        """
        if not checkpoints:
            raise ValueError("got no checkpoint; give a folder of checkpoints, or two or more files")
        if problem is None and len(checkpoints) > 1 and not Path(checkpoints[0]).is_dir():
            raise ValueError("got checkpoints without their problem; give problem, such as mine.py:problem")
        return cls(
            checkpoints=tuple(map(str, checkpoints)),
            problem=problem,
            plane=FromTraining(
                runs=(), plane=plane, centred=centred, ignore=ignore, only=_names(only), freeze=_names(freeze)
            ),
            slice=Request.of(
                problem or "", axes, reach=reach, data=data, splits=splits, samples=samples, bn=bn, dtype=dtype,
                device=device, engine=engine, batch_size=batch_size, tol=tol, level=level, shard=shard, output=output,
                default_output=default_output, overwrite=overwrite, watch=watch,
            ),
        )  # fmt: skip


def _names(names: Names | None) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())
