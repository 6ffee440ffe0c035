"""Deep networks with skip connections and without: where the surfaces differ, and where only their origin does.

A linear network whose layers add their input is the plain one at weights shifted by the identity, so that both have
the same surface. Networks on the digits have batch-normalised rectified layers of 16 units.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from surfaceviz.api.hessian import hessian_map
from surfaceviz.problem.problem import Problem
from surfaceviz.records import HessianMap, Slice
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.trained.digit_networks import digits, problem_of, scores, seeded, trained
from surfaceviz.studies.worlds import SilentReporter, half_squares, slice_of, spectrum_of
from surfaceviz.zoo.labelled_data import Dataset
from surfaceviz.zoo.training import Recipe

_WIDTH, _LINEAR = 16, 4  # units of a layer on the digits; inputs and outputs of the linear network
_DEEP = 6  # layers of the linear network
_WORDS = {False: "plain", True: "skip"}


class DeepLinear(nn.Module):
    """x times d square matrices, or the same with the identity added to each."""

    def __init__(self, *, skip: bool, weights: Tensor) -> None:
        super().__init__()
        self.layers = nn.ParameterList(list(weights.clone()))
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, (N, 4)."""
        for weight in self.layers:
            x = x @ weight.T + x if self.skip else x @ weight.T
        return x


class Residual(nn.Module):
    """A linear layer, batch norm and rectified units, to which the input is added or not."""

    def __init__(self, *, skip: bool) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Linear(_WIDTH, _WIDTH, bias=False), nn.BatchNorm1d(_WIDTH), nn.ReLU())
        self.skip = skip

    def forward(self, x: Tensor) -> Tensor:
        """Return the activations, (N, 16)."""
        y: Tensor = self.branch(x)
        return x + y if self.skip else y


def network(*, skip: bool, depth: int) -> nn.Sequential:
    """Return a classifier of the digits with a number of hidden layers after the first; twins have the same weights."""
    layers = [Residual(skip=skip) for _ in range(depth)]
    return nn.Sequential(nn.Flatten(), nn.Linear(64, _WIDTH), *layers, nn.Linear(_WIDTH, 10))


def linear_problem(weights: Tensor, *, skip: bool) -> Problem:
    """Return a deep linear network (d, 4, 4) that is to learn 1.5 I on the unit vectors: 1/8 |product - 1.5 I|^2."""
    x = torch.eye(_LINEAR, dtype=torch.float64)
    return Problem(DeepLinear(skip=skip, weights=weights), (x, 1.5 * x), half_squares)


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    data, depths, points, grid = digits(), (4,) if quick else (5, 30), 11 if quick else 31, 2 if quick else 5
    recipe = Recipe(epochs=4 if quick else 20, peak_rate=0.05)
    rows, panels, ratios = _linear_rows(), [], {}
    for depth in depths:
        for skip, word in _WORDS.items():
            model = trained(seeded(partial(network, skip=skip, depth=depth), 0), data, recipe).end
            surface, curvature = _mapped(model, data, points, grid)
            name = f"{word}, {depth} layers"
            ratios[skip, depth] = float(np.mean(curvature.ratio))
            rows += [
                Row(quantity=f"{name}: training loss", found=scores(model, data, "train")[0]),
                Row(quantity=f"{name}: test accuracy", found=scores(model, data, "test")[1]),
                Row(quantity=f"{name}: mean of |lambda_min / lambda_max|", found=ratios[skip, depth]),
            ]
            panels.append(
                StudyPanel(title=name.capitalize(), x_label="alpha", y_label="beta", surface=surface, group="all")
            )
    deepest = max(depths)
    if not quick:
        rows.append(
            Row(quantity=f"{deepest} layers: closer to convex with skip connections (1: yes)", known=1, allowed=0,
                found=float(ratios[True, deepest] < ratios[False, deepest]))
        )  # fmt: skip
    return Findings(
        rows=rows, panels=[*panels, *_ratio_panels(depths, ratios)],
        see=_seen(deepest, ratios),
        misleads="In a linear network the skip connection moves the origin and nothing else: what it helps is where "
        "training starts. A plain network that did not train (see its loss) is no minimum, so that its picture "
        "compares trainings as well as surfaces.",
    )  # fmt: skip


def _seen(depth: int, ratios: dict[tuple[bool, int], float]) -> str:
    plain, skip = (f"{ratios[each, depth]:.2g}" for each in (False, True))
    return (
        f"At {depth} layers the mean of |lambda_min / lambda_max| over the plane is {skip} with skip connections and "
        f"{plain} without: the smaller, the more convex the surface looks."
    )


def _linear_rows() -> list[Row]:
    """Return the rows of the linear networks, which have one surface but other gradients at weights 0."""
    noise = torch.Generator().manual_seed(0)
    weights = 0.3 * torch.randn((_DEEP, _LINEAR, _LINEAR), generator=noise, dtype=torch.float64)
    unit, zero = torch.eye(_LINEAR, dtype=torch.float64), torch.zeros_like(weights)
    pair = linear_problem(weights, skip=True), linear_problem(weights + unit, skip=False)
    axes = [(-0.5, 0.5, 9)] * 2
    moved, plain = (slice_of(each, axes, normalise="none").values["train_loss"] for each in pair)
    at_zero = {skip: spectrum_of(linear_problem(zero, skip=skip), top=1, bottom=1) for skip in (False, True)}
    name = f"linear, {_DEEP} layers"
    return [
        Row(quantity=f"{name}: slice with skips less the plain one at weights plus I, relative", known=0,
            found=float(np.abs(moved / plain - 1).max())),
        Row(quantity=f"{name}, plain: norm of the gradient at weights 0", known=0, found=at_zero[False].gradient_norm),
        Row(quantity=f"{name}, plain: norm of the Hessian at weights 0", known=0, found=at_zero[False].norm),
        Row(quantity=f"{name}, skip: norm of the gradient at weights 0", known=0.5 * (_DEEP / _LINEAR) ** 0.5,
            found=at_zero[True].gradient_norm),
    ]  # fmt: skip


def _mapped(model: nn.Module, data: Dataset, points: int, grid: int) -> tuple[Slice, HessianMap]:
    """Return the slice around a network, and the extreme eigenvalues on some of its points."""
    problem = problem_of(model, data)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "plane.h5"
        surface = slice_of(problem, [(-1, 1, points)] * 2, splits="train", output=path)
        found = hessian_map(
            path, (grid, grid), problem=problem, samples=200, rtol=0.05, workers=1, reporter=SilentReporter()
        )  # fmt: skip
    return surface, found


def _ratio_panels(depths: tuple[int, ...], ratios: dict[tuple[bool, int], float]) -> list[StudyPanel]:
    return [
        StudyPanel(
            title="Negative against positive curvature", x_label="layers", y_label="mean of |lambda_min / lambda_max|",
            series=tuple(
                line(word, list(depths), [ratios[skip, depth] for depth in depths], "points")
                for skip, word in _WORDS.items()
            ),
        )
    ]  # fmt: skip
