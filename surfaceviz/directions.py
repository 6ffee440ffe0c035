"""Directions in weight space: canonical tensor name -> tensor.

A random direction depends on (seed, axis number, canonical name) and the weights alone: not on
device, order of parameters, wrapping or the number of processes.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surfaceviz import records
from surfaceviz.errors import DirectionError
from surfaceviz.parameters import Filters, fingerprint

Tensors = Mapping[str, Tensor]

NORMALISATIONS = ("filter", "layer", "weight", "dfilter", "dlayer", "none")
IGNORES = ("biasbn", "none")

# From the reference code, net_plotter.py of tomgoldstein/loss-landscape.
_EPSILON = 1e-10
# What Gram-Schmidt leaves of a filter below this share is rounding: such a filter has no room.
_NO_ROOM = 1e-6


@dataclass(frozen=True, slots=True)
class Direction:
    """A direction's tensors and how they were made; tensors that stay still are absent."""

    record: records.Direction
    tensors: Tensors


@dataclass(frozen=True, slots=True)
class RandomSpec:
    """How random directions are made.

    Attributes:
        seed: any integer.
        normalise: one of `NORMALISATIONS`.
        ignore: ``biasbn`` sets gains (biases, norms) to 0, as the paper's figures do; with ``none``
            they are d := w, as in the reference code, and not noise.
        orthogonal: make eta orthogonal to delta filter by filter (a global Gram-Schmidt step would be undone
            by the normalisation).
    """

    seed: int = 0
    normalise: str = "filter"
    ignore: str = "biasbn"
    orthogonal: bool = False

    def __post_init__(self) -> None:
        for value, known in ((self.normalise, NORMALISATIONS), (self.ignore, IGNORES)):
            if value not in known:
                raise ValueError(f"expected one of {', '.join(known)}, got {value!r}")


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


def normalised(d: Tensor, w: Tensor, filters: Filters, how: str) -> Tensor:
    """Return ``d`` normalised against the weights ``w``, both float64 and of one shape.

    ========== =========================================
    filter     d_i <- d_i ||w_i|| / (||d_i|| + 1e-10)
    layer      d <- d ||w|| / ||d||
    weight     d <- d w
    dfilter    d_i <- d_i / (||d_i|| + 1e-10)
    dlayer     d <- d / ||d||
    none       d
    ========== =========================================

    Source: Li et al., arXiv 1712.09913, section 4, and its reference code.
    """
    if how == "none":
        return d
    if how == "weight":
        return d * w
    if how in ("layer", "dlayer"):
        scale = float(w.norm()) if how == "layer" else 1.0
        norm = float(d.norm())
        return d * (scale / norm) if norm else d
    length = filters.dot(d, d).sqrt() + _EPSILON
    scales = filters.dot(w, w).sqrt() if how == "filter" else torch.ones_like(length)
    return filters.scaled(d, scales / length)


def random_directions(
    theta: Tensors, filters: Mapping[str, Filters], moving: Sequence[str], spec: RandomSpec, *, count: int
) -> list[Direction]:
    """Return ``count`` (1 or 2) random directions around ``theta``, in the dtype of its tensors.

    Norms and products are taken in float64.

    Args:
        theta: canonical name -> weights, on the CPU.
        filters: the filters of every parameter.
        moving: names of the parameters that move.
        spec: how.
        count: the number of axes.

    Raises:
        DirectionError: nothing moves: all tensors are gains, or of norm 0.
    """
    made: list[dict[str, Tensor]] = [{} for _ in range(count)]
    for name in moving:  # tensor by tensor, as float64 takes twice the room
        for tensors, d in zip(made, _of_tensor(theta[name], filters[name], name, count, spec), strict=True):
            if d.any():
                tensors[name] = d.to(theta[name].dtype)
    rule = {name: _rule(name, filters[name], moving, spec) for name in filters}
    directions = []
    for tensors in made:
        if not tensors:
            raise DirectionError(
                f"nothing moves: all {len(moving)} chosen parameters are 0, or biases and gains, which stay still; "
                "--ignore none moves those"
            )
        record = records.Direction(
            "random", fingerprint(tensors), rule, seed=spec.seed, normalise=spec.normalise, ignore=spec.ignore
        )
        directions.append(Direction(record, tensors))
    return directions


def _of_tensor(w: Tensor, filters: Filters, name: str, count: int, spec: RandomSpec) -> list[Tensor]:
    """Return the part of each direction in one tensor, float64."""
    made = [_one(w, filters, name, axis, spec) for axis in range(count)]
    if spec.orthogonal and count > 1:
        made[1] = _orthogonal(made[1], made[0], w, filters, spec)
    return made


def _one(w: Tensor, filters: Filters, name: str, axis: int, spec: RandomSpec) -> Tensor:
    w = w.double()
    if filters.is_gain:
        return torch.zeros_like(w) if spec.ignore == "biasbn" else w
    return normalised(noise(spec.seed, axis, name, w.shape).double(), w, filters, spec.normalise)


def _orthogonal(e: Tensor, d: Tensor, w: Tensor, filters: Filters, spec: RandomSpec) -> Tensor:
    """Return ``e`` without its part along ``d``, filter by filter, its norms restored."""
    square = filters.dot(d, d)
    rest = e - filters.scaled(d, torch.where(square > 0, filters.dot(e, d) / square, 0.0))
    room = filters.dot(rest, rest) > _NO_ROOM**2 * filters.dot(e, e)
    rest = filters.scaled(rest, room.to(rest.dtype))
    if filters.is_gain or spec.normalise in ("weight", "none"):
        return rest
    return normalised(rest, w.double(), filters, spec.normalise)


def _rule(name: str, filters: Filters, moving: Sequence[str], spec: RandomSpec) -> str:
    if name not in moving:
        return f"{filters.words}; stays"
    if filters.is_gain:
        return f"{filters.words}; {'set to 0' if spec.ignore == 'biasbn' else 'd := w'}"
    return f"{filters.words}; {spec.normalise}"


def zero_filters(theta: Tensors, filters: Mapping[str, Filters], moving: Sequence[str]) -> int:
    """Return the number of filters of norm 0, which a filter-normalised direction never moves."""
    return sum(
        int((filters[name].dot(theta[name], theta[name]) == 0).sum()) for name in moving if not filters[name].is_gain
    )


def cosine(delta: Tensors, eta: Tensors) -> float:
    """Return the cosine of the angle between two directions."""
    shared = [name for name in delta if name in eta]
    return _dot(delta, eta, shared) / (_norm(delta) * _norm(eta))


def line(theta: Tensors, other: Tensors, source: str) -> Direction:
    """Return the direction ``other - theta``, neither normalised nor ignored, buffers included.

    Source: Goodfellow et al., arXiv 1412.6544.

    Raises:
        DirectionError: the two are equal.
    """
    tensors = {name: other[name] - w for name, w in theta.items() if w.is_floating_point()}
    if not any(tensor.any() for tensor in tensors.values()):
        raise DirectionError(f"{source}: these are the weights of the problem itself; a line needs two models")
    return _difference(tensors, source)


def plane(
    theta: Tensors, first: Tensors, second: Tensors, parameters: Sequence[str], sources: tuple[str, str]
) -> tuple[list[Direction], list[tuple[float, float]]]:
    """Return the plane through three models, and the coordinates of ``first`` and ``second`` in it.

    ``theta + |u| (alpha u_hat + beta v_hat)`` with u = second - theta and v = (first - theta) minus
    its projection on u, so that both axes have one unit. Lengths and angles are those of the parameters;
    buffers follow the linear map that takes each model's buffers to its place.

    Source: Garipov et al., arXiv 1802.10026, section 3.1.

    Raises:
        DirectionError: the three lie on one line.
    """
    names = [name for name in theta if theta[name].is_floating_point()]
    u = {name: second[name].double() - theta[name].double() for name in names}
    w = {name: first[name].double() - theta[name].double() for name in names}
    across = [name for name in names if name in set(parameters)]
    length = _norm({name: u[name] for name in across})
    shadow = _dot(u, w, across) / length**2 if length else 0.0
    height = _norm({name: w[name] - shadow * u[name] for name in across}) / length if length else 0.0
    if height <= _NO_ROOM:
        raise DirectionError(f"{sources[0]}, {sources[1]} and the problem's weights lie on one line; give one --toward")
    # first = theta + shadow u + height v, for parameters and buffers alike
    v = {name: (w[name] - shadow * u[name]) / height for name in names}
    cast = [{name: d[name].to(theta[name].dtype) for name in names} for d in (u, v)]
    directions = [_difference(cast[0], sources[1]), _difference(cast[1], f"{sources[0]}, orthogonal part")]
    return directions, [(shadow, height), (1.0, 0.0)]


def _difference(tensors: Tensors, source: str) -> Direction:
    rule = dict.fromkeys(tensors, "difference")
    return Direction(records.Direction("difference", fingerprint(tensors), rule, source=source), tensors)


def _dot(x: Tensors, y: Tensors, names: Sequence[str]) -> float:
    return math.fsum(float(x[name].double().flatten() @ y[name].double().flatten()) for name in names)


def _norm(tensors: Tensors) -> float:
    return math.sqrt(_dot(tensors, tensors, list(tensors)))
