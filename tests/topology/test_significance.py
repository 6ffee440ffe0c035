"""Baseline: surfaces whose minima are known, plus noise of known size, and the binomial distribution.

`SEEDS` surfaces are drawn of each kind. The pairs are evaluated on other samples, or on those that the surface is the
mean of. Counts are tested one-sided at 99%.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest, norm
from topology_oracles import Array, double_well

from surfaceviz.records import MinimumKind
from surfaceviz.topology import Judged, judge, threshold

SEEDS, SAMPLES, NOISE, MOST = 400, 50, 0.8, 50
X, Y = np.meshgrid(np.linspace(-1, 1, 15), np.linspace(-1, 1, 11), indexing="ij")
SURFACES = {
    "flat": 0 * X,
    "bowl": X**2 + Y**2,
    "plateau": np.maximum(X**2 + Y**2 - 0.5, 0),
    "valley": 3 * (X - Y) ** 2 + 0.05 * X,
    "line": np.zeros(41),
    "parabola": np.linspace(-1, 1, 41) ** 2,
}


def _judged(mean: Array, seed: int, *, own: bool, noise: float = NOISE) -> Judged:
    """Return the minima of a surface with noise, judged on other samples or on its own."""
    random = np.random.default_rng(seed)
    samples = (mean + noise * random.standard_normal((SAMPLES, *mean.shape))).reshape(SAMPLES, -1)
    grid = samples.mean(0) if own else mean.ravel() + noise / SAMPLES**0.5 * random.standard_normal(mean.size)

    def pair(minimum: int, highest: int) -> tuple[float, float]:
        difference = samples[:, highest] - samples[:, minimum]
        return float(difference.mean()), float(difference.std(ddof=1)) / SAMPLES**0.5

    return judge(grid.reshape(mean.shape), pair, most=MOST, held_out=not own)


@pytest.mark.slow
@pytest.mark.parametrize("name", SURFACES)
def test_noise_makes_a_false_minimum_in_at_most_5_percent_of_slices(name: str) -> None:
    judged = [_judged(SURFACES[name], seed, own=False) for seed in range(SEEDS)]
    false = sum((each.verdict == MinimumKind.COUNTS).any() for each in judged)
    passed = (MinimumKind.COUNTS, MinimumKind.ONE_DIAGONAL, MinimumKind.ONE_RESOLUTION)
    by_error_alone = sum(bool(np.isin(each.verdict, passed).any()) for each in judged)
    assert binomtest(int(false), SEEDS, 0.05, alternative="greater").pvalue > 0.01
    assert binomtest(by_error_alone, SEEDS, 0.05, alternative="greater").pvalue > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("name", ["flat", "bowl", "line"])
def test_the_same_holds_on_the_own_samples_by_the_two_resolutions(name: str) -> None:
    false = sum((_judged(SURFACES[name], s, own=True).verdict == MinimumKind.COUNTS).any() for s in range(SEEDS))
    assert binomtest(int(false), SEEDS, 0.05, alternative="greater").pvalue > 0.01


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("ndim", [1, 2])
def test_a_second_well_deep_in_standard_errors_counts(ndim: int, own: bool) -> None:
    """Persistence 0.7 against a standard error of 0.05 * sqrt(2 / 50) = 0.01."""
    x = np.linspace(-2, 2, 21)
    mean = double_well(x) if ndim == 1 else np.add.outer(double_well(x), np.linspace(-1, 1, 11) ** 2)
    for seed in range(20):
        judged = _judged(mean, seed, own=own, noise=0.05)
        counted = np.flatnonzero(judged.verdict == MinimumKind.COUNTS)
        assert judged.verdict[0] == MinimumKind.LOWEST
        assert counted.tolist() == [1]
        place = np.unravel_index(judged.tree.minimum[1], mean.shape)
        assert x[place[0]] == pytest.approx(1, abs=0.21)
        assert judged.difference[1] == pytest.approx(0.7, abs=6 * judged.stderr[1] + 0.15)


def test_a_second_well_within_the_error_does_not_count() -> None:
    judged = judge(double_well(np.linspace(-2, 2, 21)), lambda *_: (0.7, 0.7 / 1.9), most=MOST, held_out=True)
    assert threshold(2) == pytest.approx(norm.ppf(0.975))
    assert judged.verdict.tolist() == [MinimumKind.LOWEST, MinimumKind.WITHIN_ERROR]


def _exact(values: Array) -> list[int]:
    """Return the verdicts where every difference is known without error."""
    flat = values.ravel()
    judged = judge(values, lambda low, high: (float(flat[high] - flat[low]), 0.0), most=MOST, held_out=True)
    return [int(code) for code in judged.verdict]


def test_minima_on_the_border_do_not_count() -> None:
    assert _exact(np.array([0.0, 2.0, 1.0, 3.0, 4.0, 5.0, 4.5])) == [
        MinimumKind.BORDER, MinimumKind.ONE_RESOLUTION, MinimumKind.BORDER,
    ]  # fmt: skip


def test_the_grid_makes_a_false_minimum_of_a_narrow_valley_in_at_most_5_percent_of_slices() -> None:
    """The floor of each valley, straight or curved, falls all the way along: it has one minimum, on the border."""
    random, slices, false, rejected = np.random.default_rng(0), 150, 0, 0
    for _ in range(slices):
        x, y = np.meshgrid(*(np.linspace(-1, 1, n) for n in random.integers(11, 40, 2)), indexing="ij")
        turn, bend, shift = random.uniform(0, np.pi), random.uniform(-0.3, 0.3), random.uniform(-0.3, 0.3)
        along, across = np.cos(turn) * x + np.sin(turn) * y, np.cos(turn) * y - np.sin(turn) * x
        found = _exact(10 ** random.uniform(0, 3) * (across - shift - bend * along**2) ** 2 + 0.1 * along)
        false += MinimumKind.COUNTS in found
        rejected += MinimumKind.ONE_DIAGONAL in found or MinimumKind.ONE_RESOLUTION in found
    assert binomtest(false, slices, 0.05, alternative="greater").pvalue > 0.01
    assert rejected > slices / 4  # so many would have one without the two checks


def test_minima_that_one_diagonal_makes_do_not_count() -> None:
    i, j = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
    values = np.pad((i != j) + 0.01 * i, 1, constant_values=2.0)[:, ::-1]  # the floor runs along the other diagonal
    found = _exact(values)
    assert found[0] == MinimumKind.LOWEST
    assert set(found[1:]) == {MinimumKind.ONE_DIAGONAL}


def test_a_dip_of_one_point_does_not_count() -> None:
    values = np.add.outer(np.linspace(-1, 1, 13) ** 2, np.linspace(-1, 1, 11) ** 2)
    values[9, 7] -= 0.5
    assert _exact(values) == [MinimumKind.LOWEST, MinimumKind.ONE_RESOLUTION]


def test_on_fewer_than_five_points_nothing_counts_next_to_the_lowest() -> None:
    assert _exact(np.array([[3.0] * 4, [3.0, 0.0, 2.0, 3.0], [3.0] * 4, [3.0, 1.0, 3.0, 3.0], [3.0] * 4])) == [
        MinimumKind.LOWEST, MinimumKind.ONE_RESOLUTION,
    ]  # fmt: skip


def test_minima_behind_diverged_points_do_not_count() -> None:
    wall = np.add.outer(double_well(np.linspace(-2, 2, 17)), np.linspace(-1, 1, 9) ** 2)
    wall[8] = np.inf
    assert _exact(wall) == [MinimumKind.LOWEST, MinimumKind.NO_PASS]
