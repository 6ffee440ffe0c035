"""What studies share: quiet runs of the public functions in one process, and problems at given weights."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surfaceviz.api.hessian import hessian
from surfaceviz.api.slice import slice as cut
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice, Spectrum

# Provenance that tells of a machine and a moment: the files of studies are shared.
_OF_THE_RUN = ("folder", "created", "seconds", "engine_timings", "worker_points")


class SilentReporter:
    """A reporter that drops everything: a study says itself what its warnings would."""

    def say(self, line: str) -> None:
        """Drop the line."""

    def warn(self, line: str) -> None:
        """Drop the line."""

    def advance(self, done: int, total: int | None, fresh: int) -> None:
        """Drop the progress."""


class Point(nn.Module):
    """Parameters ``x`` (P,) alone, for a loss that is a function of them."""

    def __init__(self, x: Sequence[float] | Tensor) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.as_tensor(x, dtype=torch.float64).clone())


def function_of(f: Callable[[Tensor], Tensor], x: Sequence[float] | Tensor, name: str = "") -> Problem:
    """Return the problem whose loss is f(x), at the point x (P,) float64."""
    return Problem(Point(x), loss=lambda model: f(model.x), name=name)


def slice_of(problem: Problem, axes: Sequence[Any], **options: Any) -> Slice:
    """Return a slice, computed in this process without messages."""
    surface = cut(problem, axes, **{"workers": 1, "engine": "eager", "reporter": SilentReporter(), **options})
    return replace(surface, provenance={k: v for k, v in surface.provenance.items() if k not in _OF_THE_RUN})


def segment_to(problem: Problem, other: nn.Module, points: int, **options: Any) -> Slice:
    """Return the slice from a problem's weights (0) to those of another model (1)."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "other.pt"
        torch.save(other.state_dict(), path)
        return slice_of(problem, [(0, 1, points)], toward=str(path), **options)


def spectrum_of(problem: Problem, **options: Any) -> Spectrum:
    """Return the spectrum at a problem's weights, computed in this process without messages."""
    return hessian(problem, **{"workers": 1, "reporter": SilentReporter(), **options})


def with_weights(model: nn.Module, weights: Sequence[Tensor]) -> nn.Module:
    """Return a copy of a model in float64 with its parameters, in their order, replaced."""
    made = copy.deepcopy(model).double()
    with torch.no_grad():
        for parameter, tensor in zip(made.parameters(), weights, strict=True):
            parameter.copy_(tensor)
    return made


def half_squares(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return |outputs - targets|^2 / 2 for each sample, (N,)."""
    return (outputs - targets).square().flatten(1).sum(1) / 2


def fit(problem: Problem, *, steps: int = 200) -> Problem:
    """Return the problem with its model trained on the first split by L-BFGS, in place."""
    batch = problem.sources[problem.splits[0]]
    optimiser = torch.optim.LBFGS(
        problem.model.parameters(), max_iter=steps, tolerance_grad=1e-12, tolerance_change=1e-15,
        line_search_fn="strong_wolfe",
    )  # fmt: skip

    def closure() -> Tensor:
        optimiser.zero_grad()
        total, weight = problem.measure_loss(problem.model, batch)
        loss: Tensor = torch.as_tensor(total).sum() / torch.as_tensor(weight).sum()
        loss.backward()
        return loss

    optimiser.step(closure)
    return problem
