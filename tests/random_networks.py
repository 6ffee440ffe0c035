"""Random networks of common layers: rectifiers, max pooling, batch norm, attention, recurrent layers."""

from __future__ import annotations

import random
from typing import Any

import torch
from torch import Tensor, nn

from surfaceviz.problem.problem import Problem

SAMPLES = 160
_ACTIVATIONS = (nn.ReLU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Hardswish, nn.ELU, nn.Tanh, nn.ReLU6)


class Residual(nn.Module):
    """A body with a skip connection."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Return x plus the body's output."""
        out: Tensor = x + self.body(x)
        return out


class Attention(nn.Module):
    """Self-attention over the first axis after the samples."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Return the attended sequence."""
        out: Tensor = self.attention(x, x, x, need_weights=False)[0]
        return out


class Last(nn.Module):
    """A recurrent layer's last output."""

    def __init__(self, layer: nn.RNNBase) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Return the output at the last step."""
        out: Tensor = self.layer(x)[0][:, -1]
        return out


def random_problem(seed: int) -> Problem:
    """Return a random network on random data; kinds of networks alternate with the seed."""
    draw = random.Random(seed)  # noqa: S311
    kind = ("convolutional", "dense", "attention", "recurrent")[seed % 4]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model, shape = _KINDS[kind](draw)
        x = torch.randn(SAMPLES, *shape)
        model.train()
        model(x)  # running statistics
        model.eval()
        outputs = model(x).shape[1]
        if draw.random() < 0.5:
            return Problem(model, (x, torch.randint(outputs, (SAMPLES,))), "cross_entropy")
        loss: Any = draw.choice(["mse", nn.SmoothL1Loss(), nn.L1Loss(), nn.HuberLoss()])
        return Problem(model, (x, torch.randn(SAMPLES, outputs)), loss)


def _activation(draw: random.Random) -> nn.Module:
    return draw.choice((nn.ReLU, draw.choice(_ACTIVATIONS)))()


def _dense(draw: random.Random) -> tuple[nn.Module, tuple[int, ...]]:
    width = draw.choice([16, 40, 96])
    layers: list[nn.Module] = [nn.Linear(12, width)]
    for _ in range(draw.randint(1, 6)):
        block = [draw.choice((nn.BatchNorm1d, nn.LayerNorm, nn.Identity))(width), _activation(draw)]
        block += [nn.Linear(width, width), nn.Dropout(0.2)]
        layers.append(draw.choice((Residual, nn.Sequential, lambda body: body))(nn.Sequential(*block)))
    return nn.Sequential(*layers, nn.Linear(width, 5)), (12,)


def _convolutional(draw: random.Random) -> tuple[nn.Module, tuple[int, ...]]:
    width = draw.choice([4, 8, 16])
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, padding=1, bias=draw.random() < 0.5)]
    for _ in range(draw.randint(1, 5)):
        layers += [draw.choice((nn.BatchNorm2d(width), nn.GroupNorm(2, width), nn.Identity())), _activation(draw)]
        body = nn.Sequential(nn.Conv2d(width, width, 3, padding=1), nn.BatchNorm2d(width), _activation(draw))
        layers.append(Residual(body))
    pools = (nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2), nn.AdaptiveMaxPool2d(3))
    layers += [draw.choice(pools), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(), nn.AdaptiveMaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(4 * width, 5)), (3, 12, 12)


def _attention(draw: random.Random) -> tuple[nn.Module, tuple[int, ...]]:
    width = draw.choice([8, 16])
    layers: list[nn.Module] = [nn.Linear(6, width)]
    for _ in range(draw.randint(1, 3)):
        if draw.random() < 0.5:
            activation = draw.choice(["relu", "gelu"])
            layers.append(nn.TransformerEncoderLayer(width, 2, 2 * width, activation=activation, batch_first=True))
        else:
            layers += [Residual(Attention(width)), nn.LayerNorm(width), Residual(
                nn.Sequential(nn.Linear(width, width), _activation(draw), nn.Linear(width, width))
            )]  # fmt: skip
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(7 * width, 4)), (7, 6)


def _recurrent(draw: random.Random) -> tuple[nn.Module, tuple[int, ...]]:
    make = draw.choice((nn.LSTM, nn.GRU, nn.RNN))
    options = {"nonlinearity": "relu"} if make is nn.RNN and draw.random() < 0.7 else {}
    both = draw.random() < 0.5
    width = draw.choice([6, 20])
    layer = make(4, width, draw.randint(1, 2), batch_first=True, bidirectional=both, **options)
    return nn.Sequential(
        Last(layer), nn.Linear(width * (1 + both), 12), _activation(draw), nn.Linear(12, 4)
    ), (draw.choice([5, 25]), 4)  # fmt: skip


_KINDS = {"dense": _dense, "convolutional": _convolutional, "attention": _attention, "recurrent": _recurrent}
