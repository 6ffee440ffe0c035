"""Small trained networks for bench_verdicts.py, their losses at many weights at once, and copies of equal function.

Networks are perceptrons 6-10-10-3, plain or with batch norm, on 64 samples in float64. The rescalings here are written
out by hand, independent of those in `surfaceviz.symmetry`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz.curvature.objective import Objective, Theta
from surfaceviz.pipeline.hessian.points import targets_of
from surfaceviz.pipeline.hessian.request import HessianRequest
from surfaceviz.problem.problem import Problem
from surfaceviz.symmetry import Gauge, to_gauge

SIZES = 6, 10, 10, 3
SAMPLES = 64
EPS = 1e-5  # of batch norms
FACTOR = 4.0  # largest factor of rescalings, as for `surfaceviz sharpness`


@dataclass(frozen=True, kw_only=True)
class World:
    """The data and the model that all networks of one kind share."""

    objective: Objective
    held_out: Objective
    normed: bool

    @property
    def linear(self) -> tuple[str, ...]:
        """The names of the three linear layers."""
        return ("0", "3", "6") if self.normed else ("0", "2", "4")

    @cached_property
    def inputs(self) -> Tensor:
        """The training inputs, (d, N)."""
        return self._rows[0].T.contiguous()

    @cached_property
    def targets(self) -> Tensor:
        """The training labels, (N,)."""
        return self._rows[1]

    @cached_property
    def _rows(self) -> tuple[Tensor, Tensor]:
        x, y = self.objective.split.rows
        return x, y

    def losses(self, theta: Theta) -> Callable[[Tensor], Tensor]:
        """Return the function from weights (K, P), or (P,), to mean losses (K,), with the buffers of ``theta``."""
        layout = self.objective.layout
        slices = layout.slices()
        shapes = dict(zip(layout.names, layout.shapes, strict=True))

        def loss(vectors: Tensor) -> Tensor:
            rows = vectors.reshape(-1, layout.dimension)
            at = {n: rows[:, slices[n]].reshape(-1, *shapes[n]) for n in layout.names}
            logits = self._logits({**{n: t[None] for n, t in theta.items() if n not in at}, **at})
            picked = logits.gather(1, self.targets.expand(len(rows), 1, -1))[:, 0]
            return (logits.logsumexp(1) - picked).mean(1).reshape(vectors.shape[:-1])

        return loss

    def _logits(self, at: Mapping[str, Tensor]) -> Tensor:
        """Return the logits of K weights, (K, classes, N)."""
        h = self.inputs.expand(1, *self.inputs.shape)
        for k, name in enumerate(self.linear):
            h = at[f"{name}.weight"] @ h + at[f"{name}.bias"][..., None]
            if k < len(self.linear) - 1:
                if self.normed:
                    h = _norm(h, {key: at[f"{int(name) + 1}.{key}"][..., None] for key in _NORM})
                h = h.relu()
        return h


_NORM = ("running_mean", "running_var", "weight", "bias")


def _norm(h: Tensor, norm: Mapping[str, Tensor]) -> Tensor:
    return (h - norm["running_mean"]) * (norm["running_var"] + EPS).rsqrt() * norm["weight"] + norm["bias"]


def _model(*, normed: bool) -> nn.Sequential:
    layers: list[nn.Module] = []
    for k in range(3):
        layers.append(nn.Linear(SIZES[k], SIZES[k + 1]))
        if k < 2:
            layers += [*([nn.BatchNorm1d(SIZES[k + 1])] if normed else []), nn.ReLU()]
    return nn.Sequential(*layers).double().eval()


def world(seed: int, *, normed: bool) -> World:
    """Return the data of a seed: labels of a random teacher, one in seven drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(2 * SAMPLES, SIZES[0], generator=generator, dtype=torch.float64)
    inner, outer = (torch.randn(a, b, generator=generator, dtype=torch.float64) for a, b in ((6, 8), (8, 3)))
    y = (x @ inner).tanh().matmul(outer).argmax(1)
    noisy = torch.rand(len(y), generator=generator) < 1 / 7
    y = torch.where(noisy, torch.randint(3, y.shape, generator=generator), y)
    splits = {"train": (x[:SAMPLES], y[:SAMPLES]), "test": (x[SAMPLES:], y[SAMPLES:])}
    problem = Problem(_model(normed=normed), splits, "cross_entropy")
    targets = targets_of(HessianRequest.of(problem, dtype="float64"), lambda _line: None, 0)
    objective = Objective(
        problem=problem, split=targets.split, layout=targets.layout, filters=targets.filters,
        own_names=targets.own_names, device=torch.device("cpu"), batch=SAMPLES,
    )  # fmt: skip
    held_out = replace(objective, split=problem.load("test"))
    return World(objective=objective, held_out=held_out, normed=normed)


def train(here: World, seed: int) -> dict[str, Tensor]:
    """Return trained weights and buffers: Adam on the whole data, with a drawn rate, decay and number of steps."""
    torch.manual_seed(seed)
    model = _model(normed=here.normed).train()
    rate, decay = 10 ** float(torch.empty(()).uniform_(-2.5, -1.5)), 10 ** float(torch.empty(()).uniform_(-4, -2))
    steps = int(torch.randint(60, 300, ()))
    optimiser = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=decay)
    for _ in range(steps):
        optimiser.zero_grad()
        functional.cross_entropy(model(here.inputs.T), here.targets).backward()
        optimiser.step()
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}


def gauged(here: World, theta: Theta) -> Gauge:
    """Return the weights in the gauge, with the temperature fitted on the test split."""
    found = to_gauge(here.objective, theta, held_out=here.held_out)
    if found.theta is None or found.temperature is None:
        raise RuntimeError(f"a network was not brought to the gauge: {found.reason}")
    return found


def _factors(count: int, generator: torch.Generator, *, one: bool) -> Tensor:
    """Return factors for channels, log-uniform in [1/4, 4]; one for all, or one for each."""
    drawn = FACTOR ** (2 * torch.rand(count, generator=generator, dtype=torch.float64) - 1)
    return drawn[:1].expand(count).clone() if one else drawn


def rescaled(here: World, theta: Theta, generator: torch.Generator, *, one: bool) -> dict[str, Tensor]:
    """Return the weights with hidden units scaled across their ReLU, by one factor a layer or one a unit."""
    made = {name: tensor.clone() for name, tensor in theta.items()}
    for first, second in zip(here.linear[:-1], here.linear[1:], strict=True):
        source = str(int(first) + 1) if here.normed else first
        c = _factors(len(made[f"{first}.bias"]), generator, one=one)
        made[f"{source}.weight"] *= c if here.normed else c[:, None]
        made[f"{source}.bias"] *= c
        made[f"{second}.weight"] /= c
    return made


def norm_rescaled(here: World, theta: Theta, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the weights with filters before batch norms scaled, and running statistics to match."""
    made = {name: tensor.clone() for name, tensor in theta.items()}
    for first in here.linear[:-1]:
        norm = str(int(first) + 1)
        c = _factors(len(made[f"{first}.bias"]), generator, one=False)
        made[f"{first}.weight"] *= c[:, None]
        made[f"{first}.bias"] *= c
        made[f"{norm}.running_mean"] *= c
        made[f"{norm}.running_var"] = c**2 * (made[f"{norm}.running_var"] + EPS) - EPS
    return made


def permuted(here: World, theta: Theta, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the weights with the units of both hidden layers in another order."""
    made = {name: tensor.clone() for name, tensor in theta.items()}
    for first, second in zip(here.linear[:-1], here.linear[1:], strict=True):
        order = torch.randperm(len(made[f"{first}.bias"]), generator=generator)
        norm = str(int(first) + 1)
        keys = [f"{norm}.{key}" for key in _NORM] if here.normed else []
        for name in (f"{first}.weight", f"{first}.bias", *keys):
            made[name] = made[name][order]
        made[f"{second}.weight"] = made[f"{second}.weight"][:, order]
    return made


def louder(here: World, theta: Theta, factor: float) -> dict[str, Tensor]:
    """Return the weights with the logits times ``factor``."""
    last = here.linear[-1]
    return {**theta, **{f"{last}.{key}": factor * theta[f"{last}.{key}"] for key in ("weight", "bias")}}
