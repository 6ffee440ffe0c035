"""Writing theta + alpha delta + beta eta into tensors that a model can run with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from surfaceviz.evaluate.precision import DTYPES

Coordinates = Sequence[float]


class Placer:
    """Makes the weights of a point in working tensors, from theta anew, so that no point depends on another.

    Args:
        names: canonical tensor name -> the model's own name.
        theta: canonical name -> weights and buffers, in the dtype in which they move: float32 or wider.
        directions: one mapping for each axis; tensors that stay still are absent.
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
        moving = sorted({name for direction in directions for name in direction})
        self._base = [theta[name].to(device) for name in moving]
        self._still = [_cast(tensor, dtype, device) for tensor in theta.values()]
        work = {name: tensor.clone() for name, tensor in zip(theta, self._still, strict=True)}
        self._work = list(work.values())
        self._cast = [work[name] for name in moving]
        self.state = {names[name]: tensor for name, tensor in work.items()}
        # Weights move in the master dtype and are then cast; where that is one dtype, in place.
        wide = {
            n: work[n] if work[n].dtype == theta[n].dtype else torch.empty_like(theta[n], device=device) for n in moving
        }
        self._moved = list(wide.values())
        self._steps = [([wide[n] for n in d], [t.to(device) for t in d.values()]) for d in directions]
        # A running variance has no meaning below 0, where a line beyond its ends would lead it.
        self._variances = [tensor for name, tensor in wide.items() if name.endswith("running_var")]

    def __call__(self, coordinates: Coordinates) -> dict[str, Tensor]:
        """Return the state there, by the model's own names, theta's own buffers in it; overwritten by the next."""
        torch._foreach_copy_(self._work, self._still)
        torch._foreach_copy_(self._moved, self._base)
        for coordinate, (targets, direction) in zip(coordinates, self._steps, strict=True):
            torch._foreach_add_(targets, direction, alpha=coordinate)
        for variance in self._variances:
            variance.clamp_(min=0)
        torch._foreach_copy_(self._cast, self._moved)
        return self.state


class Stacker:
    """Makes the weights of several points at once: what moves gets a leading axis.

    Args: as of `Placer`.
    """

    def __init__(
        self,
        names: Mapping[str, str],
        theta: Mapping[str, Tensor],
        directions: Sequence[Mapping[str, Tensor]],
        dtype: str,
        device: torch.device,
    ) -> None:
        self._dtype, self._device = dtype, device
        self._steps = [{names[name]: t.to(device) for name, t in d.items()} for d in directions]
        self.moving = {names[name] for direction in directions for name in direction}
        self._base = {names[n]: t.to(device) for n, t in theta.items() if names[n] in self.moving}
        self._still = {names[n]: _cast(t, dtype, device) for n, t in theta.items() if names[n] not in self.moving}

    def __call__(self, places: Sequence[Coordinates]) -> dict[str, Tensor]:
        """Return the states at ``places``, by the model's own names: k sets of what moves, one of what does not."""
        along = [torch.tensor(c, dtype=torch.float64) for c in zip(*places, strict=True)]
        state = {name: tensor.clone() for name, tensor in self._still.items()}
        for name, base in self._base.items():
            moved = base.expand(len(places), *base.shape)
            for coordinates, direction in zip(along, self._steps, strict=True):
                if name in direction:
                    step = coordinates.to(direction[name]).view(-1, *[1] * base.ndim)
                    moved = torch.addcmul(moved, step, direction[name])
            if name.endswith("running_var"):
                moved = moved.clamp(min=0)
            state[name] = _cast(moved, self._dtype, self._device)
        return state


def _cast(tensor: Tensor, dtype: str, device: torch.device) -> Tensor:
    return tensor.to(device=device, dtype=DTYPES[dtype] if tensor.is_floating_point() else tensor.dtype)
