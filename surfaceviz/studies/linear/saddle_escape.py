"""Gradient descent near a saddle: the steps spent there grow with the logarithm of the starting distance."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from surfaceviz.records import FloatArray
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.linear.linear_network import toy_loss
from surfaceviz.studies.worlds import function_of, slice_of, spectrum_of

_RATE, _GONE, _MOST = 0.02, 0.3, 20000  # learning rate; distance at which the saddle is left; steps
_NOISE = 1e-4  # of the perturbed descent, at each step


def descend(start: Tensor, *, noise: float = 0.0, steps: int = _MOST) -> FloatArray:
    """Return the iterates of gradient descent on (1 - w1 w2)^2 until |w1 + w2| / sqrt 2 is large, (n, 2)."""
    random, w = torch.Generator().manual_seed(0), start.clone()
    path = [w]
    for _ in range(steps):
        if abs(float(w.sum())) / math.sqrt(2) > _GONE:
            break
        gradient = torch.func.grad(toy_loss)(w)
        w = w - _RATE * gradient + noise * torch.randn(2, generator=random, dtype=torch.float64)
        path.append(w)
    return np.array([each.numpy() for each in path])


def dwell(distance: float) -> float:
    """Return the number of steps, with a fraction, until the saddle is left along its negative eigenvector."""
    path = descend(torch.full((2,), distance / math.sqrt(2), dtype=torch.float64))
    along = np.log(np.abs(path.sum(1)) / math.sqrt(2))
    share = (math.log(_GONE) - along[-2]) / (along[-1] - along[-2])
    return len(path) - 2 + float(share)


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    saddle = function_of(toy_loss, (0.0, 0.0))
    spectrum = spectrum_of(saddle)
    growth = math.log1p(_RATE * abs(spectrum.lambda_min))
    distances = 10.0 ** -np.arange(3, 7 if quick else 11)
    steps = np.array([dwell(each) for each in distances])
    slope = np.polyfit(np.log(1 / distances), steps, 1)[0]
    stable = torch.tensor([0.4, -0.4], dtype=torch.float64)
    plain, perturbed = descend(stable, steps=1500), descend(stable, noise=_NOISE, steps=5000)
    rows = [
        Row(quantity="smallest eigenvalue at the saddle", known=-2, found=spectrum.lambda_min),
        Row(quantity="steps for a distance e times smaller", known=1 / growth, found=slope, allowed=1e-3 / growth),
        Row(
            quantity="from the stable direction, plain: distance to the saddle at the end", known=0,
            found=float(np.linalg.norm(plain[-1])), allowed=1e-6,
        ),
        Row(quantity="the same, perturbed: steps until it is left", found=len(perturbed) - 1),
    ]  # fmt: skip
    points = 41 if quick else 81
    surface = slice_of(saddle, [(-0.8, 0.8, points)] * 2, along=["x[0]", "x[1]"])
    panels = [
        StudyPanel(
            title="Steps near the saddle", x_label="starting distance", y_label="steps", log="x",
            series=(
                line("gradient descent", distances, steps, "points"),
                line("log(distance) / log(1 + rate |lambda_min|)", distances, np.log(_GONE / distances) / growth),
            ),
        ),
        StudyPanel(
            title="Perturbed descent from the stable direction", x_label="w1", y_label="w2", surface=surface,
            series=(line("", perturbed[:, 0], perturbed[:, 1]),), levels="linear",
        ),
    ]  # fmt: skip
    return Findings(
        rows=rows, panels=panels,
        see="Each power of ten in the distance costs the same number of steps; noise finds the exit at once.",
        misleads="The plateau of the loss looks like a minimum; started exactly on the stable direction, plain descent "
        "does end at the saddle.",
    )  # fmt: skip
