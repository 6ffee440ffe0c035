"""Wide enough to have no bad minimum: matrix factorisation against its closed form, and fits of random labels."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from surfaceviz.problem.problem import Problem
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.worlds import fit, spectrum_of

_SINGULAR = (3.0, 2.0, 1.2, 0.4)  # of the matrix Y
_DECAY = 0.5
_SAMPLES = 8


class Factors(nn.Module):
    """U V' with U, V of an inner width; its forward gives 1/2 |Y - U V'|^2 + l/2 (|U|^2 + |V|^2)."""

    def __init__(self, y: Tensor, width: int, seed: int) -> None:
        super().__init__()
        noise = torch.Generator().manual_seed(seed)
        self.u, self.v = (
            nn.Parameter(torch.randn((size, width), generator=noise, dtype=torch.float64)) for size in y.shape
        )
        self.register_buffer("y", y)

    def forward(self) -> Tensor:
        """Return the loss."""
        error = (self.y - self.u @ self.v.T).square().sum()  # type: ignore[operator]
        loss: Tensor = (error + _DECAY * (self.u.square().sum() + self.v.square().sum())) / 2
        return loss


def target() -> Tensor:
    """Return a 5 x 4 matrix with known singular values."""
    noise = torch.Generator().manual_seed(0)
    left, right = (torch.linalg.qr(torch.randn((n, 4), generator=noise, dtype=torch.float64))[0] for n in (5, 4))
    made: Tensor = left @ torch.diag(torch.tensor(_SINGULAR, dtype=torch.float64)) @ right.T
    return made


def optimum(width: int) -> float:
    """Return the least loss of a width: soft-thresholded singular values, at most as many as the width."""
    sigma = np.array(_SINGULAR)
    s = np.clip(sigma - _DECAY, 0, None)
    s[width:] = 0
    return float(((sigma - s) ** 2).sum() / 2 + _DECAY * s.sum())


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    starts, y = 4 if quick else 20, target()
    widths, gaps, curvatures = range(1, 6), [], []
    for width in widths:
        ends = [fit(Problem(Factors(y, width, seed)), steps=2000) for seed in range(starts)]
        spectra = [spectrum_of(each) for each in ends]
        gaps.append([each.loss - optimum(width) for each in spectra])
        curvatures.append(min(each.eigenvalues[0] for each in spectra))
    rows = [
        *(
            Row(quantity=f"factors of width {w}: worst of {starts} ends above the closed form", known=0, found=max(gap),
                allowed=1e-6)
            for w, gap in zip(widths, gaps, strict=True)
        ),
        Row(
            quantity="least loss of all widths: that of the convex problem", known=optimum(4),
            found=min(gaps[-1]) + optimum(5),
            allowed=1e-6,
        ),
        Row(quantity="smallest eigenvalue at any end (0: U may turn)", known=0, found=min(curvatures), allowed=1e-4),
    ]  # fmt: skip
    sizes = (1, 2, 4, 8, 16)
    losses = [min(_fit_of_labels(size, seed) for seed in range(2)) for size in sizes]
    rows.append(Row(quantity=f"rectified network, width {sizes[-1]}: loss", known=0, found=losses[-1], allowed=1e-6))
    panels = [
        StudyPanel(
            title="Factors: ends against the closed form", x_label="inner width", y_label="loss",
            series=(
                line("closed form", list(widths), [optimum(w) for w in widths]),
                line(
                    "ends", [w for w, gap in zip(widths, gaps, strict=True) for _ in gap],
                    [g + optimum(w) for w, gap in zip(widths, gaps, strict=True) for g in gap], "points",
                ),
            ),
        ),
        StudyPanel(
            title="Random labels, rectified units", x_label="hidden units", y_label="training loss", log="xy",
            series=(line("best of two", list(sizes), np.maximum(losses, 1e-16), "points"),),
        ),
    ]  # fmt: skip
    return Findings(
        rows=rows, panels=panels,
        see="Every start ends at the closed form; more width than singular values above the decay changes nothing.",
        misleads="Factors that are too narrow end at their own best, which is no proof for networks: those get stuck.",
    )  # fmt: skip


def _fit_of_labels(width: int, seed: int) -> float:
    """Return the training loss of a network of rectified units on random labels after a full fit."""
    noise = torch.Generator().manual_seed(5)
    x = torch.randn((_SAMPLES, 3), generator=noise, dtype=torch.float64)
    y = torch.randn((_SAMPLES, 1), generator=noise, dtype=torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(3, width), nn.ReLU(), nn.Linear(width, 1)).double()
    problem = fit(Problem(model, (x, y), "mse"), steps=2000)
    with torch.no_grad():
        return float((problem.model(x) - y).square().mean())
