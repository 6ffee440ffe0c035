"""Operators of torch that lack a dense or a second derivative, computed by others while a loss is differentiated.

| operator | its derivative in torch | computed as |
|---|---|---|
| `embedding` with ``sparse`` | a sparse tensor, which can't be differentiated again | the same with a dense gradient |
| `embedding` with ``scale_grad_by_freq`` | not the derivative of the loss | the same without it |
| `embedding_bag` | no second derivative | rows of the weight, summed by bag |
| `cdist`, `pdist` | none twice, except `cdist` of more than 25 rows with p = 2 | the norm of differences |

The values are the same to rounding. Ours.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_MOST_DIFFERENCES = 2**24  # entries of a tensor of differences; beyond, torch's product of matrices takes its place


class DifferentiableOperators(TorchFunctionMode):
    """Computes the operators in the table by twice differentiable ones."""

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call an operator, or its substitute."""
        return _SUBSTITUTES.get(func, func)(*args, **(kwargs or {}))


def _embedding(*args: Any, **kwargs: Any) -> Any:
    given = _EMBEDDING.bind(*args, **kwargs)
    given.arguments |= {"sparse": False, "scale_grad_by_freq": False}
    return functional.embedding(*given.args, **given.kwargs)


def _torch_embedding(weight: Tensor, indices: Tensor, padding_idx: int = -1, *_: Any, **__: Any) -> Tensor:
    return torch.embedding(weight, indices, padding_idx)


def _embedding_bag(*args: Any, **kwargs: Any) -> Any:
    """Return the sums, means or maxima of the weight's rows over bags, shape (bags, D)."""
    given = _EMBEDDING_BAG.bind(*args, **kwargs)
    given.apply_defaults()
    of = given.arguments
    if of["max_norm"] is not None:  # it writes into the weight
        return functional.embedding_bag(*given.args, **given.kwargs)
    indices, bags, count = _bags(of["input"], of["offsets"], last=of["include_last_offset"])
    weights = of["per_sample_weights"]
    rows = of["weight"][indices]
    rows = rows if weights is None else rows * weights.reshape(-1, 1)
    if of["padding_idx"] is not None:
        kept = indices != of["padding_idx"] % len(of["weight"])
        rows, bags = rows[kept], bags[kept]
    zeros = rows.new_zeros(count, rows.shape[1])
    if of["mode"] == "max":
        return zeros.scatter_reduce(0, bags[:, None].expand_as(rows), rows, "amax", include_self=False)
    total = zeros.index_add(0, bags, rows)
    if of["mode"] == "sum":
        return total
    return total / torch.bincount(bags, minlength=count).clamp(min=1)[:, None]


def _bags(indices: Tensor, offsets: Tensor | None, *, last: bool) -> tuple[Tensor, Tensor, int]:
    """Return the indices (n,), the bag of each (n,), and the number of bags."""
    if offsets is None:
        count, length = indices.shape
        return indices.reshape(-1).long(), torch.arange(count, device=indices.device).repeat_interleave(length), count
    starts = offsets[:-1] if last else offsets
    places = torch.arange(len(indices), device=indices.device)
    return indices.long(), torch.bucketize(places, starts.contiguous(), right=True) - 1, len(starts)


def _cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str | None = None) -> Tensor:  # noqa: ARG001
    """Return the p-norm distances between rows, shape (..., P, R)."""
    sizes = math.prod(torch.broadcast_shapes(x1.shape[:-2], x2.shape[:-2]))
    if p == 2 and sizes * x1.shape[-2] * x2.shape[-2] * x1.shape[-1] > _MOST_DIFFERENCES:  # noqa: PLR2004  (p)
        return torch.cdist(x1, x2, p, "use_mm_for_euclid_dist")
    return _norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p)


def _pdist(input: Tensor, p: float = 2.0) -> Tensor:  # noqa: A002  torch's name
    """Return the p-norm distances between all pairs of rows, shape (N (N - 1) / 2,)."""
    first, second = torch.triu_indices(len(input), len(input), 1, device=input.device)
    return _norm(input[first] - input[second], p)


def _norm(difference: Tensor, p: float) -> Tensor:
    """Return the p-norm over the last axis, with derivative 0 at 0, as torch's distances have it."""
    size = difference.abs()
    if p == 0:
        return (difference != 0).to(difference).sum(-1)
    if p == 1:
        return size.sum(-1)
    if math.isinf(p):
        return size.amax(-1)
    zero = size == 0
    # Without the mask, a root or a power below 2 has infinite derivatives at 0, and 0 times those is NaN.
    powers = difference.square() if p == 2 else torch.where(zero, 0.0, torch.where(zero, 1.0, size).pow(p))  # noqa: PLR2004
    total = powers.sum(-1)
    none = total == 0
    safe = torch.where(none, 1.0, total)
    return torch.where(none, 0.0, safe.sqrt() if p == 2 else safe.pow(1 / p))  # noqa: PLR2004


_EMBEDDING = inspect.signature(functional.embedding)
_EMBEDDING_BAG = inspect.signature(functional.embedding_bag)
_SUBSTITUTES: dict[Any, Callable[..., Any]] = {
    functional.embedding: _embedding,
    torch.embedding: _torch_embedding,
    functional.embedding_bag: _embedding_bag,
    torch.cdist: _cdist,
    torch.pdist: _pdist,
    functional.pdist: _pdist,
}
