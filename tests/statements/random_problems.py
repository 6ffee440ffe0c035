"""Random problems: architecture, loss, data, dtype, engine and options, all drawn from one seed."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from blocks import TOKENS, Embedded, Residual
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz.problem.problem import Problem

Terms = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]  # outputs, targets -> numerators (n,) and weights (n,)
Generator = np.random.Generator

SMOOTH = {"tanh": nn.Tanh, "gelu": nn.GELU, "softplus": nn.Softplus, "sigmoid": nn.Sigmoid, "silu": nn.SiLU}
PIECEWISE = {"relu": nn.ReLU, "elu": nn.ELU, "leaky": nn.LeakyReLU}
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {**SMOOTH, **PIECEWISE}
ARCHITECTURES = ("mlp", "linear", "cnn", "cnn-bn", "residual", "layer-norm", "embedding", "tied", "transposed")
LOSSES = (
    "cross_entropy", "weighted", "ignore", "smoothing", "partial", "mse", "bce", "samples", "mean", "rms", "lambda",
)  # fmt: skip
_CLASS_LOSSES = ("cross_entropy", "weighted", "ignore", "smoothing", "partial", "lambda")


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """A loss for the tool, and the same loss written out.

    Attributes:
        given: the argument of `Problem`.
        terms: numerators and weights of samples in float64; the loss is the ratio of their sums.
        root: whether the loss is the root of that ratio, which is no mean over samples.
        per_sample: whether the tool can know the samples' values.
        coupled: whether the loss is no mean over samples to the tool, which sees a callable.
    """

    given: Any
    terms: Terms
    root: bool = False
    per_sample: bool = True
    coupled: bool = False

    @property
    def is_widened(self) -> bool:
        """Whether the tool computes the loss in float64: that of torch, but not a callable in the model's dtype."""
        return isinstance(self.given, str | nn.Module | partial)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomProblem:
    """A problem for the tool with the options of its runs, and its parts for the independent program."""

    name: str
    model: nn.Module
    data: dict[str, tuple[Tensor, Tensor]]
    loss: Loss
    smooth: bool
    slice_options: dict[str, Any]
    spectrum_options: dict[str, Any]
    axes: list[tuple[float, float, int]]
    ignore: str
    maps: bool

    def problem(self) -> Problem:
        """Return the problem for the tool, with a copy of the model."""
        return Problem(copy.deepcopy(self.model), self.data, self.loss.given)


def _chain(rng: Generator, inputs: int, outputs: int, make: Callable[[], nn.Module]) -> list[nn.Module]:
    widths = [inputs, *rng.integers(3, 9, size=int(rng.integers(1, 4))).tolist()]
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after, bias=bool(rng.random() < 0.8)), make()]
    return [*layers, nn.Linear(widths[-1], outputs)]


def _model(  # noqa: PLR0911  one for each architecture
    architecture: str, rng: Generator, outputs: int, make: Callable[[], nn.Module]
) -> nn.Module:
    width = int(rng.integers(3, 6))
    if architecture == "mlp":
        return nn.Sequential(*_chain(rng, 4, outputs, make))
    if architecture == "linear":
        return nn.Linear(4, outputs)
    if architecture == "residual":
        inner = nn.Sequential(nn.Linear(width, width), make(), nn.Linear(width, width))
        return nn.Sequential(nn.Linear(4, width), Residual(inner), make(), nn.Linear(width, outputs))
    if architecture == "layer-norm":
        return nn.Sequential(nn.Linear(4, width), nn.LayerNorm(width), make(), nn.Linear(width, outputs))
    if architecture in ("embedding", "tied"):
        return Embedded(width, outputs, make(), tied=architecture == "tied")
    if architecture == "transposed":
        head = nn.Linear(2 * 36, outputs)
        return nn.Sequential(
            nn.Conv2d(1, 3, 3, stride=2), make(), nn.ConvTranspose2d(3, 2, 3, 3), make(), nn.Flatten(), head
        )
    norms = [nn.BatchNorm2d(3)] if architecture == "cnn-bn" else []
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, bias=not norms), *norms, make(), nn.Conv2d(3, 2, 2), make(), nn.Flatten(),
        nn.Linear(2 * 9, outputs),
    )  # fmt: skip


def _inputs(architecture: str, count: int, generator: torch.Generator) -> Tensor:
    if architecture in ("embedding", "tied"):
        return torch.randint(TOKENS, (count, 3), generator=generator)
    image = architecture in ("cnn", "cnn-bn", "transposed")
    shape = (count, 1, 6, 6) if image else (count, 4)
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def _cross_entropy(outputs: Tensor, targets: Tensor, *, weight: Tensor, ignored: int, smoothing: float) -> Any:
    """-w_y ((1 - s) log p_y) - s / C sum_c w_c log p_c, over the sum of w_y; ignored samples count nothing."""
    # log sum_j exp(o_j - o_c) as log(1 + the rest): a sum without the 1 loses the digits of a small loss
    apart = outputs[:, None, :] - outputs[:, :, None]
    others = apart.masked_fill(torch.eye(outputs.shape[1], dtype=torch.bool), -torch.inf)
    log_p = -functional.softplus(others.logsumexp(2), threshold=40)
    counted = (targets != ignored).double()
    one_hot = (targets.clamp(min=0)[:, None] == torch.arange(outputs.shape[1])).double()
    w = (one_hot * weight).sum(1) * counted
    spread = counted * (weight * -log_p).sum(1) / outputs.shape[1]
    return (1 - smoothing) * w * -(one_hot * log_p).sum(1) + smoothing * spread, w


def _per_element(value: Callable[[Tensor, Tensor], Tensor]) -> Terms:
    def terms(outputs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        each = value(outputs, targets)
        return each.sum(1), torch.full((len(each),), float(each.shape[1]), dtype=torch.float64)

    return terms


def _square(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets) ** 2


def _log_cosh(outputs: Tensor, targets: Tensor) -> Tensor:
    return torch.log(torch.cosh(outputs - targets))


def _loss(name: str, rng: Generator, classes: int, dtype: torch.dtype) -> Loss:
    weight = torch.from_numpy(rng.uniform(0.3, 2, classes)).to(dtype)
    terms = partial(_cross_entropy, weight=torch.ones(classes), ignored=-100, smoothing=0.0)
    weighted = partial(_cross_entropy, weight=weight.double(), ignored=-100, smoothing=0.0)
    made: dict[str, Callable[[], Loss]] = {
        "cross_entropy": lambda: Loss(given="cross_entropy", terms=terms),
        "weighted": lambda: Loss(given=nn.CrossEntropyLoss(weight=weight), terms=weighted),
        "ignore": lambda: Loss(given=nn.CrossEntropyLoss(ignore_index=1), terms=partial(terms, ignored=1)),
        "smoothing": lambda: Loss(
            given=nn.CrossEntropyLoss(weight=weight, label_smoothing=0.2, ignore_index=0),
            terms=partial(weighted, smoothing=0.2, ignored=0),
        ),
        "partial": lambda: Loss(given=partial(functional.cross_entropy, weight=weight), terms=weighted),
        "lambda": lambda: Loss(
            given=lambda o, t: functional.cross_entropy(o, t, weight=weight.to(o)), terms=weighted,
            per_sample=False, coupled=True,
        ),
        "mse": lambda: Loss(given="mse", terms=_per_element(_square)),
        "bce": lambda: Loss(
            given=nn.BCEWithLogitsLoss(),
            terms=_per_element(lambda o, t: t * torch.log1p(torch.exp(-o)) + (1 - t) * torch.log1p(torch.exp(o))),
        ),
        "samples": lambda: Loss(given=lambda o, t: _log_cosh(o, t).mean(1), terms=_per_element(_log_cosh)),
        "mean": lambda: Loss(
            given=lambda o, t: _log_cosh(o, t).mean(), terms=_per_element(_log_cosh), per_sample=False
        ),
        "rms": lambda: Loss(
            given=lambda o, t: _square(o, t).mean().sqrt(), terms=_per_element(_square), root=True,
            per_sample=False, coupled=True
        ),
    }  # fmt: skip
    return made[name]()


def _targets(loss: str, count: int, outputs: int, generator: torch.Generator) -> Tensor:
    if loss in _CLASS_LOSSES:
        targets = torch.randint(outputs, (count,), generator=generator)
        targets[:outputs] = torch.arange(outputs)
        return targets
    targets = torch.randn((count, outputs), generator=generator, dtype=torch.float64)
    return (targets > 0).double() if loss == "bce" else targets


def _trained(model: nn.Module, how: str, mean: Callable[[nn.Module], Tensor]) -> None:
    """Move a float64 model to where the kind of the point is a question: near a minimum, or at a symmetric point."""
    parameters = list(model.parameters())
    if how == "zeros":
        for p in parameters:
            nn.init.zeros_(p)
        parameters = parameters[-1:]
    if how == "random":
        return
    optimizer = torch.optim.LBFGS(parameters, max_iter=500, tolerance_grad=1e-13, tolerance_change=1e-16,
                                  line_search_fn="strong_wolfe")  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = mean(model)
        value.backward()
        return value

    optimizer.step(closure)


def _slice_options(number: int, rng: Generator, architecture: str, count: int) -> dict[str, Any]:
    engine = "eager"
    if number % 12 == 5:
        engine = "compiled"
    elif number % 4 == 1:
        engine = "vmapped" if architecture in ("mlp", "linear") else "folded"
    bn = "recalibrate" if architecture == "cnn-bn" and rng.random() < 0.5 and engine != "vmapped" else "fixed"
    return {"engine": engine, "bn": bn, "batch_size": int(rng.integers(7, count + 1)), "seed": int(rng.integers(1000))}


def _spectrum_options(number: int, rng: Generator) -> dict[str, Any]:
    choices: list[dict[str, Any]] = [
        {"density": True},
        {"trace": True, "probes": int(rng.integers(5, 40)), "rtol": 1e-6},
        {"density": True, "probes": 3, "steps": 4},
        {"trace": True, "normalised": True, "probes": 20},
        {"density": True, "parameters": "weights", "top": 3, "bottom": 3, "rtol": 1e-5},
        {"density": True, "probes": 2, "steps": 3, "top": 2, "bottom": 2},
    ]
    return {**choices[number % len(choices)], "seed": int(rng.integers(1000))}


def random_problem(number: int) -> RandomProblem:
    """Return the problem of a number; architectures and losses appear in turn, all else is drawn."""
    rng = np.random.default_rng([15, number])
    generator = torch.Generator().manual_seed(number)
    architecture = ARCHITECTURES[number % len(ARCHITECTURES)]
    loss_name, outputs = LOSSES[int(rng.integers(len(LOSSES)))], int(rng.integers(2, 5))
    activation = str(rng.choice(sorted(ACTIVATIONS)))
    dtype = torch.float64 if rng.random() < 0.5 else torch.float32
    count = int(rng.integers(20, 70))
    how = str(rng.choice(["random", "random", "minimum", "zeros"]))
    if architecture == "linear" and number % 2:  # genuine minima: strictly convex losses
        loss_name, how = ("mse", "samples", "bce")[number // 18 % 3], "minimum"
    elif how == "minimum":
        # The search leads to saturated units, whose derivatives vanish in float32: second derivatives lose eigenvalues
        # there, and the tool does not tell of it yet.
        dtype = torch.float64
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(number)
        model = _model(architecture, rng, outputs, ACTIVATIONS[activation]).double()
        loss = _loss(loss_name, rng, outputs, dtype)
        x = _inputs(architecture, count, generator)
        y = _targets(loss_name, count, outputs, generator)
        model.train()
        for _ in range(3 if architecture == "cnn-bn" else 0):
            model(x * 1.3 + 0.2)
        model.eval()
        _trained(model, how, lambda net: _mean(loss, net(x), y))
    for p in model.parameters():
        p.grad = None
    data = {"train": (_cast(x, dtype), _cast(y, dtype))}
    if rng.random() < 0.3:
        other = _inputs(architecture, 11, generator), _targets(loss_name, 11, outputs, generator)
        data["test"] = (_cast(other[0], dtype), _cast(other[1], dtype))
    reach = float(rng.choice([0.1, 0.5, 1.0]))
    axes = [(-reach, reach, 5), (-reach, 2 * reach, 4)][: int(rng.integers(1, 3))]
    return RandomProblem(
        name=f"{architecture} {activation} {loss_name} {how} {dtype}", model=model.to(dtype), data=data, loss=loss,
        smooth=activation in SMOOTH or architecture == "linear",
        axes=axes[:1] if how == "zeros" else axes,  # only biases move, along themselves, which is one line
        ignore="none" if how == "zeros" else str(rng.choice(["biasbn", "none"])),
        slice_options=_slice_options(number, rng, architecture, count), maps=number % 4 == 0,
        spectrum_options=_spectrum_options(number, rng),
    )  # fmt: skip


def _mean(loss: Loss, outputs: Tensor, targets: Tensor) -> Tensor:
    values, weights = loss.terms(outputs, targets)
    mean = values.sum() / weights.sum()
    return mean.sqrt() if loss.root else mean


def _cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    return tensor.to(dtype) if tensor.is_floating_point() else tensor
