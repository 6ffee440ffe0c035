"""Blind spots: starts of a rectified network from which no training leaves, as no unit is active for any image.

Pixels lie in [0, 1]: with weights or biases far below 0 all pre-activations of a layer are negative, the outputs do
not depend on the images, and only the last bias has a gradient. The best loss is then the entropy of the labels.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from surfaceviz.records.studies import StudyPanel, StudySeries
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.trained.digit_networks import digits, problem_of, scores, seeded, trained
from surfaceviz.studies.worlds import segment_to, slice_of, spectrum_of
from surfaceviz.zoo.labelled_data import Dataset
from surfaceviz.zoo.networks import mlp
from surfaceviz.zoo.training import Recipe

_INPUTS, _CLASSES = 64, 10
_MEAN, _DEVIATION = 0.305, 0.376  # by which the digits are standardised


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """Normal initial values: (mean, variance) of all weights and of all biases, and whether such networks learn."""

    weights: tuple[float, float] = (0, 0.01)
    biases: tuple[float, float] = (0, 0.01)
    learns: bool = False


# Means and variances as in Swirszcz et al.; what the paper leaves open has mean 0 and variance 0.01.
STARTS = {
    "N(0, 0.01)": Start(learns=True),
    "N(0, 1)": Start(weights=(0, 1), biases=(0, 1), learns=True),
    "weights N(-10, 0.01)": Start(weights=(-10, 0.01)),
    "biases N(-10, 0.01)": Start(biases=(-10, 0.01)),
    "N(-1, 1)": Start(weights=(-1, 1), biases=(-1, 1)),
}
_BLIND = "weights N(-10, 0.01)"


def network(start: Start, layers: int, width: int) -> nn.Module:
    """Return a network with some layers of weights, at initial values from torch's generator."""
    model = mlp(_INPUTS, *[width] * (layers - 1), _CLASSES)
    for parameter in model.parameters():
        mean, variance = start.weights if parameter.ndim > 1 else start.biases
        nn.init.normal_(parameter, mean, variance**0.5)
    return model


def pixels() -> Dataset:
    """Return the digits with pixels in [0, 1]."""
    data = digits()
    return replace(data, splits={split: (x * _DEVIATION + _MEAN, y) for split, (x, y) in data.splits.items()})


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    data, points = pixels(), 21 if quick else 61
    width, seeds = (64, 1) if quick else (128, 3)
    recipe = Recipe(
        epochs=20 if quick else 60, optimiser="adam", peak_rate=0.03 if quick else 0.01, weight_decay=0.0
    )  # fmt: skip
    rows, found = [], {}
    for layers in (2,) if quick else (2, 5):
        for name, start in STARTS.items():
            models = [seeded(lambda s=start, n=layers: network(s, n, width), seed) for seed in range(seeds)]  # type: ignore[misc]
            ends = found[layers, name] = [trained(each, data, recipe, seed=k).end for k, each in enumerate(models)]
            rows += _accuracy_rows(f"{layers} layers, {name}", start, ends, data)
    blind = _settled(found[2, _BLIND][0], data)
    seeing = found[2, "N(0, 0.01)"][0]
    cuts = [slice_of(problem_of(each, data), [(-1, 1, points)], splits="train") for each in (blind, seeing)]
    way = segment_to(problem_of(blind, data), seeing, points, splits="train")
    rows += _spot_rows(blind, data, cuts[0].values["train_loss"])
    series = tuple(
        line(word, cut.axes[0], cut.values["train_loss"])
        for word, cut in zip(("in the blind spot", "trained from N(0, 0.01)"), cuts, strict=True)
    )
    panels = [
        _accuracies(found, data),
        StudyPanel(title="Filter-normalised slices", x_label="alpha", y_label="training loss", series=series),
        StudyPanel(
            title="From the spot to the trained network", x_label="share of the way", y_label="training loss",
            series=(line("", way.axes[0], way.values["train_loss"]),),
        ),
    ]  # fmt: skip
    return Findings(
        rows=rows, panels=panels,
        see="Inside a blind spot every picture is flat, and training learns the frequencies of the labels alone.",
        misleads="A flat surface with a gradient of 0 looks like a wide minimum; it is one only within the spot, at "
        "the loss of a constant guess.",
    )  # fmt: skip


def _accuracy_rows(name: str, start: Start, ends: list[nn.Module], data: Dataset) -> list[Row]:
    """Return the training accuracy that is farthest from what is known, and the mean loss."""
    all_scores = np.array([scores(each, data, "train") for each in ends])
    known, allowed = (1.0, 0.05) if start.learns else (1 / _CLASSES, 0.05)
    accuracy = all_scores[np.abs(all_scores[:, 1] - known).argmax(), 1]
    return [
        Row(quantity=f"{name}: training accuracy", known=known, found=float(accuracy), allowed=allowed),
        Row(quantity=f"{name}: mean training loss", found=float(all_scores[:, 0].mean())),
    ]


def _frequencies(data: Dataset) -> Tensor:
    return torch.bincount(data.splits["train"][1], minlength=_CLASSES).double() / len(data.splits["train"][1])


def _settled(model: nn.Module, data: Dataset) -> nn.Module:
    """Return a copy whose last bias is the best constant guess, the logarithm of the labels' frequencies."""
    made = copy.deepcopy(model)
    with torch.no_grad():
        list(made.parameters())[-1].copy_(_frequencies(data).log())
    return made


def _spot_rows(blind: nn.Module, data: Dataset, flat: np.ndarray) -> list[Row]:
    """Return loss and derivatives in the spot: those of a constant guess, with H = diag(p) - p p' in the last bias."""
    p = _frequencies(data)
    there = torch.linalg.eigvalsh(torch.diag(p) - torch.outer(p, p))
    problem = problem_of(blind, data)
    found = spectrum_of(problem, top=_CLASSES + 2, bottom=1, block=_CLASSES, rtol=1e-9)
    weights = spectrum_of(problem, parameters="weights", top=1, bottom=0)
    return [
        Row(quantity="in the spot: loss less the entropy of the labels", known=0,
            found=found.loss + float((p * p.log()).sum())),
        Row(quantity="in the spot: norm of the gradient in all weights", known=0, allowed=0,
            found=weights.gradient_norm),
        Row(quantity="in the spot: norm of the gradient with the biases", known=0, found=found.gradient_norm),
        Row(quantity="in the spot: lambda_max, that of diag(p) - p p'", known=float(there[-1]), found=found.lambda_max),
        Row(quantity="in the spot: eigenvalues above 1e-9, classes less 1", known=_CLASSES - 1, allowed=0,
            found=int((found.eigenvalues > 1e-9).sum())),
        Row(quantity="in the spot: range of the loss on a filter-normalised slice", known=0,
            found=float(np.ptp(flat)), allowed=0),
    ]  # fmt: skip


def _accuracies(found: dict[tuple[int, str], list[nn.Module]], data: Dataset) -> StudyPanel:
    series: list[StudySeries] = []
    for number, layers in enumerate(sorted({layers for layers, _ in found})):
        places, accuracies = zip(
            *(
                (k + 0.2 * number, scores(each, data, "train")[1])
                for k, name in enumerate(STARTS)
                for each in found[layers, name]
            ),
            strict=True,
        )
        series.append(line(f"{layers} layers", places, accuracies, "points"))
    ends = [0, len(STARTS) - 1]
    return StudyPanel(
        title="After training, by initial values", x_label="", y_label="training accuracy", ticks=tuple(STARTS),
        series=(*series, line("95%", ends, [0.95] * 2, "dashed"), line("chance", ends, [1 / _CLASSES] * 2, "dashed")),
    )  # fmt: skip
