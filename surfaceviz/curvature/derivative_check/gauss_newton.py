"""Products with the Gauss-Newton matrix compared with differences of outputs."""

from __future__ import annotations

import math

import torch

from surfaceviz.curvature.derivative_check.branches import eager_attention
from surfaceviz.curvature.derivative_check.compare import Comparison, Parts, judged
from surfaceviz.curvature.derivative_check.functions import CheckedFunction, LossFunction, Tensors

_TOLERANCE = 1e-4  # relative; ours
_ROUNDINGS = 1e3  # units in the last place that a difference may be off by; ours


def gauss_newton_product(loss: LossFunction, _function: CheckedFunction, v: Tensors, step: float) -> Comparison:
    """Return whether v'Gv agrees with t'(d2l/df2) t, the tangent t = J v by differences of outputs f.

    The loss's second derivative times t is a difference of its gradients by the outputs. Both are means over the draws
    of random numbers.

    Args:
        loss: the loss on a few samples.
        v: a direction.
        step: relative to v, without kinks.
    """
    claimed = math.fsum(float((a * b).sum()) for a, b in zip(v, loss.product(v), strict=True))
    draws = loss.problem.draws
    here = loss.outputs()
    eps = torch.finfo(here.dtype).eps

    def curvature(h: float) -> torch.Tensor:
        with eager_attention():
            centre = loss.outputs()
            ends = [loss.outputs([sign * h * part for part in v]) for sign in (1, -1)]
        tangent = (ends[0] - ends[1]) / (2 * h)
        slopes = [loss.output_gradient(centre + sign * h * tangent) for sign in (1, -1)]
        return (tangent * (slopes[0] - slopes[1]) / (2 * h)).sum().double()

    def difference(h: float) -> Parts:
        return [torch.stack([curvature(h) for _ in draws.each()]).mean()]

    def bounds(found: Parts, h: float) -> list[float]:
        slope = loss.output_gradient(here)
        rounding = float(slope.norm() * here.norm()) * _ROUNDINGS * eps / h
        return [_TOLERANCE * max(abs(claimed), abs(float(found[0]))) + rounding]

    def differs(a: Parts, b: Parts) -> Comparison:
        return Comparison(
            agrees=False,
            words=f"v'Gv is {float(b[0]):.6g} by differences of outputs, {float(a[0]):.6g} by autograd",
            order=2,
        )

    return judged([torch.tensor(claimed, dtype=torch.float64)], difference, bounds, step, differs=differs)
