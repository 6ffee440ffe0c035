"""Directions in weight space: mappings from canonical tensor names to tensors.

A random direction depends only on (seed, axis number, canonical name) and the weights, not on
device, order of parameters, wrapping or the number of processes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from surfaceviz import records
from surfaceviz.directions.normalise import BLOCK, Factors, factors, noise, scaled
from surfaceviz.directions.specs import Random
from surfaceviz.errors import DirectionError
from surfaceviz.problem.parameters import Filters, fingerprint, fingerprint_of

Tensors = Mapping[str, Tensor]

# If Gram-Schmidt leaves less than this share of a filter, the rest is rounding, and the filter is set to 0.
_MIN_ORTHOGONAL_SHARE = 1e-6


@dataclass(frozen=True, slots=True)
class Direction:
    """The tensors of a direction and its record; tensors that do not move are absent."""

    record: records.DirectionRecord
    tensors: Tensors


class Regenerated(Mapping[str, Tensor]):
    """A random direction that holds no tensors: each access regenerates a tensor from its key.

    Only one factor per filter is held. Tensors that do not move are absent.

    Args:
        theta: canonical name -> weights, on the CPU.
        filters: the filters of every parameter.
        moving: names of the parameters that move.
        spec: the options; ``orthogonal`` is ignored, as it needs two directions at once.
        axis: the direction's number.
        hold: whether the tensors are kept in memory.

    Attributes:
        held: the tensors, if ``hold``.
        sha256: the fingerprint of its tensors.
    """

    def __init__(
        self,
        theta: Tensors,
        filters: Mapping[str, Filters],
        moving: Sequence[str],
        spec: Random,
        *,
        axis: int,
        hold: bool = False,
    ) -> None:
        self._theta, self._filters, self._spec, self._axis = theta, filters, spec, axis
        self._factors: dict[str, Factors] = {}
        self.held: dict[str, Tensor] = {}
        self.sha256 = fingerprint_of(self._generate(sorted(moving), hold=hold))

    def _generate(self, names: Sequence[str], *, hold: bool) -> Iterator[tuple[str, Tensor]]:
        """Yield the tensors that move; keep their factors and, with ``hold``, the tensors."""
        for name in names:
            tensor, by = self._tensor_and_factors(name)
            if tensor.any():
                self._factors[name] = by
                if hold:
                    self.held[name] = tensor
                yield name, tensor

    def _tensor_and_factors(self, name: str) -> tuple[Tensor, Factors]:
        """Return a tensor and its factors, which are computed only once."""
        w, filters, how = self._theta[name], self._filters[name], self._spec.normalise
        if filters.is_gain and self._spec.ignore == "biasbn":
            return torch.zeros_like(w), 1.0
        if filters.is_gain and how != "none":
            return filters.moving(w), 1.0
        d = filters.moving(noise(self._spec.seed, self._axis, name, w.shape))
        by = self._factors[name] if name in self._factors else factors(d, filters.moving(w), filters, how)
        return scaled(d, w, filters, how, by=by), by

    def __getitem__(self, name: str) -> Tensor:
        if name not in self._factors:
            raise KeyError(name)
        return self._tensor_and_factors(name)[0]

    def __contains__(self, name: object) -> bool:
        return name in self._factors  # without generating the tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._factors)

    def __len__(self) -> int:
        return len(self._factors)


def random_directions(
    theta: Tensors,
    filters: Mapping[str, Filters],
    moving: Sequence[str],
    spec: Random,
    *,
    count: int,
    regenerate: bool = False,
) -> list[Direction]:
    """Return ``count`` (1 or 2) random directions around ``theta``, in the dtype of its tensors.

    Norms and products are taken in float64.

    Args:
        theta: canonical name -> weights, on the CPU.
        filters: the filters of every parameter.
        moving: names of the parameters that move.
        spec: the options.
        count: the number of axes.
        regenerate: whether tensors are regenerated at each use instead of held; bit-identical.

    Raises:
        DirectionError: no tensor moves, because all are gains or have norm 0.
    """
    made = [Regenerated(theta, filters, moving, spec, axis=axis, hold=not regenerate) for axis in range(count)]
    rule = {name: _rule(name, filters[name], moving, spec) for name in filters}
    directions = []
    for axis, lazy in enumerate(made):
        if spec.orthogonal and axis:
            tensors: Tensors = _orthogonal_to(made[0].held, lazy.held, theta, filters=filters, spec=spec)
            sha256 = fingerprint(tensors)
        else:
            tensors, sha256 = lazy if regenerate else lazy.held, lazy.sha256
        if not tensors:
            raise DirectionError(
                f"nothing moves: all {len(moving)} chosen parameters are 0, or biases and gains, which stay fixed; "
                "move these by --ignore none --normalise none (as noise), or single entries by --along 'NAME[0]'"
            )
        record = records.DirectionRecord(
            kind="random", sha256=sha256, rule=rule, seed=spec.seed, normalise=spec.normalise, ignore=spec.ignore
        )
        directions.append(Direction(record, tensors))
    return directions


def _orthogonal_to(
    delta: Tensors, eta: Tensors, theta: Tensors, *, filters: Mapping[str, Filters], spec: Random
) -> dict[str, Tensor]:
    """Return ``eta`` made orthogonal to ``delta``, one tensor at a time, as float64 takes twice the memory."""
    made = {}
    for name, e in eta.items():
        d = delta[name] if name in delta else torch.zeros_like(e)
        rest = _orthogonal(e.double(), d.double(), theta[name], filters[name], spec=spec)
        if rest.any():
            made[name] = rest.to(theta[name].dtype)
    return made


def _orthogonal(e: Tensor, d: Tensor, w: Tensor, filters: Filters, *, spec: Random) -> Tensor:
    """Return ``e`` without its part along ``d``, filter by filter, its norms restored."""
    square = filters.dot(d, d)
    rest = e - filters.scaled(d, torch.where(square > 0, filters.dot(e, d) / square, 0.0))
    room = filters.dot(rest, rest) > _MIN_ORTHOGONAL_SHARE**2 * filters.dot(e, e)
    rest = filters.scaled(rest, room.to(rest.dtype))
    if filters.is_gain or spec.normalise in ("weight", "none"):
        return rest
    rest, w = rest.contiguous(), filters.moving(w.double())
    return scaled(rest, w, filters, spec.normalise, by=factors(rest, w, filters, spec.normalise))


def _rule(name: str, filters: Filters, moving: Sequence[str], spec: Random) -> str:
    if name not in moving:
        return f"{filters.description}; stays"
    if filters.is_gain and (spec.ignore == "biasbn" or spec.normalise != "none"):
        return f"{filters.description}; {'set to 0' if spec.ignore == 'biasbn' else 'd := w'}"
    return f"{filters.description}; {spec.normalise}"


def zero_filters(theta: Tensors, filters: Mapping[str, Filters], moving: Sequence[str]) -> int:
    """Return the number of filters of norm 0, which a filter-normalised direction never moves."""
    return sum(
        int((filters[name].dot(w, w) == 0).sum())
        for name in moving
        if not filters[name].is_gain
        for w in [filters[name].moving(theta[name])]
    )


def cosine(delta: Tensors, eta: Tensors, names: Sequence[str]) -> float:
    """Return the cosine of the angle between two directions, as far as they lie in the named tensors; NaN for 0."""
    products = [0.0, 0.0, 0.0]  # of delta with eta, and each with itself
    for name in sorted({*names} & ({*delta} | {*eta})):
        d, e = (side.get(name) for side in (delta, eta))
        for k, (x, y) in enumerate(((d, e), (d, d), (e, e))):
            products[k] += 0.0 if x is None or y is None else _product(x, y)
    norms = math.sqrt(products[1]) * math.sqrt(products[2])
    return products[0] / norms if norms else math.nan


def line(theta: Tensors, other: Tensors, source: str) -> Direction:
    """Return the direction ``other - theta``, neither normalised nor ignored, buffers included.

    Source: Goodfellow et al., arXiv 1412.6544.

    Raises:
        DirectionError: the two are equal.
    """
    tensors = {name: other[name] - w for name, w in theta.items() if w.is_floating_point()}
    if not any(tensor.any() for tensor in tensors.values()):
        raise DirectionError(f"{source}: these weights equal the problem's; a line needs two different models")
    return _difference(tensors, source)


def plane(
    theta: Tensors, first: Tensors, second: Tensors, parameters: Sequence[str], *, sources: tuple[str, str]
) -> tuple[list[Direction], list[tuple[float, float]]]:
    """Return the plane through three models, and the coordinates of ``first`` and ``second`` in it.

    ``theta + |u| (alpha u_hat + beta v_hat)`` with u = first - theta and v = (second - theta) minus
    its projection on u, so that both axes have one unit. Lengths and angles are those of the parameters;
    buffers follow the linear map that takes each model's buffers to its place.

    Source: Garipov et al., arXiv 1802.10026, section 3.1; there u leads to the model named second.

    Raises:
        DirectionError: the three lie on one line.
    """
    names = [name for name in theta if theta[name].is_floating_point()]
    u = {name: first[name].double() - theta[name].double() for name in names}
    w = {name: second[name].double() - theta[name].double() for name in names}
    across = [name for name in names if name in set(parameters)]
    length = _norm({name: u[name] for name in across})
    projection = _dot(u, w, across) / length**2 if length else 0.0
    height = _norm({name: w[name] - projection * u[name] for name in across}) / length if length else 0.0
    if height <= _MIN_ORTHOGONAL_SHARE:
        raise DirectionError(
            f"{sources[0]}, {sources[1]} and the problem's weights lie on one line; give only one --toward"
        )
    # second = theta + projection u + height v, for parameters and buffers alike
    v = {name: (w[name] - projection * u[name]) / height for name in names}
    cast = [{name: d[name].to(theta[name].dtype) for name in names} for d in (u, v)]
    directions = [_difference(cast[0], sources[0]), _difference(cast[1], f"{sources[1]}, orthogonal part")]
    return directions, [(1.0, 0.0), (projection, height)]


def _difference(tensors: Tensors, source: str) -> Direction:
    rule = dict.fromkeys(tensors, "difference")
    return Direction(
        records.DirectionRecord(kind="difference", sha256=fingerprint(tensors), rule=rule, source=source), tensors
    )


def _dot(x: Tensors, y: Tensors, names: Sequence[str]) -> float:
    return math.fsum(_product(x[name], y[name]) for name in names)


def tensor_norm(x: Tensor) -> float:
    """Return the norm of a tensor, in float64."""
    return math.sqrt(_product(x, x))


def _product(x: Tensor, y: Tensor) -> float:
    """Return an inner product in float64, computed in blocks to save memory."""
    blocks = zip(x.flatten().split(BLOCK), y.flatten().split(BLOCK), strict=True)
    return math.fsum(float(a.double() @ b.double()) for a, b in blocks)


def _norm(tensors: Tensors) -> float:
    return math.sqrt(_dot(tensors, tensors, list(tensors)))
