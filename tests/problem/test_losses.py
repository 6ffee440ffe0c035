"""Baseline: torch's own loss on one batch of the whole split."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import oracles
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz.errors import ProblemError
from surfaceviz.problem.losses import PerSample, accuracy, loss_measure
from surfaceviz.problem.problem import Problem


@pytest.fixture(autouse=True)
def _without_grad() -> Iterator[None]:
    """Surfaces don't depend on the caller's grad mode."""
    with torch.no_grad():
        yield


GENERATOR = torch.Generator().manual_seed(2)
X = torch.randn(53, 6, generator=GENERATOR)
CLASSES = torch.randint(4, (53,), generator=GENERATOR)
CLASSES[::7] = -1
DENSE = torch.randint(3, (11, 5), generator=GENERATOR)
VALUES = torch.randn(53, 3, generator=GENERATOR)
WEIGHT = torch.tensor([0.1, 2.0, 1.0, 0.5])


def _centre(model: nn.Module, data: Any, loss: Any, batch_size: int) -> float:
    surface = oracles.run_slice(Problem(model, data, loss), [(-1, 1, 2)], batch_size=batch_size)
    return surface.centre["train_loss"]


def _linear(outputs: int) -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        return nn.Linear(6, outputs)


CROSS_ENTROPIES = [
    nn.CrossEntropyLoss(ignore_index=-1),
    nn.CrossEntropyLoss(ignore_index=-1, weight=WEIGHT),
    nn.CrossEntropyLoss(ignore_index=-1, label_smoothing=0.2),
    nn.CrossEntropyLoss(ignore_index=-1, weight=WEIGHT, label_smoothing=0.2),
]


@pytest.mark.parametrize("batch_size", [1, 7, 53, 128])
@pytest.mark.parametrize("loss", CROSS_ENTROPIES)
def test_cross_entropy_equals_torch_on_one_batch(loss: nn.CrossEntropyLoss, batch_size: int) -> None:
    model = _linear(4)
    assert _centre(model, (X, CLASSES), loss, batch_size) == pytest.approx(float(loss(model(X), CLASSES)), rel=1e-6)


ELEMENTWISE = [nn.MSELoss(), nn.L1Loss(), nn.SmoothL1Loss(beta=0.3), nn.HuberLoss(delta=0.2)]


@pytest.mark.parametrize("batch_size", [7, 128])
@pytest.mark.parametrize("loss", ["mse", *ELEMENTWISE])
def test_elementwise_losses_equal_torch_on_one_batch(loss: Any, batch_size: int) -> None:
    model = _linear(3)
    reference = nn.MSELoss() if loss == "mse" else loss
    expected = float(reference(model(X), VALUES))
    assert _centre(model, (X, VALUES), loss, batch_size) == pytest.approx(expected, rel=1e-6)


def _binary(reduction: str = "mean") -> nn.BCEWithLogitsLoss:
    return nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0, 0.5, 1.0]), reduction=reduction)


def test_binary_and_nll_and_soft_targets_equal_torch() -> None:
    model = _linear(3)
    targets = (VALUES > 0).float()
    assert _centre(model, (X, targets), _binary(), 9) == pytest.approx(float(_binary()(model(X), targets)), rel=1e-6)
    soft = torch.softmax(VALUES, 1)
    expected = float(nn.CrossEntropyLoss()(model(X), soft))
    assert _centre(model, (X, soft), nn.CrossEntropyLoss(), 9) == pytest.approx(expected, rel=1e-6)
    logs = nn.Sequential(_linear(4), nn.LogSoftmax(1))
    nll = nn.NLLLoss(weight=WEIGHT, ignore_index=-1)
    assert _centre(logs, (X, CLASSES), nll, 9) == pytest.approx(float(nll(logs(X), CLASSES)), rel=1e-6)


def test_dense_predictions_equal_torch() -> None:
    model = nn.Conv1d(2, 3, 1)
    x = torch.randn(11, 2, 5, generator=GENERATOR)
    loss = nn.CrossEntropyLoss(ignore_index=0)
    assert _centre(model, (x, DENSE), loss, 4) == pytest.approx(float(loss(model(x), DENSE)), rel=1e-6)


def test_next_token_is_the_mean_over_shifted_unmasked_tokens() -> None:
    tokens = torch.randint(9, (6, 8), generator=GENERATOR)
    labels = tokens.clone()
    labels[2:, 5:] = -100
    model = nn.Sequential(nn.Embedding(9, 9))
    logits = model(tokens)[:, :-1].reshape(-1, 9)
    expected = float(nn.functional.cross_entropy(logits, labels[:, 1:].reshape(-1)))
    got = oracles.run_slice(Problem(model, (tokens, labels), "next_token"), [(-1, 1, 2)], batch_size=4)
    assert got.centre["train_loss"] == pytest.approx(expected, rel=1e-6)
    shown = (logits.argmax(1) == labels[:, 1:].reshape(-1)).sum() / (labels[:, 1:] != -100).sum()
    assert got.centre["train_accuracy"] == pytest.approx(float(shown), rel=1e-6)


def _mean_error(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).abs().mean()


def _errors(outputs: Tensor, targets: Tensor) -> Tensor:
    return (outputs - targets).abs().mean(1)


@pytest.mark.parametrize("loss", [_mean_error, _errors])
def test_a_callable_may_give_the_mean_or_a_value_a_sample(loss: Callable[[Tensor, Tensor], Tensor]) -> None:
    model = _linear(3)
    expected = float(_mean_error(model(X), VALUES))
    assert _centre(model, (X, VALUES), loss, 10) == pytest.approx(expected, rel=1e-6)
    surface = oracles.run_slice(Problem(model, (X, VALUES), loss), [(-1, 1, 2)])
    assert ("train_loss" in surface.stderr) == (loss is _errors)


def test_a_callable_on_dict_targets_counts_samples() -> None:
    model = _linear(3)
    targets = {"value": VALUES, "mask": torch.ones(53, 3)}

    def masked(outputs: Tensor, wanted: dict[str, Tensor]) -> Tensor:
        return ((outputs - wanted["value"]) * wanted["mask"]).abs().mean()

    batches = [(X[i : i + 20], {k: v[i : i + 20] for k, v in targets.items()}) for i in range(0, 53, 20)]
    assert _centre(model, batches, masked, 20) == pytest.approx(float(masked(model(X), targets)), rel=1e-6)


def test_small_integer_targets_index_class_weights() -> None:
    model, classes = _linear(4), CLASSES.clamp(min=0)
    loss = nn.CrossEntropyLoss(weight=WEIGHT)
    expected = float(loss(model(X), classes))
    assert _centre(model, (X, classes.to(torch.uint8)), loss, 20) == pytest.approx(expected, rel=1e-6)


def test_logits_near_zero_loss_keep_their_precision() -> None:
    """In float32 the loss of a logit lead of 20 is 0; the truth is log1p(exp(-20))."""
    data = (torch.tensor([[20.0, 0.0]]), torch.tensor([0]))
    model = nn.Linear(2, 2, bias=False)
    model.weight.copy_(torch.eye(2))
    assert _centre(model, data, "cross_entropy", 1) == pytest.approx(math.log1p(math.exp(-20)), rel=1e-9)


def test_accuracy_counts_nan_as_wrong_and_ignores_what_is_ignored() -> None:
    outputs = torch.tensor([[1.0, 0.0], [math.nan, 0.0], [0.0, 1.0], [1.0, 0.0]])
    got = accuracy(outputs, torch.tensor([0, 0, -100, 1]))
    assert got.values.tolist() == [1, 0, 0, 0]
    assert got.weights.tolist() == [1, 1, 0, 1]


def test_losses_that_can_not_be_are_refused() -> None:
    with pytest.raises(ValueError, match="unknown loss 'entropy'; known are cross_entropy, mse, next_token"):
        loss_measure("entropy")
    with pytest.raises(ValueError, match="MSELoss has reduction='sum'; a split's loss is a mean"):
        loss_measure(nn.MSELoss(reduction="sum"))
    with pytest.raises(ProblemError, match=r"outputs of shape \(10, 1\) but targets of shape \(10,\)"):
        _centre(_linear(1), (X[:10], VALUES[:10, 0]), "mse", 10)
    with pytest.raises(ProblemError, match=r"gave a tensor of shape \(8, 3\) for a batch of 8"):
        _centre(_linear(3), (X, VALUES), lambda outputs, targets: outputs - targets, 100)


@pytest.mark.parametrize(
    ("loss", "targets", "expected"),
    [
        ("cross_entropy", torch.arange(12) % 3, math.log(3)),
        (nn.NLLLoss(), torch.arange(12) % 3, math.log(3)),
        ("mse", torch.arange(36.0).reshape(12, 3) / 36, None),
        (nn.BCELoss(), torch.eye(3).repeat(4, 1), -(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3),
        (nn.BCEWithLogitsLoss(), torch.eye(3).repeat(4, 1), -(math.log(1 / 3) + 2 * math.log(2 / 3)) / 3),
    ],
    ids=str,
)
def test_who_knows_nothing_loses_as_much_as_in_closed_form(loss: Any, targets: Tensor, expected: float | None) -> None:
    problem = Problem(nn.Linear(2, 3), (torch.zeros(12, 2), targets), loss)
    split = problem.load("train")
    if expected is None:
        expected = float((targets - targets.mean(0)).square().mean())
    assert problem.uninformed_loss(split, torch.zeros(2, 3)) == pytest.approx(expected, rel=1e-6)
    own = Problem(nn.Linear(2, 3), (torch.zeros(12, 2), targets), lambda o, t: o.sum())
    assert own.uninformed_loss(split, torch.zeros(2, 3)) is None


@pytest.mark.parametrize("size", [1, 7, 32, 300])
@pytest.mark.parametrize("kind", ["module", "function", "log target", "sequence", "mean"])
@pytest.mark.filterwarnings("ignore:KLDivLoss with reduction='mean':UserWarning")
def test_a_divergence_is_torchs_on_one_batch_of_all(kind: str, size: int) -> None:
    shape = (300, 4, 5) if kind == "sequence" else (300, 5)
    generator = torch.Generator().manual_seed(1)
    outputs, targets = (torch.randn(shape, generator=generator).log_softmax(-1) for _ in range(2))
    log_target, reduction = kind == "log target", "mean" if kind == "mean" else "batchmean"
    targets = targets if log_target else targets.exp()
    loss: Any = nn.KLDivLoss(reduction=reduction, log_target=log_target)
    if kind == "function":
        loss = partial(functional.kl_div, reduction=reduction)
    parts = [loss_measure(loss)(o, t) for o, t in zip(outputs.split(size), targets.split(size), strict=True)]
    samples = [part for part in parts if isinstance(part, PerSample)]
    assert len(samples) == len(parts)
    total, weight = (sum([float(part[i].sum()) for part in samples]) for i in (0, 1))
    log_ratio = (targets.double() if log_target else targets.double().log()) - outputs.double()
    terms = (targets.double().exp() if log_target else targets.double()) * log_ratio
    assert total / weight == pytest.approx(float(terms.sum()) / (terms.numel() if kind == "mean" else 300), rel=1e-12)


def test_the_advice_about_divergences_is_their_mean_over_samples() -> None:
    with pytest.raises(
        ValueError, match="KLDivLoss has reduction='sum'; .* use reduction='batchmean', or give measure="
    ):
        loss_measure(nn.KLDivLoss(reduction="sum"))
    with pytest.warns(UserWarning, match="'mean' is the divergence divided by the number of classes"):
        loss_measure(nn.KLDivLoss())
