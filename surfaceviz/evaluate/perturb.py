"""Weights theta + alpha delta + beta eta, written into tensors that a model can run with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor

from surfaceviz.evaluate.precision import DTYPES

Coordinates = Sequence[float]
_BLOCK = 2**22  # entries of a weight that move at once in a wider dtype than the model's; ours


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
        still: canonical name -> tensor that does not move, in the dtype, on the device.
        order: canonical names of all tensors.
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
        self.still = {name: self.cast(tensor) for name, tensor in theta.items() if name not in self.theta}
        self.order = list(theta)
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
    def cast_theta(self) -> dict[str, Tensor]:
        """All tensors of theta, in the dtype, on the device; those that move are cast again at each access."""
        return {n: self.still[n] if n in self.still else self.cast(self.theta[n]) for n in self.order}

    @property
    def nbytes(self) -> int:
        """The bytes of a set of all tensors, in the dtype."""
        sizes = {**self.theta, **self.still}
        return sum(tensor.numel() * self._dtype_of(tensor).itemsize for tensor in sizes.values())

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
        return tensor.to(device=self.device, dtype=self._dtype_of(tensor))

    def empty(self, tensor: Tensor, *shape: int) -> Tensor:
        """Return an empty tensor like another, on the device, in the dtype; of another shape where one is given."""
        dtype = self._dtype_of(tensor)
        if shape:
            return tensor.new_empty(shape, dtype=dtype, device=self.device)
        return torch.empty_like(tensor, dtype=dtype, device=self.device)

    def _dtype_of(self, tensor: Tensor) -> torch.dtype:
        return DTYPES[self.dtype] if tensor.is_floating_point() else tensor.dtype


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
        self._tensors = self._tensors or {name: self.empty(tensor) for name, tensor in self._given.items()}
        for name, tensor in self._given.items():
            self._tensors[name].copy_(tensor)
        for coordinate, direction in zip(coordinates, self.directions, strict=True):
            for name in direction if coordinate else ():
                for tensor, step in blocks(self._tensors[name], direction[name]):
                    tensor.add_(self.cast(step), alpha=coordinate)
        for name in self.moving:
            if name.endswith("running_var"):
                self._tensors[name].clamp_(min=0)
        return {self.names[name]: tensor for name, tensor in self._tensors.items()}


class _WorkingTensors:
    """The working tensors of a perturber.

    Weights move in the master dtype and are then cast. Where that is one dtype, they move in place; else those of a
    large model move block by block, so that no set of weights in the master dtype is needed.
    """

    def __init__(self, perturber: Perturber) -> None:
        # Not the perturber itself: a cycle would keep all weights until the garbage collector finds it.
        self._theta, self._still, self._directions = perturber.theta, perturber.still, perturber.directions
        self._moving, self._device, theta = perturber.moving, perturber.device, perturber.theta
        work = {n: perturber.empty(theta[n] if n in theta else perturber.still[n]) for n in perturber.order}
        self._fixed_work = [work[name] for name in perturber.still]  # which the model may write to
        self._cast = {name: work[name] for name in perturber.moving}
        self._state = {perturber.names[name]: tensor for name, tensor in work.items()}
        other = [name for name, base in theta.items() if work[name].dtype != base.dtype]
        self._blockwise = sum(theta[name].numel() for name in other) > _BLOCK
        wide = {} if self._blockwise else {n: torch.empty_like(b) if n in other else work[n] for n, b in theta.items()}
        self._moved = list(wide.values())
        self._steps = [] if self._blockwise else [_step(wide, direction) for direction in perturber.directions]
        # An extrapolated line can make a running variance negative, which has no meaning.
        self._variances = [tensor for name, tensor in wide.items() if name.endswith("running_var")]

    def moved(self, coordinates: Coordinates) -> dict[str, Tensor]:
        if self._fixed_work:
            torch._foreach_copy_(self._fixed_work, list(self._still.values()))
        if self._blockwise:
            for name in self._moving:
                self._move_blocks(name, coordinates)
        elif self._moved:
            self._move_at_once(coordinates)
        return self._state

    def _move_at_once(self, coordinates: Coordinates) -> None:
        torch._foreach_copy_(self._moved, list(self._theta.values()))
        for coordinate, step in zip(coordinates, self._steps, strict=True):
            step(coordinate)
        for variance in self._variances:
            variance.clamp_(min=0)
        torch._foreach_copy_(list(self._cast.values()), self._moved)

    def _move_blocks(self, name: str, coordinates: Coordinates) -> None:
        """Move one tensor block by block; generated directions are generated first, as a whole."""
        pairs = zip(coordinates, self._directions, strict=True)
        along = [(c, d[name].to(self._device)) for c, d in pairs if name in d and (c or isinstance(d, dict))]
        for base, cast, *steps in blocks(self._theta[name], self._cast[name], *(step for _, step in along)):
            moved = base.clone()
            for (coordinate, _), step in zip(along, steps, strict=True):
                moved.add_(step, alpha=coordinate)
            if name.endswith("running_var"):
                moved.clamp_(min=0)
            cast.copy_(moved)


def blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Return matching parts of tensors of one shape: blocks of their entries; the whole where one is not contiguous."""
    if all(tensor.is_contiguous() for tensor in tensors):
        return zip(*(tensor.view(-1).split(_BLOCK) for tensor in tensors), strict=True)
    return iter([tensors])


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
        state = {self._names[name]: tensor.clone() for name, tensor in self._perturber.still.items()}
        for name, base in self._perturber.theta.items():
            shape = (len(points), *base.shape)
            work = self._work.get(name)
            if work is None or work.shape != shape:
                work = self._work[name] = self._perturber.empty(base, *shape)
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
