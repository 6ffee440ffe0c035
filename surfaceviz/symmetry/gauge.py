"""One gauge for networks: rescalings that keep the function are used to bring the weights to a standard scale."""

from __future__ import annotations

import math
from dataclasses import dataclass

from torch import nn

from surfaceviz.curvature.objective import Objective, Theta


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """Weights in the gauge, or the reason why there are none.

    Attributes:
        theta: weights and buffers; None if the network was not brought to the gauge.
        balanced: number of hidden units whose norms of in- and outgoing weights are equal.
        normed: number of filters before a batch norm that have norm 1.
        left: names of layers with outputs that no rescaling could balance, such as those of a residual stream.
        temperature: the factor that the logits were divided by; None if it was not fitted.
        deviation: error of the outputs on all samples, relative to the largest.
        reason: one line that tells why there are no weights, or why there is no temperature; else empty.
    """

    theta: Theta | None = None
    balanced: int = 0
    normed: int = 0
    left: tuple[str, ...] = ()
    temperature: float | None = None
    deviation: float = math.nan
    reason: str = ""


def to_gauge(objective: Objective, theta: Theta, *, held_out: Objective | None = None) -> Gauge:
    """Return weights that give the same function up to the temperature, in the gauge."""
    raise NotImplementedError


def gauged_model(model: nn.Module, theta: Theta) -> nn.Module:
    """Return a copy of a model with other weights and buffers; the model itself is unchanged."""
    raise NotImplementedError
