"""Baselines: Holm's example by hand, scipy's t tests, power by simulation, verdicts that follow from the rules."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from surfaceviz.comparison import (
    MEASURES,
    REASONS,
    SYMMETRIES,
    Evidence,
    Goal,
    chance_of_decision,
    detectable,
    draws_needed,
    equivalence_p,
    from_directions,
    from_trainings,
    holm,
    is_out_of_reach,
    verdicts,
    without_interval,
)
from surfaceviz.records import Difference, Verdict, difference_words, verdict_sentence

FAR = 0.8  # a log-ratio


def _difference(estimate: float, stderr: float = 0.05, freedom: float = 60.0) -> Difference:
    """Return a difference with given estimate and error; interval and p by scipy.stats."""
    t = stats.t(freedom, loc=estimate, scale=stderr)
    return Difference(
        scale="log", values=(math.exp(estimate), 1.0), estimate=estimate, stderr=stderr, freedom=freedom,
        low=float(t.ppf(0.025)), high=float(t.ppf(0.975)), p=2 * float(stats.t.sf(abs(estimate) / stderr, freedom)),
        units=("directions",), counts=((64, 64),), stderrs=(stderr,), paired=(True,),
    )  # fmt: skip


def _one(raw: Difference | None, gauge: Difference | None = None, **rest: object) -> Verdict:
    return verdicts([Evidence(measure="rise_0.1", raw=raw, gauge=gauge, **rest)])[0]  # type: ignore[arg-type]


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.02, 0.015, 0.5]) == pytest.approx([0.04, 0.045, 0.045, 0.5])


def test_holm_keeps_the_family_wise_error_at_5_percent() -> None:
    p = np.random.default_rng(0).random((4000, 5))
    wrong = sum(min(holm(list(row))) <= 0.05 for row in p)
    assert stats.binomtest(wrong, 4000, 0.05).pvalue > 0.01


def test_the_detectable_difference_is_found_in_80_percent() -> None:
    effect, generator = detectable(5, 4, level=0.01), np.random.default_rng(1)
    a, b = generator.standard_normal((5000, 5)) + effect, generator.standard_normal((5000, 4))
    found = int((stats.ttest_ind(a, b, axis=1).pvalue <= 0.01).sum())
    assert stats.binomtest(found, 5000, 0.8).pvalue > 0.01


def test_two_trainings_prove_nothing_and_it_is_said() -> None:
    assert is_out_of_reach(2, 2, family=1)
    raw = from_trainings([1.0, 1.3], [1.2, 1.1], scale="log")
    found = _one(raw)
    assert (found.kind, found.reasons) == ("undecided", ("out of reach",))
    assert "so few trainings can't prove" in verdict_sentence(found, claim="flatter", reasons=REASONS)


def test_five_trainings_reach_one_measure_of_twelve() -> None:
    assert not is_out_of_reach(5, 5, family=12)


@pytest.mark.parametrize(("sign", "favoured"), [(1, 1), (-1, 0)])
def test_a_difference_in_both_gauges_is_supported(sign: int, favoured: int) -> None:
    found = _one(_difference(sign * FAR), _difference(sign * FAR / 2), shift=_difference(sign * FAR / 2))
    assert (found.kind, found.favoured) == ("supported", favoured)


def test_the_wider_network_is_the_flatter_one() -> None:
    found = verdicts([Evidence(measure="width", raw=_difference(FAR), gauge=_difference(FAR))])[0]
    assert (found.kind, found.favoured) == ("supported", 0)


def test_opposite_signs_are_an_artefact() -> None:
    assert _one(_difference(FAR), _difference(-FAR)).kind == "artefact of scale"


def test_a_difference_that_the_gauge_removes_is_an_artefact() -> None:
    found = _one(_difference(FAR), _difference(0.02), shift=_difference(FAR - 0.02))
    assert (found.kind, found.favoured) == ("artefact of scale", None)


def test_a_difference_that_the_gauge_uncovers_is_an_artefact() -> None:
    assert _one(_difference(0.05), _difference(FAR), shift=_difference(0.05 - FAR)).kind == "artefact of scale"


def test_p_values_on_both_sides_of_5_percent_are_no_artefact() -> None:
    raw, gauge = _difference(0.105), _difference(0.095)
    assert raw.p < 0.05 < gauge.p
    assert _one(raw, gauge, shift=_difference(0.01)).kind == "undecided"


def test_the_same_network_in_the_gauge_differs_by_scale_alone() -> None:
    assert _one(_difference(0.1), _difference(0.0, 1e-6), shift=_difference(0.1)).kind == "artefact of scale"


def test_small_differences_are_equivalent_even_if_they_are_significant() -> None:
    found = _one(_difference(0.02, 0.005), _difference(0.03, 0.005))
    assert (found.kind, found.favoured) == ("equivalent", None)
    assert verdict_sentence(found, claim="flatter", reasons=REASONS) == "equivalent within 11%"


def test_equivalence_is_that_of_two_one_sided_t_tests() -> None:
    x = np.random.default_rng(0).normal(0.03, 0.2, 50)
    found = Difference(
        scale="linear", values=(0.03, 0.0), estimate=float(x.mean()), stderr=float(stats.sem(x)), freedom=49.0, p=0.5
    )
    lower = stats.ttest_1samp(x, -0.1, alternative="greater").pvalue
    upper = stats.ttest_1samp(x, 0.1, alternative="less").pvalue
    assert equivalence_p(found, 0.1) == pytest.approx(max(lower, upper))


def test_obstacles_are_not_compared_and_leave_the_family() -> None:
    bad = Evidence(measure="loss", raw=_difference(FAR), obstacles=("other data",))
    good = Evidence(measure="rise_0.1", raw=_difference(0.12))
    first, second = verdicts([bad, good])
    assert (first.kind, first.reasons) == ("not comparable", ("other data",))
    assert second.family == 1
    assert second.raw_p == pytest.approx(_difference(0.12).p)


def test_values_that_are_not_finite_are_not_compared() -> None:
    found = _one(replace(_difference(FAR), values=(math.inf, 1.0), p=math.nan))
    assert (found.kind, found.reasons) == ("not comparable", ("not finite",))


def test_values_without_draws_are_undecided() -> None:
    found = verdicts([Evidence(measure="lambda_max", raw=without_interval(2.0, 1.0, scale="log"))])[0]
    assert (found.kind, found.reasons) == ("undecided", ("no interval",))


def test_without_a_gauge_only_measures_of_the_function_are_supported() -> None:
    raw, remarks = _difference(FAR), ("no gauge asked",)
    loss, rise = verdicts([Evidence(measure=key, raw=raw, remarks=remarks) for key in ("loss", "rise_0.1")])
    assert (loss.kind, loss.reasons) == ("supported", remarks)
    words = verdict_sentence(loss, claim="lower in loss", reasons=REASONS, names=("skip", "plain"))
    assert words.startswith("plain lower in loss: supported as the networks are (p = ")
    assert words.endswith("the networks were not brought to one gauge")
    assert (rise.kind, rise.favoured, rise.needed) == ("undecided", 1, None)
    assert rise.reasons == ("scale unchecked", *remarks)
    words = verdict_sentence(rise, claim="flatter", reasons=REASONS, names=("skip", "plain"))
    assert words.startswith("plain flatter as they are; undecided: scale is unchecked; ")


def test_more_measures_need_smaller_p_values() -> None:
    raw = _difference(0.12)
    assert _one(raw, raw).kind == "supported"
    many = verdicts(
        [Evidence(measure="rise_0.1", raw=raw, gauge=raw)] + 11 * [Evidence(measure="trace", raw=_difference(0.01))]
    )
    assert many[0].kind == "undecided"


def test_the_forecast_is_the_share_of_simulated_futures_that_are_decided() -> None:
    """A flat prior, simulated: the truth around the estimate, further draws around the truth."""
    now, count, factor = _difference(0.08, 0.06, 1e6), 40_000, 5.0
    generator = np.random.default_rng(0)
    truth = now.estimate + now.stderr * generator.standard_normal(count)
    more = truth + now.stderr / math.sqrt(factor - 1) * generator.standard_normal(count)
    later, error = (now.estimate + (factor - 1) * more) / factor, now.stderr / math.sqrt(factor)
    different, inside = np.abs(later) > 1.96 * error, np.abs(later) < 0.1 - 1.645 * error
    goal = Goal(margin=0.1)
    assert chance_of_decision(now, np.array([factor]), goal)[0] == pytest.approx(np.mean(different | inside), abs=0.01)


def test_the_named_number_is_the_first_with_the_wanted_chance() -> None:
    now, goal = _difference(0.08, 0.06), Goal(margin=0.1, chance=0.9)
    named = draws_needed(now, goal)
    assert named is not None
    chances = chance_of_decision(now, np.array([named / 64, 0.93 * named / 64]), goal)
    assert chances[0] >= 0.9 > chances[1]


def test_samples_that_do_not_grow_can_make_a_decision_impossible() -> None:
    now = replace(_difference(0.05, 0.05), stderrs=(0.001, 0.05), units=("directions", "samples"))
    assert draws_needed(now, Goal()) is None


def test_an_undecided_verdict_names_the_directions() -> None:
    found = _one(_difference(0.08, 0.06), _difference(0.07, 0.05))
    assert found.kind == "undecided"
    assert found.needed is not None
    assert found.needed > 64
    assert f"{found.needed} directions for each network" in verdict_sentence(found, claim="flatter", reasons=REASONS)


def test_a_measures_row_has_what_is_needed_to_explain_it() -> None:
    for measure in MEASURES.values():
        assert set(measure.invariances) <= set(SYMMETRIES)
        assert measure.source
        assert measure.claim


def test_differences_in_words() -> None:
    assert difference_words(from_directions([1.0], [1.0])) == "not known: fewer than two draws"
    assert difference_words(without_interval(3.0, 1.0, scale="linear")) == (
        "+2, no interval: the values have no random draws"
    )
