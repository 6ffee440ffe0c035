"""Baseline: models built so that forward reads its weights through another name, and ordinary ones that must pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from surfaceviz.errors import ProblemError
from surfaceviz.evaluate.reached_weights import refuse_unreached
from surfaceviz.problem.problem import Problem

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore:enable_nested_tensor", "ignore:Initializing")


class Alias(nn.Module):
    """Reads ``head.weight`` through another name."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 2)
        weight = self.head.weight
        self.kind, self.names = kind, {"w": weight}
        self.weights, self.view = [weight], weight.data
        self.closure: Callable[[Tensor], Tensor] = lambda x: functional.linear(x, weight)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.body(x))
        reads = {
            "list": lambda: functional.linear(h, self.weights[0]),
            "dict": lambda: functional.linear(h, self.names["w"]),
            "view": lambda: functional.linear(h, self.view),
            "closure": lambda: self.closure(h),
            "module": lambda: functional.linear(h, self.head.weight),
        }
        return reads[self.kind]()


def _check(model: nn.Module, x: Tensor, y: Tensor | None = None, **options: Any) -> None:
    problem = Problem(model, (x, torch.arange(len(x)) % 2 if y is None else y), "cross_entropy", **options)
    refuse_unreached(problem, problem.load("train"))


@pytest.mark.parametrize("kind", ["list", "dict", "view", "closure"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_weight_under_another_name_is_refused_by_its_name(kind: str, dtype: torch.dtype) -> None:
    model = Alias(kind).to(dtype)
    if dtype == torch.float64:  # a cast replaces the memory of a parameter, not its identity
        model.view = model.head.weight.data
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with pytest.raises(ProblemError, match=r"forward reads head.weight through another name .* loss \d\.\d+, with the"):
        _check(model, torch.randn(20, 3, dtype=dtype))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_a_forward_that_closes_over_a_weight_is_refused() -> None:
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    weight = net[2].weight
    with pytest.raises(ProblemError, match="forward reads 2.weight through another name"):
        _check(net, torch.randn(20, 3), forward=lambda model, x: model[1](model[0](x)) @ weight.T)


class Failing(nn.Linear):
    """Raises at the second pass."""

    passes = 0

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        if Failing.passes:
            raise RuntimeError("no second pass")
        Failing.passes = 1
        return super().forward(x)


def test_weights_come_back_after_an_exception() -> None:
    Failing.passes = 0
    model = Failing(3, 2)
    before, flags = model.weight.detach().clone(), dict(vars(model))
    _check(model, torch.randn(9, 3))  # which leaves the error to the run
    assert Failing.passes == 1
    assert torch.equal(model.weight, before)
    assert vars(model) == flags


class Recurrent(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        self.layer: nn.Module = getattr(nn, kind)(3, 4, 2, batch_first=True)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.head(self.layer(x)[0][:, -1])
        return made


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(7, 4, padding_idx=0), nn.Linear(4, 7, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        made: Tensor = self.head(torch.tanh(self.embed(tokens)).mean(1))
        return made


class Encoder(nn.Module):
    position: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("position", torch.randn(5, 4), persistent=False)
        layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
        self.encoder, self.head = nn.TransformerEncoder(layer, 2), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        made: Tensor = self.head(self.encoder(x + self.position).mean(1))
        return made


def _convolutional(wrap: Any) -> nn.Module:
    width = int(torch.randint(2, 4, ()))
    return nn.Sequential(
        wrap(nn.Conv2d(1, width, 3)), nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(),
        wrap(nn.Linear(4 * width, 2)),
    )  # fmt: skip


WRAPS = {
    "plain": lambda m: m,
    "weight_norm": parametrizations.weight_norm,
    "spectral_norm": parametrizations.spectral_norm,
    "old weight_norm": weight_norm,
    "old spectral_norm": spectral_norm,
    "pruned": lambda m: prune.random_unstructured(m, "weight", 0.3),
}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("kind", [*WRAPS, "LSTM", "GRU", "RNN", "tied", "encoder"])
def test_ordinary_networks_pass_and_are_as_before(kind: str, seed: int) -> None:
    torch.manual_seed(seed)
    targets = None
    if kind in WRAPS:
        model, x = _convolutional(WRAPS[kind]), torch.randn(12, 1, 6, 6)
    elif kind == "tied":
        model, x = Tied(), torch.randint(0, 7, (12, 4))
        targets = torch.randint(0, 7, (12,))
    else:
        model, x = (
            Encoder() if kind == "encoder" else Recurrent(kind),
            torch.randn(12, 5, 4 if kind == "encoder" else 3),
        )
    model(x)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    attributes, state = [dict(vars(module)) for module in model.modules()], torch.get_rng_state()
    _check(model, x, targets)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    for module, own in zip(model.modules(), attributes, strict=True):
        assert all(value is own[name] for name, value in vars(module).items())
        assert len(own) == len(vars(module))
