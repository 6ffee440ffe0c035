"""Baseline: torch's cross-entropy of transposed logits, counted accuracies, and targets converted by hand."""

from __future__ import annotations

import math
from typing import Any

import oracles
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz.errors import ProblemError
from surfaceviz.problem.losses import cross_entropy
from surfaceviz.problem.problem import Problem

GENERATOR = torch.Generator().manual_seed(3)
N, T, V = 9, 4, 7
TOKENS = torch.randint(0, V, (N, T), generator=GENERATOR)
NEXT = torch.randint(0, V, (N, T), generator=GENERATOR)


def _language_model(classes: int = V) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return nn.Sequential(nn.Embedding(V, 5), nn.Linear(5, classes))


@pytest.mark.parametrize("loss", ["cross_entropy", nn.CrossEntropyLoss(ignore_index=2)])
@pytest.mark.parametrize("batch_size", [2, N])
def test_logits_with_the_classes_last_are_those_of_tokens(loss: Any, batch_size: int) -> None:
    model = _language_model()
    ignored = getattr(loss, "ignore_index", -100)
    with torch.no_grad():
        logits = model(TOKENS).double().flatten(0, 1)
    exact = functional.cross_entropy(logits, NEXT.flatten(), ignore_index=ignored)
    counted = NEXT.flatten() != ignored
    accuracy = (logits.argmax(1) == NEXT.flatten())[counted].double().mean()
    surface = oracles.run_slice(Problem(model, (TOKENS, NEXT), loss), [(-1, 1, 3)], batch_size=batch_size)
    assert surface.centre["train_loss"] == pytest.approx(float(exact), rel=1e-6)
    assert surface.centre["train_accuracy"] == pytest.approx(float(accuracy))


def test_an_image_with_the_classes_last_is_transposed() -> None:
    outputs, targets = torch.randn(2, 5, 6, 3, generator=GENERATOR), torch.randint(0, 3, (2, 5, 6), generator=GENERATOR)
    found = cross_entropy(outputs, targets)
    exact = functional.cross_entropy(outputs.double().permute(0, 3, 1, 2), targets, reduction="none")
    assert torch.equal(found.values, exact.flatten(1).sum(1))


def test_torchs_order_is_kept_where_it_fits_and_a_warning_says_so_where_both_do() -> None:
    targets = torch.randint(0, 4, (3, 4), generator=GENERATOR)
    outputs = torch.randn(3, 4, 4, generator=GENERATOR)
    exact = functional.cross_entropy(outputs.double(), targets, reduction="none").sum(1)
    with pytest.warns(
        UserWarning, match=r"outputs of shape \(3, 4, 4\) have as many classes as places: .* along axis 1"
    ):
        assert torch.equal(cross_entropy(outputs, targets).values, exact)


def test_the_uniform_guess_of_tokens_is_over_the_vocabulary() -> None:
    problem = Problem(_language_model(), (TOKENS, NEXT), "cross_entropy")
    split = problem.load("train")
    assert problem.uninformed_loss(split, problem.model(TOKENS[:2])) == pytest.approx(math.log(V))


CLASSES = torch.tensor([0, 2, 1, 0, 1, 2])
LOGITS = torch.randn(6, 3, generator=GENERATOR)
ONE_HOT = functional.one_hot(CLASSES)


@pytest.mark.parametrize(
    ("targets", "advice", "converted"),
    [
        (CLASSES.float(), r"float32 of shape \(6,\);.* give targets.long\(\)", CLASSES.float().long()),
        (CLASSES[:, None], r"int64 of shape \(6, 1\);.* give targets.squeeze\(-1\)$", CLASSES[:, None].squeeze(-1)),
        (CLASSES[:, None].float(), r"give targets.squeeze\(-1\).long\(\)", CLASSES[:, None].squeeze(-1).long()),
        (ONE_HOT, r"for one-hot rows give targets.argmax\(1\), or targets.float\(\)", ONE_HOT.argmax(1)),
        (ONE_HOT.bool(), r"for one-hot rows give targets.argmax\(1\)", ONE_HOT.float()),
        (CLASSES + 1, r"class numbers from 1 to 3, but .* 3 classes, 0 to 2; give targets - 1", CLASSES),
        (CLASSES - 1, r"from -1 to 1, .* give targets \+ 1, or ignore_index=", CLASSES),
    ],
)
def test_targets_of_another_form_name_the_conversion(targets: Tensor, advice: str, converted: Tensor) -> None:
    with pytest.raises(ProblemError, match=advice):
        cross_entropy(LOGITS, targets)
    exact = functional.cross_entropy(LOGITS.double(), CLASSES, reduction="none")
    assert torch.allclose(cross_entropy(LOGITS, converted).values, exact, rtol=1e-12)


@pytest.mark.parametrize(
    ("outputs", "targets", "advice"),
    [
        (LOGITS[:, 0], CLASSES, r"the outputs have shape \(6,\); expected logits \(n, C\).*BCEWithLogitsLoss"),
        (
            LOGITS[:, :1],
            CLASSES,
            "the outputs have one class, 0; for one output a sample give torch.nn.BCEWithLogitsLoss",
        ),
        (LOGITS, CLASSES * 9, "class numbers from 0 to 18, .* give a model with more outputs, or other targets"),
        (LOGITS, CLASSES[:5], r"int64 of shape \(5,\); for outputs \(6, 3\) expected class numbers \(6,\)"),
    ],
)
def test_outputs_that_do_not_suit_the_targets_are_named(outputs: Tensor, targets: Tensor, advice: str) -> None:
    with pytest.raises(ProblemError, match=advice):
        cross_entropy(outputs, targets)
