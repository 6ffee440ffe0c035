"""One-sided differences of loss and gradient, which find kinks and jumps that no operator shows.

With r(t) = g(theta + t v) - g(theta) - t H v, |r(t)| / t shrinks with t where the loss is smooth, stays where its
second derivative jumps, and grows where its gradient jumps at theta. With p(t) = L(theta + t v) - L(theta)
- t v'(g(theta) + g(theta + t v)) / 2, p(t) is of order t^3 where the loss is smooth, and stays where the loss jumps.
Both are compared at two scales, on both sides.

Source: ours.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from surfaceviz.curvature.operator import LossGradient

# Ours.
_POWER = 0.375  # of eps: the relative step, between the rounding of differences and higher derivatives
_RATIO = 8.0  # of the two steps
_MOST = 1e-2  # of the scale of theta: the longest step
_MISFIT = 0.02  # of the curvature: a smaller difference of one-sided curvatures is not looked at
_STAYS = 0.5  # of |r| / t: a smaller share at the smaller step is that of higher derivatives, 1/8 or less
_STAYS_LOSS = 0.04  # likewise of p, where higher derivatives give 1/512
_CONFIRMED = (0.8, 0.9, 1.1, 1.25)  # times the step: a jump is the same there, rounding is not
_ALIKE = 0.4  # of r: the largest change from one of these steps to another
_HOLDS = 0.25  # of the curvature: the largest difference at which the quadratic model holds
_JUMPS = "jumps, or changes as fast as in a jump,"  # differences do not tell the two apart
_SHRINK, _TIMES = 64.0, 3  # a model that does not hold is looked at nearer to the point, so many times


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeDirection:
    """A direction of differences.

    Attributes:
        vector: unit vector, (P,) float64.
        product: H v, (P,) float64.
        residual: its error.
        curvature: |v'Hv| if the verdict relies on its sign, else 0.
        step: Newton's step along it.
    """

    vector: Tensor
    product: Tensor
    residual: float = 0.0
    curvature: float = 0.0
    step: float = 0.0


@dataclass(slots=True, kw_only=True)
class OneSidedCheck:
    """Compares loss and gradient on both sides of a point with its quadratic model.

    Args:
        at: returns loss and gradient at theta plus a vector (P,).
        here: loss and gradient at theta.
        scale: max(1, ||theta||).
        noise: rounding of a gradient.
        loss_noise: rounding of a loss.
        eps: of the dtype.

    Attributes:
        fault: the first kink or jump found, as a clause; '' if there is none.
        unconfirmed: number of directions whose curvature differences do not confirm.
        radius: the shortest distance to which a model was confirmed.
        directions: number of directions looked at.
    """

    at: Callable[[Tensor], LossGradient]
    here: LossGradient
    scale: float
    noise: float
    loss_noise: float
    eps: float
    fault: str = ""
    unconfirmed: int = 0
    radius: float = math.inf
    directions: int = field(default=0)

    def run(self, directions: Sequence[ProbeDirection]) -> None:
        """Look along directions until a fault is found."""
        for direction in directions:
            self.directions += 1
            self._look(direction)
            if self.fault:
                return

    def _look(self, d: ProbeDirection) -> None:
        least = 100 * self.noise / d.curvature if d.curvature else 0.0
        small = min(max(self.eps**_POWER * self.scale, least, 4 * d.step), _MOST * self.scale)
        for _ in range(_TIMES + 1):
            reached = min(self._side(d, sign * small) for sign in (1, -1))
            if self.fault or not d.curvature:
                return
            if reached:
                self.radius = min(self.radius, reached)
                return
            small /= _SHRINK
            if small < least or small < d.step:
                break
        self.unconfirmed += 1

    def _side(self, d: ProbeDirection, small: float) -> float:
        """Compare at two steps on one side; return the longer one at which the model holds, 0 if there is none."""
        misfits = [self.misfit(d, small * ratio) for ratio in (1.0, _RATIO)]
        if any(misfit is None for misfit in misfits):
            self.fault = f"the loss is not finite {abs(small) * _RATIO:.2g} away"
            return 0.0
        (r1, p1), (r2, p2) = (misfit for misfit in misfits if misfit is not None)
        size = float(torch.linalg.vector_norm(d.product))
        bound = 10 * self.noise + (_MISFIT * size + 3 * d.residual) * abs(small)
        n1, n2 = (float(torch.linalg.vector_norm(r)) for r in (r1, r2))
        loss_bound = 20 * self.loss_noise + _MISFIT * size * small**2 / 2
        if n1 > bound and n1 > _STAYS * n2 / _RATIO and self._confirmed(d, small, r1, None):
            word = "first" if n1 > _STAYS * n2 else "second"
            self.fault = f"the {word} derivative {_JUMPS} at most {abs(small):.2g} away, as one-sided differences show"
        elif abs(p1) > loss_bound and abs(p1) > _STAYS_LOSS * abs(p2) and self._confirmed(d, small, None, p1):
            word = f"the loss {_JUMPS}" if abs(p1) > _STAYS * abs(p2) else "the gradient is not the slope of the loss"
            self.fault = f"{word} at most {abs(small):.2g} away, as one-sided differences show"
        held = [abs(float(r @ d.vector)) <= _HOLDS * d.curvature * abs(small) * k for r, k in ((r1, 1), (r2, _RATIO))]
        return abs(small) * (_RATIO if all(held) else 1.0) if held[0] else 0.0

    def misfit(self, d: ProbeDirection, t: float) -> tuple[Tensor, float] | None:
        """Return r(t) and p(t); None if the loss is not finite there."""
        there = self.at(t * d.vector)
        if not there.finite:
            return None
        r = there.gradient - self.here.gradient - t * d.product
        return r, there.loss - self.here.loss - t * float((self.here.gradient + there.gradient) @ d.vector) / 2

    def _confirmed(self, d: ProbeDirection, small: float, r: Tensor | None, p: float | None) -> bool:
        """Return whether a misfit is alike at steps of nearly the same length, as rounding is not."""
        for factor in _CONFIRMED:
            again = self.misfit(d, factor * small)
            if again is None:
                return True
            if r is not None:
                away, size = float(torch.linalg.vector_norm(again[0] - r)), float(torch.linalg.vector_norm(r))
            else:
                away, size = abs(again[1] - (p or 0.0)), abs(p or 0.0)
            if away > _ALIKE * size:
                return False
        return True


def gradient_jump(check: OneSidedCheck, direction: Tensor) -> str:
    """Return a clause on a jump next to a point whose gradient is not 0; '' if none is found.

    It tells of a jump of the gradient by half of itself, or of the loss by more than the gradient explains, at the
    shorter of two steps.
    """
    norm = float(torch.linalg.vector_norm(check.here.gradient))
    flat = ProbeDirection(vector=direction, product=torch.zeros_like(direction))
    for sign in (1.0, -1.0):
        t, before = check.eps**_POWER * check.scale, (0.0, 0.0)
        for step in (t, t / _RATIO):
            misfit = check.misfit(flat, sign * step)
            change = (math.inf, math.inf) if misfit is None else (
                float(torch.linalg.vector_norm(misfit[0])), abs(misfit[1])
            )  # fmt: skip
            jumps = change[0] > 0.5 * norm + 10 * check.noise and change[0] > _STAYS * before[0]
            leaps = change[1] > 0.5 * norm * step + 20 * check.loss_noise and change[1] > _STAYS * before[1]
            if not (jumps or leaps):
                break
            if step < t:
                what = "gradient" if jumps else "loss"
                return f"the {what} {_JUMPS} at most {step:.2g} away, as one-sided differences show"
            before = change
    return ""
