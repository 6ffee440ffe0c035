"""Derivatives of a scalar function compared with differences.

Three comparisons, each with something that can't share its error:

1. the slope g'v with (f(v h) - f(-v h)) / 2h, forward passes only;
2. u'Hv with v'Hu;
3. H v with (g(v h) - g(-v h)) / 2h.

The step h shrinks until both ends are on the branches of the point (see `Branches`). Where a comparison differs, the
differences of shorter steps must agree with each other before this counts: differences across kinks, and rounding,
change with the step. Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor

from surfaceviz.curvature.derivative_check.branches import Branches, eager_attention
from surfaceviz.curvature.derivative_check.functions import CheckedFunction, Tensors, random_tensors, scales

# Ours.
_LONGEST, _SHORTEST = 1e-4, 1e-9  # steps relative to the weights, in float64
_TRIES = 7  # steps looked at for one without kinks
_RATIO = 8.0  # of the steps that confirm a difference
_SLOPE, _SYMMETRY, _PRODUCT = 1e-5, 1e-4, 1e-4  # relative tolerances
_SMALLEST = 1e5  # times eps: a saturated softmax has a loss near 0 and a gradient 1 - p that is lost in rounding; ours
_UNDERFLOW = 1e-100  # of products: factors of smaller ones may be below the least normal number; ours
_SMALL = 1e-6  # of the whole, a tolerance for tensors that hardly matter
_ROUNDINGS = 1e3  # units in the last place that a difference may be off by
_LONGER = (_RATIO**2, _RATIO**4, _RATIO**5)  # times the step: where derivatives that differ may still agree
_ALIKE = 0.1  # of a difference: the largest change from step to step

Parts: TypeAlias = list[Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        agrees: True, False, or None where it could not be told.
        words: what differs, or why it could not be told.
        order: 1 if the gradient differs, 2 if the second derivatives do.
        cause: the part of the loss that can't be differentiated twice, where it could not be told for that reason.
    """

    agrees: bool | None
    words: str = ""
    order: int = 0
    cause: str = ""


def compare(
    function: CheckedFunction,
    *,
    order: int = 2,
    keep: Tensors | None = None,
    product: Callable[[CheckedFunction, Tensors, float], Comparison] | None = None,
) -> Comparison:
    """Return whether the derivatives of a function agree with differences.

    Args:
        function: the function.
        order: 1 to check the gradient only.
        keep: factors of the random directions, 0 for entries that stay.
        product: compares a product with differences, by default one with the Hessian.
    """
    here = abs(function.value())
    if here < _SMALLEST * torch.finfo(function.point[0].dtype).eps:
        return Comparison(
            agrees=None, words=f"the loss, {here:.1g}, is so small that rounding of the outputs may hide it"
        )
    u, v = (random_tensors(function.point, seed=seed) for seed in (0, 1))
    if keep is not None:
        u, v = ([part * factor for part, factor in zip(each, keep, strict=True)] for each in (u, v))
    symmetric = _symmetry(function, u, v) if order > 1 else Comparison(agrees=True)
    with eager_attention():
        step, words = smooth_step(function, v)
        found = [_slope(function, v, step)] if step else [Comparison(agrees=None, words=words)]
    if found[0].agrees is False:
        return found[0]
    if order > 1:
        found.append(symmetric)
        found += [(product or _product)(function, v, step)] if step else []
    differing = next((each for each in found if each.agrees is False), None)
    unknown = next((each for each in found if each.agrees is None), None)
    return differing or unknown or Comparison(agrees=True)


def smooth_step(function: CheckedFunction, v: Tensors) -> tuple[float, str]:
    """Return the longest step found whose two ends are on the branches of the point; 0 and the reason if none is."""
    eps = torch.finfo(function.point[0].dtype).eps
    step, least = max(_LONGEST, eps ** (1 / 3)), max(_SHORTEST, 1e4 * eps)
    with Branches() as here:
        value = function.value()
    if not math.isfinite(value):
        return 0.0, "the loss is not finite"
    for _ in range(_TRIES):
        crossed = _crossed(function, v, step, here.found)
        if not crossed:
            return step, ""
        name, count = max(crossed.items(), key=lambda item: item[1])
        if step <= least:
            break
        step = max(least, step / (4 * sum(crossed.values())))
    return 0.0, f"{count} {'entry' if count == 1 else 'entries'} of {name} change sides at every step tried"


def _crossed(function: CheckedFunction, v: Tensors, step: float, before: Parts) -> dict[str, int]:
    crossed: dict[str, int] = {}
    for sign in (1, -1):
        with Branches(before) as there:
            function.value([sign * step * part for part in v])
        for name, count in there.crossed.items():
            crossed[name] = crossed.get(name, 0) + count
    return {name: count for name, count in crossed.items() if count}


def _slope(function: CheckedFunction, v: Tensors, step: float) -> Comparison:
    terms = [float((g.double() * part).sum()) for g, part in zip(function.slope, v, strict=True)]
    claimed, size = math.fsum(terms), math.fsum(map(abs, terms))
    eps = torch.finfo(v[0].dtype).eps
    value = max(abs(function.value()), 1.0)  # a small loss is often a difference of outputs, and as exact as they are

    def difference(h: float) -> Parts:
        ends = [function.value([sign * h * part for part in v]) for sign in (1, -1)]
        return [torch.tensor((ends[0] - ends[1]) / (2 * h), dtype=torch.float64)]

    def bounds(found: Parts, h: float) -> list[float]:
        return [_SLOPE * max(size, abs(float(found[0]))) + _ROUNDINGS / 10 * eps * value / h]

    def differs(a: Parts, b: Parts) -> Comparison:
        by_differences, by_autograd = f"{float(b[0]):.6g} by differences of the loss", f"{float(a[0]):.6g} by autograd"
        return Comparison(
            agrees=False, words=f"its slope along a random direction is {by_differences}, {by_autograd}", order=1
        )

    return judged([torch.tensor(claimed, dtype=torch.float64)], difference, bounds, step, differs=differs)


def _symmetry(function: CheckedFunction, u: Tensors, v: Tensors) -> Comparison:
    hu, hv = function.product(u), function.product(v)
    one, other = _dot(u, hv), _dot(v, hu)
    size = sum(_norm(_scaled(function, parts)) for parts in (hu, hv))
    if not math.isfinite(size):
        return Comparison(agrees=None, words="second derivatives are not finite")
    if size < _UNDERFLOW and one != other:
        return Comparison(agrees=None, words=f"second derivatives of {abs(one):.1g} lose their digits by underflow")
    tolerance = _SYMMETRY if v[0].dtype == torch.float64 else 1e-2
    if abs(one - other) <= tolerance * size:
        return Comparison(agrees=True)
    again = _dot(u, function.product([3 * part for part in v])) / 3, _dot(v, function.product([3 * p for p in u])) / 3
    if max(abs(again[0] - one), abs(again[1] - other)) > _ALIKE * abs(one - other):
        return Comparison(agrees=None, words="rounding dominates the second derivatives")
    return Comparison(agrees=False, words=f"its matrix is not symmetric: u'Hv is {one:.6g}, v'Hu {other:.6g}", order=2)


def _product(function: CheckedFunction, v: Tensors, step: float) -> Comparison:
    claimed = _scaled(function, function.product(v))
    slope, eps = _norm(_scaled(function, function.slope)), torch.finfo(v[0].dtype).eps
    if 0 < max(float(part.abs().max()) for part in claimed if part.numel()) < _UNDERFLOW:
        return Comparison(agrees=None, words="second derivatives lose their digits by underflow")

    def difference(h: float) -> Parts:
        ends = [function.gradient([sign * h * part for part in v]) for sign in (1, -1)]
        return _scaled(function, [(a - b) / (2 * h) for a, b in zip(*ends, strict=True)])

    def bounds(found: Parts, h: float) -> list[float]:
        common = _SMALL * _norm(found) + _ROUNDINGS * eps * slope / h
        return [_PRODUCT * max(float(a.norm()), float(b.norm())) + common for a, b in zip(claimed, found, strict=True)]

    def differs(a: Parts, b: Parts) -> Comparison:
        error = _norm([x - y for x, y in zip(a, b, strict=True)]) / max(_norm(b), _norm(a))
        return Comparison(
            agrees=False, words=f"H v differs from differences of gradients by {error:.2g} of its norm", order=2
        )

    return judged(claimed, difference, bounds, step, differs=differs, longer=_LONGER)


def judged(
    claimed: Parts,
    difference: Callable[[float], Parts],
    bounds: Callable[[Parts, float], list[float]],
    step: float,
    *,
    differs: Callable[[Parts, Parts], Comparison],
    longer: Sequence[float] = (),
) -> Comparison:
    """Return whether claimed parts agree with differences at some step; False only if all differences agree.

    Where they do not, steps ``longer`` times as long must not agree either. Differences of a loss across its jumps may
    agree with a wrong gradient, so that these are for second derivatives only.
    """
    found: list[Parts] = []
    allowed: list[float] = []
    for h in (step, step / _RATIO, step / _RATIO**2):
        there = difference(h)
        errors, limits = [float((a - b).norm()) for a, b in zip(claimed, there, strict=True)], bounds(there, h)
        if all(error <= limit for error, limit in zip(errors, limits, strict=True)):
            return Comparison(agrees=True)
        found.append(there)
        allowed.append(math.fsum(limits))
    misfit = _norm([a - b for a, b in zip(claimed, found[-1], strict=True)])
    changes = [_norm([a - b for a, b in zip(one, other, strict=True)]) for one, other in pairwise(found)]
    sizes = [_norm(parts) for parts in found]
    # Differences that grow while the step shrinks have not come down to the scale of the function.
    grown = any(b > (1 + _ALIKE) * a + limit for a, b, limit in zip(sizes, sizes[1:], allowed[1:], strict=False))
    if not grown and all(change <= _ALIKE * misfit for change in changes):
        # Steps of weights near 0 may be lost in a sum with something large, so that differences are 0.
        errors = [_norm([a - b for a, b in zip(claimed, difference(step * by), strict=True)]) for by in longer]
        if any(error <= _ALIKE * misfit for error in errors):
            return Comparison(agrees=None, words="differences of short steps are lost in rounding")
        return differs(claimed, found[-1])
    return Comparison(agrees=None, words="differences at three steps do not agree with each other")


def _scaled(function: CheckedFunction, parts: Tensors) -> Parts:
    """Return a gradient by weights relative to their sizes."""
    return [size * part for size, part in zip(scales(function.point), parts, strict=True)]


def _dot(one: Tensors, other: Tensors) -> float:
    return math.fsum(float((a * b).sum()) for a, b in zip(one, other, strict=True))


def _norm(parts: Tensors) -> float:
    return math.sqrt(math.fsum(float(part.double().square().sum()) for part in parts))
