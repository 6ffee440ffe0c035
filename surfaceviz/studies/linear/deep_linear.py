"""The critical points of a linear network with one hidden layer, constructed, measured, and found again."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, combinations

import numpy as np
import torch
from torch import Tensor, nn

from surfaceviz.api.critical_points import critical_points
from surfaceviz.problem.problem import Problem
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.worlds import SilentReporter, half_squares, slice_of, spectrum_of, with_weights

_INPUTS, _HIDDEN, _OUTPUTS, _SAMPLES = 3, 2, 3, 40


class World:
    """A data set with the matrices of its second moments; eigenvalues of Sigma fall."""

    def __init__(self, seed: int = 0) -> None:
        noise = torch.Generator().manual_seed(seed)
        self.x = torch.randn((_SAMPLES, _INPUTS), generator=noise, dtype=torch.float64)
        mixing = torch.tensor([[2.0, 0.3, 0.0], [0.0, 1.2, 0.4], [0.2, 0.0, 0.6]], dtype=torch.float64)
        self.y = self.x @ mixing.T + 0.3 * torch.randn((_SAMPLES, _OUTPUTS), generator=noise, dtype=torch.float64)
        self.s_yx, s_xx = self.y.T @ self.x / _SAMPLES, self.x.T @ self.x / _SAMPLES
        self.regression = torch.linalg.solve(s_xx, self.s_yx.T).T
        values, vectors = torch.linalg.eigh(self.regression @ self.s_yx.T)
        self.eigenvalues, self.vectors = values.flip(0), vectors.flip(1)
        self.trace = float(self.y.square().sum() / _SAMPLES)

    def problem(self, chosen: Sequence[int]) -> Problem:
        """Return the network at the critical point of the subset J: W2 = U_J, W1 = U_J' S_yx S_xx^-1, else zeros."""
        second = torch.zeros((_OUTPUTS, _HIDDEN), dtype=torch.float64)
        second[:, : len(chosen)] = self.vectors[:, list(chosen)]
        return self.at([second.T @ self.regression, second])

    def at(self, weights: Sequence[Tensor]) -> Problem:
        """Return the linear network with these weights, and the loss 1/2 |y - W x|^2."""
        layers = [nn.Linear(w.shape[1], w.shape[0], bias=False) for w in weights]
        return Problem(with_weights(nn.Sequential(*layers), weights), (self.x, self.y), half_squares)

    def loss(self, chosen: Sequence[int]) -> float:
        """Return (tr S_yy - sum_J lambda_i) / 2."""
        return (self.trace - float(self.eigenvalues[list(chosen)].sum())) / 2

    def index(self, chosen: Sequence[int]) -> int:
        """Return the number of pairs i not in J, j in J with lambda_i > lambda_j, + (p - |J|)(n - |J|)."""
        left = [i for i in range(_OUTPUTS) if i not in chosen]
        return sum(i < j for i in left for j in chosen) + (_HIDDEN - len(chosen)) * (_OUTPUTS - len(chosen))


def subsets() -> list[tuple[int, ...]]:
    """Return all subsets of at most as many eigenvectors as there are hidden units."""
    return list(chain.from_iterable(combinations(range(_OUTPUTS), k) for k in range(_HIDDEN + 1)))


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    world, rows = World(), []
    for chosen in subsets():
        found = spectrum_of(world.problem(chosen))
        name = f"J = {{{', '.join(str(i + 1) for i in chosen)}}}"
        negative = int((found.eigenvalues < -1e-9 * found.norm).sum())
        rows += [
            Row(quantity=f"{name}: loss", known=world.loss(chosen), found=found.loss, allowed=1e-10),
            Row(quantity=f"{name}: index", known=world.index(chosen), found=negative, allowed=0),
        ]
    start = world.at([torch.zeros((_HIDDEN, _INPUTS)), torch.zeros((_OUTPUTS, _HIDDEN))])
    starts = 50 if quick else 200
    near, far = (critical_points(start, starts=starts, spread=s, reporter=SilentReporter()) for s in (0.5, 1.0))
    losses, index = np.concatenate([near.loss, far.loss]), np.concatenate([near.index, far.index])
    known = np.array([world.loss(chosen) for chosen in subsets()])
    hit = [bool((np.abs(losses - loss) < 1e-8).any()) for loss in known]
    strays = int((np.abs(losses[:, None] - known).min(1) > 1e-8).sum())
    deep = [torch.zeros((2, _INPUTS)), torch.zeros((2, 2)), torch.zeros((_OUTPUTS, 2))]
    rows += [
        Row(quantity="losses of the list that the search finds", known=len(known), found=sum(hit), allowed=0),
        Row(quantity="critical points found with another loss", known=0, found=strays, allowed=0),
        Row(quantity="two hidden layers: norm of the Hessian at 0", known=0, found=spectrum_of(world.at(deep)).norm),
    ]
    return Findings(
        rows=rows, panels=_panels(world, losses, index, points=21 if quick else 41),
        see="The loss falls with each eigenvector of the subset, and so does the index: the only minimum is global.",
        misleads="With two hidden layers the origin has no curvature at all: a saddle that no Hessian shows.",
    )  # fmt: skip


def _panels(world: World, losses: np.ndarray, index: np.ndarray, points: int) -> list[StudyPanel]:
    axes = [(-1.5, 1.5, points)] * 2
    cuts = [
        ("global minimum", (0, 1), "hessian"),
        ("saddle, J = {2, 3}", (1, 2), "extremes"),
        ("origin", (), "extremes"),
    ]
    panels = [
        StudyPanel(
            title=title, x_label="along the largest eigenvalue",
            y_label="along the second largest" if along == "hessian" else "along the smallest",
            surface=slice_of(world.problem(chosen), axes, along=along), levels="linear",
        )
        for title, chosen, along in cuts
    ]  # fmt: skip
    known = subsets()
    law = line("closed form", [world.loss(j) for j in known], [world.index(j) for j in known], "points")
    return [
        *panels,
        StudyPanel(
            title="Index against loss", x_label="loss", y_label="negative eigenvalues",
            series=(line("found by the search", losses, index + 0.12, "points"), law),
        ),
    ]  # fmt: skip
