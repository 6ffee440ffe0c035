"""Panels of curvature along a training: largest eigenvalue, trace, gradient norm."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from surfaceviz.records import Curvature, FloatArray, Spectrum, student_factor
from surfaceviz.render.style import scaled

_WIDE = 20.0  # a span of positive values above which they are drawn on a log scale, as losses are


@dataclass(frozen=True, slots=True, kw_only=True)
class CurvatureQuantity:
    """What a panel shows of each spectrum: a value, maybe its 95% error, maybe a doubt."""

    label: str
    value: Callable[[Spectrum], float | None]
    error: Callable[[Spectrum], float | None] = lambda _: None
    sure: Callable[[Spectrum], bool] = lambda _: True


def _trace_error(s: Spectrum) -> float | None:
    return None if s.trace_stderr is None else student_factor(s.probes) * s.trace_stderr


QUANTITIES = (
    CurvatureQuantity(label=r"$\lambda_{\max}$", value=lambda s: s.lambda_max, sure=lambda s: bool(s.converged[-1])),
    CurvatureQuantity(label="trace", value=lambda s: s.trace, error=_trace_error),
    CurvatureQuantity(label="gradient norm", value=lambda s: s.gradient_norm),
)


def values(training: Curvature, read: Callable[[Spectrum], float | None]) -> FloatArray:
    """Return a figure of each spectrum of a training, NaN where it was not computed."""
    return np.array([np.nan if (x := read(spectrum)) is None else x for spectrum in training.spectra], np.float64)


def is_known(trainings: Sequence[Curvature], quantity: CurvatureQuantity) -> bool:
    """Return whether anybody has computed a quantity."""
    return any(bool(np.isfinite(values(training, quantity.value)).any()) for training in trainings)


def times(trainings: Sequence[Curvature]) -> tuple[list[FloatArray], str]:
    """Return where the checkpoints of each training lie on the shared axis, and its name.

    That is their steps of training, or their numbers from 1 where any has no step.
    """
    steps = [values(training, lambda s: s.step) for training in trainings]
    if all(np.isfinite(step).all() for step in steps):
        return steps, "step"
    return [np.arange(1.0, len(step) + 1) for step in steps], "checkpoint"


def draw_quantity(
    ax: Axes, training: Curvature, x: FloatArray, quantity: CurvatureQuantity, *, colour: str, label: str
) -> Line2D:
    """Draw a quantity against the time of training and return its line.

    A marker is a checkpoint, hollow where the eigenvalue did not converge; the band is the 95% interval by Student's
    t to either side.

    Args:
        ax: the axes to draw on.
        training: spectra along checkpoints.
        x: where they lie, (n,).
        quantity: one of `QUANTITIES`.
        colour: of the line.
        label: for a legend.
    """
    y, error = values(training, quantity.value), values(training, quantity.error)
    (line,) = ax.plot(x, y, color=colour, linewidth=scaled(1.2), label=label)
    sure = np.array([quantity.sure(spectrum) for spectrum in training.spectra])
    for shown, face in ((sure, colour), (~sure, "white")):
        if shown.any():
            ax.plot(
                x[shown],
                y[shown],
                "o",
                color=colour,
                markersize=scaled(3.2),
                markerfacecolor=face,
                markeredgewidth=scaled(0.9),
            )
    if np.isfinite(error).any():
        ax.fill_between(x, y - error, y + error, color=colour, alpha=0.2, linewidth=0)
    return line


def finish_panel(ax: Axes, trainings: Sequence[Curvature], quantity: CurvatureQuantity) -> None:
    """Label a panel's axis, and make it a log scale where positive values span more than a factor of 20."""
    symbols = {spectrum.symbol for training in trainings for spectrum in training.spectra}
    of = f" of {symbols.pop()}" if quantity.label != "gradient norm" and len(symbols) == 1 else ""
    ax.set_ylabel(quantity.label + of)
    seen = np.concatenate([values(training, quantity.value) for training in trainings])
    finite = seen[np.isfinite(seen)]
    if finite.min() > 0 and finite.max() > _WIDE * finite.min():
        ax.set_yscale("log")
