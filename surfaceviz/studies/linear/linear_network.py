"""A linear network with one hidden layer: convex in the product of its weights, not convex in the weights."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from surfaceviz.problem.problem import Problem
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line, place
from surfaceviz.studies.worlds import function_of, segment_to, slice_of, spectrum_of, with_weights

_TARGET = (1.0, -2.0)  # the row that the 2-3-1 network has to become


def toy_loss(w: Tensor) -> Tensor:
    """Return (1 - w1 w2)^2 for w (2,)."""
    return (1 - w[0] * w[1]).square()


def network(sign: float = 1.0) -> nn.Module:
    """Return a 2-3-1 network without biases at a global minimum; ``sign`` -1 negates all weights."""
    target = torch.tensor(_TARGET, dtype=torch.float64)
    second = torch.tensor([[1.0, 0.5, -1.0]], dtype=torch.float64)
    first = second.T @ target[None] / second.square().sum()
    model = nn.Sequential(nn.Linear(2, 3, bias=False), nn.Linear(3, 1, bias=False))
    return with_weights(model, [sign * first, sign * second])


def run(*, quick: bool) -> Findings:
    """Return the findings; both variants are the same up to the number of points."""
    points = 41 if quick else 81
    toy = function_of(toy_loss, (0.0, 0.0), "(1 - w1 w2)^2")
    plane = slice_of(toy, [(-2, 2, points), (-2, 2, points)], along=["x[0]", "x[1]"])
    origin, minimum = spectrum_of(toy), spectrum_of(function_of(toy_loss, (1.0, 1.0)))
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0]], dtype=torch.float64) * 2**0.5  # whitened: the mean of x x' is 1
    y = x @ torch.tensor(_TARGET, dtype=torch.float64)[:, None]
    problem = Problem(network(), (x, y), "mse", name="2-3-1 linear network")
    segment = segment_to(problem, network(-1.0), points)
    t, barrier = segment.axes[0], segment.values["train_loss"]
    exact = 5.0 * (1 - (1 - 2 * t) ** 2) ** 2
    rows = [
        Row(quantity="origin, smallest eigenvalue", known=-2, found=origin.eigenvalues[0]),
        Row(quantity="origin, largest eigenvalue", known=2, found=origin.eigenvalues[1]),
        Row(quantity="(1, 1), smallest eigenvalue", known=0, found=minimum.eigenvalues[0]),
        Row(quantity="(1, 1), largest eigenvalue", known=4, found=minimum.eigenvalues[1]),
        Row(quantity="barrier between (1, 1) and (-1, -1)", known=1, found=_diagonal(plane.values["train_loss"]).max()),
        Row(quantity="2-3-1 network, barrier between two equal minima", known=5, found=barrier.max()),
        Row(quantity="the same, largest error of the curve", known=0, found=np.abs(barrier - exact).max()),
    ]
    marks = (place("(1, 1)", 1, 1), place("(-1, -1)", -1, -1), place("saddle", 0, 0))
    panels = (
        StudyPanel(title="(1 - w1 w2)^2", x_label="w1", y_label="w2", surface=plane, series=marks, floor=0.01),
        StudyPanel(
            title="2-3-1: from a minimum to its mirror image", x_label="share of the way", y_label="loss",
            series=(line("slice", t, barrier), line("closed form", t, exact, "dashed")),
        ),
    )  # fmt: skip
    return Findings(
        rows=rows, panels=panels,
        see="Two equal minima with a saddle between them; along the valley w1 w2 = 1 one eigenvalue is 0.",
        misleads="The loss is convex in the product of the weights, so that a slice in the function looks convex; the "
        "barrier belongs to the straight line, as the valley's two branches are not connected in this toy.",
    )  # fmt: skip


def _diagonal(values: np.ndarray) -> np.ndarray:
    """Return the values between (-1, -1) and (1, 1) on the square grid over [-2, 2]^2."""
    quarter = (len(values) - 1) // 4
    return np.diag(values)[quarter : 3 * quarter + 1]
