"""How often is a random symmetric matrix positive definite? Independent signs against the semicircle."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records import FloatArray
from surfaceviz.records.studies import StudyPanel
from surfaceviz.studies.findings import Findings, Row, line

_MOST = 10  # the largest matrix
_SHIFTS = (0.0, 1.0, 2.0)  # of the semicircle, in units of half its radius
_SIZE = 400  # of the matrices of the histogram


def signed_matrices(size: int, count: int, random: np.random.Generator) -> FloatArray:
    """Return Q diag(s) Q' with independent fair signs and orthogonal Q, (count, size, size)."""
    q = np.linalg.qr(random.standard_normal((count, size, size)))[0]
    signs = random.choice([-1.0, 1.0], (count, 1, size)) * random.uniform(0.1, 1.0, (count, 1, size))
    return np.asarray((q * signs) @ q.transpose(0, 2, 1))


def gaussian_matrices(size: int, count: int, random: np.random.Generator) -> FloatArray:
    """Return matrices of the Gaussian orthogonal ensemble with entries of variance 1 off the diagonal and 2 on it."""
    a = random.standard_normal((count, size, size))
    return np.asarray((a + a.transpose(0, 2, 1)) / math.sqrt(2))


def share_of_minima(matrices: FloatArray) -> float:
    """Return the share of positive definite matrices."""
    return float((np.linalg.eigvalsh(matrices)[:, 0] > 0).mean())


def semicircle_below(x: float) -> float:
    """Return the share of Wigner's semicircle over [-2, 2] below x."""
    x = min(2.0, max(-2.0, x))
    return 0.5 + x * math.sqrt(4 - x * x) / (4 * math.pi) + math.asin(x / 2) / math.pi


def run(*, quick: bool) -> Findings:
    """Return the findings; shares agree within three standard errors of the sample."""
    random, count = np.random.default_rng(0), 4000 if quick else 40000
    sizes = range(1, _MOST + 1)
    signed = [share_of_minima(signed_matrices(n, count, random)) for n in sizes]
    gaussian = [share_of_minima(gaussian_matrices(n, count, random)) for n in sizes]
    rows = [_share(f"independent signs, N = {n}", 2.0**-n, signed[n - 1], count) for n in sizes]
    rows.append(_share("Gaussian, N = 2", (2 - math.sqrt(2)) / 4, gaussian[1], count))
    values = np.linalg.eigvalsh(gaussian_matrices(_SIZE, 1, random))[0] / math.sqrt(_SIZE)
    rows += [
        Row(
            quantity=f"semicircle shifted by {shift:g}: negative share", known=semicircle_below(-shift),
            found=float((values + shift < 0).mean()), allowed=2 / _SIZE + 3 / _SIZE,
        )
        for shift in _SHIFTS
    ]  # fmt: skip
    shown = [k for k, share in enumerate(gaussian) if share > 0]
    panels = [
        StudyPanel(
            title="Probability of a minimum", x_label="N", y_label="share of matrices without a negative eigenvalue",
            log="y",
            series=(
                line("2^-N", list(sizes), [2.0**-n for n in sizes]),
                line("independent signs", list(sizes), signed, "points"),
                line("Gaussian", [sizes[k] for k in shown], [gaussian[k] for k in shown], "points"),
            ),
        ),
        _semicircles(values),
    ]  # fmt: skip
    return Findings(
        rows=rows, panels=panels,
        see="With independent signs a minimum has probability 2^-N; where eigenvalues repel each other it is rarer.",
        misleads="The heuristic is about a random point: at low losses the whole semicircle has moved, and minima are "
        "what is left.",
    )  # fmt: skip


def _share(quantity: str, known: float, found: float, count: int) -> Row:
    return Row(quantity=quantity, known=known, found=found, allowed=3 * math.sqrt(known * (1 - known) / count))


def _semicircles(values: NDArray[np.float64]) -> StudyPanel:
    edges = np.linspace(-2.2, 4.2, 33)
    middle = (edges[1:] + edges[:-1]) / 2
    series = []
    for shift in _SHIFTS:
        density = np.histogram(values + shift, edges, density=True)[0]
        series.append(line(f"shift {shift:g}", middle, density, "points"))
        inside = np.clip(4 - (middle - shift) ** 2, 0, None)
        series.append(line("", middle, np.sqrt(inside) / (2 * math.pi)))
    return StudyPanel(
        title="Semicircles shifted by the loss", x_label="eigenvalue", y_label="density", series=tuple(series)
    )
