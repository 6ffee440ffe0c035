"""The index of critical points against their loss, for a small network of tanh units, and the random-matrix law."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from surfaceviz.api.critical_points import critical_points
from surfaceviz.problem.problem import Problem
from surfaceviz.records import FloatArray
from surfaceviz.records.studies import CriticalPoints, StudyPanel
from surfaceviz.studies.findings import Findings, Row, line
from surfaceviz.studies.worlds import SilentReporter, fit, half_squares

_PHI = 0.25  # twice the parameters over the numbers of residuals, of the Monte-Carlo check
_SIZE = 600  # of its matrices
_STAGES = (0, 3, 10, 30, 300)  # steps of a training, near whose weights searches start, as in Dauphin et al.
_SPREAD = 0.2


def law_density(z: FloatArray, energy: float, phi: float) -> FloatArray:
    """Return the density of eigenvalues of the random-matrix model, from the root of its cubic equation.

    2 e phi G^3 - (2 e + z phi) G^2 + (z + phi - 1) G - 1 = 0, density |Im G| / pi. Source: Pennington and Bahri,
    ICML 2017.
    """
    companions = np.zeros((len(z), 3, 3))  # their eigenvalues are the roots
    companions[:, 0] = np.stack([2 * energy + z * phi, 1 - phi - z, np.ones(len(z))], axis=1) / (2 * energy * phi)
    companions[:, 1, 0] = companions[:, 2, 1] = 1
    return np.asarray(np.abs(np.linalg.eigvals(companions).imag).max(1) / math.pi)


def law_share(energy: float, phi: float) -> float:
    """Return the share of negative eigenvalues of the random-matrix model."""
    z = np.linspace(-4 - 4 * math.sqrt(energy), 12, 8001)
    density = law_density(z, energy, phi)
    return float(density[z < 0].sum() / density.sum())


def sampled_share(energy: float, phi: float, seed: int = 0) -> float:
    """Return the same for one matrix: Wishart plus Wigner, H = J J' / m + sqrt(2 e) W, n = phi m / 2 parameters."""
    random, n = np.random.default_rng(seed), _SIZE
    m = round(n / phi)
    j = random.standard_normal((n, m))
    w = random.standard_normal((n, n))
    wigner = (w + w.T) / math.sqrt(2 * n) * math.sqrt(2 * energy)
    return float((np.linalg.eigvalsh(j @ j.T / m + wigner) < 0).mean())


def critical_energy(phi: float) -> float:
    """Return e_c = (1 - 20 phi - 8 phi^2 + (1 + 8 phi)^(3/2)) / 16, below which no eigenvalue is negative."""
    return float((1 - 20 * phi - 8 * phi**2 + (1 + 8 * phi) ** 1.5) / 16)


def search(starts: int, stages: Sequence[int]) -> list[CriticalPoints]:
    """Return critical points of a 2-3-1 network of tanh units on random labels, near the stages of a training."""
    noise = torch.Generator().manual_seed(0)
    x = torch.randn((12, 2), generator=noise, dtype=torch.float64)
    y = torch.randn((12, 1), generator=noise, dtype=torch.float64)
    found = []
    for steps in stages:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1)).double()
        problem = Problem(model, (x, y), half_squares)
        if steps:
            fit(problem, steps=steps)
        found.append(
            critical_points(problem, starts=starts, spread=_SPREAD, permuted=True, reporter=SilentReporter())
        )  # fmt: skip
    return found


def run(*, quick: bool) -> Findings:
    """Return the findings."""
    stages = _STAGES[::2] if quick else _STAGES
    found = search(8 if quick else 60, stages)
    loss, share = (np.concatenate(each) for each in zip(*((f.loss, f.negative_share) for f in found), strict=True))
    index = np.concatenate([f.index for f in found])
    edge = critical_energy(_PHI)
    energies = (0.5 * edge, 2 * edge, 6 * edge)
    rows = [
        Row(quantity="critical points found", found=len(loss)),
        Row(quantity="starts that reached none", found=sum(f.unconverged for f in found)),
        Row(quantity="of these at minima of |grad|^2", found=sum(f.flat for f in found)),
        Row(quantity="index of the point of least loss", found=index[loss.argmin()]),
        Row(quantity="correlation of loss and negative share", found=float(np.corrcoef(loss, share)[0, 1])),
        Row(quantity="mean negative share, points of the last stage", found=float(found[-1].negative_share.mean())),
        Row(quantity="mean negative share, points of the first stage", found=float(found[0].negative_share.mean())),
        *(
            Row(
                quantity=f"law at e = {e / edge:g} e_c: negative share, against a matrix of {_SIZE}",
                known=law_share(e, _PHI), found=sampled_share(e, _PHI), allowed=3 / _SIZE + 0.002,
            )
            for e in energies
        ),
    ]  # fmt: skip
    grid = np.linspace(0.2 * edge, 8 * edge, 25)
    panels = [
        StudyPanel(
            title="2-3-1 network of tanh units", x_label="loss", y_label="share of negative eigenvalues",
            series=tuple(
                line(f"near step {steps}", f.loss, f.negative_share, "points")
                for steps, f in zip(stages, found, strict=True)
            ),
        ),
        StudyPanel(
            title=f"Random-matrix law, phi = {_PHI:g}", x_label="e / e_c", y_label="share of negative eigenvalues",
            series=(
                line("cubic equation", grid / edge, [law_share(e, _PHI) for e in grid]),
                line("one matrix", [e / edge for e in energies], [sampled_share(e, _PHI) for e in energies], "points"),
            ),
        ),
    ]  # fmt: skip
    return Findings(
        rows=rows, panels=panels,
        see="Points near the end of the training have a lower loss and fewer negative eigenvalues than those near its "
        "start; the law rises from 0 above its critical energy.",
        misleads="Where a search starts decides which points it finds: random starts alone show no trend in so small a "
        "network, and most of them reach no critical point.",
    )  # fmt: skip
