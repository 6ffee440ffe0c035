"""Independent baselines: closed forms in numpy float64, and small worlds to slice."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import surfaceviz
from surfaceviz.directions import random
from surfaceviz.directions.specs import Random
from surfaceviz.problem import checkpoints
from surfaceviz.problem.parameters import filters_of, moving_parameters
from surfaceviz.problem.problem import Problem
from surfaceviz.records import Slice

Array = NDArray[np.float64]


def regression(samples: int = 37, inputs: int = 5, outputs: int = 3) -> tuple[nn.Linear, Tensor, Tensor]:
    """Return a float64 linear model off its minimum, and data."""
    generator = torch.Generator().manual_seed(1)
    model = nn.Linear(inputs, outputs, bias=True).double()
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    x = torch.randn(samples, inputs, generator=generator, dtype=torch.float64)
    y = torch.randn(samples, outputs, generator=generator, dtype=torch.float64)
    return model, x, y


class Quadratic:
    """The mean squared loss of a linear model as the polynomial it is, in numpy.

    With theta = (W, b) as one vector and A the design matrix, the mean over all N k elements is
    L = |A theta - y|^2 / (N k); g = 2 A'(A theta - y) / (N k) and H = 2 A'A / (N k).
    """

    def __init__(self, model: nn.Linear, x: Tensor, y: Tensor) -> None:
        design = np.hstack([x.numpy(), np.ones((len(x), 1))])
        self.design = np.kron(np.eye(y.shape[1]), design)
        self.theta = self.flat({"weight": model.weight.detach(), "bias": model.bias.detach()})
        residual = self.design @ self.theta - y.numpy().T.reshape(-1)
        n = residual.size
        self.loss0 = float(residual @ residual) / n
        self.gradient = 2 * self.design.T @ residual / n
        self.hessian = 2 * self.design.T @ self.design / n
        self._shapes = model.weight.shape

    def flat(self, tensors: Mapping[str, Tensor]) -> Array:
        """Return (W, b) row by row: the weights of an output, then its bias."""
        weight = tensors["weight"].numpy()
        bias = tensors["bias"].numpy() if "bias" in tensors else np.zeros(len(weight))
        return np.hstack([weight, bias[:, None]]).reshape(-1)

    def at(self, step: Array) -> float:
        """Return L0 + g.s + s'Hs / 2."""
        return float(self.loss0 + self.gradient @ step + step @ self.hessian @ step / 2)


def make_directions(
    model: nn.Module, *, count: int = 2, seed: int = 0, rules: Mapping[str, Any] | None = None, **options: Any
) -> list[random.Direction]:
    """Return random directions around a model, as a run would make them."""
    theta = checkpoints.read_state(model)
    spec = Random(seed=seed, **options)
    return random.random_directions(theta, filters_of(model, rules), moving_parameters(model), spec, count=count)


class Net(nn.Module):
    """A small convolutional network with batch norm, trained by nobody, on 1 x 6 x 6 images."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4 * 36, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(self.drop(torch.relu(self.bn(self.conv(x))).flatten(1)))
        return y


def net(seed: int = 0) -> Net:
    """Return a `Net` with seeded weights and running statistics that are not the initial ones."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Net()
        model.train()
        for _ in range(3):
            model(torch.randn(16, 1, 6, 6) * (1 + seed) + seed)
    return model.eval()


def images(samples: int = 50) -> tuple[Tensor, Tensor]:
    """Return random images of shape (samples, 1, 6, 6) and class numbers below 3."""
    generator = torch.Generator().manual_seed(5)
    return torch.randn(samples, 1, 6, 6, generator=generator), torch.randint(3, (samples,), generator=generator)


def net_problem(seed: int = 0, samples: int = 50) -> Problem:
    """Return a problem with two splits around a `Net`."""
    return Problem(net(seed), {"train": images(samples), "test": images(17)}, "cross_entropy", name="net")


FACTORY = """
import sys
sys.path.insert(0, {tests!r})
import time
import torch
import glob
import oracles
import surfaceviz

def problem():
    return oracles.net_problem()

def slow():
    x, y = oracles.images(8)
    def measure(model, batch):
        if glob.glob("*.h5"):  # the file is there before the first point
            with open("ticks", "a") as stream:
                stream.write(".")
            time.sleep(0.02)
        loss = torch.nn.functional.cross_entropy(model(batch[0]), batch[1], reduction="none")
        return {{"loss": surfaceviz.PerSample(loss, torch.ones_like(loss))}}
    return surfaceviz.Problem(oracles.net(), (x, y), measure=measure)
"""


def write_factory(folder: Path, extra: str = "") -> Path:
    """Write ``mine.py`` with the factories ``problem`` and ``slow`` (20 ms a point) and more."""
    path = folder / "mine.py"
    path.write_text(FACTORY.format(tests=str(Path(__file__).parent)) + extra)
    return path


class Recorder:
    """Keeps what a run says; small untrained worlds earn warnings that are not under test."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []
        self.progress: list[tuple[int, int | None, int]] = []

    def say(self, line: str) -> None:
        self.said.append(line)

    def warn(self, line: str) -> None:
        self.warned.append(line)

    def advance(self, done: int, total: int | None, fresh: int) -> None:
        self.progress.append((done, total, fresh))


def run_slice(problem: Problem | str, axes: Any = None, **options: Any) -> Slice:
    """Return `surfaceviz.slice` of a small world, its warnings kept off the test's own."""
    return surfaceviz.slice(problem, axes, **{"reporter": Recorder(), **options})


def wait_for(path: Path, size: int = 0) -> None:
    """Wait until a file is there, and has so many bytes."""
    deadline = time.monotonic() + 300
    while not path.exists() or path.stat().st_size < size:
        assert time.monotonic() < deadline
        time.sleep(0.01)
