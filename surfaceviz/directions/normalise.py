"""Random noise and its normalisation to the weights, for each tensor and in blocks that save memory."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from surfaceviz.problem.parameters import Filters

# From the reference code, net_plotter.py of tomgoldstein/loss-landscape.
_EPSILON = 1e-10
BLOCK = 2**20  # number of entries in float64 at a time; ours

Factors = Tensor | float


def noise(seed: int, axis: int, name: str, shape: Sequence[int]) -> Tensor:
    r"""Return standard normal float32 noise of a tensor, from a Philox generator keyed by its name.

    The key is the 128-bit blake2b hash of ``"{seed}\0{axis}\0{name}"``, little-endian.

    Source: ours.

    >>> noise(0, 0, "w", (2,)).dtype
    torch.float32
    """
    key = int.from_bytes(hashlib.blake2b(f"{seed}\0{axis}\0{name}".encode(), digest_size=16).digest(), "little")
    generator = np.random.Generator(np.random.Philox(key=key))
    return torch.from_numpy(generator.standard_normal(tuple(shape), dtype=np.float32))


def factors(d: Tensor, w: Tensor, filters: Filters, how: str) -> Factors:
    """Return the factors that normalise noise ``d`` to the weights ``w`` of the same shape.

    ========== =========================================
    filter     d_i <- d_i ||w_i|| / (||d_i|| + 1e-10)
    layer      d <- d ||w|| / ||d||
    weight     d <- d w (here 1)
    dfilter    d_i <- d_i / (||d_i|| + 1e-10)
    dlayer     d <- d / ||d||
    none       d
    ========== =========================================

    Norms are taken in float64. The filter rules give a float64 factor for each filter, broadcastable to
    ``filters.shape``.

    Source: Li et al., arXiv 1712.09913, section 4, and its reference code.
    """
    if how in ("none", "weight"):
        return 1.0
    if how in ("layer", "dlayer"):
        norm = _norm(d, filters)
        return (_norm(w, filters) if how == "layer" else 1.0) / norm if norm else 1.0
    length = _lengths(d, filters) + _EPSILON
    return (_lengths(w, filters) if how == "filter" else torch.ones_like(length)) / length


def scaled(d: Tensor, w: Tensor, filters: Filters, how: str, *, by: Factors) -> Tensor:
    """Return ``d`` times ``by`` (and times ``w`` for ``weight``) in ``w``'s dtype; in place if ``d`` has that dtype.

    Products are taken in float64 and rounded once.
    """
    out = d if d.dtype == w.dtype else torch.empty(w.shape, dtype=w.dtype)
    for rows, parts in _blocks(filters, d, w, out):
        here = by[rows] if isinstance(by, Tensor) and by.shape[0] > 1 else by
        product = parts[0].double() * (parts[1].double() if how == "weight" else here)
        parts[2].copy_(product)
    return out


def _lengths(x: Tensor, filters: Filters) -> Tensor:
    """Return the norm of each filter."""
    if filters.axes[:1] != (0,):
        return filters.dot(x.double(), x.double()).sqrt()
    inner = filters.inner()
    squares = (part.double().square() for _, (part,) in _blocks(filters, x))
    return torch.cat([s.sum(inner, keepdim=True) if inner else s for s in squares]).sqrt()


def _norm(x: Tensor, filters: Filters) -> float:
    return math.sqrt(math.fsum(float(part.double().square().sum()) for _, (part,) in _blocks(filters, x)))


def _blocks(filters: Filters, *tensors: Tensor) -> Iterator[tuple[slice, list[Tensor]]]:
    """Yield slices of the first axis, with those rows of each tensor in the view of its filters."""
    views = [tensor.reshape(filters.shape) for tensor in tensors]
    count = filters.shape[0] if filters.shape else 1
    size = max(1, BLOCK * count // max(1, views[0].numel()))
    if filters.axes[:1] != (0,) or count <= size:
        yield slice(None), views
        return
    for start in range(0, count, size):
        rows = slice(start, start + size)
        yield rows, [view[rows] for view in views]
