"""Weights theta + alpha delta + beta eta, written into tensors that a model can run with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from surfaceviz.evaluate.precision import DTYPES

Coordinates = Sequence[float]


class Perturber:
    """Computes the weights of a point in working tensors, from theta, so that no point depends on another.

    The working tensors, one copy of the weights, are allocated at the first point.

    Args:
        names: canonical tensor name -> the model's own name.
        theta: canonical name -> weights and buffers, in the dtype in which they move: float32 or wider.
        directions: one mapping for each axis, without the tensors that do not move. A mapping that is not a `dict`
            generates its tensors on access; they are then read at each point, and not kept.
        dtype: a key of `DTYPES`.
        device: device of the working tensors.

    Attributes:
        moving: sorted canonical names of the tensors that move.
        theta: weights of the moving tensors, in the master dtype, on the device.
        cast_theta: all tensors of theta, in the dtype, on the device.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        theta: Mapping[str, Tensor],
        directions: Sequence[Mapping[str, Tensor]],
        dtype: str,
        *,
        device: torch.device,
    ) -> None:
        self.names, self.dtype, self.device = names, dtype, device
        self.moving = sorted({name for direction in directions for name in direction})
        self.theta = {name: theta[name].to(device) for name in self.moving}
        self.cast_theta = {name: self.cast(tensor) for name, tensor in theta.items()}
        self.directions = [
            {name: t.to(device) for name, t in direction.items()} if isinstance(direction, dict) else direction
            for direction in directions
        ]
        self._work: _WorkingTensors | None = None

    def __call__(self, coordinates: Coordinates) -> dict[str, Tensor]:
        """Return the state at a point, by the model's own names; the next call overwrites it."""
        self._work = self._work or _WorkingTensors(self)
        return self._work.moved(coordinates)

    @property
    def centre(self) -> dict[str, Tensor]:
        """The state at theta; the next call overwrites it."""
        return self((0.0,) * len(self.directions))

    def turn(self, direction: Mapping[str, Tensor]) -> None:
        """Take another direction, which moves the same tensors, in place of the only one.

        It is copied into the held tensors, which the working tensors and batches of weights refer to.
        """
        (held,) = self.directions
        for name, tensor in held.items():
            tensor.copy_(direction[name])

    def cast(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device, in the dtype; the tensor itself where nothing changes."""
        return tensor.to(device=self.device, dtype=DTYPES[self.dtype] if tensor.is_floating_point() else tensor.dtype)


class Float64Perturber(Perturber):
    """Computes the weights of a point in float64, from theta and directions in their own dtype, which stay as they are.

    Args:
        like: computes them in its dtype.
        theta: canonical name -> weights and buffers, all of them.
    """

    def __init__(self, like: Perturber, theta: Mapping[str, Tensor]) -> None:
        self.names, self.dtype, self.device = like.names, "float64", like.device
        self.moving, self.theta, self.directions = like.moving, like.theta, like.directions
        self._given = theta
        self._tensors: dict[str, Tensor] = {}

    def __call__(self, coordinates: Coordinates) -> dict[str, Tensor]:
        """Return the state at a point, by the model's own names; the next call overwrites it."""
        # Allocated one after another, without temporary tensors between them, whose memory would not be reused.
        self._tensors = self._tensors or {name: self._empty(tensor) for name, tensor in self._given.items()}
        for name, tensor in self._given.items():
            self._tensors[name].copy_(tensor)
        for coordinate, direction in zip(coordinates, self.directions, strict=True):
            for name in direction if coordinate else ():
                self._tensors[name].add_(self.cast(direction[name]), alpha=coordinate)
        for name in self.moving:
            if name.endswith("running_var"):
                self._tensors[name].clamp_(min=0)
        return {self.names[name]: tensor for name, tensor in self._tensors.items()}

    def _empty(self, tensor: Tensor) -> Tensor:
        dtype = torch.float64 if tensor.is_floating_point() else tensor.dtype
        return torch.empty_like(tensor, dtype=dtype, device=self.device)


class _WorkingTensors:
    """The working tensors of a perturber."""

    def __init__(self, perturber: Perturber) -> None:
        self._base = list(perturber.theta.values())
        self._still = [tensor for name, tensor in perturber.cast_theta.items() if name not in perturber.theta]
        work = {name: tensor.clone() for name, tensor in perturber.cast_theta.items()}
        self._fixed_work = [work[name] for name in work if name not in perturber.theta]  # which the model may write to
        self._cast = [work[name] for name in perturber.moving]
        self._state = {perturber.names[name]: tensor for name, tensor in work.items()}
        # Weights move in the master dtype and are then cast; where that is one dtype, in place.
        wide = {n: work[n] if work[n].dtype == b.dtype else torch.empty_like(b) for n, b in perturber.theta.items()}
        self._moved = list(wide.values())
        self._steps = [_step(wide, direction) for direction in perturber.directions]
        # An extrapolated line can make a running variance negative, which has no meaning.
        self._variances = [tensor for name, tensor in wide.items() if name.endswith("running_var")]

    def moved(self, coordinates: Coordinates) -> dict[str, Tensor]:
        if self._fixed_work:
            torch._foreach_copy_(self._fixed_work, self._still)
        if not self._base:  # nothing moves
            return self._state
        torch._foreach_copy_(self._moved, self._base)
        for coordinate, step in zip(coordinates, self._steps, strict=True):
            step(coordinate)
        for variance in self._variances:
            variance.clamp_(min=0)
        torch._foreach_copy_(self._cast, self._moved)
        return self._state


def _step(wide: Mapping[str, Tensor], direction: Mapping[str, Tensor]) -> Callable[[float], None]:
    """Return a function that moves tensors along a direction: at once where it is a `dict`, else one by one."""
    if isinstance(direction, dict):
        targets, steps = [wide[name] for name in direction], list(direction.values())
        return lambda coordinate: torch._foreach_add_(targets, steps, alpha=coordinate)

    def one_by_one(coordinate: float) -> None:
        for name in direction if coordinate else ():
            wide[name].add_(direction[name].to(wide[name].device), alpha=coordinate)

    return one_by_one


class BatchPerturber:
    """Computes the weights of several points at once, with a leading axis on the tensors that move.

    Args:
        perturber: computes the weights of single points.
    """

    def __init__(self, perturber: Perturber) -> None:
        self._perturber, self._names = perturber, perturber.names
        self.moving = {self._names[name] for name in perturber.moving}
        self._work: dict[str, Tensor] = {}

    def __call__(self, points: Sequence[Coordinates]) -> dict[str, Tensor]:
        """Return the states at k points by the model's own names: k sets of moving tensors, one set of the others.

        The next call with k points overwrites them.
        """
        along = [torch.tensor(c, dtype=torch.float64) for c in zip(*points, strict=True)]
        state = {
            self._names[n]: t.clone() for n, t in self._perturber.cast_theta.items() if n not in self._perturber.theta
        }
        for name, base in self._perturber.theta.items():
            shape = (len(points), *base.shape)
            work = self._work.get(name)
            if work is None or work.shape != shape:
                work = self._work[name] = self._perturber.cast_theta[name].new_empty(shape)
            self._write(work, name, along)
            state[self._names[name]] = work
        return state

    def _write(self, work: Tensor, name: str, along: Sequence[Tensor]) -> None:
        """Write one tensor for all points; it moves in the master dtype and is then cast."""
        base = self._perturber.theta[name]
        moved = work if work.dtype == base.dtype else torch.empty_like(work, dtype=base.dtype)
        moved.copy_(base.expand_as(moved))
        for coordinates, direction in zip(along, self._perturber.directions, strict=True):
            if name in direction:
                moved.addcmul_(coordinates.to(base).view(-1, *[1] * base.ndim), direction[name].to(base.device))
        if name.endswith("running_var"):
            moved.clamp_(min=0)
        if moved is not work:
            work.copy_(moved)
