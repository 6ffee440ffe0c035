"""A plane of the loss by each library, through the functions that its users call. `bench_peers.py` compares them.

All get one network in eval mode, one set of samples in float32 and one number of points; each chooses its directions by
its own rule, since that is a part of what it computes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import surfaceviz
from surfaceviz.pipeline.resolve import resolve
from surfaceviz.problem.problem import Problem

Plane = Callable[["Task", int], Any]
_BATCHES = (128, 480)  # samples in a batch that the peers are tried with, beside all at once; the fastest counts


@dataclass(frozen=True, slots=True)
class Task:
    """What every library is given."""

    model: nn.Module
    x: Tensor
    y: Tensor

    @classmethod
    def of(cls, name: str) -> Task:
        """Return the network and the samples of ``NAME:COUNT``, the first so many of the train split."""
        name, _, count = name.partition(":")
        problem = resolve(name, None)
        x, y = problem.load("train").rows
        size = int(count or len(x))
        return cls(problem.model.eval(), x[:size].float(), y[:size])

    @property
    def problem(self) -> Problem:
        """The same for surfaceviz."""
        return Problem(self.model, (self.x, self.y), "cross_entropy")

    def batches(self) -> list[tuple[Tensor, Tensor]]:
        """Return the samples in batches of the size by which the loss takes the least time, of three tries each."""
        seconds = {}
        for size in (*(size for size in _BATCHES if size < len(self.x)), len(self.x)):
            batches = list(zip(self.x.split(size), self.y.split(size), strict=True))
            tries = []
            for _ in range(3):
                begun = time.perf_counter()
                mean_loss(self.model, batches)
                tries.append(time.perf_counter() - begun)
            seconds[size] = min(tries)
        best = min(seconds, key=seconds.__getitem__)
        return list(zip(self.x.split(best), self.y.split(best), strict=True))


@torch.no_grad()
def mean_loss(model: nn.Module, batches: list[tuple[Tensor, Tensor]]) -> float:
    """Return the mean cross-entropy over all samples."""
    total = sum(nn.functional.cross_entropy(model(x), y, reduction="sum") for x, y in batches)
    return float(total) / sum(len(y) for _, y in batches)


def surfaceviz_plane(task: Task, count: int) -> Callable[[], Any]:
    """Return what cuts a plane of count x count points by `surfaceviz.slice`, on one process."""
    axes = [(-1, 1, count)] * 2
    problem = task.problem

    def plane() -> Any:
        quiet = surfaceviz.QuietReporter()
        return surfaceviz.slice(problem, axes, workers=1, device="cpu", reporter=quiet)

    return plane


def loss_landscapes_plane(task: Task, count: int) -> Callable[[], NDArray[np.float64]]:
    """Return the same by loss-landscapes, with filter normalisation."""
    import loss_landscapes  # noqa: PLC0415  each child imports its own
    from loss_landscapes.metrics import Metric  # noqa: PLC0415

    batches = task.batches()

    class MeanLoss(Metric):  # type: ignore[misc]
        def __call__(self, wrapper: Any) -> float:
            return mean_loss(wrapper.modules[0], batches)

    def plane() -> NDArray[np.float64]:
        with torch.no_grad():
            values = loss_landscapes.random_plane(
                task.model, MeanLoss(), distance=1, steps=count, normalization="filter", deepcopy_model=True
            )
        return np.asarray(values)

    return plane


def landscaper_plane(task: Task, count: int) -> Callable[[], NDArray[np.float64]]:
    """Return the same by landscaper; its directions are normalised by layers."""
    from landscaper import LossLandscape  # noqa: PLC0415
    from landscaper.utils import generate_random_orthogonal_directions  # noqa: PLC0415

    batches = task.batches()

    def plane() -> NDArray[np.float64]:
        found = LossLandscape.compute(
            task.model, batches, generate_random_orthogonal_directions(task.model, 2), mean_loss, steps=count,
            distance=1.0, dim=2, device="cpu",
        )  # fmt: skip
        return np.asarray(found.loss)

    return plane


def landscape_3d_plane(task: Task, count: int) -> Callable[[], NDArray[np.float64]]:
    """Return the same by loss-landscape-3d, with filter normalisation."""
    from loss_landscape_3d import LossLandscapeCalculator, generate_random_directions  # noqa: PLC0415

    calculator = LossLandscapeCalculator(task.model, task.batches(), nn.CrossEntropyLoss())
    axis = np.linspace(-1, 1, count)

    def plane() -> NDArray[np.float64]:
        first, second = generate_random_directions(task.model)
        centre = {name: value.clone() for name, value in task.model.state_dict().items()}
        return np.asarray(calculator.calculate(axis, axis, first, second, centre))

    return plane


PLANES: dict[str, Callable[[Task, int], Callable[[], Any]]] = {
    "surfaceviz": surfaceviz_plane,
    "loss-landscapes": loss_landscapes_plane,
    "landscaper": landscaper_plane,
    "loss-landscape-3d": landscape_3d_plane,
}


LIBRARIES = tuple(PLANES)


def draw_plane(library: str, plane: Any, path: Path) -> None:
    """Write a contour picture by the library's own drawing; loss-landscapes has none, and gets matplotlib's."""
    import matplotlib as mpl  # noqa: PLC0415

    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415

    if library == "surfaceviz":
        surfaceviz.plot(plane, output=path, overwrite=True)
        return
    axis = np.linspace(-1, 1, len(plane))
    if library == "landscaper":
        from landscaper.plots import contour  # noqa: PLC0415

        contour([axis, axis], plane, show=False).savefig(path)
    elif library == "loss-landscape-3d":
        from loss_landscape_3d import LossLandscapeVisualizer  # noqa: PLC0415

        LossLandscapeVisualizer(axis, axis, plane).plot_contour_matplotlib(save_path=str(path))
    else:
        plt.contourf(axis, axis, plane, levels=25)
        plt.colorbar()
        plt.savefig(path)
