"""Optimisers of torch at a recorded state: thresholds, preconditioners and next steps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from surfaceviz.curvature.stability import thresholds

Options = Mapping[str, Any]  # of a group of parameters, as torch names them
Entries = Mapping[str, Tensor]  # the state of a parameter, as torch names it


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What is known of a class of optimisers.

    Attributes:
        threshold: the largest stable eigenvalue of P^-1/2 H P^-1/2, from a learning rate and the options.
        step: the direction u of the next step, theta <- theta - eta u, from the options, the state and the gradient.
        preconditioner: P of a parameter, from the options and the state; None for P = 1.
        decoupled: whether weight decay is decoupled from the gradient.
        defaults: options that torch has by default, for records that lack them.
    """

    threshold: Callable[[float, Options], float]
    step: Callable[[Options, Entries, Tensor], Tensor]
    preconditioner: Callable[[Options, Entries], Tensor] | None = None
    decoupled: bool = False
    defaults: Mapping[str, Any]


def _sgd_threshold(eta: float, options: Options) -> float:
    beta = float(options["momentum"])
    if options["nesterov"]:
        return thresholds.nesterov(eta, beta)
    return thresholds.heavy_ball(eta, beta, float(options["dampening"]) if beta else 0.0)


def _sgd_step(options: Options, entries: Entries, g: Tensor) -> Tensor:
    beta = float(options["momentum"])
    if not beta:
        return g
    before = entries.get("momentum_buffer")
    v = g if before is None else beta * before.to(g) + (1 - float(options["dampening"])) * g
    return g + beta * v if options["nesterov"] else v


def _adam_threshold(eta: float, options: Options) -> float:
    return thresholds.averaged(eta, float(options["betas"][0]))


def _adam_preconditioner(options: Options, entries: Entries) -> Tensor:
    """Return (1 - b1^t) (sqrt(v / (1 - b2^t)) + eps), v the largest one so far for AMSGrad.

    Source: Cohen et al., arXiv 2207.14484.
    """
    b1, b2 = map(float, options["betas"])
    t = float(entries["step"])
    v = entries["max_exp_avg_sq" if options["amsgrad"] else "exp_avg_sq"].double()
    root: Tensor = (v / (1 - b2**t)).sqrt() + float(options["eps"])
    return root * float(1 - b1**t)


def _adam_step(options: Options, entries: Entries, g: Tensor) -> Tensor:
    b1, b2 = map(float, options["betas"])
    zero = torch.zeros_like(g)
    t = float(entries["step"]) + 1 if "step" in entries else 1.0
    m = b1 * entries.get("exp_avg", zero).to(g) + (1 - b1) * g
    v = b2 * entries.get("exp_avg_sq", zero).to(g) + (1 - b2) * g * g
    if options["amsgrad"]:
        v = torch.maximum(v, entries.get("max_exp_avg_sq", zero).to(g))
    u: Tensor = m / (1 - b1**t) / ((v / (1 - b2**t)).sqrt() + float(options["eps"]))
    return u


def _rmsprop_threshold(eta: float, options: Options) -> float:
    return thresholds.heavy_ball(eta, float(options["momentum"]))


def _rmsprop_preconditioner(options: Options, entries: Entries) -> Tensor:
    """Return sqrt(v) + eps, of the centred kind sqrt(v - m^2) + eps; torch corrects no bias."""
    v = entries["square_avg"].double()
    if options["centered"]:
        v = v - entries["grad_avg"].double().square()
    return v.clamp_min(0).sqrt() + float(options["eps"])


def _rmsprop_step(options: Options, entries: Entries, g: Tensor) -> Tensor:
    alpha, zero = float(options["alpha"]), torch.zeros_like(g)
    new = {"square_avg": alpha * entries.get("square_avg", zero).to(g) + (1 - alpha) * g * g}
    if options["centered"]:
        new["grad_avg"] = alpha * entries.get("grad_avg", zero).to(g) + (1 - alpha) * g
    u = g / _rmsprop_preconditioner(options, new).to(g)
    momentum = float(options["momentum"])
    return momentum * entries.get("momentum_buffer", zero).to(g) + u if momentum else u


_ADAM: dict[str, Any] = {
    "threshold": _adam_threshold, "step": _adam_step, "preconditioner": _adam_preconditioner,
    "defaults": {"betas": (0.9, 0.999), "eps": 1e-8, "amsgrad": False},
}  # fmt: skip
RULES = {
    "SGD": Rule(
        threshold=_sgd_threshold, step=_sgd_step, defaults={"momentum": 0.0, "nesterov": False, "dampening": 0.0}
    ),
    "Adam": Rule(**_ADAM),
    "AdamW": Rule(**_ADAM, decoupled=True),
    "RMSprop": Rule(
        threshold=_rmsprop_threshold, step=_rmsprop_step, preconditioner=_rmsprop_preconditioner,
        defaults={"alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "centered": False},
    ),
}  # fmt: skip
