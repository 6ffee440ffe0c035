"""The Hessian as Gauss-Newton matrix plus the curvature of the outputs: H = G + R."""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, jacrev

from surfaceviz.problem.problem import Problem
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.relu.reparametrisation import dense_hessian
from surfaceviz.studies.worlds import fit, spectrum_of, with_weights

_SAMPLES, _CLASSES = 4, 3


def network(outputs: int) -> nn.Module:
    """Return a 3-6-k network of tanh units at seeded weights."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(3, 6), nn.Tanh(), nn.Linear(6, outputs)).double()


def classifier() -> Problem:
    """Return a problem of few samples, so that the rank of G is smaller than the number of parameters."""
    noise = torch.Generator().manual_seed(1)
    x = torch.randn((_SAMPLES, 3), generator=noise, dtype=torch.float64)
    return Problem(network(_CLASSES), (x, torch.arange(_SAMPLES) % _CLASSES), "cross_entropy")


def dense_gauss_newton(problem: Problem) -> Tensor:
    """Return J' S J / N of a classifier, with S = diag(p) - p p' for each sample, (P, P)."""
    x, _ = problem.sources["train"]
    names, tensors = zip(*problem.model.named_parameters(), strict=True)
    sizes, shapes = [t.numel() for t in tensors], [t.shape for t in tensors]

    def outputs(vector: Tensor) -> Tensor:
        parts = [part.view(shape) for part, shape in zip(vector.split(sizes), shapes, strict=True)]
        made: Tensor = functional_call(problem.model, dict(zip(names, parts, strict=True)), (x,))
        return made

    vector = torch.cat([t.detach().reshape(-1) for t in tensors])
    jacobian, p = jacrev(outputs)(vector), torch.softmax(outputs(vector), 1).detach()
    blocks = torch.diag_embed(p) - p[:, :, None] * p[:, None, :]
    found: Tensor = torch.einsum("nip,nij,njq->pq", jacobian, blocks, jacobian) / len(x)
    return found


def run(*, quick: bool) -> Findings:
    """Return the findings; both variants are the same up to the number of trained steps that are shown."""
    problem, rows, panels, most = classifier(), [], [], _SAMPLES * (_CLASSES - 1)
    first = spectrum_of(problem, operator="ggn").eigenvalues
    rows.append(Row(quantity="rank of G at random weights, N (k - 1)", known=most, found=_rank(first), allowed=0))
    for steps in (0, 20) if quick else (0, 3, 20):
        if steps:
            fit(problem, steps=steps)
        dense_h, dense_g = dense_hessian(problem), dense_gauss_newton(problem)
        h, g = (spectrum_of(problem, operator=each).eigenvalues for each in ("hessian", "ggn"))
        r = torch.linalg.eigvalsh(dense_h - dense_g).numpy()
        name = f"after {steps} steps"
        rows += [
            Row(quantity=f"{name}: eigenvalues of H, largest error", known=0, found=_away(h, dense_h)),
            Row(quantity=f"{name}: eigenvalues of G, largest error", known=0, found=_away(g, dense_g)),
            Row(quantity=f"{name}: rank of G above N (k - 1)", known=0, found=max(0, _rank(g) - most), allowed=0),
            Row(quantity=f"{name}: largest |eigenvalue| of R over that of H", found=np.abs(r).max() / np.abs(h).max()),
        ]  # fmt: skip
        number = np.arange(1, len(h) + 1)
        panels.append(
            StudyPanel(
                title=name, x_label="number", y_label="eigenvalue",
                series=tuple(
                    line(word, number, np.sort(v)[::-1], "points") for word, v in (("H", h), ("G", g), ("R", r))
                ),
            )
        )  # fmt: skip
    teacher = network(1)
    x = torch.randn((20, 3), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    zero = Problem(with_weights(copy.deepcopy(teacher), list(teacher.parameters())), (x, teacher(x).detach()), "mse")
    h, g = (spectrum_of(zero, operator=each).eigenvalues for each in ("hessian", "ggn"))
    rows.append(Row(quantity="at zero loss: largest difference of H and G", known=0, found=float(np.abs(h - g).max())))
    return Findings(
        rows=rows, panels=panels,
        see="R has both signs, and all negative eigenvalues of H come from it; at zero loss H is G.",
        misleads="G alone never shows a negative eigenvalue, so that it can't tell a saddle from a minimum.",
    )  # fmt: skip


def _rank(eigenvalues: np.ndarray) -> int:
    return int((np.abs(eigenvalues) > 1e-10 * np.abs(eigenvalues).max()).sum())


def _away(found: np.ndarray, dense: Tensor) -> float:
    return float(np.abs(found - torch.linalg.eigvalsh(dense).numpy()).max())
