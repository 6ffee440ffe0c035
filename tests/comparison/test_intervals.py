"""Baselines: scipy.stats' tests, Monte Carlo draws with a known ratio of means, closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from surfaceviz.comparison import (
    combined,
    from_directions,
    from_samples,
    from_trainings,
    minus,
    shift_of,
    without_interval,
)
from surfaceviz.comparison.bootstrap import bootstrap_directions
from surfaceviz.records import Difference

RUNS = 2000


def _draws(seed: int, *shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.random.default_rng(seed).gamma(4.0, 0.25, shape)


def test_trainings_are_judged_by_welchs_test() -> None:
    a, b = np.exp(_draws(0, 5)), np.exp(1.5 * _draws(1, 7))
    found = from_trainings(a, b, scale="log")
    exact = stats.ttest_ind(np.log(a), np.log(b), equal_var=False)
    assert found.p == pytest.approx(exact.pvalue, rel=1e-4)  # 1e-6 of rounding is added to the error
    assert (found.low, found.high) == pytest.approx(exact.confidence_interval(0.95), rel=1e-4)
    assert found.freedom == pytest.approx(exact.df, rel=1e-6)
    assert (found.units, found.counts, found.method) == (("trainings",), ((5, 7),), "welch")


def test_samples_are_paired() -> None:
    a, b = _draws(0, 400), _draws(1, 400)
    found = from_samples(a, b, scale="linear", rounding=0)
    exact = stats.ttest_rel(a, b)
    assert found.estimate == pytest.approx(np.mean(a - b))
    assert found.stderr == pytest.approx(stats.sem(a - b))
    assert found.p == pytest.approx(exact.pvalue, rel=0.02)  # the kurtosis changes the degrees of freedom
    assert found.freedom == pytest.approx(2 / (max(stats.kurtosis(a - b), 0) / 400 + 2 / 399))


def test_the_ratio_of_means_has_the_error_of_the_delta_method() -> None:
    a, b = _draws(0, 50), 2 * _draws(1, 50)
    found = from_directions(a, b, paired=False, rounding=0)
    squares = [stats.sem(x) ** 2 / np.mean(x) ** 2 for x in (a, b)]
    assert found.estimate == pytest.approx(math.log(a.mean() / b.mean()))
    assert found.stderr == pytest.approx(math.sqrt(sum(squares)))
    assert found.values == pytest.approx((a.mean(), b.mean()))


@pytest.mark.parametrize("paired", [True, False])
def test_intervals_over_directions_cover_the_ratio_of_means_in_95_percent(paired: bool) -> None:
    """Gamma draws with a shared part: the true log-ratio is log 2."""
    shared = _draws(2, RUNS, 40) if paired else np.zeros((RUNS, 40))
    a, b = 2 * (_draws(3, RUNS, 40) + shared), _draws(4, RUNS, 40) + shared
    hits = 0
    for x, y in zip(a, b, strict=True):
        found = from_directions(x, y, paired=paired)
        hits += found.low <= math.log(2) <= found.high
    assert stats.binomtest(hits, RUNS, 0.95).pvalue > 0.01


def test_the_same_draws_at_another_scale_are_told_apart_exactly() -> None:
    a = _draws(0, 20)
    found = from_directions(3 * a, a)
    assert found.ratio == pytest.approx(3)
    assert found.high - found.low < 1e-5


def test_equal_draws_within_rounding_are_not_different() -> None:
    a = _draws(0, 20)
    found = from_directions(a * (1 + 1e-9), a)
    assert found.p > 0.99
    assert abs(found.low) < 1e-5


def test_a_mean_near_0_has_no_logarithm() -> None:
    a = np.array([-1.0, 1.2, -0.8, 1.1])
    found = from_directions(a, a[::-1] + 5, rounding=0)
    assert found.scale == "linear"
    assert found.estimate == pytest.approx(-5)
    assert found.note == "a mean is not clearly above 0, so that no logarithm is taken"


@pytest.mark.parametrize(
    ("a", "note"), [([1.0, math.inf, 2.0], "a draw is not finite"), ([1.0], "fewer than two draws")]
)
def test_draws_without_an_interval_say_why(a: list[float], note: str) -> None:
    found = from_directions(a, a)
    assert not found.is_known
    assert found.note == note


def test_paired_draws_must_be_as_many() -> None:
    with pytest.raises(ValueError, match=r"got 3 and 2 directions; paired ones must be as many. Give paired=False"):
        from_directions([1.0, 2.0, 3.0], [1.0, 2.0])


def test_directions_and_samples_together_widen_the_interval() -> None:
    directions, samples = (
        from_directions(_draws(0, 30), _draws(1, 30)),
        from_samples(_draws(2, 90), _draws(3, 90), scale="log"),
    )
    found = combined(directions, samples)
    assert found.estimate == directions.estimate
    assert found.stderr == pytest.approx(math.hypot(directions.stderr, samples.stderr))
    assert (found.units, found.counts) == (("directions", "samples"), ((30, 30), (90, 90)))
    assert found.freedom > min(directions.freedom, samples.freedom)


def test_differences_on_two_scales_are_not_combined() -> None:
    log, linear = (from_samples(_draws(0, 9), _draws(1, 9), scale=scale) for scale in ("log", "linear"))
    with pytest.raises(ValueError, match="got differences on the scales log and linear; give both on one scale"):
        combined(log, linear)
    with pytest.raises(ValueError, match="got scales log and linear; expected linear ones"):
        minus(log, linear)


def test_a_gap_is_test_minus_train() -> None:
    test, train = (from_samples(_draws(k, 50), _draws(k + 1, 50), scale="linear") for k in (0, 2))
    found = minus(test, train)
    assert found.estimate == pytest.approx(test.estimate - train.estimate)
    assert found.values == pytest.approx(tuple(a - b for a, b in zip(test.values, train.values, strict=True)))
    assert found.stderr == pytest.approx(math.hypot(test.stderr, train.stderr))


def test_the_shift_is_raw_minus_gauge_with_the_error_of_each_draw() -> None:
    raw, gauge = (_draws(0, 60), _draws(1, 60)), (_draws(2, 60), _draws(3, 60))
    found = shift_of(raw, gauge, rounding=0)
    exact = math.log(raw[0].mean() / raw[1].mean()) - math.log(gauge[0].mean() / gauge[1].mean())
    assert found.estimate == pytest.approx(exact)
    parts = [x / x.mean() for x in (*raw, *gauge)]
    assert found.stderr == pytest.approx(stats.sem(parts[0] - parts[1] - parts[2] + parts[3]))


def test_no_shift_where_the_gauge_changes_nothing() -> None:
    pair = (_draws(0, 60), _draws(1, 60))
    assert shift_of(pair, pair).p == 1.0


def test_values_without_draws_have_no_interval() -> None:
    found = without_interval(6.0, 3.0, scale="log")
    assert found.ratio == pytest.approx(2)
    assert (found.is_known, found.note) == (False, "the values have no random draws")


def test_the_bootstrap_agrees_with_t_for_many_draws() -> None:
    a, b = _draws(0, 400), 1.1 * _draws(1, 400)
    plain: Difference = from_directions(a, b)
    boot = bootstrap_directions(a, b, np.random.default_rng(0))
    assert boot.low == pytest.approx(plain.low, abs=0.25 * plain.stderr)
    assert boot.high == pytest.approx(plain.high, abs=0.25 * plain.stderr)
    assert boot.method == "bootstrap"
