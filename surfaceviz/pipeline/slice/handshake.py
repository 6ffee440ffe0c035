"""Messages between rank 0 and the other ranks before a slice's points are handed out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from surfaceviz.directions.axes import Axis
from surfaceviz.directions.random import length
from surfaceviz.evaluate import EngineConfig
from surfaceviz.pipeline.mpi import Fingerprint
from surfaceviz.pipeline.slice.planning.plan import Plan
from surfaceviz.pipeline.slice.request import Request

_CONTENTS = {
    "weights_sha256": "weights", "data_sha256": "data", "toward": "models to lead to", "directions": "directions",
    "device": "devices",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Opening:
    """The request of rank 0, and the dtype that its file may ask for."""

    request: Request
    dtype: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """What rank 0 has measured and chosen, for every plan."""

    axes: tuple[Axis, ...]
    dtype: str
    engine: EngineConfig
    subset: int | None

    @classmethod
    def of(cls, plan: Plan) -> Settled:
        """Return the choices of a plan with nothing left open."""
        assert plan.engine is not None
        return cls(axes=plan.axes, dtype=plan.dtype, engine=plan.engine, subset=plan.subset)


def fingerprint_of(plan: Plan, centre: Mapping[str, float]) -> Fingerprint:
    """Return the fingerprint of what a rank has built."""
    identity = plan.identity
    return Fingerprint(
        contents={word: str(identity.get(key, "none")) for key, word in _CONTENTS.items()},
        directions=tuple(direction.record.sha256 for direction in plan.directions),
        norms=tuple(length(d.tensors[name]) for d in plan.directions for name in sorted(d.tensors)),
        centre=dict(centre),
    )
