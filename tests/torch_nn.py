"""All layers and losses of torch.nn as small problems in float64."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from surfaceviz.problem.estimates import sum_and_weight
from surfaceviz.problem.problem import Problem

SAMPLES = 6
_WIDTH = 5
Made = tuple[Callable[[], nn.Module], tuple[int, ...], Callable[[nn.Module, Tensor], Any]]


def _plain(layer: nn.Module, z: Tensor) -> Any:
    return layer(z)


def _first(layer: nn.Module, z: Tensor) -> Any:
    return layer(z)[0]


def _pair(layer: nn.Module, z: Tensor) -> Any:
    return layer(z[:, 0], z[:, 1])


def _three(layer: nn.Module, z: Tensor) -> Any:
    return layer(z, z.sin(), z.cos())


def _indices(layer: nn.Module, z: Tensor) -> Any:
    count = 7
    return layer((z.detach().abs() * 10).long() % count) * z.unsqueeze(-1)


def _bag(layer: nn.Module, z: Tensor) -> Any:
    return layer((z.detach().abs() * 10).long() % 7) * z[:, :3]


def _unpool(layer: nn.Module, z: Tensor) -> Any:
    pools: dict[int, Any] = {3: nn.functional.max_pool1d, 4: nn.functional.max_pool2d, 5: nn.functional.max_pool3d}
    return layer(*pools[z.ndim](z, 2, return_indices=True))


def _decoder(layer: nn.Module, z: Tensor) -> Any:
    return layer(z, z.sin())


def _memory(layer: nn.Module, z: Tensor) -> Any:
    return layer(z, (z.sin(), z.cos()))[0]


_N1, _N2, _N3 = (4, 6), (4, 4, 6), (4, 4, 4, 2)
_SHAPES = {"1d": _N1, "2d": _N2, "3d": _N3}


def _each(pattern: str, arguments: Callable[[int], Any], shapes: Any = None) -> dict[str, Made]:
    """Return the 1-D, 2-D and 3-D layers of a family; ``arguments(n)`` gives (args, kwargs)."""
    made: dict[str, Made] = {}
    for n in (1, 2, 3):
        name = pattern.format(n)
        args, kwargs = arguments(n)
        call = _unpool if "Unpool" in name else _plain
        made[name] = (
            partial(getattr(nn, name), *args, **kwargs),
            (shapes or _SHAPES)[f"{n}d"], call,
        )  # fmt: skip
    return made


def _activation(name: str, *args: Any, shape: tuple[int, ...] = (4,)) -> dict[str, Made]:
    return {name: (lambda: getattr(nn, name)(*args), shape, _plain)}


LAYERS: dict[str, Made] = {}
for _name in (
    "CELU", "ELU", "GELU", "Hardshrink", "Hardsigmoid", "Hardswish", "Hardtanh", "LeakyReLU", "LogSigmoid", "Mish",
    "PReLU", "ReLU", "ReLU6", "RReLU", "SELU", "SiLU", "Sigmoid", "Softplus", "Softshrink", "Softsign", "Tanh",
    "Tanhshrink", "Identity", "Dropout", "AlphaDropout", "FeatureAlphaDropout", "Flatten",
):  # fmt: skip
    LAYERS |= _activation(_name)
for _name in ("LogSoftmax", "Softmax", "Softmin"):
    LAYERS |= _activation(_name, -1)
LAYERS |= _activation("Threshold", 0.1, 20.0)
LAYERS |= _activation("GLU")
LAYERS |= _activation("Softmax2d", shape=_N2)
for _family, _arguments in {
    "AdaptiveAvgPool{}d": lambda n: ((2,), {}), "AdaptiveMaxPool{}d": lambda n: ((2,), {}),
    "AvgPool{}d": lambda n: ((2,), {}), "MaxPool{}d": lambda n: ((2,), {}), "LPPool{}d": lambda n: ((2, 2), {}),
    "MaxUnpool{}d": lambda n: ((2,), {}), "BatchNorm{}d": lambda n: ((4,), {}),
    "InstanceNorm{}d": lambda n: ((4,), {"affine": True}), "Conv{}d": lambda n: ((4, 2, 2), {}),
    "ConvTranspose{}d": lambda n: ((4, 2, 2), {}), "Dropout{}d": lambda n: ((), {}),
    "CircularPad{}d": lambda n: ((1,), {}), "ConstantPad{}d": lambda n: ((1, 0.5), {}),
    "ReflectionPad{}d": lambda n: ((1,), {}), "ReplicationPad{}d": lambda n: ((1,), {}),
    "ZeroPad{}d": lambda n: ((1,), {}), "LazyBatchNorm{}d": lambda n: ((), {}),
    "LazyConv{}d": lambda n: ((2, 2), {}), "LazyConvTranspose{}d": lambda n: ((2, 2), {}),
    "LazyInstanceNorm{}d": lambda n: ((), {"affine": True}),
}.items():  # fmt: skip
    LAYERS |= _each(_family, _arguments)
LAYERS |= {
    "AdaptiveLogSoftmaxWithLoss": (
        lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2], div_value=2.0), (4,),
        lambda layer, z: layer(z, torch.arange(len(z)) % 6).output,
    ),
    "Bilinear": (lambda: nn.Bilinear(3, 3, 2), (2, 3), _pair),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(2), _N2, _plain),
    "CosineSimilarity": (nn.CosineSimilarity, (2, 4), _pair),
    "CrossMapLRN2d": (lambda: nn.CrossMapLRN2d(2), _N2, _plain),
    "Embedding": (lambda: nn.Embedding(7, 3), (4,), _indices),
    "EmbeddingBag": (lambda: nn.EmbeddingBag(7, 3), (4,), _bag),
    "EmbeddingBag sum": (lambda: nn.EmbeddingBag(7, 3, mode="sum"), (4,), _bag),
    "EmbeddingBag max": (lambda: nn.EmbeddingBag(7, 3, mode="max"), (4,), _bag),
    "Fold": (lambda: nn.Fold((3, 3), 2), (8, 4), _plain),
    "FractionalMaxPool2d": (lambda: nn.FractionalMaxPool2d(2, output_size=2), _N2, _plain),
    "FractionalMaxPool3d": (lambda: nn.FractionalMaxPool3d(2, output_size=2), (2, 4, 4, 4), _plain),
    "GRU": (lambda: nn.GRU(3, 2, 2, batch_first=True, bidirectional=True), (4, 3), _first),
    "GRUCell": (lambda: nn.GRUCell(3, 2), (3,), _plain),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), _N2, _plain),
    "LSTM": (lambda: nn.LSTM(3, 2, 2, batch_first=True), (4, 3), _first),
    "LSTM projected": (lambda: nn.LSTM(3, 3, batch_first=True, proj_size=2), (4, 3), _first),
    "LSTMCell": (lambda: nn.LSTMCell(3, 2), (3,), _first),
    "LayerNorm": (lambda: nn.LayerNorm(6), _N1, _plain),
    "LazyLinear": (lambda: nn.LazyLinear(2), (4,), _plain),
    "Linear": (lambda: nn.Linear(4, 2), (4,), _plain),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(2), _N2, _plain),
    "MultiheadAttention": (
        lambda: nn.MultiheadAttention(4, 2, batch_first=True), (3, 4), lambda layer, z: layer(z, z.sin(), z.cos())[0]
    ),
    "MultiheadAttention without weights": (
        lambda: nn.MultiheadAttention(4, 2, batch_first=True), (3, 4),
        lambda layer, z: layer(z, z, z, need_weights=False)[0],
    ),
    "PairwiseDistance": (nn.PairwiseDistance, (2, 4), _pair),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), _N2, _plain),
    "PixelUnshuffle": (lambda: nn.PixelUnshuffle(2), _N2, _plain),
    "RMSNorm": (lambda: nn.RMSNorm(6), _N1, _plain),
    "RNN": (lambda: nn.RNN(3, 2, batch_first=True), (4, 3), _first),
    "RNN relu": (lambda: nn.RNN(3, 2, nonlinearity="relu", batch_first=True), (4, 3), _first),
    "RNNCell": (lambda: nn.RNNCell(3, 2), (3,), _plain),
    "SyncBatchNorm": (lambda: nn.SyncBatchNorm(4), _N2, _plain),
    "Transformer": (
        lambda: nn.Transformer(4, 2, 1, 1, 6, batch_first=True), (3, 4), _decoder,
    ),
    "TransformerDecoder": (
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(4, 2, 6, batch_first=True), 1), (3, 4), _decoder,
    ),
    "TransformerDecoderLayer": (lambda: nn.TransformerDecoderLayer(4, 2, 6, batch_first=True), (3, 4), _decoder),
    "TransformerEncoder": (
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 6, batch_first=True), 1), (3, 4), _plain,
    ),
    "TransformerEncoderLayer": (lambda: nn.TransformerEncoderLayer(4, 2, 6, batch_first=True), (3, 4), _plain),
    "Unflatten": (lambda: nn.Unflatten(1, (2, 2)), (4,), _plain),
    "Unfold": (lambda: nn.Unfold(2), _N2, _plain),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bicubic"), _N2, _plain),
    "UpsamplingBilinear2d": (lambda: nn.UpsamplingBilinear2d(scale_factor=2), _N2, _plain),
    "UpsamplingNearest2d": (lambda: nn.UpsamplingNearest2d(scale_factor=2), _N2, _plain),
    "weight_norm of Linear": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), (4,), _plain),
    "weight_norm of Conv2d": (
        lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 2, 2), dim=1), _N2, _plain,
    ),
    "weight_norm of all entries": (
        lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3), dim=-1), (4,), _plain,
    ),
    "spectral_norm": (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)), (4,), _plain),
    "orthogonal": (lambda: nn.utils.parametrizations.orthogonal(nn.Linear(4, 3)), (4,), _plain),
}  # fmt: skip

# Containers, bases, and those that need several devices.
LEFT_OUT = {
    "Container", "DataParallel", "Module", "ModuleDict", "ModuleList", "NLLLoss2d", "ParameterDict", "ParameterList",
    "RNNBase", "RNNCellBase", "Sequential",
}  # fmt: skip


def _numbers(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(11), dtype=torch.float64)


_K = 4
_REAL = _numbers(SAMPLES, _K)
_CLASS = torch.arange(SAMPLES) % _K
_SIGN = torch.where(_numbers(SAMPLES, _K) > 0, 1.0, -1.0).double()
Loss = tuple[Callable[[Tensor, Tensor], Tensor], Tensor]


def _loss(name: str, targets: Tensor, before: Callable[[Tensor], Tensor] | None = None, **options: Any) -> Loss:
    def call(outputs: Tensor, y: Tensor) -> Tensor:
        value: Tensor = getattr(nn, name)(**options)(before(outputs) if before else outputs, y)
        return value

    return call, targets


def _triplet(name: str) -> Loss:
    return lambda out, y: getattr(nn, name)(margin=2.0)(out, y, y.flip(0)), _REAL


LOSSES: dict[str, Loss] = {
    "BCELoss": _loss("BCELoss", _REAL.sigmoid(), torch.sigmoid),
    "BCEWithLogitsLoss": _loss("BCEWithLogitsLoss", _REAL.sigmoid()),
    "CTCLoss": (
        lambda out, y: nn.CTCLoss()(
            out.log_softmax(-1).unsqueeze(1).expand(-1, 1, -1), y[None, :2] % 3 + 1,
            torch.tensor([len(out)]), torch.tensor([2]),
        ),
        _CLASS,
    ),
    "CosineEmbeddingLoss": (lambda out, y: nn.CosineEmbeddingLoss()(out, y, _SIGN[: len(out), 0]), _REAL),
    "CrossEntropyLoss": _loss("CrossEntropyLoss", _CLASS, label_smoothing=0.1),
    "GaussianNLLLoss": (lambda out, y: nn.GaussianNLLLoss()(out, y, out.exp()), _REAL),
    "HingeEmbeddingLoss": _loss("HingeEmbeddingLoss", _SIGN),
    "HuberLoss": _loss("HuberLoss", _REAL, delta=0.7),
    "KLDivLoss": _loss("KLDivLoss", _REAL.softmax(-1), lambda out: out.log_softmax(-1), reduction="batchmean"),
    "L1Loss": _loss("L1Loss", _REAL),
    "LinearCrossEntropyLoss": (
        lambda out, y: nn.functional.linear_cross_entropy(out, _numbers(5, _K), y)
        if hasattr(nn.functional, "linear_cross_entropy") else nn.functional.cross_entropy(out @ _numbers(5, _K).T, y),
        _CLASS,
    ),
    "MSELoss": _loss("MSELoss", _REAL),
    "MarginRankingLoss": (lambda out, y: nn.MarginRankingLoss(0.3)(out[:, 0], out[:, 1], y[:, 0]), _SIGN),
    "MultiLabelMarginLoss": _loss("MultiLabelMarginLoss", torch.tensor([[1, 2, -1, 0]]).repeat(SAMPLES, 1)),
    "MultiLabelSoftMarginLoss": _loss("MultiLabelSoftMarginLoss", (_SIGN + 1) / 2),
    "MultiMarginLoss": _loss("MultiMarginLoss", _CLASS),
    "MultiMarginLoss squared": _loss("MultiMarginLoss", _CLASS, p=2),
    "NLLLoss": _loss("NLLLoss", _CLASS, lambda out: out.log_softmax(-1)),
    "PoissonNLLLoss": _loss("PoissonNLLLoss", _REAL.abs()),
    "SmoothL1Loss": _loss("SmoothL1Loss", _REAL),
    "SoftMarginLoss": _loss("SoftMarginLoss", _SIGN),
    "TripletMarginLoss": _triplet("TripletMarginLoss"),
    "TripletMarginWithDistanceLoss": _triplet("TripletMarginWithDistanceLoss"),
}  # fmt: skip


class Around(nn.Module):
    """A linear layer, the layer under test, and a fixed nonlinear combination of its outputs."""

    def __init__(self, layer: nn.Module, shape: tuple[int, ...], call: Callable[[nn.Module, Tensor], Any]) -> None:
        super().__init__()
        self.before = nn.Linear(_WIDTH, math.prod(shape))
        self.layer = layer
        self.shape, self.call = shape, call

    def forward(self, x: Tensor) -> Tensor:
        """Return three outputs for each sample."""
        y = self.call(self.layer, self.before(x).view(len(x), *self.shape)).reshape(len(x), -1)
        mixed = torch.arange(1, 3 * y.shape[1] + 1, dtype=y.dtype).sin().view(y.shape[1], 3)
        out: Tensor = (y + 0.3 * y.sin()) @ mixed
        return out


def problem_of(name: str) -> Problem:
    """Return the problem around a layer or a loss by its name in `LAYERS` or `LOSSES`."""
    generator = torch.Generator().manual_seed(5)
    x = torch.randn(SAMPLES, _WIDTH, generator=generator, dtype=torch.float64)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        if name in LOSSES:
            loss, targets = LOSSES[name]
            model: nn.Module = nn.Sequential(nn.Linear(_WIDTH, 4), nn.Tanh(), nn.Linear(4, _K)).double()
            return Problem(model, (x, targets), loss)
        make, shape, call = LAYERS[name]
        model = Around(make().double(), shape, call).double()
        model.train(not name.startswith("MultiheadAttention"))
        model(x)  # initialises lazy layers and running statistics
        model.eval()
        for parameter in model.parameters():
            parameter.data += 0.1 * torch.randn(parameter.shape, dtype=torch.float64)
    y = torch.randn(SAMPLES, 3, generator=generator, dtype=torch.float64)
    return Problem(model, (x, y), lambda out, targets: (out - targets).square().mean())


def moved_loss(problem: Problem) -> tuple[Callable[[Tensor], Tensor], nn.Module]:
    """Return the mean loss of a copy of the model as a function of its parameters (P,), in the order of their names."""
    model = copy.deepcopy(problem.model).eval()
    x, y = problem.sources["train"]

    def at(vector: Tensor) -> Tensor:
        named = dict(sorted(model.named_parameters()))
        for parameter, part in zip(named.values(), vector.split([p.numel() for p in named.values()]), strict=True):
            parameter.data.copy_(part.view(parameter.shape))
        values, weights = sum_and_weight(problem.measure_outputs_loss(model(x), y))
        return values / weights

    return at, model


def theta_of(model: nn.Module) -> Tensor:
    """Return the parameters (P,), in the order of their names."""
    return torch.cat([p.detach().reshape(-1) for _, p in sorted(model.named_parameters())]).clone()


def flat(tensors: Mapping[str, Tensor], model: nn.Module) -> Tensor:
    """Return a direction (P,), in the order of the names; 0 for tensors that do not move."""
    return torch.cat([
        tensors[name].double().reshape(-1) if name in tensors else torch.zeros(parameter.numel(), dtype=torch.float64)
        for name, parameter in sorted(model.named_parameters())
    ])  # fmt: skip
