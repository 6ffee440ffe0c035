"""A student of rectified units learns a teacher of orthogonal units over Gaussian inputs: how often does it fail?

F(W) = 1/2 E (sum_i relu(w_i'x) - sum_j relu(v_j'x))^2 over x ~ N(0, I_k), V = I, with the kernel
E relu(w'x) relu(v'x) = f(w, v) = |w| |v| (sin t + (pi - t) cos t) / (2 pi), t the angle.

A run counts as converged when |grad F| <= 1e-8, and as spurious when it is converged and F > 1e-3. Source of the world,
the starts N(0, 1/k) and the rate 5/k: Safran and Shamir, arXiv 1712.08968, section 4.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from surfaceviz.records import FloatArray
from surfaceviz.records.studies import StudyPanel, StudySeries
from surfaceviz.studies.findings import Findings, Row
from surfaceviz.studies.worlds import function_of, spectrum_of

_CONVERGED, _SPURIOUS = 1e-8, 1e-3
_STEPS, _CHECK = 60000, 200
_THEIRS = 1000  # runs of the paper's table
_TABLE = {(8, 8): (0.126, 0.021), (9, 9): (0.218, 0.027), (11, 11): (0.455, 0.034)}  # (k, n): share, eigenvalue


@dataclass(frozen=True, slots=True, kw_only=True)
class Runs:
    """Ends of gradient descent: weights (S, n, k), losses (S,), and which of them converged (S,)."""

    weights: Tensor
    loss: FloatArray
    converged: FloatArray


def kernel(w: Tensor, v: Tensor) -> Tensor:
    """Return f(w_i, v_j) for rows, (..., n, m).

    t comes from atan2 of |w| |v| sin t and |w| |v| cos t. At w = v the kernel has two derivatives, which autograd does
    not get from this expression: `population_loss` takes f(w, w) = |w|^2 / 2 itself, and its Hessian must not be taken
    where a student equals a teacher.
    """
    dot = w @ v.mT
    squares = w.square().sum(-1)[..., :, None] * v.square().sum(-1)[..., None, :]
    sine = (squares - dot.square()).clamp_min(1e-30).sqrt()
    return (sine + (math.pi - torch.atan2(sine, dot)) * dot) / (2 * math.pi)


def population_loss(w: Tensor) -> Tensor:
    """Return F of students (..., n, k), closed form."""
    n, k = w.shape[-2:]
    pairs = ~torch.eye(n, dtype=torch.bool)
    teacher = torch.eye(k, dtype=w.dtype)
    students = torch.where(pairs, kernel(w, w), torch.zeros((), dtype=w.dtype))
    own = w.square().sum((-1, -2)) / 2  # f(w, w), of which the derivative is w
    constant = k / 2 + k * (k - 1) / (2 * math.pi)
    return (own + students.sum((-1, -2)) - 2 * kernel(w, teacher).sum((-1, -2)) + constant) / 2


def gradient(w: Tensor) -> Tensor:
    """Return dF/dw_i = sum_j d f(w_i, w_j) - sum_j d f(w_i, v_j), (..., n, k).

    d f(w, v) = (|v| sin t w / |w| + (pi - t) v) / (2 pi), which is finite at w = v as well.
    """
    teacher = torch.eye(w.shape[-1], dtype=w.dtype).expand(*w.shape[:-2], -1, -1)
    return _slope(w, w) - _slope(w, teacher)


def _slope(w: Tensor, v: Tensor) -> Tensor:
    lengths, others = w.norm(dim=-1, keepdim=True), v.norm(dim=-1, keepdim=True)
    cosine = ((w / lengths) @ (v / others).mT).clamp(-1, 1)
    sine = (1 - cosine.square()).sqrt()
    along = (sine * others.mT).sum(-1, keepdim=True) * w / lengths
    slope: Tensor = (along + (math.pi - torch.arccos(cosine)) @ v) / (2 * math.pi)
    return slope


def descend(k: int, n: int, runs: int, *, seed: int = 0) -> Runs:
    """Return the ends of ``runs`` gradient descents, all at once."""
    noise = torch.Generator().manual_seed(seed)
    w = torch.randn((runs, n, k), generator=noise, dtype=torch.float64) / math.sqrt(k)
    active = torch.arange(runs)
    for step in range(_STEPS):
        some = w[active]
        slope = gradient(some)
        w[active] = some - 5 / k * slope
        if step % _CHECK == 0:
            active = active[slope.flatten(1).norm(dim=1) > _CONVERGED]
            if not len(active):
                break
    converged = gradient(w).flatten(1).norm(dim=1) <= _CONVERGED
    return Runs(weights=w, loss=population_loss(w).numpy(), converged=converged.double().numpy())


def run(*, quick: bool) -> Findings:
    """Return the findings; shares agree within three standard errors of both samples."""
    sizes = [(8, 8)] if quick else list(_TABLE)
    runs, looked = (100, 3) if quick else (500, 30)
    rows, shares = [], []
    for k, n in sizes:
        ends = descend(k, n, runs)
        bad = (ends.loss > _SPURIOUS) & (ends.converged > 0)
        share, (known, curvature) = float(bad.sum() / ends.converged.sum()), _TABLE[k, n]
        error = math.sqrt(known * (1 - known) * (1 / _THEIRS + 1 / runs))
        shares.append((k, share, math.sqrt(share * (1 - share) / runs), known))
        smallest = [_lambda_min(ends.weights[i]) for i in np.flatnonzero(bad)[:looked]]
        rows += [
            Row(quantity=f"k = n = {k}: converged runs of {runs}", found=ends.converged.sum()),
            Row(quantity=f"k = n = {k}: share of spurious minima", known=known, found=share, allowed=3 * error),
            Row(
                quantity=f"k = n = {k}: mean smallest eigenvalue there", known=curvature,
                found=float(np.mean(smallest)),
                allowed=0.0005 + 3 * float(np.std(smallest, ddof=1)) / math.sqrt(len(smallest)),
            ),
            Row(
                quantity=f"k = n = {k}: spurious ends without positive curvature", known=0, allowed=0,
                found=sum(value <= 0 for value in smallest),
            ),
        ]  # fmt: skip
    wide = descend(6, 8, runs)
    rows.append(
        Row(quantity="k = 6, n = 8: spurious minima", known=0, found=int((wide.loss > _SPURIOUS).sum()), allowed=0)
    )
    numbers = np.array(shares)
    ours = StudySeries(label="ours", x=numbers[:, 0], y=numbers[:, 1], kind="points", error=numbers[:, 2])
    theirs = StudySeries(
        label="Safran and Shamir, Table 1", x=numbers[:, 0] + 0.08, y=numbers[:, 3], kind="points",
        error=np.sqrt(numbers[:, 3] * (1 - numbers[:, 3]) / _THEIRS),
    )  # fmt: skip
    losses = np.sort(ends.loss)[::-1]
    ranked = StudySeries(label="", x=np.arange(1.0, runs + 1), y=np.maximum(losses, 1e-18), kind="points")
    panels = [
        StudyPanel(title="Share of spurious minima", x_label="k = n", y_label="share of runs", series=(ours, theirs)),
        StudyPanel(title=f"Final losses, k = n = {k}", x_label="run", y_label="F", log="y", series=(ranked,)),
    ]
    return Findings(
        rows=rows, panels=panels,
        see="Runs end at a loss of 0 or well above it, in minima with positive curvature in every direction.",
        misleads="Two more units than the teacher has and no run fails: the failure is one of exact width.",
    )  # fmt: skip


def _lambda_min(w: Tensor) -> float:
    """Return the smallest eigenvalue of the Hessian of F at a student (n, k)."""
    problem = function_of(lambda x: population_loss(x.view(w.shape)), w.reshape(-1))
    return spectrum_of(problem, top=0, bottom=1, rtol=1e-4).lambda_min
