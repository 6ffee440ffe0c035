"""Straight lines from the start of a training to its end, and between the ends of two trainings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
import torch
from torch import Tensor, nn

from surfaceviz.problem.problem import Problem
from surfaceviz.records import FloatArray, Slice
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.trained.digit_networks import Trained, digits, problem_of, scores, seeded, trained
from surfaceviz.studies.worlds import fit, half_squares, segment_to
from surfaceviz.zoo.labelled_data import Dataset
from surfaceviz.zoo.networks import mlp
from surfaceviz.zoo.training import Recipe

_RECIPE = Recipe(epochs=20, peak_rate=0.05)
_SIZES = (64, 32, 32, 10)
_LOSS = "train_loss"


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    points, count, data = (21, 2, digits()) if quick else (51, 10, digits())
    curved, flat = (_trainings(sizes, count, data) for sizes in (_SIZES, (64, 10)))
    lines, straight = ([_line(each.start, each.end, data, points) for each in some] for some in (curved, flat))
    between = [_line(a.end, b.end, data, points) for a, b in combinations(curved, 2)]
    convex = [_line(a.end, b.end, data, points) for a, b in combinations(flat, 2)]
    walls = [_barrier(each) for each in between]
    paths = [_along(each, data) for each in curved]
    rows = [
        Row(quantity="linear network: largest distance of its line from a polynomial of degree 4", known=0,
            found=_from_quartic(points)),
        Row(quantity="softmax regression (convex): largest barrier between two trainings", known=0,
            found=max(0.0, *(_barrier(each)[0] for each in convex)), allowed=1e-12),
        Row(quantity=f"the same: steps uphill on {count} lines from start to end", known=0,
            found=sum(_uphill(each) for each in straight), allowed=0),
        Row(quantity="perceptron: ends of a line less the losses of its networks, largest", known=0,
            found=max(_off(each, cut, data) for each, cut in zip(curved, lines, strict=True)), allowed=1e-10),
        Row(quantity=f"steps uphill on {count} lines from start to end", known=0,
            found=sum(_uphill(each) for each in lines), allowed=0),
        Row(quantity="pairs of trainings with a barrier above three standard errors", known=len(walls),
            found=sum(height > 3 * error for height, error in walls), allowed=0),
        Row(quantity="smallest barrier between two trainings", found=min(height for height, _ in walls)),
        Row(quantity="largest barrier between two trainings", found=max(height for height, _ in walls)),
        Row(quantity="largest distance of an epoch from the line, over the line's length",
            found=max(float(off.max()) for _, off, _ in paths)),
        Row(quantity=f"of {_RECIPE.epochs - 1} epochs of training 1: those with a higher loss than the line there",
            found=_above(paths[0], lines[0])),
    ]  # fmt: skip
    return Findings(
        rows=rows, panels=_panels(lines, between, paths[0]),
        see="On the straight line from the start of a training to its end the loss falls all the way; between the ends "
        "of two trainings there is a barrier.",
        misleads="The training did not take that line: its iterates leave it by a share of its length that the table "
        "gives, and most of them have a higher loss than the line next to them.",
    )  # fmt: skip


def _trainings(sizes: Sequence[int], count: int, data: Dataset) -> list[Trained]:
    starts = [seeded(lambda: mlp(*sizes), seed) for seed in range(count)]
    return [trained(start, data, _RECIPE, seed=seed) for seed, start in enumerate(starts)]


def _line(start: nn.Module, end: nn.Module, data: Dataset, points: int) -> Slice:
    return segment_to(problem_of(start, data), end, points)


def _barrier(cut: Slice) -> tuple[float, float]:
    """Return the largest rise above the straight line between the losses at the ends, and its standard error there.

    The error is that of the paired difference to the start.
    """
    loss, t = cut.values[_LOSS], cut.axes[0]
    rise = loss - (1 - t) * loss[0] - t * loss[-1]
    top = int(rise.argmax())
    return float(rise[top]), float(cut.rise_stderr[_LOSS][top])


def _uphill(cut: Slice) -> int:
    return int((np.diff(cut.values[_LOSS]) > 0).sum())


def _off(training: Trained, cut: Slice, data: Dataset) -> float:
    """Return the largest difference of the values at a line's ends to the losses of the networks there."""
    ends = [
        abs(cut.values[f"{split}_loss"][at] - scores(model, data, split)[0])
        for split in data.splits
        for at, model in ((0, training.start), (-1, training.end))
    ]
    return float(max(ends))


def _from_quartic(points: int) -> float:
    """Return the largest difference of a linear network's line to the polynomial through five of its points.

    The outputs are products of two weights, each linear in t, and the loss is their square.
    """
    noise = torch.Generator().manual_seed(0)
    x, y = (torch.randn((30, size), generator=noise, dtype=torch.float64) for size in (5, 3))
    start = seeded(lambda: nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)), 0)
    end = fit(Problem(seeded(lambda: nn.Sequential(nn.Linear(5, 4), nn.Linear(4, 3)), 1), (x, y), half_squares)).model
    cut = segment_to(Problem(start, (x, y), half_squares), end, points)
    t, loss = cut.axes[0], cut.values[_LOSS]
    some = np.linspace(0, points - 1, 5).astype(int)
    return float(np.abs(np.polynomial.Polynomial.fit(t[some], loss[some], 4)(t) - loss).max())


def _along(training: Trained, data: Dataset) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return for each epoch its place along the line and its distance from it, over the line's length, and its loss."""
    start = _vector(training.start)
    way = _vector(training.end) - start
    moves = torch.stack([_vector(each) - start for each in training.epochs])
    t = moves @ way / way.square().sum()
    off = torch.linalg.vector_norm(moves - t[:, None] * way, dim=1) / torch.linalg.vector_norm(way)
    losses = [scores(each, data, "train")[0] for each in training.epochs]
    return t.numpy(), off.numpy(), np.array(losses)


def _above(path: tuple[FloatArray, FloatArray, FloatArray], cut: Slice) -> int:
    """Return at how many epochs, the last one apart, the loss is higher than on the line at the same place."""
    t, _, losses = path
    return int((losses > np.interp(t, cut.axes[0], cut.values[_LOSS]))[:-1].sum())


def _vector(model: nn.Module) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for p in model.parameters()])


def _panels(
    lines: Sequence[Slice], between: Sequence[Slice], path: tuple[FloatArray, FloatArray, FloatArray]
) -> list[StudyPanel]:
    first, (t, _, losses) = lines[0], path
    panels = [
        StudyPanel(
            title=title, x_label="share of the way", y_label="training loss",
            series=tuple(line(f"{word} {k}", cut.axes[0], cut.values[_LOSS]) for k, cut in enumerate(cuts, begin)),
        )
        for title, word, begin, cuts in (
            ("From start to end", "training", 1, lines[:3]), ("Between two ends", "trainings 1 and", 2, between[:3])
        )
    ]  # fmt: skip
    return [
        *panels,
        StudyPanel(
            title="Training 1 next to its line", x_label="share of the way", y_label="training loss", log="y",
            series=(line("on the line", first.axes[0], first.values[_LOSS]), line("epochs", t, losses, "points")),
        ),
    ]  # fmt: skip
