"""Stability along a training: the sharpness at each checkpoint against the thresholds of the optimiser."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from surfaceviz.records.arrays import FloatArray, html_table


@dataclass(frozen=True, slots=True, kw_only=True)
class Edge:
    """Sharpness along the checkpoints of a training; each array is (t,), with NaN where nothing was computed.

    Attributes:
        step: number of steps done.
        learning_rate: eta, that of the next step; the largest of several groups.
        loss: of the training split, with the L2 penalty that is added to the gradient.
        lambda_max: the largest eigenvalue of the Hessian H of that loss.
        preconditioned: that of P^-1/2 H P^-1/2, P the preconditioner of the optimiser; NaN where P is 1.
        threshold: of the optimiser, for ``preconditioned``, or ``lambda_max`` where P is 1; infinite for eta = 0.
        batch_sharpness: mean of g_B' H_B g_B / |g_B|^2 over mini-batches B.
        batch_sharpness_stderr: its standard error.
        critical_sharpness: 2 / eta_c along the optimiser's next step; infinite where the loss rises at once.
        converged: whether the eigenvalues have converged.
        checkpoints: fingerprints of the checkpoints.
        provenance: what made them: ``problem``, ``optimiser``, ``split``, ``samples``, ``batch``, ...
    """

    step: FloatArray
    learning_rate: FloatArray
    loss: FloatArray
    lambda_max: FloatArray
    preconditioned: FloatArray
    threshold: FloatArray
    batch_sharpness: FloatArray
    batch_sharpness_stderr: FloatArray
    critical_sharpness: FloatArray
    converged: NDArray[np.bool_]
    checkpoints: tuple[str, ...]
    provenance: Mapping[str, str | int | float] = field(default_factory=dict)

    @property
    def edge(self) -> FloatArray:
        """The threshold of gradient descent, 2 / eta, (t,)."""
        with np.errstate(divide="ignore"):
            return np.asarray(2 / self.learning_rate)

    @property
    def is_preconditioned(self) -> bool:
        """Whether the optimiser has a preconditioner whose state is known at a checkpoint."""
        return bool(np.isfinite(self.preconditioned).any())

    @property
    def has_own_threshold(self) -> bool:
        """Whether the threshold is not that of gradient descent."""
        known = np.isfinite(self.threshold)
        return bool((np.abs(self.threshold - self.edge)[known] > 1e-9 * self.edge[known]).any())

    @property
    def sharpness(self) -> FloatArray:
        """The eigenvalue that ``threshold`` is for, (t,)."""
        return self.preconditioned if self.is_preconditioned else self.lambda_max

    @property
    def title(self) -> str:
        """The problem's name and the optimiser, for a picture."""
        parts = [str(self.provenance.get("problem", "")), str(self.provenance.get("optimiser", ""))]
        return ", ".join(filter(None, parts))

    def __repr__(self) -> str:
        return f"<Edge of {len(self.step)} checkpoints>"

    def _repr_html_(self) -> str:
        return html_table([("", line) for line in edge_table(self)])


def edge_table(edge: Edge) -> list[str]:
    """Return a table: a head, and a line for each checkpoint; columns that nobody computed are left out."""
    columns = {
        "step": [f"{x:.0f}" for x in edge.step],
        "lr": _numbers(edge.learning_rate),
        "loss": _numbers(edge.loss),
        "lambda_max": [
            f"{text}{'' if done else '?'}" for text, done in zip(_numbers(edge.lambda_max), edge.converged, strict=True)
        ],
        "2/lr": _numbers(edge.edge),
        "preconditioned": _numbers(edge.preconditioned),
        "threshold": _numbers(edge.threshold),
        "batch sharpness": _with_errors(edge.batch_sharpness, edge.batch_sharpness_stderr),
        "critical sharpness": _numbers(edge.critical_sharpness),
    }
    left_out = {name for name, cells in columns.items() if not any(cell.strip("?") for cell in cells)}
    left_out |= set() if edge.has_own_threshold else {"threshold"}
    shown = {name: cells for name, cells in columns.items() if name not in left_out}
    widths = {name: max(map(len, (name, *cells))) + 2 for name, cells in shown.items()}
    rows = [[cells[i] for cells in shown.values()] for i in range(len(edge.step))]
    return ["".join(f"{cell:>{w}}" for cell, w in zip(row, widths.values(), strict=True)) for row in (shown, *rows)]


def edge_rows(edge: Edge) -> list[tuple[str, str]]:
    """Return lines about a training's stability: its last checkpoints against the threshold, and what is assumed."""
    known = edge.provenance
    rows = [("optimiser", str(known.get("optimiser", "")))]
    late = np.arange(len(edge.step)) >= len(edge.step) // 2
    shares = edge.sharpness / edge.threshold
    shown = shares[late & np.isfinite(shares)]
    if shown.size:
        name = "preconditioned lambda_max" if edge.is_preconditioned else "lambda_max"
        rows.append(("edge", f"in the second half, {name} is {shown.min():.3g} to {shown.max():.3g} of its threshold"))
    rows += [(name, str(known[name])) for name in ("batch", "caveat") if name in known]
    return rows


def _numbers(values: FloatArray) -> list[str]:
    return ["" if np.isnan(x) else f"{x:.5g}" for x in values]


def _with_errors(values: FloatArray, errors: FloatArray) -> list[str]:
    pairs = zip(values, errors, strict=True)
    return ["" if np.isnan(x) else f"{x:.4g}" + (f" +- {e:.1g}" if e > 0 else "") for x, e in pairs]
