"""theta + alpha delta + beta eta -> the values there: the engines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from surfaceviz.errors import ProblemError
from surfaceviz.functional import Batches, Pass, Tallies
from surfaceviz.problem import Problem

ENGINES = ("eager",)
BN_MODES = ("fixed", "recalibrate")
EAGER_BATCH = 128  # the fastest of 64 .. 480 for ResNet-20 on the digits, one thread of a CPU

DTYPES = {
    "float64": torch.float64,
    "float32": torch.float32,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
}


@dataclass(frozen=True, slots=True)
class Point:
    """The values at one point, by ``<split>_<metric>``; standard errors only where samples have values."""

    values: Mapping[str, float]
    stderr: Mapping[str, float] = field(default_factory=dict)
    rise_stderr: Mapping[str, float] = field(default_factory=dict)


def default_dtype(model: torch.nn.Module) -> str:
    """Return ``float64`` for a model that has such parameters, else ``float32``.

    A half-precision model is evaluated in float32 unless asked otherwise: between close points of a slice
    most of its own weights would not change, and the curve would be a comb.
    """
    return "float64" if any(p.dtype == torch.float64 for p in model.parameters()) else "float32"


def master_dtype(dtype: str) -> torch.dtype:
    """Return the dtype in which weights are perturbed: float32 or wider.

    >>> master_dtype("bf16")
    torch.float32
    """
    return torch.promote_types(DTYPES[dtype], torch.float32)


class Evaluator:
    """Evaluates points of a slice, each from theta anew, so that no point depends on another.

    Args:
        problem: what is measured.
        names: canonical tensor name -> the model's own name.
        theta: canonical name -> weights and buffers, in the dtype in which they move: float32 or wider.
        directions: one mapping for each axis; tensors that stay still are absent.
        batches: split -> batches, on the device, in the dtype.
        dtype: a key of `DTYPES`.
        device: where to compute.
        calibration: batches from which batch norms' statistics are recomputed at each point; None keeps
            those of theta.
    """

    def __init__(
        self,
        problem: Problem,
        *,
        names: Mapping[str, str],
        theta: Mapping[str, Tensor],
        directions: Sequence[Mapping[str, Tensor]],
        batches: Batches,
        dtype: str,
        device: torch.device,
        calibration: Sequence[Any] | None = None,
    ) -> None:
        moving = sorted({name for direction in directions for name in direction})
        self._base = [theta[name].to(device) for name in moving]
        self._still = [_cast(tensor, dtype, device) for tensor in theta.values()]
        work = {name: tensor.clone() for name, tensor in zip(theta, self._still, strict=True)}
        self._work = list(work.values())
        self._cast = [work[name] for name in moving]
        self._state = {names[name]: tensor for name, tensor in work.items()}
        # Weights move in the master dtype and are then cast; where that is one dtype, in place.
        wide = {
            n: work[n] if work[n].dtype == theta[n].dtype else torch.empty_like(theta[n], device=device) for n in moving
        }
        self._moved = list(wide.values())
        self._steps = [([wide[n] for n in d], [t.to(device) for t in d.values()]) for d in directions]
        # A running variance has no meaning below 0, where a line beyond its ends would lead it.
        self._variances = [tensor for name, tensor in wide.items() if name.endswith("running_var")]
        self._pass = Pass(problem, batches)
        self._calibration = calibration
        self._centre: Tallies | None = None

    def centre(self) -> Point:
        """Return the values at theta itself, to which rises are then referred."""
        self._place((0.0,) * len(self._steps))
        self._centre = self._pass(self._state)
        return self._point(self._centre)

    def __call__(self, coordinates: Sequence[float]) -> Point:
        """Return the values at (alpha[, beta]).

        Raises:
            ProblemError: the problem's own code raised; the coordinates are named.
        """
        try:
            self._place(coordinates)
            return self._point(self._pass(self._state))
        except ProblemError as error:
            where = ", ".join(f"{x:g}" for x in coordinates)
            raise ProblemError(f"at ({where}): {error}") from error

    def _place(self, coordinates: Sequence[float]) -> None:
        """Write theta + alpha delta + beta eta, and theta's own buffers, into the working tensors."""
        torch._foreach_copy_(self._work, self._still)
        torch._foreach_copy_(self._moved, self._base)
        for coordinate, (targets, direction) in zip(coordinates, self._steps, strict=True):
            torch._foreach_add_(targets, direction, alpha=coordinate)
        for variance in self._variances:
            variance.clamp_(min=0)
        torch._foreach_copy_(self._cast, self._moved)
        if self._calibration is not None:
            self._pass.recalibrate(self._state, self._calibration)

    def _point(self, tallies: Tallies) -> Point:
        sampled = {name: tally for name, tally in tallies.items() if tally.residuals is not None}
        centre = self._centre or {}
        return Point(
            {name: tally.mean for name, tally in tallies.items()},
            {name: tally.stderr for name, tally in sampled.items()},
            {name: tally.rise_stderr(centre[name]) for name, tally in sampled.items() if name in centre},
        )


def _cast(tensor: Tensor, dtype: str, device: torch.device) -> Tensor:
    return tensor.to(device=device, dtype=DTYPES[dtype] if tensor.is_floating_point() else tensor.dtype)
