"""Writing theta + alpha delta + beta eta into tensors that a model can run with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from surfaceviz.evaluate.precision import DTYPES

Coordinates = Sequence[float]


class Perturber:
    """Makes the weights of a point in working tensors, from theta anew, so that no point depends on another.

    The working tensors, one copy of the weights, are made for the first point.

    Args:
        names: canonical tensor name -> the model's own name.
        theta: canonical name -> weights and buffers, in the dtype in which they move: float32 or wider.
        directions: one mapping for each axis; tensors that stay still are absent. What is no `dict` makes its
            tensors when asked for them: they are then asked for at each point, and not held.
        dtype: a key of `DTYPES`.
        device: where the working tensors are.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        theta: Mapping[str, Tensor],
        directions: Sequence[Mapping[str, Tensor]],
        dtype: str,
        device: torch.device,
    ) -> None:
        self.names, self.dtype, self.device = names, dtype, device
        self.moving = sorted({name for direction in directions for name in direction})
        self.base = {name: theta[name].to(device) for name in self.moving}
        self.still = {name: self.cast(tensor) for name, tensor in theta.items()}
        self.directions = [
            {name: t.to(device) for name, t in direction.items()} if isinstance(direction, dict) else direction
            for direction in directions
        ]
        self._work: _Work | None = None

    def __call__(self, coordinates: Coordinates) -> dict[str, Tensor]:
        """Return the state there, by the model's own names, theta's own buffers in it; overwritten by the next."""
        self._work = self._work or _Work(self)
        return self._work.moved(coordinates)

    @property
    def centre(self) -> dict[str, Tensor]:
        """The state at theta itself; overwritten by the next."""
        return self((0.0,) * len(self.directions))

    def cast(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the device, in the dtype; the same one where it is already."""
        return tensor.to(device=self.device, dtype=DTYPES[self.dtype] if tensor.is_floating_point() else tensor.dtype)


class _Work:
    """A placer's working tensors."""

    def __init__(self, placer: Perturber) -> None:
        self._base = list(placer.base.values())
        self._still = [tensor for name, tensor in placer.still.items() if name not in placer.base]
        work = {name: tensor.clone() for name, tensor in placer.still.items()}
        self._standing = [work[name] for name in work if name not in placer.base]  # which the model may write to
        self._cast = [work[name] for name in placer.moving]
        self._state = {placer.names[name]: tensor for name, tensor in work.items()}
        # Weights move in the master dtype and are then cast; where that is one dtype, in place.
        wide = {n: work[n] if work[n].dtype == b.dtype else torch.empty_like(b) for n, b in placer.base.items()}
        self._moved = list(wide.values())
        self._steps = [_step(wide, direction) for direction in placer.directions]
        # A running variance has no meaning below 0, where a line beyond its ends would lead it.
        self._variances = [tensor for name, tensor in wide.items() if name.endswith("running_var")]

    def moved(self, coordinates: Coordinates) -> dict[str, Tensor]:
        if self._standing:
            torch._foreach_copy_(self._standing, self._still)
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
    """Return what moves tensors along a direction: at once where its tensors are held, else one by one."""
    if isinstance(direction, dict):
        targets, steps = [wide[name] for name in direction], list(direction.values())
        return lambda coordinate: torch._foreach_add_(targets, steps, alpha=coordinate)

    def one_by_one(coordinate: float) -> None:
        for name in direction if coordinate else ():
            wide[name].add_(direction[name].to(wide[name].device), alpha=coordinate)

    return one_by_one


class Stacker:
    """Makes the weights of several points at once: what moves gets a leading axis.

    Args:
        placer: of single points.
    """

    def __init__(self, placer: Perturber) -> None:
        self._placer, self._names = placer, placer.names
        self.moving = {self._names[name] for name in placer.moving}
        self._work: dict[str, Tensor] = {}

    def __call__(self, places: Sequence[Coordinates]) -> dict[str, Tensor]:
        """Return the states at ``places``, by the model's own names: k sets of what moves, one of what does not.

        Overwritten by the next, where there are as many.
        """
        along = [torch.tensor(c, dtype=torch.float64) for c in zip(*places, strict=True)]
        state = {self._names[n]: t.clone() for n, t in self._placer.still.items() if n not in self._placer.base}
        for name, base in self._placer.base.items():
            shape = (len(places), *base.shape)
            work = self._work.get(name)
            if work is None or work.shape != shape:
                work = self._work[name] = self._placer.still[name].new_empty(shape)
            self._write(work, name, along)
            state[self._names[name]] = work
        return state

    def _write(self, work: Tensor, name: str, along: Sequence[Tensor]) -> None:
        """Write a tensor of all points, moved in the master dtype; where that is another, by way of it."""
        base = self._placer.base[name]
        moved = work if work.dtype == base.dtype else torch.empty_like(work, dtype=base.dtype)
        moved.copy_(base.expand_as(moved))
        for coordinates, direction in zip(along, self._placer.directions, strict=True):
            if name in direction:
                moved.addcmul_(coordinates.to(base).view(-1, *[1] * base.ndim), direction[name].to(base.device))
        if name.endswith("running_var"):
            moved.clamp_(min=0)
        if moved is not work:
            work.copy_(moved)
