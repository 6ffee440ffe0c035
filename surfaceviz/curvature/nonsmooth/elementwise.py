"""Kinks and jumps of elementwise operators and norms: the values of their arguments at which they have them.

Source: ours, from the definitions of the operators in torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

_ROUNDINGS = 32  # units in the last place by which one function, computed in two places, may differ; ours


class Kink(NamedTuple):
    """The entries of ``x`` at which an operator has a kink.

    Attributes:
        x: the argument.
        at: the kink, a number or a tensor.
        pointed: whether two equal sides of x differ all the same, as those of sqrt(w^2) at 0.
    """

    x: Tensor
    at: float | Tensor
    pointed: bool = False

    @property
    def tied(self) -> Tensor:
        """The entries exactly at the kink."""
        tied = self.x == self.at
        # Infinite entries are masks, not ties.
        return tied & self.x.isfinite() if isinstance(self.at, Tensor) else tied

    def side(self) -> Tensor:
        """Return the side of each entry: its sign, or NaN (which differs from itself) where pointed; 0 at the kink."""
        gap = self.x - self.at
        sign = gap.sign().mul(gap.abs() > rounding(self.x.to(gap.dtype)))
        return torch.where(sign != 0, math.nan, sign) if self.pointed else sign


def rounding(x: Tensor) -> Tensor:
    """Return the largest rounding difference of two ways of computing x; far less than the effect of a step."""
    return x.abs() * (_ROUNDINGS * torch.finfo(x.dtype).eps)


# Operators with kinks at fixed values of the first argument; operators whose other arguments are the kinks.
FIXED = {
    **dict.fromkeys(("relu", "abs", "leaky_relu", "_prelu_kernel", "rrelu_with_noise", "elu", "celu"), (0.0,)),
    **dict.fromkeys(("sign", "sgn", "signbit", "heaviside"), (0.0,)),
    **dict.fromkeys(("hardsigmoid", "hardswish"), (-3.0, 3.0)),
}
_GIVEN: dict[str, tuple[float | None, ...]] = {
    **dict.fromkeys(("threshold", "clamp_min", "clamp_max", "maximum", "minimum", "fmax", "fmin"), (None,)),
    **dict.fromkeys(("gt", "ge", "lt", "le", "eq", "ne"), (None,)),  # masks, for products and `where`
    "clamp": (None, None),
    "hardtanh": (-1.0, 1.0),
}


def kinks_of(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    """Yield the kinks of an operator, given by its name without the underscore of in-place versions."""
    x, rest = args[0], args[1:]
    if name in FIXED:
        yield from (Kink(x, at) for at in FIXED[name])
    elif name in _GIVEN:
        given = [*rest, *_GIVEN[name][len(rest) :]][: len(_GIVEN[name])]
        yield from (Kink(x, at) for at in given if at is not None)
    elif name in _OTHERS:
        yield from _OTHERS[name](x, rest, kwargs)


def _shrink(x: Tensor, rest: Sequence[Any], _kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    bound = rest[0] if rest else 0.5
    yield from (Kink(x, at) for at in ((-bound, bound) if bound else (0.0,)))


def _quadratic_part(x: Tensor, rest: Sequence[Any], _kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    """Yield the ends of the quadratic part of a Huber loss, where its second derivative jumps."""
    target, _, width = (*rest, 1, 1.0) if len(rest) == 1 else (*rest, 1.0)[:3]
    yield from (Kink(x - target, at) for at in {width, -width})


def _root(x: Tensor, _rest: Sequence[Any], _kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    yield Kink(x, 0.0, pointed=True)


def _power(x: Tensor, rest: Sequence[Any], _kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    if rest and not isinstance(rest[0], Tensor) and float(rest[0]) != int(rest[0]):
        yield Kink(x, 0.0, pointed=True)


def _norm(x: Tensor, rest: Sequence[Any], _kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    order, axes = [*rest, None, None][:2]
    order = 2.0 if order is None else float(order)
    if order == 1:
        yield Kink(x, 0.0)
    else:  # the maxima of |x| that tie are found by differences of the loss only
        axes = [axes] if isinstance(axes, int) else axes
        yield Kink(x.abs().amax(axes or tuple(range(x.ndim))), 0.0, pointed=True)


def _spread(x: Tensor, rest: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    """Yield the kink of a standard deviation: equal entries."""
    if x.numel() > 1:
        axes = next((a for a in (*rest, kwargs.get("dim")) if a and not isinstance(a, bool)), tuple(range(x.ndim)))
        axes = [axes] if isinstance(axes, int) else axes
        yield Kink(x.amax(axes) - x.amin(axes), 0.0, pointed=True)


def _halves(x: Tensor, _rest: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    scale = 10.0 ** kwargs.get("decimals", 0)
    yield Kink(x * scale, (x * scale).floor() + 0.5)


def _multiples(x: Tensor, rest: Sequence[Any], _kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    """Yield the steps of floor, ceil and of divisions with remainder: multiples of the divisor."""
    ratio = x / rest[0] if rest else x
    yield Kink(ratio, ratio.round())


def _division(x: Tensor, rest: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    steps = {"floor": _multiples, "trunc": _multiples_but_zero}.get(kwargs.get("rounding_mode") or "")
    yield from steps(x, rest, kwargs) if steps else ()


def _multiples_but_zero(x: Tensor, rest: Sequence[Any], _kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    """Yield the steps of operators that round towards 0."""
    ratio = x / rest[0] if rest else x
    nearest = ratio.round()
    yield Kink(ratio, torch.where(nearest == 0, math.inf, nearest))


def _cast(x: Tensor, _rest: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    """Yield the steps of a conversion to integers or booleans."""
    dtype = kwargs.get("dtype")
    if dtype is torch.bool:
        yield Kink(x, 0.0)
    elif dtype is not None and not dtype.is_floating_point and not dtype.is_complex:
        yield from _multiples_but_zero(x, (), {})


def _both_zero(x: Tensor, rest: Sequence[Any], _kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    yield Kink(torch.maximum(x.abs(), rest[0].abs()), 0.0, pointed=True)


def _second(_x: Tensor, rest: Sequence[Any], _kwargs: Mapping[str, Any]) -> Iterator[Kink]:
    if isinstance(rest[0], Tensor):
        yield Kink(rest[0], 0.0)


_OTHERS: dict[str, Callable[[Tensor, Sequence[Any], Mapping[str, Any]], Iterator[Kink]]] = {
    **dict.fromkeys(("softshrink", "hardshrink"), _shrink),
    **dict.fromkeys(("smooth_l1_loss", "huber_loss"), _quadratic_part),
    **dict.fromkeys(("sqrt", "rsqrt"), _root),
    "pow": _power,
    **dict.fromkeys(("linalg_vector_norm", "norm"), _norm),
    "std": _spread,
    "round": _halves,
    **dict.fromkeys(("floor", "ceil", "remainder", "floor_divide"), _multiples),
    **dict.fromkeys(("trunc", "frac", "fmod"), _multiples_but_zero),
    "div": _division,
    "_to_copy": _cast,
    **dict.fromkeys(("hypot", "atan2"), _both_zero),
    "copysign": _second,
}
