"""The state of an optimiser at a checkpoint: its threshold, and the scaling of the Hessian that it is compared with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from surfaceviz.curvature.flat_parameters import ParameterLayout
from surfaceviz.curvature.stability import thresholds
from surfaceviz.curvature.stability.optimisers import RULES, Entries, Options, Rule
from surfaceviz.errors import CheckpointError
from surfaceviz.problem.parameters import as_real


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimiserState:
    """An optimiser at a checkpoint; names are those of the problem's parameters.

    Attributes:
        kind: its class, of `RULES`.
        options: of each parameter.
        entries: its state of each parameter.
    """

    kind: str
    options: Mapping[str, Options]
    entries: Mapping[str, Entries] = field(default_factory=dict)

    @property
    def rule(self) -> Rule:
        """What is known of its class."""
        return RULES[self.kind]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters that it trains, sorted."""
        return tuple(sorted(self.options))

    @property
    def learning_rate(self) -> float:
        """The largest learning rate of a group."""
        return max(float(options["lr"]) for options in self.options.values())

    @property
    def edge(self) -> float:
        """The threshold of gradient descent, 2 / eta."""
        return thresholds.gradient_descent(self.learning_rate)

    @property
    def threshold(self) -> float:
        """The threshold of this optimiser, for the eigenvalues of P^-1/2 H P^-1/2."""
        return self.rule.threshold(self.learning_rate, next(iter(self.options.values())))

    @property
    def is_scaled(self) -> bool:
        """Whether P is not 1: the optimiser has a preconditioner, or groups have several learning rates."""
        return self.rule.preconditioner is not None or len({float(o["lr"]) for o in self.options.values()}) > 1

    def penalty(self, layout: ParameterLayout) -> Tensor:
        """Return the factors of the L2 penalty that is added to the gradient, (P,) float64; 0 for decoupled decay."""
        return _flat(layout, lambda name: torch.tensor(self._decay(name, decoupled=False)))

    def scales(self, layout: ParameterLayout) -> Tensor | None:
        """Return the diagonal of P^-1/2, (P,) float64; None where the state is not recorded.

        P_i is multiplied by eta / eta_i for a parameter whose group has the rate eta_i, eta the largest one. Parameters
        without a state have had no gradient, and do not move: theirs is 0.
        """
        make, eta = self.rule.preconditioner, self.learning_rate
        if make is not None and not any(self.entries.get(name) for name in self.names):
            return None

        def scale(name: str) -> Tensor:
            options, entries = self.options[name], self.entries.get(name, {})
            share = float(options["lr"]) / eta if eta > 0 else 1.0
            if make is None:
                return torch.tensor(math.sqrt(share))
            return math.sqrt(share) * make(options, entries).rsqrt() if entries else torch.tensor(0.0)

        return _flat(layout, scale)

    def step(self, layout: ParameterLayout, theta: Tensor, gradient: Tensor) -> Tensor:
        """Return the direction u of the next step, theta <- theta - eta u, (P,) float64, eta the largest rate.

        Args:
            layout: the parameters that are trained.
            theta: the weights, (P,) float64.
            gradient: of the loss without the penalty, (P,) float64.
        """
        gradients = dict(zip(layout.names, layout.split(gradient + self.penalty(layout) * theta), strict=True))
        weights = dict(zip(layout.names, layout.split(theta), strict=True))

        def direction(name: str) -> Tensor:
            options = self.options[name]
            u = self.rule.step(options, self.entries.get(name, {}), gradients[name])
            u = u + self._decay(name, decoupled=True) * weights[name]
            return float(options["lr"]) / self.learning_rate * u

        return _flat(layout, direction)

    def _decay(self, name: str, *, decoupled: bool) -> float:
        options = self.options[name]
        is_decoupled = bool(options.get("decoupled_weight_decay", self.rule.decoupled))
        return float(options.get("weight_decay", 0.0)) if is_decoupled is decoupled else 0.0


def _flat(layout: ParameterLayout, make: Callable[[str], Tensor]) -> Tensor:
    """Return a vector (P,) float64 of what ``make`` returns for each name, a tensor or one number for all entries."""
    pairs = zip(layout.names, layout.shapes, strict=True)
    return layout.flat([make(name).double().cpu().expand(shape) for name, shape in pairs])


def optimiser_state(
    groups: Sequence[Mapping[str, Any]], tensors: Mapping[str, Tensor], translate: Callable[[str], str], where: str
) -> OptimiserState:
    """Return the optimiser that a recorder has written.

    Args:
        groups: options of the groups, with ``kind`` and ``names``.
        tensors: the state, by ``name:entry``.
        translate: maps a recorded name to that of the problem's parameter.
        where: the file, for messages.

    Raises:
        CheckpointError: no learning rate is recorded; the class is not known; groups have several momenta.
    """
    if not groups or any("lr" not in group for group in groups):
        raise CheckpointError(
            f"{where} records no learning rate; give the recorder the optimiser=, or the rate of plain gradient "
            "descent by --lr"
        )
    kind = str(groups[0].get("kind"))
    if kind not in RULES:
        raise CheckpointError(
            f"{where} is of {kind}, whose threshold is not known; known are {', '.join(RULES)}. For 2 / eta alone give "
            "the learning rate by --lr"
        )
    filled = [{**RULES[kind].defaults, **group} for group in groups]
    if any(group.get("maximize") for group in filled):
        raise CheckpointError(f"{where} is of an optimiser that maximises; expected one that minimises")
    if len({RULES[kind].threshold(1.0, group) for group in filled}) > 1:
        raise CheckpointError(f"{where} has groups of several momenta, for which no threshold is known")
    entries: dict[str, dict[str, Tensor]] = {}
    for key, tensor in tensors.items():
        name, _, entry = key.rpartition(":")
        entries.setdefault(translate(name), {})[entry] = as_real(tensor)
    options = {translate(name): group for group in filled for name in group["names"]}
    return OptimiserState(kind=kind, options=options, entries=entries)
