"""Baseline: a linear model times a drawn factor, whose loss, errors and Hessian are closed forms of the factors.

The factors come from generators of the test's own, seeded by the rule that the documentation states.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import launchers
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

import surfaceviz
from surfaceviz import Slice, store
from surfaceviz.errors import StoreError
from surfaceviz.problem.problem import Problem
from surfaceviz.reporting import QuietReporter

SAMPLES = 300  # three batches
GENERATOR = np.random.default_rng(0)
INPUTS, TARGETS = GENERATOR.standard_normal((SAMPLES, 2)), GENERATOR.standard_normal((SAMPLES, 1))
THETA = np.array([[0.7, -0.4]])


class Factor(nn.Module):
    """outputs = z x w', with z drawn in each pass, once for a batch."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(THETA))
        self.source = source
        self.own = torch.Generator().manual_seed(5)
        self.own_numpy = np.random.default_rng(5)
        self.own_python = random.Random(5)  # noqa: S311  no secrets

    def forward(self, x: Tensor) -> Tensor:
        draw: dict[str, Callable[[], Any]] = {
            "torch": lambda: torch.rand((), dtype=torch.float64),
            "numpy": np.random.random_sample,
            "python": random.random,
            "own": lambda: torch.rand((), dtype=torch.float64, generator=self.own),
            "own_numpy": self.own_numpy.random,
            "own_python": self.own_python.random,
        }
        y: Tensor = draw[self.source]() * (x @ self.w.T)
        return y


def _factor(source: str, seed: int) -> float:
    """Return the factor that a generator with a seed gives first."""
    if source in ("torch", "own"):
        return float(torch.rand((), dtype=torch.float64, generator=torch.Generator().manual_seed(seed)))
    if source == "numpy":
        return float(np.random.RandomState(seed).random_sample())
    if source == "own_numpy":
        return float(np.random.default_rng(seed).random())
    return random.Random(seed).random()  # noqa: S311


def _factors(source: str, seed: int, count: int) -> NDArray[Any]:
    seeds = [seed, *(int(np.random.SeedSequence((seed, k)).generate_state(1)[0]) for k in range(1, count))]
    own = source.startswith("own") and seed == 0  # a generator of the model keeps its state in the first draw of seed 0
    return np.array([_factor(source, 5 if own and k == 0 else each) for k, each in enumerate(seeds)])


def _problem(source: str = "torch") -> Problem:
    return Problem(Factor(source), (torch.tensor(INPUTS), torch.tensor(TARGETS)), "mse")


def _values(theta: NDArray[Any], factors: NDArray[Any]) -> NDArray[Any]:
    """Return the losses of each draw and sample, (K, n)."""
    values: NDArray[Any] = (factors[:, None] * (INPUTS @ theta[0]) - TARGETS[:, 0]) ** 2
    return values


def _error(values: NDArray[Any]) -> float:
    """Return the standard error over samples and over draws."""
    over_samples = values.mean(0).std(ddof=1) / np.sqrt(SAMPLES)
    over_draws = values.mean(1).std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(np.hypot(over_samples, over_draws))


class Lines(QuietReporter):
    """Collects warnings."""

    def __init__(self) -> None:
        self.warned: list[str] = []

    def warn(self, line: str) -> None:
        """Take a warning."""
        self.warned.append(line)

    def __contains__(self, text: str) -> bool:
        return any(text in line for line in self.warned)


def _slice(problem: Problem, said: str = "draws random numbers", points: int = 3, **options: Any) -> Slice:
    lines = Lines()
    surface = surfaceviz.slice(problem, [(-1, 1, points)], **{"along": "gradient", **options}, reporter=lines)
    assert said in lines
    return surface


SOURCES = ["torch", "numpy", "python", "own", "own_numpy", "own_python"]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("seed", "draws"), [(0, 1), (0, 4), (7, 1), (7, 3)])
def test_values_and_errors_are_those_of_the_mean_over_the_same_draws_at_each_point(
    source: str, seed: int, draws: int
) -> None:
    factors = _factors(source, seed, draws)
    slope = 2 * ((factors[:, None] * (INPUTS @ THETA[0]) - TARGETS[:, 0]) * factors[:, None]) @ INPUTS / SAMPLES
    unit = slope.mean(0) / np.linalg.norm(slope.mean(0))
    surface = _slice(_problem(source), draws=draws, noise_seed=seed)
    centre = _values(THETA, factors)
    for i, alpha in enumerate(surface.axes[0]):
        values = _values(THETA + alpha * unit, factors)
        assert surface.values["train_loss"][i] == pytest.approx(values.mean(), rel=1e-9)
        assert surface.stderr["train_loss"][i] == pytest.approx(_error(values), rel=1e-7)
        assert surface.rise_stderr["train_loss"][i] == pytest.approx(_error(values - centre), rel=1e-7, abs=1e-15)
    assert (surface.provenance["draws"], surface.provenance["noise_seed"]) == (draws, seed)


def test_the_change_at_the_centre_is_that_of_as_many_other_draws() -> None:
    factors = _factors("torch", 0, 4)
    here, other = (_values(THETA, part).mean() for part in (factors[:2], factors[2:]))
    surface = _slice(_problem(), "--draws 16 takes the mean over more", draws=2)
    assert surface.provenance["train_loss_noise"] == pytest.approx(abs(here - other), rel=1e-9)


@pytest.mark.parametrize("operator", ["hessian", "ggn"])
@pytest.mark.parametrize(("seed", "draws"), [(0, 1), (3, 3)])
def test_the_hessian_of_a_slice_has_its_draws(operator: str, seed: int, draws: int, tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    surface = _slice(_problem(), draws=draws, noise_seed=seed, output=path, batch_size=70)
    lines = Lines()
    found = surfaceviz.hessian(path, problem=_problem(), operator=operator, reporter=lines)
    assert "one draw, of seed 0" in lines or f"means over {draws} draws, of seed {seed}" in lines
    expected = 2 * (_factors("torch", seed, draws) ** 2).mean() * INPUTS.T @ INPUTS / SAMPLES
    assert found.eigenvalues == pytest.approx(np.linalg.eigvalsh(expected), rel=1e-6)
    assert found.loss == pytest.approx(surface.centre["train_loss"], rel=1e-9)
    direct = surfaceviz.hessian(_problem(), operator=operator, draws=draws, noise_seed=seed, reporter=Lines())
    assert direct.eigenvalues == pytest.approx(np.linalg.eigvalsh(expected), rel=1e-6)


def test_sharpness_has_the_draws_too(tmp_path: Path) -> None:
    expected = 2 * (_factors("torch", 3, 3) ** 2).mean() * INPUTS.T @ INPUTS / SAMPLES
    _slice(_problem(), draws=3, noise_seed=3, output=tmp_path / "a.h5")
    for target, options in ((tmp_path / "a.h5", {"problem": _problem()}), (_problem(), {"draws": 3, "noise_seed": 3})):
        found = surfaceviz.sharpness(target, rescale=False, reporter=Lines(), **options)
        assert found["lambda_max"].value == pytest.approx(np.linalg.eigvalsh(expected)[-1], rel=1e-6)


class Dropping(nn.Module):
    """Dropout that eval mode does not switch off, with other masks for other batches."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(2, 8), nn.Linear(8, 1)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.last(functional.dropout(torch.relu(self.first(x)), 0.5))
        return y


def _dropping() -> Problem:
    data = torch.tensor(INPUTS).float(), torch.tensor(TARGETS).float()
    return Problem(Dropping(), {"train": data, "val": tuple(x[:77] for x in data)}, "mse")


def _by_hand(size: int, split: slice = slice(None)) -> float:
    """Return the loss in batches of a size, each with the seed 0."""
    model, total = Dropping().eval(), 0.0
    x, y = torch.tensor(INPUTS).float()[split], torch.tensor(TARGETS).float()[split]
    for start in range(0, len(x), size):
        torch.manual_seed(0)
        made = model(x[start : start + size]).detach().double()
        total += float((made - y[start : start + size].double()).square().sum())
    return total / len(x)


@pytest.mark.parametrize(("batch_size", "size"), [(None, 128), (50, 50)])
def test_the_draws_of_a_model_depend_on_one_size_of_batches_in_slice_and_hessian(
    batch_size: int | None, size: int, tmp_path: Path
) -> None:
    surface = _slice(_dropping(), output=tmp_path / "a.h5", batch_size=batch_size)
    assert surface.centre["train_loss"] == pytest.approx(_by_hand(size), rel=1e-6)
    assert surface.centre["val_loss"] == pytest.approx(_by_hand(size, slice(77)), rel=1e-6)
    assert surface.provenance["batch_size"] == size
    found = surfaceviz.hessian(tmp_path / "a.h5", problem=_dropping(), top=1, bottom=0, workers=2, reporter=Lines())
    assert found.loss == pytest.approx(surface.centre["train_loss"], rel=1e-6)


@pytest.mark.parametrize("draws", [1, 3])
@pytest.mark.parametrize("engine", ["vmapped", "folded", "compiled"])
def test_an_engine_has_the_draws_or_is_left_out(engine: str, draws: int) -> None:
    eager, other = (_slice(_dropping(), engine=each, draws=draws) for each in ("eager", engine))
    assert other.values["train_loss"] == pytest.approx(eager.values["train_loss"], rel=1e-5)


def test_processes_and_a_resumed_run_have_the_bits_of_one_process(tmp_path: Path) -> None:
    alone = _slice(_dropping(), draws=3, noise_seed=9)
    shared = _slice(_dropping(), draws=3, noise_seed=9, workers=2, output=tmp_path / "a.h5")
    assert shared.values["train_loss"].tobytes() == alone.values["train_loss"].tobytes()
    with pytest.raises(StoreError, match="draws is 3 there, 2 here"):
        _slice(_dropping(), draws=2, noise_seed=9, output=tmp_path / "a.h5")


JOB = """
import sys
sys.path[:0] = {tests!r}
import test_random_draws
import surfaceviz
surfaceviz.slice(
    test_random_draws._dropping(), [(-1, 1, 9)], along="gradient", draws=3, noise_seed=9, batch_size=60, output="a.h5"
)
"""


@pytest.mark.slow
def test_ranks_have_the_bits_of_one_process() -> None:
    alone = _slice(_dropping(), points=9, draws=3, noise_seed=9, batch_size=60)
    Path("job.py").write_text(JOB.format(tests=[str(Path(__file__).parents[k]) for k in (0, 1)]))
    code, _, errors = launchers.finish(launchers.start("openmpi", 3, ["job.py"]))
    assert code == 0, errors
    assert store.read(Path("a.h5")).values["train_loss"].tobytes() == alone.values["train_loss"].tobytes()


class Gaussian(nn.Module):
    """Noise on the outputs, of which torch draws other numbers in float64."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.last = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        made = self.last(x)
        y: Tensor = made + torch.randn_like(made)
        return y


def test_other_numbers_in_another_dtype_are_said(tmp_path: Path) -> None:
    data = torch.tensor(INPUTS).float(), torch.tensor(TARGETS).float()
    problem = Problem(Gaussian(), data, "mse")
    surface = _slice(problem, output=tmp_path / "a.h5")
    assert "draws random numbers" in str(surface.provenance["float64_check"])
    lines = Lines()
    found = surfaceviz.hessian(tmp_path / "a.h5", problem=problem, reporter=lines)
    assert found.loss == pytest.approx(surface.centre["train_loss"])
    with pytest.raises(StoreError, match="other random numbers in float64 than in float32"):
        surfaceviz.hessian(tmp_path / "a.h5", problem=problem, dtype="float64", overwrite=True, reporter=lines)
    assert "in float64 than in float32" not in lines
    surfaceviz.sharpness(tmp_path / "a.h5", problem=problem, rescale=False, starts=1, iterations=1, reporter=lines)
    assert "other random numbers in float64 than in float32" in lines


def test_a_model_without_random_numbers_has_one_draw(recwarn: pytest.WarningsRecorder) -> None:
    x = torch.tensor(INPUTS)
    problem = Problem(nn.Linear(2, 1).double(), (x, torch.tensor(TARGETS)), "mse")
    one, many = (surfaceviz.slice(problem, [(-1, 1, 3)], draws=draws) for draws in (1, 5))
    assert many.values["train_loss"].tobytes() == one.values["train_loss"].tobytes()
    assert not recwarn.list


def test_a_file_keeps_its_random_numbers() -> None:
    with pytest.raises(ValueError, match="leave out draws and noise_seed"):
        surfaceviz.hessian("a.h5", draws=2)


@pytest.mark.parametrize(("options", "message"), [({"draws": 0}, "draws must be"), ({"noise_seed": -1}, "noise-seed")])
@pytest.mark.parametrize("job", [surfaceviz.slice, surfaceviz.hessian, surfaceviz.sharpness])
def test_draws_and_seeds_are_checked(job: Callable[..., Any], options: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        job(_problem(), **options)


def test_recalibrated_statistics_are_means_over_the_draws() -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(2)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.norm(x * torch.rand((), dtype=torch.float64)).sum(1, keepdim=True)
            return y

    problem = Problem(Normed().double(), (torch.tensor(INPUTS[:100]), torch.tensor(TARGETS[:100])), "mse")
    factors = _factors("torch", 2, 3)
    surface = _slice(problem, along=None, ignore="none", bn="recalibrate", draws=3, noise_seed=2)
    x = INPUTS[:100]
    mean = (factors[:, None] * x.mean(0)).mean(0)
    var = (factors[:, None] ** 2 * x.var(0, ddof=1)).mean(0)
    losses = [((((z * x - mean) / np.sqrt(var + 1e-5)).sum(1) - TARGETS[:100, 0]) ** 2).mean() for z in factors]
    assert surface.centre["train_loss"] == pytest.approx(np.mean(losses), rel=1e-9)


def test_a_generator_out_of_reach_is_said() -> None:
    outside = np.random.default_rng(0)

    class Outside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.ones(1))

        def forward(self, x: Tensor) -> Tensor:
            return x[:, :1] * self.w * outside.random()

    problem = Problem(Outside(), (torch.tensor(INPUTS).float(), torch.tensor(TARGETS).float()), "mse")
    surface = _slice(problem, "changes from pass to pass", along=None, ignore="none")
    assert surface.complete


def test_the_dtype_is_not_chosen_by_values_of_other_draws() -> None:
    data = torch.tensor(INPUTS).float(), torch.tensor(TARGETS).float()
    surface = _slice(Problem(Gaussian(), data, "mse"), dtype="auto")
    assert surface.provenance["dtype"] == "float32"
    assert surface.provenance["dtype_reason"] == "float32: the model draws other random numbers in another dtype"


def test_parts_of_a_slice_with_draws_are_merged(tmp_path: Path) -> None:
    whole = _slice(_problem(), draws=3)
    for k in (1, 2):
        _slice(_problem(), draws=3, shard=f"{k}/2", output=tmp_path / f"{k}.h5")
    merged = surfaceviz.merge(tmp_path / "1.h5", tmp_path / "2.h5", output=tmp_path / "a.h5")
    assert merged.values["train_loss"].tobytes() == whole.values["train_loss"].tobytes()
    assert merged.provenance["draws"] == 3


@pytest.mark.parametrize("draws", [1, 4])
def test_sums_have_the_error_over_draws_alone(draws: int) -> None:
    def measure(model: nn.Module, batch: Any) -> dict[str, tuple[Tensor, float]]:
        return {"loss": ((model(batch[0]) - batch[1]).square().sum(), float(len(batch[0])))}

    batches = [
        (torch.tensor(INPUTS[:100]), torch.tensor(TARGETS[:100])),
        (torch.tensor(INPUTS[100:]), torch.tensor(TARGETS[100:])),
    ]
    surface = _slice(Problem(Factor("torch"), batches, measure=measure), draws=draws, noise_seed=6)
    means = _values(THETA, _factors("torch", 6, draws)).mean(1)
    assert surface.values["train_loss"][1] == pytest.approx(means.mean(), rel=1e-9)
    if draws > 1:
        assert surface.stderr["train_loss"][1] == pytest.approx(means.std(ddof=1) / 2, rel=1e-7)
    else:
        assert "train_loss" not in surface.stderr
