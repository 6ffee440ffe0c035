"""Matrix factorisation and phase retrieval: not convex, but each minimum is global and each saddle has an exit."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from surfaceviz.api.critical_points import critical_points
from surfaceviz.records import FloatArray
from surfaceviz.records.studies import CriticalPoints, StudyPanel
from surfaceviz.studies.findings import Findings, Row, place
from surfaceviz.studies.worlds import SilentReporter, function_of, slice_of, spectrum_of

_LAMBDA = (3.0, 2.0, 1.0)  # eigenvalues of the matrix M


def rank_one(u: Tensor) -> Tensor:
    """Return |u u' - M|^2 / 4 for M = diag(3, 2, 1)."""
    m = torch.diag(torch.tensor(_LAMBDA, dtype=torch.float64))
    return (torch.outer(u, u) - m).square().sum() / 4


def phase_retrieval(x: Tensor) -> Tensor:
    """Return E ((a'x)^2 - (a'z)^2)^2 / 4 over a ~ N(0, I) for z = (1, 0, 0): its closed form."""
    square, overlap = x.square().sum(), x[0].square()
    return (3 * square.square() + 3 - 2 * square - 4 * overlap) / 4


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    rows = [
        *_rows("u = 0", spectrum_of(function_of(rank_one, (0.0, 0.0, 0.0))).eigenvalues, [-3, -2, -1]),
        *(
            row
            for i, value in enumerate(_LAMBDA)
            for row in _rows(f"u = sqrt({value:g}) v{i + 1}", _spectrum_at(i), _rank_one_spectrum(i))
        ),
        *_rows("phase, x = 0", spectrum_of(function_of(phase_retrieval, (0.0, 0.0, 0.0))).eigenvalues, [-3, -1, -1]),
        *_rows("phase, x = z", spectrum_of(function_of(phase_retrieval, (1.0, 0.0, 0.0))).eigenvalues, [2, 2, 6]),
        *_rows(
            "phase, x orthogonal to z", spectrum_of(function_of(phase_retrieval, (0.0, 3**-0.5, 0.0))).eigenvalues,
            [-2, 0, 2],
        ),
    ]  # fmt: skip
    starts = 60 if quick else 200
    rank, phase = (
        critical_points(function_of(f, (0.0, 0.0, 0.0)), starts=starts, spread=1.2, reporter=SilentReporter())
        for f in (rank_one, phase_retrieval)
    )
    rows += [
        Row(quantity="rank one: critical points found", known=7, found=len(rank), allowed=0),
        Row(quantity="rank one: minima that are not global", known=0, found=_spurious(rank), allowed=0),
        Row(quantity="phase: minima that are not global", known=0, found=_spurious(phase), allowed=0),
        Row(quantity="phase: critical points without exit, not global", known=0, found=_no_exit(phase), allowed=0),
    ]
    points = 41 if quick else 81
    axes = [(-2, 2, points)] * 2
    first = slice_of(function_of(rank_one, (0.0, 0.0, 0.0)), axes, along=["x[0]", "x[1]"])
    second = slice_of(function_of(phase_retrieval, (0.0, 0.0, 0.0)), [(-1.2, 1.2, points)] * 2, along=["x[0]", "x[1]"])
    r, s = _LAMBDA[0] ** 0.5, _LAMBDA[1] ** 0.5
    panels = [
        StudyPanel(
            title="|u u' - M|^2 / 4", x_label="u1", y_label="u2", surface=first, levels="log",
            series=(place("min", r, 0), place("min", -r, 0), place("saddle", 0, s), place("max", 0, 0)),
        ),
        StudyPanel(
            title="Phase retrieval", x_label="x1 (along z)", y_label="x2", surface=second, levels="log", floor=0.03,
            series=(place("z", 1, 0), place("-z", -1, 0), place("saddle", 0, 3**-0.5), place("max", 0, 0)),
        ),
    ]  # fmt: skip
    return Findings(
        rows=rows, panels=panels,
        see="Every critical point that is not a global minimum has a direction of negative curvature.",
        misleads="A plane shows two of three signs. In phase retrieval the saddles are a circle, so that their Hessian "
        "has a 0: by itself it is a degenerate saddle.",
    )  # fmt: skip


def _spectrum_at(i: int) -> FloatArray:
    u = torch.zeros(3, dtype=torch.float64)
    u[i] = _LAMBDA[i] ** 0.5
    return spectrum_of(function_of(rank_one, u)).eigenvalues


def _rank_one_spectrum(i: int) -> list[float]:
    """Return 2 lambda_i and lambda_i - lambda_j for the other j, ascending."""
    here = _LAMBDA[i]
    return sorted([2 * here, *(here - other for j, other in enumerate(_LAMBDA) if j != i)])


def _rows(name: str, found: FloatArray, known: list[float]) -> list[Row]:
    return [
        Row(quantity=f"{name}: largest error of an eigenvalue", known=0, found=float(np.abs(found - known).max())),
        Row(
            quantity=f"{name}: index", known=sum(value < 0 for value in known), found=int((found < -1e-9).sum()),
            allowed=0,
        ),
    ]  # fmt: skip


def _spurious(points: CriticalPoints) -> int:
    minima = np.array(points.kinds) == "local minimum"
    return int((points.loss[minima] > points.loss.min() + 1e-9).sum())


def _no_exit(points: CriticalPoints) -> int:
    return int(((points.index == 0) & (points.loss > points.loss.min() + 1e-9)).sum())
