"""Flat parameter vectors: their tensors, the order and the position of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

import torch
from torch import Tensor

from surfaceviz.errors import ProblemError
from surfaceviz.problem.parameters import Filters


@dataclass(frozen=True, slots=True)
class ParameterLayout:
    """The tensors that form a flat parameter vector, in the order of their names.

    Attributes:
        names: canonical names, (L,).
        shapes: shapes of the tensors, (L,).
    """

    names: tuple[str, ...]
    shapes: tuple[torch.Size, ...]

    @property
    def sizes(self) -> list[int]:
        """The numbers of entries, (L,)."""
        return [math.prod(shape) for shape in self.shapes]

    @property
    def dimension(self) -> int:
        """The length P of a vector."""
        return sum(self.sizes)

    def flat(self, tensors: Sequence[Tensor]) -> Tensor:
        """Return tensors of these shapes as one vector (P,)."""
        return torch.cat([tensor.reshape(-1) for tensor in tensors])

    def of(self, tensors: Mapping[str, Tensor]) -> Tensor:
        """Return tensors by canonical name as one vector (P,)."""
        return self.flat([tensors[name] for name in self.names])

    def split(self, vector: Tensor) -> list[Tensor]:
        """Return the tensors of a vector (P,), as views."""
        return [part.view(shape) for part, shape in zip(vector.split(self.sizes), self.shapes, strict=True)]

    def slices(self) -> dict[str, slice]:
        """Return the position of each tensor in a vector."""
        positions, start = {}, 0
        for name, size in zip(self.names, self.sizes, strict=True):
            positions[name] = slice(start, start + size)
            start += size
        return positions


def parameter_layout(
    theta: Mapping[str, Tensor], filters: Mapping[str, Filters], trainable: Sequence[str], parameters: str
) -> ParameterLayout:
    """Return the layout of the parameters that ``parameters`` selects from ``filters`` (all floating-point ones).

    Args:
        theta: canonical name -> weights.
        filters: the filters of each parameter.
        trainable: names of the parameters that are not frozen.
        parameters: ``all`` that are not frozen; ``weights``, the same without biases and gains; or a pattern on
            canonical names or their modules, which may match frozen ones as well.

    Raises:
        ProblemError: no parameter is selected.
    """
    if parameters == "all":
        names = list(trainable)
    elif parameters == "weights":
        names = [name for name in trainable if not filters[name].is_gain]
    else:
        names = [name for name in filters if fnmatchcase(name, parameters) or fnmatchcase(name, f"{parameters}.*")]
    if not names:
        raise ProblemError(f"parameters {parameters!r} matches none of {', '.join(list(filters)[:6])}, ...")
    names.sort()
    return ParameterLayout(tuple(names), tuple(theta[name].shape for name in names))


def filter_scales(theta: Mapping[str, Tensor], filters: Mapping[str, Filters], layout: ParameterLayout) -> Tensor:
    """Return the diagonal of D, (P,) float64: ||w_i|| / sqrt(n_i) on each filter of n_i entries, 0 on gains.

    Entries that never move are 0 and not counted.

    Filter-normalised noise has the covariance D^2. So D H D is the curvature in slices along random
    filter-normalised directions, and tr DHD is its expectation for one of them. Source: ours, after Li et al.,
    arXiv 1712.09913, section 4.
    """
    parts = []
    for name in layout.names:
        w, each = theta[name].double(), filters[name]
        if each.is_gain:
            parts.append(torch.zeros(w.numel(), dtype=torch.float64))
            continue
        w = each.moving(w)
        if each.mask is None:
            norms = each.dot(w, w).sqrt() * math.sqrt(each.count / max(w.numel(), 1))
        else:
            norms = (each.dot(w, w) / each.sizes().clamp_min(1)).sqrt()
        parts.append(each.moving(norms.expand(each.shape).reshape(w.shape)).reshape(-1))
    return torch.cat(parts)


def filter_numbers(theta: Mapping[str, Tensor], filters: Mapping[str, Filters], layout: ParameterLayout) -> Tensor:
    """Return the number of each entry's filter, int64 (P,); each tensor of gains counts as one filter."""
    parts, first = [], 0
    for name in layout.names:
        w, each = theta[name].double(), filters[name]
        if each.is_gain:
            numbers = torch.zeros(w.numel(), dtype=torch.int64)
        else:
            shape = each.dot(w, w).shape
            numbers = torch.arange(shape.numel()).view(shape).expand(each.shape).reshape(-1)
        parts.append(first + numbers)
        first += int(numbers.max()) + 1 if len(numbers) else 0
    return torch.cat(parts)
