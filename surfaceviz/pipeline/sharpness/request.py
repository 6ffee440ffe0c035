"""The request for sharpness: the user's options. Importing this module does not import torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from surfaceviz.errors import StoreError
from surfaceviz.options import AUTO
from surfaceviz.pipeline.hessian.request import HessianRequest, file_of

if TYPE_CHECKING:
    from surfaceviz.problem.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class SharpnessRequest:
    """The user's options for sharpness.

    Attributes:
        points: a request for each target.
        seed: seed of directions, probes and factors.
        rescaled: how many checkpoints are rescaled, from the first; None for all.
        json: file for all measurements.
    """

    points: tuple[HessianRequest, ...]
    seed: int = 0
    rescaled: int | None = 1
    json: Path | None = None

    @classmethod
    def of(
        cls,
        targets: Sequence[str | Path | Problem],
        *,
        weights: str | Sequence[str] | None = None,
        problem: str | Problem | None = None,
        split: str | None = None,
        samples: int | None = None,
        data: str | None = None,
        batch_size: int | None = None,
        memory: int | str | None = None,
        device: str = AUTO,
        seed: int = 0,
        rescale: bool = True,
        rescale_all: bool = False,
        json: str | Path | None = None,
    ) -> SharpnessRequest:
        """Return the request that raw options describe; their defaults are defined only here.

        Raises:
            ValueError: an option is invalid, or two options contradict each other.
        """
        if weights and len(targets) > 1:
            raise ValueError(f"weights belong to one problem, but {len(targets)} targets are given")
        common = {
            "weights": weights, "problem": problem, "split": split, "samples": samples, "data": data,
            "batch_size": batch_size, "memory": memory, "device": device,
        }  # fmt: skip
        # A slice is built in its own dtype, to be compared with its file; measures are then computed in float64.
        dtypes = [None if file_of(target) else "float64" for target in targets]
        return cls(
            points=tuple(HessianRequest.of(t, dtype=d, **common) for t, d in zip(targets, dtypes, strict=True)),  # type: ignore[arg-type]
            seed=seed,
            rescaled=0 if not rescale else None if rescale_all else 1,
            json=None if json is None else Path(json),
        )

    def __post_init__(self) -> None:
        """Check the options before anything is built."""
        if not self.points:
            raise ValueError("nothing to measure; name a slice's file or a problem")
        if self.json is not None and not self.json.absolute().parent.is_dir():
            raise StoreError(f"{self.json}: the folder {self.json.absolute().parent} does not exist; create it first")
