"""Baseline: losses of torch's own forward in eval mode, and central differences of them, in float64."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import surfaceviz
from surfaceviz import store
from surfaceviz.errors import ProblemError, StoreError
from surfaceviz.problem.problem import Problem

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0)) + 1
Y = (X[:, 0] > 1).long()
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")  # most of these models are untrained


def _central_hessian(loss: Callable[[Tensor], float], theta: Tensor, h: float = 1e-4) -> Tensor:
    """Return second differences of a loss, (P, P)."""
    p = len(theta)
    unit, matrix = h * torch.eye(p, dtype=torch.float64), torch.zeros(p, p, dtype=torch.float64)
    for i in range(p):
        for j in range(i + 1):
            a, b = unit[i], unit[j]
            pairs = loss(theta + a + b) - loss(theta + a - b) - loss(theta - a + b) + loss(theta - a - b)
            matrix[i, j] = matrix[j, i] = pairs / (4 * h * h)
    return matrix


# Padded positions.


class Padded(nn.Module):
    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embed, self.head, self.kind = nn.Embedding(11, 8, padding_idx=0), nn.Linear(8, 3), kind
        layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2) if kind == "encoder" else layer
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, tokens: Tensor) -> Tensor:
        e, padded = self.embed(tokens), tokens == 0
        if self.kind == "attention":
            h = self.attention(e, e, e, key_padding_mask=padded, need_weights=False)[0]
        else:
            h = self.encoder(e, src_key_padding_mask=padded)
        made: Tensor = self.head((h + e).mean(1))
        return made


def _tokens() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    tokens = torch.randint(1, 11, (24, 7), generator=generator)
    for i in range(24):
        tokens[i, 3 + i % 3 :] = 0
    return tokens, torch.randint(0, 3, (24,), generator=generator)


@pytest.mark.parametrize("kind", ["encoder", "layer", "attention"])
def test_padded_positions_count_alike_in_slices_and_hessians(kind: str) -> None:
    model, (tokens, targets) = Padded(kind), _tokens()
    with torch.enable_grad():  # the path that is differentiated
        expected = float(functional.cross_entropy(copy.deepcopy(model).double().eval()(tokens), targets))
    problem = Problem(model, (tokens, targets), "cross_entropy")
    surface = surfaceviz.slice(problem, axes=[(-1, 1, 3)], workers=1)
    assert torch.backends.mha.get_fastpath_enabled()
    assert surface.centre["train_loss"] == pytest.approx(expected, rel=1e-5)
    assert surfaceviz.hessian(problem, top=1).loss == pytest.approx(expected, rel=1e-5)


# Buffers and attributes that forward writes.


class Centring(nn.Module):
    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how, self.linear = how, nn.Linear(3, 2)
        if how == "attribute":
            self.centre = torch.zeros(3)
        else:
            self.register_buffer("centre", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        moved = 0.9 * self.centre + 0.1 * x.detach().mean(0)
        if self.how == "in place":
            self.centre.copy_(moved)
        else:
            self.centre = moved
        made: Tensor = self.linear(x - self.centre)
        return made


def _first_pass(model: nn.Module) -> float:
    return float(functional.cross_entropy(copy.deepcopy(model).double()(X.double()), Y))


@pytest.mark.parametrize("how", ["in place", "reassigned", "attribute"])
@pytest.mark.parametrize("batch", [None, 40, 7])
def test_each_pass_starts_from_the_stored_state(how: str, batch: int | None) -> None:
    model = Centring(how).double()
    model.centre = model.centre.double()
    expected = _first_pass(model)
    splits = {"train": (X.double() + 1, Y), "test": (X.double(), Y)}
    surface = surfaceviz.slice(Problem(model, splits, "cross_entropy"), axes=[(-1, 1, 3)], workers=1, batch_size=batch)
    assert surface.centre["test_loss"] == pytest.approx(expected, rel=1e-12)
    assert surface.values["test_loss"][1] == pytest.approx(expected, rel=1e-12)
    spectrum = surfaceviz.hessian(Problem(model, splits, "cross_entropy"), split="test", top=1, batch_size=batch)
    assert spectrum.loss == pytest.approx(expected, rel=1e-12)
    assert not model.centre.any()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("in place", r"forward writes buffers in eval mode \(centre\); each batch starts from the stored ones"),
        ("attribute", r"depends on earlier passes through attributes that forward writes \(Centring.centre\)"),
    ],
)
def test_writing_is_said_by_name(how: str, words: str) -> None:
    problem = Problem(Centring(how), (X, Y), "cross_entropy")
    with pytest.warns(UserWarning, match=words):
        surfaceviz.slice(problem, axes=[(-1, 1, 3)], workers=1)
    with pytest.warns(UserWarning, match=words):
        surfaceviz.hessian(problem, top=1)


# The padding row.


class Bag(nn.Module):
    """Embeds by a module or by `functional.embedding`; ``tied`` uses the weight in the output layer too."""

    def __init__(self, how: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.how, self.table, self.head = how, nn.Embedding(11, 3, padding_idx=0), nn.Linear(21, 3)
        nn.init.normal_(self.table.weight)  # the padding row is not 0

    def forward(self, tokens: Tensor) -> Tensor:
        e = (
            self.table(tokens)
            if self.how == "module"
            else functional.embedding(tokens, self.table.weight, padding_idx=0)
        )
        made: Tensor = self.head(torch.tanh(e).flatten(1))
        return made + torch.tanh(e.mean(1) @ self.table.weight.T)[:, :3] if self.how == "tied" else made


@pytest.mark.parametrize("how", ["module", "functional", "tied"])
def test_the_padding_row_moves_in_both_or_in_neither(how: str) -> None:
    tokens, targets = _tokens()
    model = Bag(how)
    if how == "functional":
        model.table.padding_idx = None
    problem = Problem(model, (tokens, targets), "cross_entropy")
    surfaceviz.slice(problem, axes=[(-0.01, 0.01, 5)], workers=1, dtype="float64", output="a.h5")
    spectrum = surfaceviz.hessian("a.h5", top=1, problem=problem)
    values = store.read(Path("a.h5")).values["train_loss"]
    difference = (-values[0] + 16 * values[1] - 30 * values[2] + 16 * values[3] - values[4]) / (12 * 0.005**2)
    assert spectrum.along is not None
    assert np.ravel(spectrum.along[0])[0] == pytest.approx(difference, rel=1e-4)


# Complex weights.


class Fourier(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.w = nn.Parameter(0.3 * torch.randn(2, 3, dtype=torch.cfloat))
        self.register_buffer("phase", torch.exp(1j * torch.arange(3)))
        self.out = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        spectrum = torch.fft.rfft(x)[..., None, :3] * self.w * self.phase
        made: Tensor = self.out(torch.tanh(torch.fft.irfft(spectrum, n=4)).mean(-1)).squeeze(-1)
        return made


def test_complex_weights_are_pairs_of_reals_in_slices_and_hessians() -> None:
    model, x = Fourier(), torch.randn(15, 4, generator=torch.Generator().manual_seed(1))
    targets = x.sum(1)
    wide = copy.deepcopy(model).double()
    wide.w, wide.phase = nn.Parameter(model.w.to(torch.complex128)), model.phase.to(torch.complex128)

    def loss(theta: Tensor) -> float:
        with torch.no_grad():
            wide.out.bias.copy_(theta[:1])
            wide.out.weight.copy_(theta[1:3].view(1, 2))
            wide.w.copy_(torch.view_as_complex(theta[3:].reshape(2, 3, 2).clone()))
            return float(functional.mse_loss(wide(x.double()), targets.double()))

    parts = [model.out.bias, model.out.weight, torch.view_as_real(model.w)]
    theta = torch.cat([part.detach().double().flatten() for part in parts])
    expected = torch.linalg.eigvalsh(_central_hessian(loss, theta))
    problem = Problem(model, (x, targets), "mse")
    spectrum = surfaceviz.hessian(problem, top=2, bottom=2, trace=True, dtype="float64")
    assert spectrum.dimension == len(theta) == 15
    assert spectrum.loss == pytest.approx(loss(theta), rel=1e-12)
    assert spectrum.eigenvalues[-1] == pytest.approx(float(expected[-1]), abs=1e-6)
    assert spectrum.eigenvalues[0] == pytest.approx(float(expected[0]), abs=1e-6)
    surface = surfaceviz.slice(problem, axes=[(-1, 1, 3)], workers=1, dtype="float64")
    assert surface.values["train_loss"][1] == pytest.approx(loss(theta), rel=1e-12)
    assert surface.values["train_loss"][0] != surface.values["train_loss"][1]
    with pytest.raises(ProblemError, match=r"is complex, for which there is no torch.bfloat16; take --dtype float32"):
        surfaceviz.slice(problem, axes=[(-1, 1, 3)], workers=1, dtype="bf16")


# One function, always compared.


class Switching(nn.Linear):
    """Gives another function where gradients are recorded."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        return y if y.requires_grad else 2 * y


@pytest.mark.parametrize("how", ["hessian", "along", "sharpness"])
def test_another_loss_where_gradients_are_recorded_is_refused_with_both_values(how: str) -> None:
    torch.manual_seed(0)
    problem = Problem(Switching(3, 2), (X, Y), "cross_entropy")
    plain, doubled = (
        float(functional.cross_entropy(k * nn.functional.linear(X, *problem.model.parameters()), Y)) for k in (1, 2)
    )
    runs: dict[str, Callable[[], Any]] = {
        "hessian": lambda: surfaceviz.hessian(problem, top=1),
        "along": lambda: surfaceviz.slice(problem, axes=[(-1, 1, 3)], workers=1, along="gradient"),
        "sharpness": lambda: surfaceviz.sharpness(problem),
    }
    assert doubled == pytest.approx(2 * plain, rel=0.5)
    # Whichever of the two checks comes first: of the losses, or of the slope that differences of them show.
    with pytest.raises(
        ProblemError, match=r"loss that is differentiated is|derivatives of the loss are wrong: its slope"
    ):
        runs[how]()


def test_a_spectrum_whose_loss_is_not_the_one_in_the_file_is_refused() -> None:
    torch.manual_seed(0)
    problem = Problem(nn.Linear(3, 2), (X, Y), "cross_entropy")
    surfaceviz.slice(problem, axes=[(-1, 1, 3)], workers=1, output="a.h5")
    surface = store.read(Path("a.h5"))
    values = {name: array + 0.1 for name, array in surface.values.items()}
    store.write(Path("a.h5"), dataclasses.replace(surface, values=values))
    with pytest.raises(StoreError, match=r"at \(0\) the slice has the loss .* in float32, its Hessian would belong"):
        surfaceviz.hessian("a.h5", top=1, problem=problem)
