"""Messages between rank 0 and the other ranks before the points of a slice are distributed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from surfaceviz.directions.axes import Axis
from surfaceviz.directions.random import tensor_norm
from surfaceviz.evaluate import EngineConfig
from surfaceviz.pipeline.mpi import Fingerprint
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.request import Request

_CONTENTS = {
    "weights_sha256": "weights", "data_sha256": "data", "toward": "models of --toward", "directions": "directions",
    "device": "devices",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RequestMessage:
    """The request of rank 0, and its dtype and batch size, which may come from the file that it resumes."""

    request: Request
    dtype: str
    batch_size: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenSettings:
    """The choices of rank 0, for the plans of all ranks."""

    axes: tuple[Axis, ...]
    dtype: str
    engine: EngineConfig
    subset: int | None

    @classmethod
    def of(cls, plan: Plan) -> ChosenSettings:
        """Return the choices of a complete plan."""
        assert plan.engine is not None
        return cls(axes=plan.axes, dtype=plan.dtype, engine=plan.engine, subset=plan.subset)


def fingerprint_of(plan: Plan, centre: Mapping[str, float]) -> Fingerprint:
    """Return the fingerprint of a rank's plan and centre."""
    identity = plan.identity
    return Fingerprint(
        contents={word: str(identity.get(key, "none")) for key, word in _CONTENTS.items()},
        directions=tuple(direction.record.sha256 for direction in plan.directions),
        norms=tuple(tensor_norm(d.tensors[name]) for d in plan.directions for name in sorted(d.tensors)),
        centre=dict(centre),
    )
