"""Small and large batches, with weight decay and without: which minimum looks sharp, in which picture.

The network is that of the study batch-norm, so that the length of its weights before norms has no meaning of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import nn

from surfaceviz.api.sharpness import sharpness
from surfaceviz.records import Slice
from surfaceviz.records.local_models.second_differences import second_difference
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.trained.digit_networks import digits, problem_of, scores, seeded, trained
from surfaceviz.studies.trained.normalised_network import FACTOR, grown, network
from surfaceviz.studies.worlds import SilentReporter, function_of, segment_to, slice_of, spectrum_of
from surfaceviz.zoo.labelled_data import Dataset
from surfaceviz.zoo.training import Recipe

_BATCHES = {"batch 16": (16, 20), "batch 512": (512, 100)}  # samples, epochs
_DECAYS = {"": 0.0, ", decay": 2e-3}
_BOX = 1e-3
_CURVES, _PLACES = (1.0, 4.0, 0.5), (0.5, -1.0, 2.0)  # of a quadratic function
_LOSS = "train_loss"
_HIDDEN = ("1.weight", "4.weight", "7.weight")  # the weights before norms


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    data, points, share = digits(), 11 if quick else 41, 0.1 if quick else 1.0
    decays = dict(list(_DECAYS.items())[: 1 if quick else None])
    ends = {
        f"{batch}{decay}": trained(
            seeded(partial(network, normed=True), 0), data,
            Recipe(epochs=int(share * epochs), batch_size=size, peak_rate=0.1, weight_decay=factor),
        ).end
        for decay, factor in decays.items()
        for batch, (size, epochs) in _BATCHES.items()
    }  # fmt: skip
    rows = [_quadratic_row(), *_stretch_rows(ends["batch 16"], data)]
    for name, model in ends.items():
        rows += _end_rows(name, model, data, searched=not quick)
    lines, drawn = {}, {}
    for decay in decays:
        small, large = (ends[f"{batch}{decay}"] for batch in _BATCHES)
        cut = lines[decay] = segment_to(problem_of(small, data), large, points, splits="train")
        rows += _line_rows(decay.removeprefix(", ") or "no decay", cut)
    for kind in ("none", "filter"):
        drawn[kind] = {
            name: slice_of(problem_of(model, data), [(-1, 1, points)], splits="train", normalise=kind)
            for name, model in ends.items()
        }
    return Findings(
        rows=rows, panels=[*_panels(lines, drawn), *_contours(ends, data, points)],
        see=_seen({row.quantity: row.found for row in rows}),
        misleads="The sharper end of a raw line or slice is the one with the shorter weights as easily as the sharper "
        "one; these are single trainings, which say nothing of batch sizes in general.",
    )  # fmt: skip


def _seen(found: dict[str, float]) -> str:
    raw, even = (
        found[f"batch 512: lambda_max of {matrix}"] / found[f"batch 16: lambda_max of {matrix}"]
        for matrix in ("H", "D H D")
    )
    return (
        "A factor of the weights before norms stretches raw slices and leaves filter-normalised ones as they are. "
        f"Without decay the minimum of batch 512 has {raw:.2g} times the lambda_max of batch 16 in H, and {even:.2g} "
        "times in D H D, the curvature of filter-normalised slices: its weights are shorter."
    )


def _quadratic_row() -> Row:
    """Return Keskar's phi of f = sum h_i x_i^2 / 2: the maximum over the box is at the corner away from 0.

    phi = 100 (max f - f) / (1 + f) over |y_i - x_i| <= eps (|x_i| + 1).
    """
    curves, x = (torch.tensor(each, dtype=torch.float64) for each in (_CURVES, _PLACES))
    found = sharpness(
        function_of(lambda at: (curves * at.square()).sum() / 2, _PLACES), rescale=False, reporter=SilentReporter()
    )  # fmt: skip
    here, corner = ((curves * at.square()).sum() / 2 for at in (x, x + x.sign() * _BOX * (x.abs() + 1)))
    known = 100 * float((corner - here) / (1 + here))
    return Row(quantity="phi of a quadratic function, eps 1e-3, in %", known=known, found=found["phi_1e-3"].value)


def _stretch_rows(model: nn.Module, data: Dataset) -> list[Row]:
    """Return the effect of a factor of the weights before norms on slices: raw ones are stretched, others unchanged."""
    wide = grown(model, statistics=True)

    def loss(model: nn.Module, reach: float, kind: str) -> np.ndarray:
        cut = slice_of(
            problem_of(model, data), [(-reach, reach, 11)], splits="train", normalise=kind, only=list(_HIDDEN)
        )  # fmt: skip
        return np.asarray(cut.values[_LOSS])

    return [
        Row(quantity=f"weights times {FACTOR:g}: raw slice less the plain one, stretched as much", known=0,
            found=float(np.abs(loss(wide, FACTOR * 0.1, "none") - loss(model, 0.1, "none")).max())),
        Row(quantity="the same: change of the raw slice on one range",
            found=float(np.abs(loss(wide, 0.1, "none") - loss(model, 0.1, "none")).max())),
        Row(quantity="the same: change of the filter-normalised slice", known=0,
            found=float(np.abs(loss(wide, 1, "filter") - loss(model, 1, "filter")).max())),
    ]  # fmt: skip


def _end_rows(name: str, model: nn.Module, data: Dataset, *, searched: bool) -> list[Row]:
    problem = problem_of(model, data)
    raw, even = (spectrum_of(problem, top=1, bottom=0, normalised=each) for each in (False, True))
    length = sum(float(model.get_parameter(each).detach().square().sum()) for each in _HIDDEN) ** 0.5
    rows = [
        Row(quantity=f"{name}: test accuracy", found=scores(model, data, "test")[1]),
        Row(quantity=f"{name}: length of the weights before norms", found=length),
        Row(quantity=f"{name}: lambda_max of H", found=raw.lambda_max),
        Row(quantity=f"{name}: lambda_max of D H D", found=even.lambda_max),
    ]
    if searched:
        found = sharpness(problem, samples=200, starts=1, rescale=False, reporter=SilentReporter())
        rows.append(Row(quantity=f"{name}: phi, eps 1e-3, in %", found=found["phi_1e-3"].value))
    return rows


def _line_rows(name: str, cut: Slice) -> list[Row]:
    """Return the curvature of a line next to each end."""
    t, loss = cut.axes[0], cut.values[_LOSS]
    return [
        Row(quantity=f"line, {name}: second difference next to {batch}", found=second_difference(t, loss, place))
        for batch, place in zip(_BATCHES, (1, len(t) - 2), strict=True)
    ]


def _panels(lines: dict[str, Slice], drawn: dict[str, dict[str, Slice]]) -> list[StudyPanel]:
    titles = {"none": "Raw random direction", "filter": "Filter-normalised direction"}
    return [
        StudyPanel(
            title="From batch 16 to batch 512", x_label="share of the way", y_label="training loss",
            series=tuple(
                line(decay.removeprefix(", ") or "no decay", cut.axes[0], cut.values[_LOSS])
                for decay, cut in lines.items()
            ),
        ),
        *(
            StudyPanel(
                title=titles[kind], x_label="alpha", y_label="training loss", log="y",
                series=tuple(line(name, cut.axes[0], cut.values[_LOSS]) for name, cut in cuts.items()),
            )
            for kind, cuts in drawn.items()
        ),
    ]  # fmt: skip


def _contours(ends: dict[str, nn.Module], data: Dataset, points: int) -> Sequence[StudyPanel]:
    return [
        StudyPanel(
            title=f"{name.capitalize()}, filter-normalised", x_label="alpha", y_label="beta", group="all",
            surface=slice_of(problem_of(ends[name], data), [(-1, 1, points)] * 2, splits="train"),
        )
        for name in _BATCHES
    ]  # fmt: skip
