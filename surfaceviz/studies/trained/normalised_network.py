"""The same network with batch norm and without: which scales do not matter, and what training and pictures make of it.

The norms have eps 1e-10, so that a network is unchanged by a factor of the weights before a norm up to rounding.
"""

from __future__ import annotations

import copy
from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import nn

from surfaceviz.errors import ProblemError
from surfaceviz.records import Slice
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.trained.digit_networks import digits, problem_of, scores, seeded, trained
from surfaceviz.studies.worlds import segment_to, slice_of, spectrum_of
from surfaceviz.zoo.labelled_data import Dataset
from surfaceviz.zoo.training import Recipe

_SIZES = (64, 32, 32, 32, 10)
FACTOR, _EPS = 3.0, 1e-10
_FITTED = 0.5  # training loss below which a rate counts as one that trains; ours
_FIRST = "1.weight"  # of the first layer
_WORDS = ("without batch norm", "with batch norm")


def network(*, normed: bool) -> nn.Sequential:
    """Return a perceptron of three hidden layers of 32 rectified units, each after a batch norm or not."""
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in pairwise(_SIZES[:-1]):
        norm = nn.BatchNorm1d(b, eps=_EPS) if normed else nn.Identity()
        layers += [nn.Linear(a, b, bias=not normed), norm, nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(*_SIZES[-2:]))


def grown(model: nn.Module, *, statistics: bool) -> nn.Module:
    """Return a copy with the weights before each norm times a factor, and its statistics to match or as they were."""
    made = copy.deepcopy(model)
    modules = list(made.children())
    for layer, norm in pairwise(modules):
        if isinstance(norm, nn.BatchNorm1d):
            assert isinstance(layer, nn.Linear)
            assert norm.running_mean is not None
            assert norm.running_var is not None
            with torch.no_grad():
                layer.weight *= FACTOR
                if statistics:
                    norm.running_mean *= FACTOR
                    norm.running_var.copy_((norm.running_var + norm.eps) * FACTOR**2 - norm.eps)
    return made


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    data, points = digits(), 11 if quick else 41
    recipe = Recipe(epochs=5 if quick else 30, peak_rate=0.05)
    starts = [seeded(partial(network, normed=each), 0) for each in (False, True)]
    plain, normed = (trained(each, data, recipe).end for each in starts)
    fixed, recalibrated = (
        segment_to(problem_of(normed, data), grown(normed, statistics=False), points, bn=bn)
        for bn in ("fixed", "recalibrate")
    )
    rates = np.array([0.3, 1.0]) if quick else 10.0 ** np.linspace(-2, 1, 13)
    losses = [[_loss_after(normed, rate, data) for rate in rates] for normed in (False, True)]
    surfaces = [slice_of(problem_of(each, data), [(-1, 1, points)] * 2, splits="train") for each in (plain, normed)]
    rows = [
        *_scale_rows(normed, data), *_line_rows(fixed, recalibrated), *_rate_rows(losses),
        *_end_rows(plain, normed, data),
    ]  # fmt: skip
    return Findings(
        rows=rows, panels=_panels(surfaces, (fixed, recalibrated), rates, losses),
        see="Before a batch norm the length of the weights does not matter, if its statistics follow; with it, more "
        "and larger learning rates train.",
        misleads="With the statistics of the trained network, a picture shows a rise along the weights' own direction, "
        "where the network that is evaluated in training has none; and raw curvature changes with that length.",
    )  # fmt: skip


def _scale_rows(normed: nn.Module, data: Dataset) -> list[Row]:
    """Return the effect of a factor of the weights on the loss, on curvature, and on the gradient in training mode."""
    pair = [problem_of(each, data) for each in (normed, grown(normed, statistics=True))]
    here, there = (spectrum_of(each, parameters=_FIRST, top=1, bottom=0, rtol=1e-9) for each in pair)
    even, same = (spectrum_of(each, parameters=_FIRST, top=1, bottom=0, rtol=1e-9, normalised=True) for each in pair)
    return [
        Row(quantity=f"weights before norms times {FACTOR:g}, statistics to match: change of the loss", known=0,
            found=there.loss - here.loss, allowed=1e-10),
        Row(quantity="lambda_max of the first layer, plain over rescaled", known=FACTOR**2,
            found=here.lambda_max / there.lambda_max, allowed=1e-6),
        Row(quantity="lambda_max of D H D of the first layer, plain over rescaled", known=1,
            found=even.lambda_max / same.lambda_max, allowed=1e-6),
        *_step_rows(normed, data),
    ]  # fmt: skip


def _step_rows(normed: nn.Module, data: Dataset) -> list[Row]:
    """Return the angle of weights and gradient, and the length after a step: a right triangle."""
    model, (x, y), rate = copy.deepcopy(normed).train(), data.splits["train"], 0.1
    weight = model.get_parameter(_FIRST)
    nn.functional.cross_entropy(model(x), y).backward()
    assert weight.grad is not None
    w, g = weight.detach().clone(), weight.grad
    torch.optim.SGD([weight], lr=rate).step()
    return [
        Row(quantity="training mode: cosine of the first layer's weights and gradient", known=0,
            found=float((w * g).sum() / (w.norm() * g.norm()))),
        Row(quantity="length of its weights after a step of gradient descent", allowed=1e-8,
            known=float((w.square().sum() + rate**2 * g.square().sum()).sqrt()), found=float(weight.detach().norm())),
    ]  # fmt: skip


def _line_rows(fixed: Slice, recalibrated: Slice) -> list[Row]:
    spread = [float(np.ptp(cut.values["train_loss"])) for cut in (recalibrated, fixed)]
    return [
        Row(quantity="along the weights' own direction, recalibrated: range of the loss", known=0, found=spread[0]),
        Row(quantity="the same with fixed statistics", found=spread[1]),
    ]


def _rate_rows(losses: list[list[float]]) -> list[Row]:
    counts = [int((np.array(each) < _FITTED).sum()) for each in losses]
    return [
        *(
            Row(quantity=f"of {len(losses[0])} learning rates, those that train {word}", found=count)
            for word, count in zip(_WORDS, counts, strict=True)
        ),
        Row(quantity="more of them with batch norm (1: yes)", known=1, found=float(counts[1] > counts[0]), allowed=0),
    ]


def _end_rows(plain: nn.Module, normed: nn.Module, data: Dataset) -> list[Row]:
    rows = []
    for word, model in zip(_WORDS, (plain, normed), strict=True):
        found = spectrum_of(problem_of(model, data), top=1, bottom=0, normalised=True)
        rows += [
            Row(quantity=f"test accuracy {word}", found=scores(model, data, "test")[1]),
            Row(quantity=f"lambda_max of D H D {word}", found=found.lambda_max),
        ]
    return rows


def _loss_after(normed: bool, rate: float, data: Dataset) -> float:
    """Return the training loss after five epochs of plain SGD at a constant rate; infinite if it diverges."""
    recipe = Recipe(epochs=5, peak_rate=rate, momentum=0.0, weight_decay=0.0, schedule="constant")
    try:
        return scores(trained(seeded(partial(network, normed=normed), 1), data, recipe).end, data, "train")[0]
    except ProblemError:  # the loss is infinite or NaN: that is the answer
        return float("inf")


def _panels(
    surfaces: list[Slice], cuts: tuple[Slice, Slice], rates: np.ndarray, losses: list[list[float]]
) -> list[StudyPanel]:
    pictures = [
        StudyPanel(title=word.capitalize(), x_label="alpha", y_label="beta", surface=surface, group="both")
        for word, surface in zip(_WORDS, surfaces, strict=True)
    ]
    return [
        *pictures,
        StudyPanel(
            title="All weights before norms grow", x_label="factor", y_label="training loss",
            series=tuple(
                line(f"statistics {word}", 1 + (FACTOR - 1) * cut.axes[0], cut.values["train_loss"], kind)
                for word, cut, kind in zip(("fixed", "recalibrated"), cuts, ("line", "dashed"), strict=True)
            ),
        ),
        StudyPanel(
            title="Five epochs of SGD, batch norm or not", x_label="learning rate", y_label="training loss", log="x",
            series=tuple(
                line(word.split()[0], rates, each, "points") for word, each in zip(_WORDS, losses, strict=True)
            ),
        ),
    ]  # fmt: skip
