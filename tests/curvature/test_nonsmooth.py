"""Baseline: counts by hand, pools' windows by loops in numpy, and zeros before each `functional.relu` by a wrapper."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from surfaceviz.curvature.nonsmooth import KinkCounts, count_kinks, recording_kinks
from surfaceviz.curvature.products.double_backward import twice_differentiable
from surfaceviz.zoo import catalogue, datasets, networks

Run = Callable[[Tensor], object]
VALUES = [-3.0, -1.0, -0.5, 0.0, 0.0, 0.5, 1.0, 1.0, 1.0, 2.0, 3.0, 6.0]
ZEROS, ONES = 2, 3  # that many of the values are these

# What is run on the values -> what is counted there.
ENTRIES: dict[str, tuple[Run, dict[str, int]]] = {
    "functional.relu": (functional.relu, {"relu": ZEROS}),
    "functional.relu in place": (lambda x: functional.relu(x, inplace=True), {"relu": ZEROS}),
    "functional.relu_": (functional.relu_, {"relu": ZEROS}),
    "torch.relu": (torch.relu, {"relu": ZEROS}),
    "torch.relu_": (torch.relu_, {"relu": ZEROS}),
    "Tensor.relu": (lambda x: x.relu(), {"relu": ZEROS}),
    "Tensor.relu_": (lambda x: x.relu_(), {"relu": ZEROS}),
    "nn.ReLU": (nn.ReLU(), {"relu": ZEROS}),
    "nn.ReLU in place": (nn.ReLU(inplace=True), {"relu": ZEROS}),
    "functional.relu6": (functional.relu6, {"hardtanh": ZEROS + 1}),
    "nn.ReLU6 in place": (nn.ReLU6(inplace=True), {"hardtanh": ZEROS + 1}),
    "functional.threshold": (lambda x: functional.threshold(x, 1.0, 0.0), {"threshold": ONES}),
    "nn.Threshold in place": (nn.Threshold(1.0, 0.0, inplace=True), {"threshold": ONES}),
    "nn.LeakyReLU": (nn.LeakyReLU(), {"leaky_relu": ZEROS}),
    "nn.LeakyReLU in place": (nn.LeakyReLU(0.2, inplace=True), {"leaky_relu": ZEROS}),
    "functional.prelu": (lambda x: functional.prelu(x, torch.tensor(0.2, dtype=x.dtype)), {"prelu": ZEROS}),
    "nn.RReLU in eval": (nn.RReLU().eval(), {"rrelu": ZEROS}),
    "nn.RReLU in eval, in place": (nn.RReLU(inplace=True).eval(), {"rrelu": ZEROS}),
    "functional.hardtanh": (functional.hardtanh, {"hardtanh": 1 + ONES}),
    "nn.Hardtanh": (nn.Hardtanh(-0.5, 6.0, inplace=True), {"hardtanh": 2}),
    "torch.clamp": (lambda x: torch.clamp(x, -1.0, 2.0), {"clamp": 2}),
    "clamp(min)": (lambda x: x.clamp(min=0), {"clamp": ZEROS}),
    "clamp(max)": (lambda x: x.clamp(max=1.0), {"clamp": ONES}),
    "clip_": (lambda x: x.clip_(0.0, 1.0), {"clamp": ZEROS + ONES}),
    "clamp with tensors": (lambda x: x.clamp(torch.tensor(0.0), torch.tensor(1.0)), {"clamp": ZEROS + ONES}),
    "clamp_min": (lambda x: x.clamp_min(0.0), {"clamp_min": ZEROS}),
    "clamp_max_": (lambda x: x.clamp_max_(1.0), {"clamp_max": ONES}),
    "torch.maximum": (lambda x: torch.maximum(x, torch.tensor(1.0)), {"maximum": ONES}),
    "torch.maximum, the other way": (lambda x: torch.maximum(torch.ones(12), x), {"maximum": ONES}),
    "torch.max of two": (lambda x: torch.max(x, torch.zeros(12)), {"maximum": ZEROS}),
    "torch.minimum": (lambda x: torch.minimum(x, torch.tensor(6.0)), {"minimum": 1}),
    "torch.fmax": (lambda x: torch.fmax(x, torch.zeros(12)), {"fmax": ZEROS}),
    "abs": (lambda x: x.abs(), {"abs": ZEROS}),
    "abs_": (lambda x: x.abs_(), {"abs": ZEROS}),
    "absolute": (torch.absolute, {"abs": ZEROS}),
    "ELU, alpha 1": (nn.ELU(), {"elu": ZEROS}),
    "ELU, alpha 2": (nn.ELU(2.0, inplace=True), {"elu": ZEROS}),
    "SELU": (functional.selu, {"elu": ZEROS}),
    "CELU": (nn.CELU(2.0), {"celu": ZEROS}),
    "a mask": (lambda x: x * (x > 0), {"gt": ZEROS}),
    "a mask of tensors": (lambda x: x.masked_fill(x <= torch.ones(12), 0.0), {"le": ONES}),
    "where": (lambda x: torch.where(x > 1.0, x, 0 * x), {"gt": ONES}),
    "a test for equality": (lambda x: x.masked_fill(x == 1, 0.0), {"eq": ONES}),
    "sign": (torch.sign, {"sign": ZEROS}),
    "round": (lambda x: x.round(), {"round": 2}),
    "floor": (torch.floor, {"floor": 10}),
    "ceil": (torch.ceil, {"ceil": 10}),
    "truncation": (torch.trunc, {"trunc": 8}),
    "conversion to integers": (lambda x: x.long(), {"conversion to integers": 8}),
    "conversion to booleans": (lambda x: x.bool(), {"conversion to integers": ZEROS}),
    "remainder": (lambda x: x % 2, {"remainder": ZEROS + 2}),
    "fmod": (lambda x: x.fmod(2.0), {"fmod": 2}),
    "floor division": (lambda x: x // 2, {"floor_divide": ZEROS + 2}),
    "division that rounds down": (lambda x: x.div(2, rounding_mode="floor"), {"div": ZEROS + 2}),
    "division": (lambda x: x / 2, {}),
    "Huber's loss": (lambda x: functional.huber_loss(x, torch.zeros(12)), {"huber_loss": 1 + ONES}),
    "smooth L1 loss": (
        lambda x: functional.smooth_l1_loss(x, torch.ones(12), beta=2.0),
        {"smooth_l1_loss": 2},  # 3 and -1
    ),
    "square root": (lambda x: x.square().sqrt(), {"sqrt": ZEROS}),
    "a broken power": (lambda x: x.square() ** 1.5, {"pow": ZEROS}),
    "a whole power": (lambda x: x**3, {}),
    "1-norm": (lambda x: torch.linalg.vector_norm(x, 1), {"linalg_vector_norm": ZEROS}),
    "norms": (lambda x: torch.stack((x[3:5], x[5:7])).norm(dim=1), {"linalg_vector_norm": 1}),
    "standard deviation": (lambda x: torch.stack((x[6:9], x[:3])).std(1), {"std": 1}),
    "hypot": (lambda x: torch.hypot(x[3:6], x[4:7]), {"hypot": 1}),
    "copysign": (lambda x: torch.ones(12).copysign(x), {"copysign": ZEROS}),
    "functional.hardsigmoid": (functional.hardsigmoid, {"hardsigmoid": 2}),
    "nn.Hardswish in place": (nn.Hardswish(inplace=True), {"hardswish": 2}),
    "functional.softshrink": (functional.softshrink, {"softshrink": 2}),
    "nn.Softshrink": (nn.Softshrink(1.0), {"softshrink": 1 + ONES}),
    "functional.hardshrink": (functional.hardshrink, {"hardshrink": 2}),
    "L1 loss": (lambda x: functional.l1_loss(x, torch.ones(12)), {"abs": ONES}),
    "hinge of a margin": (
        lambda x: functional.margin_ranking_loss(x, torch.zeros(12), torch.ones(12), margin=1.0),
        {"clamp_min": ONES},
    ),
    "a module's own rectifiers": (nn.Sequential(nn.ReLU(), nn.Hardtanh(-1.0, 6.0)), {"relu": ZEROS, "hardtanh": 1}),
    "lists in place": (lambda x: torch._foreach_abs_([x, x.clone()]), {}),
    "the maximum": (lambda x: x[:9].max(), {"max": 1}),
    "the maximum along an axis": (lambda x: x.view(3, 4).max(dim=1, keepdim=True), {"max": 1}),
    "the minimum along an axis": (lambda x: x.view(3, 4).min(0), {}),
    "the least of all": (lambda x: x[3:].sub(1).min(), {"min": 1}),
    "amax along axes": (lambda x: x.view(1, 3, 4).amax((0, 2)), {"amax": 1}),
    "amax": (lambda x: x[:9].view(3, 3).amax(), {"amax": 1}),
    "amin": (lambda x: (-x)[:9].amin(-1), {"amin": 1}),
    "largest and smallest": (lambda x: x[3:9].sub(2).aminmax(), {"aminmax": 2}),
    "place of the maximum": (lambda x: x[:9].argmax(), {"argmax": 1}),
    "sort": (lambda x: x.sort(), {"sort": 3}),
    "sort downwards along an axis": (lambda x: x.view(4, 3).sort(0, descending=True), {}),
    "the four largest": (lambda x: x[:9].topk(4), {"topk": 2}),
    "the five largest": (lambda x: x[:9].topk(5), {"topk": 3}),
    "the two largest": (lambda x: x.topk(2), {}),
    "median": (lambda x: x[:9].median(), {"median": 1}),
    "median along an axis": (lambda x: x[:9].view(3, 3).median(0), {}),
    "third smallest": (lambda x: x.kthvalue(3), {}),
    "fourth smallest": (lambda x: x.kthvalue(4), {"kthvalue": 1}),
    "cumulative maximum": (lambda x: x.cummax(0), {"cummax": 3}),
    "the maximum of one": (lambda x: x[0].max(0), {}),
}
MODES: list[Callable[[], AbstractContextManager[Any]]] = [torch.enable_grad, torch.no_grad, torch.inference_mode]


def _counts(run: Callable[[], object], *parameters: Tensor) -> dict[str, int]:
    with recording_kinks(parameters) as kinks:
        run()
    return kinks.counts


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ENTRIES)
def test_entries_at_a_kink_are_counted_whatever_the_operator_is_called_by(name: str, mode: type) -> None:
    run, expected = ENTRIES[name]
    theta = torch.tensor(VALUES, requires_grad=True)
    with mode():
        assert _counts(lambda: run(theta * 1), theta) == expected  # of a product: leaves can't be written over


@pytest.mark.parametrize("name", ENTRIES)
def test_kinks_of_independent_entries_are_crossed(name: str) -> None:
    run, expected = ENTRIES[name]
    theta = torch.tensor(VALUES, dtype=torch.float64)
    assert count_kinks([theta], lambda moved: run(moved[0] * 1)).counts == expected


def _windows_that_tie(x: np.ndarray, sizes: Sequence[int], window: Callable[[int, int], Sequence[int]]) -> int:
    """Count windows with two maxima; ``window(axis, number)`` gives the indices of a window along an axis."""
    tied = 0
    for lead in np.ndindex(x.shape[: -len(sizes)]):
        for place in np.ndindex(*sizes):
            axes = [[i for i in window(a, n) if 0 <= i < x[lead].shape[a]] for a, n in enumerate(place)]
            values = [x[lead][at] for at in itertools.product(*axes)]
            tied += values.count(max(values)) > 1
    return tied


def _ternary(*shape: int) -> Tensor:
    return torch.randint(-1, 2, shape, generator=torch.Generator().manual_seed(0)).float()


POOLS = [
    (kernel, stride, padding, dilation, ceil)
    for kernel, stride, padding, dilation, ceil in itertools.product((2, 3), (1, 2, 3), (0, 1), (1, 2), (False, True))
]


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("shape", [(2, 2, 11), (2, 2, 7, 10), (2, 8, 7), (1, 2, 5, 6, 7)])
def test_ties_of_overlapping_padded_windows_are_those_of_a_loop(
    shape: tuple[int, ...], pool: tuple[int, int, int, int, bool]
) -> None:
    kernel, stride, padding, dilation, ceil = pool
    axes = {3: 1 if shape[-1] == 11 else 2, 4: 2, 5: 3}[len(shape)]
    run: Any = (functional.max_pool1d, functional.max_pool2d, functional.max_pool3d)[axes - 1]
    theta = _ternary(*shape)
    made = run(theta, kernel, stride, padding, dilation, ceil)
    expected = _windows_that_tie(
        theta.numpy(),
        made.shape[-axes:],
        lambda _, n: range(n * stride - padding, n * stride - padding + kernel * dilation, dilation),
    )
    counts = _counts(lambda: run(theta, kernel, stride, padding, dilation, ceil), theta)
    assert counts == {"max_pool2d" if axes < 3 else "max_pool3d": expected}
    assert expected


@pytest.mark.parametrize(("kernel", "stride", "padding"), [((2, 3), (3, 1), (1, 0)), ((3, 1), (1, 2), (0, 0))])
def test_oblong_windows_tie_as_in_a_loop(
    kernel: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    theta = _ternary(3, 2, 9, 6)
    pool = nn.MaxPool2d(kernel, stride, padding)

    def window(axis: int, n: int) -> range:
        start = n * stride[axis] - padding[axis]
        return range(start, start + kernel[axis])

    expected = _windows_that_tie(theta.numpy(), pool(theta).shape[-2:], window)
    assert _counts(lambda: pool(theta), theta) == {"max_pool2d": expected}
    assert expected


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [((2, 3, 10), (4,)), ((2, 3, 7, 9), (3, 5)), ((1, 2, 6, 8), (3, 4)), ((1, 2, 5, 4, 6), (2, 4, 5))],
)
def test_ties_of_adaptive_windows_are_those_of_a_loop(shape: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    pools: Any = (nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
    pool, theta, spans = pools[len(sizes) - 1](sizes), _ternary(*shape), shape[-len(sizes) :]

    def window(axis: int, n: int) -> range:
        size, span = sizes[axis], spans[axis]
        return range(n * span // size, -(-(n + 1) * span // size))

    expected = _windows_that_tie(theta.numpy(), sizes, window)
    name = "adaptive_max_pool3d" if len(sizes) == 3 else "adaptive_max_pool2d"
    assert _counts(lambda: pool(theta), theta) == {name: expected}
    assert expected


@pytest.mark.parametrize("mode", MODES)
def test_pools_are_seen_with_and_without_gradients(mode: type) -> None:
    theta = torch.tensor([[[[1.0, 1.0, 0.0, -2.0], [0.0, 0.0, 3.0, 3.0]]]], requires_grad=True)
    with mode():
        assert _counts(lambda: functional.max_pool2d(theta, 2), theta) == {"max_pool2d": 2}
        assert _counts(lambda: functional.max_pool1d(theta[0], 2), theta) == {"max_pool2d": 3}
        assert _counts(lambda: functional.max_pool2d(theta, 2, return_indices=True), theta) == {"max_pool2d": 2}


def test_dead_units_in_front_of_a_pool_do_not_tie() -> None:
    theta = torch.tensor([[[[-1.0, -2.0, 2.0, 2.0], [-1.0, -3.0, 1.0, -1.0]]]])
    model = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2))
    assert _counts(lambda: model(theta), theta) == {"max_pool2d": 1}  # the two that are 2
    assert _counts(lambda: theta.relu().amax(-1), theta) == {"amax": 1}
    assert count_kinks([theta], lambda moved: model(moved[0])).counts == {"max_pool2d": 1}


def test_zeros_that_do_not_depend_on_the_parameters_are_no_kinks() -> None:
    pixels, theta = torch.zeros(2, 3, 4, 4), torch.ones(3, 3, 1, 1)

    def run() -> None:
        functional.relu(pixels)
        functional.max_pool2d(pixels - 1, 2)
        functional.conv2d(torch.clamp(pixels.abs(), min=0) + 1, theta).relu_()
        functional.prelu(pixels, theta.flatten()[0])

    assert _counts(run, theta) == {}
    assert _counts(run, theta, pixels) != {}


def test_dependence_goes_through_views_lists_and_writing() -> None:
    theta = torch.zeros(4)
    buffer = torch.ones(2, 4)
    others = [torch.zeros(3), torch.zeros(3)]

    def run() -> None:
        buffer[1] = theta.view(2, 2).t().reshape(4)
        buffer.relu()
        torch._foreach_mul_(others, theta[0])
        torch.stack(others).chunk(2)[1].abs()

    assert _counts(run, theta) == {"relu": 4, "abs": 3}


def test_memory_that_is_used_again_does_not_depend_on_the_parameters() -> None:
    theta = torch.zeros(1000)

    def run() -> None:
        for _ in range(100):
            _ = theta + 1
            torch.zeros(1000).relu()

    assert _counts(run, theta) == {}


def test_nan_infinities_and_integers_are_no_kinks() -> None:
    theta = torch.tensor([torch.nan, -torch.inf, -torch.inf, torch.inf])

    def run() -> None:
        theta.relu()
        theta.amax()
        theta[1:3].max(0)
        torch.maximum(theta, theta.clone())
        functional.max_pool1d(theta[None, 1:3], 2, padding=1)
        (theta > 0).long().clamp(min=0).abs()

    assert _counts(run, theta) == {}


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inside = nn.MultiheadAttention(8, 2, batch_first=True)
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x + self.inside(x, x, x, need_weights=False)[0])
        return functional.scaled_dot_product_attention(x, x, x).softmax(-1).logsumexp(-1)


SMOOTH = [
    nn.Sequential(
        nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8), nn.GELU(), nn.BatchNorm1d(5), nn.SiLU(), nn.GroupNorm(1, 5)
    ),
    _Attention(),
    nn.LSTM(8, 4, batch_first=True),
]


@pytest.mark.parametrize("model", SMOOTH)
def test_smooth_networks_have_no_kinks(model: nn.Module) -> None:
    x = torch.zeros(3, 5, 8)  # so that there are as many zeros and equal entries inside as can be
    model.eval()
    losses: list[Callable[[Tensor, Tensor], Tensor]] = [
        functional.mse_loss,
        functional.smooth_l1_loss,
        functional.huber_loss,
        lambda made, like: functional.cross_entropy(made.flatten(1), like.flatten(1).softmax(-1)),
        functional.binary_cross_entropy_with_logits,
    ]
    with recording_kinks(model.parameters()) as kinks, twice_differentiable():
        made = model(x)
        made = made[0] if isinstance(made, tuple) else made
        for loss in losses:
            loss(made, torch.zeros_like(made))
    assert kinks.counts == {}
    assert str(kinks) == ""


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad])
def test_fused_transformer_layers_are_looked_into(mode: type) -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    nn.init.zeros_(layer.linear1.weight)
    nn.init.zeros_(layer.linear1.bias)
    with mode():
        assert _counts(lambda: layer(torch.ones(3, 5, 8)), *layer.parameters()) == {"relu": 3 * 5 * 16}
    assert torch.backends.mha.get_fastpath_enabled()


def test_what_was_watched_can_be_differentiated_twice() -> None:
    theta = torch.tensor([-1.0, 0.0, 2.0], dtype=torch.float64, requires_grad=True)
    with recording_kinks([theta]) as kinks:
        total = functional.relu(theta * 1, inplace=True).pow(3).sum()
        (slope,) = torch.autograd.grad(total, theta, create_graph=True)
    (curved,) = torch.autograd.grad(slope.sum(), theta)
    assert slope.tolist() == [0.0, 0.0, 12.0]  # 3 x^2
    assert curved.tolist() == [0.0, 0.0, 12.0]  # 6 x
    assert kinks.counts == {"relu": 1}


def test_differentiating_in_the_block_adds_nothing() -> None:
    theta = _ternary(2, 1, 6, 6).requires_grad_()

    def run() -> Tensor:
        x = functional.max_pool2d(functional.leaky_relu(theta), 3, 1, 1)
        return torch.maximum(x.abs(), x.clamp(-0.5, 1)).amax(-1).mul(x.max(-1).values).sum()

    expected = _counts(run, theta)
    assert set(expected) == {"leaky_relu", "max_pool2d", "abs", "clamp", "maximum", "amax", "max"}

    def run_twice() -> None:
        (slope,) = torch.autograd.grad(run(), theta, create_graph=True)
        torch.autograd.grad(slope.square().sum(), theta)

    assert _counts(run_twice, theta) == expected


def test_a_resnets_kinks_are_the_zeros_that_its_rectifiers_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = catalogue.problem("resnet20-digits", None)
    x, _ = datasets.digits()["train"]
    zeros: list[int] = []
    plain = functional.relu

    def relu(given: Tensor, *args: Any) -> Tensor:
        zeros.append(int((given == 0).sum()))
        return plain(given, *args)

    monkeypatch.setattr(functional, "relu", relu)
    problem.model.eval()
    with torch.no_grad(), recording_kinks(problem.model.parameters()) as kinks:
        problem.model(x)
    assert len(zeros) == 19  # the last of 20 layers has none
    assert kinks.counts.get("relu", 0) == sum(zeros)
    assert set(kinks.counts) <= {"relu"}


def _runner(model: nn.Module, x: Tensor) -> tuple[list[Tensor], Callable[[Sequence[Tensor]], object]]:
    names = [name for name, _ in model.named_parameters()]
    theta: list[Tensor] = list(model.parameters())
    return theta, lambda moved: functional_call(model, dict(zip(names, moved, strict=True)), (x,))


def _patch_on_black() -> Tensor:
    x = torch.zeros(4, 1, 28, 28)
    x[:, :, 8:20, 8:20] = torch.rand(4, 1, 12, 12, generator=torch.Generator().manual_seed(0))
    return x


@pytest.mark.parametrize("black", [0.0, -0.42])
def test_pools_over_pixels_of_one_colour_have_no_kink(black: float) -> None:
    """Behind a convolution they are one function of the filter, which ties with itself."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = networks.small_cnn().double()
    theta, run = _runner(model, (_patch_on_black() + black).double())
    assert _counts(lambda: run(theta), *theta)["max_pool2d"] > 1000
    assert count_kinks(theta, run).counts == {}


def test_what_stays_zero_is_no_kink() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.ReLU(), nn.ReLU(), nn.BatchNorm2d(8), nn.MaxPool2d(3, 1, 1)
    ).eval()
    theta, run = _runner(model.double(), _patch_on_black().double())
    assert _counts(lambda: run(theta), *theta)["relu"] > 1000
    assert count_kinks(theta, run).counts == {}


def test_units_that_a_step_wakes_are_no_kink() -> None:
    theta = -torch.stack((torch.logspace(-12, -3, 500), torch.ones(500)), 1).double()
    awake: list[int] = []

    def run(moved: Sequence[Tensor]) -> Tensor:
        awake.append(int((moved[0] > 0).sum()))
        return moved[0].relu().relu().add(1).amax(1)

    assert _counts(lambda: run([theta]), theta) == {"relu": 1000, "amax": 500}
    assert count_kinks([theta], run).words == ""
    assert awake[:2] == [0, 0]
    assert min(awake[2:]) > 0


def test_one_function_computed_in_two_ways_has_no_kink() -> None:
    theta = torch.ones(1000)

    def ways(moved: Sequence[Tensor]) -> Tensor:
        x = moved[0]
        return torch.maximum((x * x) * (x * x), ((x * x) * x) * x)

    assert _counts(lambda: ways([theta]), theta) == {"maximum": 1000}
    assert count_kinks([theta], ways).counts == {}


def test_parameters_that_are_zero_have_kinks() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    for parameter in model.parameters():
        nn.init.zeros_(parameter)
    theta, run = _runner(model, torch.ones(5, 3))
    assert count_kinks(theta, run).counts == {"relu": 20}


def test_parameters_stay_and_are_moved_to_both_sides_by_the_same_step() -> None:
    theta = torch.tensor([0.0, -2.0, 4.0], dtype=torch.float64, requires_grad=True)
    seen: list[Tensor] = []

    def run(moved: Sequence[Tensor]) -> Tensor:
        seen.append(moved[0])
        return moved[0].relu()

    assert count_kinks([theta], run).counts == {"relu": 1}
    assert seen[0] is theta
    assert theta.tolist() == [0.0, -2.0, 4.0]
    assert all(each.requires_grad for each in seen)
    one, other = (each.detach() - theta.detach() for each in seen[1:])
    torch.testing.assert_close(one, -other, rtol=0, atol=1e-15)
    assert 0 < float(one.abs().max()) < 1e-6


def test_smooth_models_run_once() -> None:
    seen = []
    count_kinks([torch.zeros(3)], lambda moved: seen.append(moved[0].tanh()))
    assert len(seen) == 1


def test_kinks_count_where_the_model_runs_another_way_nearby() -> None:
    theta = torch.zeros(4)
    assert count_kinks([theta], lambda moved: moved[0].tanh() if moved[0].any() else moved[0].relu()).counts == {
        "relu": 4
    }


def test_words_name_what_was_counted() -> None:
    theta = torch.tensor([[0.0, 0.0, 0.0, -1.0]])
    with recording_kinks([theta]) as kinks:
        functional.relu(theta)
        functional.max_pool1d(theta, 4)
    assert kinks.words == str(kinks) == "3 entries of relu, 1 tie of max_pool2d"
    assert KinkCounts({"abs": 1, "amax": 2}).words == "1 entry of abs, 2 ties of amax"
