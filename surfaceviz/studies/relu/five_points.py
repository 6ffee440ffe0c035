"""Five points and one rectified unit: two spurious local minima, neither proved by the Hessian."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from surfaceviz.problem.problem import Problem
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line, place
from surfaceviz.studies.worlds import slice_of, spectrum_of

_X, _Y = (-1.0, 1.0, 3.0, 4.0, 5.0), (3.0, -3.0, 0.0, 1.0, 2.0)
_NEAR = 0.02  # distance within which lower losses are looked for
MINIMA = ((1.0, -3.0), (-7.0, -4.0))


class Unit(nn.Module):
    """f(x) = v relu(w x + b) + c, with the parameters ``p`` = (w, b, v, c)."""

    def __init__(self, w: float, b: float) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor([w, b, 1.0, 0.0], dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs, (N, 1)."""
        w, b, v, c = self.p
        output: Tensor = v * torch.relu(w * x + b) + c
        return output


def problem_at(w: float, b: float) -> Problem:
    """Return the problem at v = 1, c = 0; its loss is the sum of squares over the five points."""
    x, y = (torch.tensor(each, dtype=torch.float64)[:, None] for each in (_X, _Y))
    return Problem(Unit(w, b), (x, y), lambda out, target: len(_X) * (out - target).square()[:, 0], name="five points")


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    points = 41 if quick else 101
    surface = slice_of(problem_at(0.0, 0.0), [(-10, 4, points), (-8, 6, points)], along=["p[0]", "p[1]"])
    kink, flat = (spectrum_of(problem_at(*each)) for each in MINIMA)
    draws = 2000 if quick else 20000
    rows = [
        Row(quantity="(1, -3): loss", known=18, found=kink.loss),
        Row(quantity="(1, -3): norm of the gradient", known=0, found=kink.gradient_norm),
        Row(quantity="(-7, -4): loss", known=14, found=flat.loss),
        Row(quantity="(-7, -4): norm of the gradient", known=0, found=flat.gradient_norm),
        Row(
            quantity="(-7, -4): zero eigenvalues",
            known=2,
            found=int((np.abs(flat.eigenvalues) < 1e-9).sum()),
            allowed=0,
        ),
        Row(quantity="(-7, -4): largest eigenvalue", known=16 + 80**0.5, found=flat.eigenvalues[-1]),
        *(
            Row(quantity=f"{words}: lower losses, of {draws} nearby", known=0, found=_lower(*at, draws), allowed=0)
            for words, at in zip(("(1, -3)", "(-7, -4)"), MINIMA, strict=True)
        ),
    ]
    marks = tuple(place(f"{w:g}, {b:g}", w, b) for w, b in MINIMA)
    panel = StudyPanel(
        title="v = 1, c = 0: sum of squares", x_label="w", y_label="b", surface=surface, series=marks, levels="log"
    )
    near = slice_of(problem_at(0.0, 0.0), [(0.7, 1.3, points), (-3.3, -2.7, points)], along=["p[0]", "p[1]"])
    zoom = StudyPanel(
        title="Near (1, -3): the kink of x = 3 is b = -3 w", x_label="w", y_label="b", surface=near, levels="linear",
        series=(*marks[:1], line("", [0.9, 1.1], [-2.7, -3.3])),
    )  # fmt: skip
    return Findings(
        rows=rows, panels=(panel, zoom),
        see=f"Both points are local minima by Swirszcz et al.; the Hessian says '{kink.kind}' at the first (a point of "
        f"the data lies at the kink) and '{flat.kind}' at the second (two eigenvalues are 0).",
        misleads="A gradient of 0 and no negative eigenvalue prove no minimum: the zeros and the kink need the theory.",
    )  # fmt: skip


def _lower(w: float, b: float, draws: int) -> int:
    """Return how many of the losses at random parameters within a small distance are lower than that at the point."""
    noise = torch.Generator().manual_seed(0)
    step = torch.randn((draws, 4), generator=noise, dtype=torch.float64)
    radius = _NEAR * torch.rand((draws, 1), generator=noise, dtype=torch.float64)
    p = torch.tensor([w, b, 1.0, 0.0], dtype=torch.float64)
    p = torch.cat([p[None], p + radius * step / torch.linalg.vector_norm(step, dim=1, keepdim=True)])
    x, y = torch.tensor(_X, dtype=torch.float64), torch.tensor(_Y, dtype=torch.float64)
    out = p[:, 2:3] * torch.relu(p[:, 0:1] * x + p[:, 1:2]) + p[:, 3:4]
    losses = (out - y).square().sum(1)
    return int((losses[1:] < losses[0] - 1e-12).sum())
