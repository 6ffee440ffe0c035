"""Baseline: closed-form surfaces known everywhere, brute force over formulas, `scipy` for splines and bounds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.interpolate import RBFInterpolator
from scipy.stats import binomtest, hypergeom

from surfaceviz.records import FloatArray
from surfaceviz.refine import (
    LossError,
    RefinementGoal,
    RefinementResult,
    RefinementRound,
    acquisition,
    audit,
    refinement,
)
from surfaceviz.refine.interpolant import IntArray, Spline, predict, scaled_points

Surface = Callable[..., FloatArray]


def _axes(*counts: int) -> list[FloatArray]:
    return [np.linspace(-1.0, 1.0, n) for n in counts]


def _on(axes: list[FloatArray], surface: Surface) -> FloatArray:
    return np.asarray(surface(*np.meshgrid(*axes, indexing="ij")), np.float64)


def _bowl(x: FloatArray, y: FloatArray | float = 0.0) -> FloatArray:
    return 0.01 + 3 * x**2 + np.square(y)


def _hills(x: FloatArray, y: FloatArray | float = 0.5) -> FloatArray:
    return np.exp(np.sin(3 * x + y) + 2 * x**2 + y * x) - 0.2


@dataclass(frozen=True)
class _Run:
    rounds: list[RefinementRound]
    result: RefinementResult


def _course(
    axes: list[FloatArray], goal: RefinementGoal, answer: Callable[[RefinementRound], dict[str, FloatArray]]
) -> _Run:
    course, rounds = refinement(axes, goal), []
    asked = next(course)
    while True:
        rounds.append(asked)
        try:
            asked = course.send(answer(asked))
        except StopIteration as end:
            return _Run(rounds, end.value)


def _refine(axes: list[FloatArray], truth: Mapping[str, FloatArray], goal: RefinementGoal) -> _Run:
    return _course(axes, goal, lambda asked: {name: grid.ravel()[asked.indices] for name, grid in truth.items()})


def _goal(axes: list[FloatArray], surface: Surface, *, level: float = 2.3, tolerance: float = 0.05) -> RefinementGoal:
    centre = float(surface(*np.zeros((len(axes), 1)))[0])
    return RefinementGoal(tolerance=tolerance, levels={"loss": level}, centre={"loss": centre})


def _rest(run: _Run) -> IntArray:
    size = next(iter(run.result.filled.values())).size
    return np.setdiff1d(np.arange(size), run.result.evaluated)


def _plain_error(guess: float, truth: float, evaluated: FloatArray, level: float, centre: float) -> float:
    low = min([*evaluated.tolist(), centre])
    median = float(np.median([min(z, level) - low for z in evaluated]))
    bottom = max(min(truth, level) - low, 0.05 * median, 1e-6 * max(1.0, abs(centre)))
    return float(abs(min(guess, level) - min(truth, level)) / bottom)


def _true_errors(run: _Run, truth: FloatArray, goal: RefinementGoal, name: str = "loss") -> FloatArray:
    """Return the errors of all interpolated points, by the formula written out."""
    known, guess = truth.ravel()[run.result.evaluated], run.result.filled[name].ravel()
    level, centre = goal.levels[name], goal.centre[name]
    rest = _rest(run)
    return np.array([_plain_error(guess[i], truth.ravel()[i], known, level, centre) for i in rest.tolist()])


def test_the_error_is_the_formula_written_out() -> None:
    rng = np.random.default_rng(1)
    for level, centre, offset in ((2.0, 0.1, 0.0), (-3.0, -5.0, -5.5), (1.0, 0.0, 0.0)):
        known, guess, truth = offset + rng.exponential(1.0, (3, 60))
        measure = LossError.of(known, level=level, centre=centre)
        expected = [_plain_error(g, t, known, level, centre) for g, t in zip(guess, truth, strict=True)]
        np.testing.assert_allclose(measure.error(guess, truth), expected, rtol=1e-12)


def test_a_diverged_truth_is_infinitely_wrong() -> None:
    measure = LossError.of(np.array([1.0, 2.0, np.nan, np.inf]), level=5.0, centre=1.0)
    assert measure.error(np.ones(3), np.array([np.nan, np.inf, -np.inf])).tolist() == [np.inf] * 3
    assert (measure.minimum, measure.floor) == (1.0, 0.05 * 0.5)


def test_flattened_values_rise_and_come_back() -> None:
    measure = LossError.of(np.array([0.5, 1.0, 3.0]), level=2.0, centre=0.5)
    values = np.concatenate([np.linspace(0.5, 4.0, 400), np.geomspace(5, 1e30, 50)])
    u = measure.transform(values)
    assert np.all(np.diff(u) > 0)
    np.testing.assert_allclose(measure.inverse_transform(u, float(u.max())), values, rtol=1e-9)


def test_flattened_differences_are_errors_within_a_factor_of_two() -> None:
    measure = LossError.of(np.array([0.5, 1.0, 3.0]), level=2.0, centre=0.5)
    truth = np.linspace(0.5, 1.99, 200)
    ratio = measure.error(truth + 1e-7, truth) / (measure.transform(truth + 1e-7) - measure.transform(truth))
    assert ratio.min() > 0.99
    assert ratio.max() < 2.01


def test_the_allowance_is_where_the_error_passes_the_tolerance() -> None:
    measure = LossError.of(np.array([0.5, 1.0, 3.0]), level=2.0, centre=0.5)
    guess, truth = (z.ravel() for z in np.meshgrid(np.linspace(0.5, 2.6, 211), np.linspace(0.5, 3.0, 997)))
    for tolerance in (0.02, 0.05, 0.5):
        below, above = measure.allowance(guess, tolerance)
        away = measure.transform(truth) - measure.transform(guess)
        inside = (-below <= away + 1e-12) & (away <= above + 1e-12)
        at_the_edge = np.abs(measure.error(guess, truth) - tolerance) < 1e-9
        assert np.all((inside == (measure.error(guess, truth) <= tolerance)) | at_the_edge)


@pytest.mark.parametrize("ndim", [1, 2])
def test_the_spline_is_scipys_cubic_one(ndim: int) -> None:
    rng = np.random.default_rng(2)
    points, asked = rng.random((40, ndim)), rng.random((30, ndim))
    values = np.stack([np.sin(5 * points.sum(axis=1)), points[:, 0] ** 2], axis=1)
    expected = RBFInterpolator(points, values, kernel="cubic", degree=1)(asked)
    np.testing.assert_allclose(Spline.through(points, values).at(asked)[0], expected, atol=1e-8)


def test_local_scales_are_residuals_of_points_left_out() -> None:
    rng = np.random.default_rng(3)
    points = rng.random((25, 2))
    values = np.sin(5 * points.sum(axis=1))[:, None]
    spline = Spline.through(points, values)
    for i in range(25):
        others = np.arange(25) != i
        left_out = RBFInterpolator(points[others], values[others], kernel="cubic", degree=1)(points[i : i + 1])
        squared = float((values[i] - left_out[0])[0]) ** 2
        assert spline.scales[i, 0] == pytest.approx(squared * spline.inverse[i, i], rel=1e-5)


def test_points_on_a_line_of_a_plane_are_interpolated_too() -> None:
    points = np.stack([np.linspace(0, 1, 5), np.full(5, 0.5)], axis=1)
    mean, _ = Spline.through(points, np.arange(5.0)[:, None]).at(np.array([[0.25, 0.5], [0.3, 0.9]]))
    assert mean[0, 0] == pytest.approx(1.0)
    assert 0 <= mean[1, 0] <= 4


def test_blocks_of_a_large_grid_are_as_exact_as_one_spline_over_all() -> None:
    axes = _axes(80, 61)
    rng = np.random.default_rng(4)
    truth = _on(axes, _hills).ravel()
    known = np.union1d(acquisition.coarse_lattice(axes), rng.choice(truth.size, 600, replace=False))
    rest = np.setdiff1d(np.arange(truth.size), known)
    points = scaled_points(axes)
    whole = RBFInterpolator(points[known], truth[known], kernel="cubic", degree=1)(points[rest])
    blocks = predict(axes, known, truth[known][:, None], rest).mean[:, 0]
    assert np.linalg.norm(blocks - truth[rest]) < 1.1 * np.linalg.norm(whole - truth[rest])


@pytest.mark.parametrize(("over", "count"), [(0, 36), (1, 60), (5, 60), (60, 60)])
def test_the_bound_is_clopper_and_pearsons_on_a_large_grid(over: int, count: int) -> None:
    interval = binomtest(over, count, alternative="less").proportion_ci(0.975, method="exact")
    assert audit.upper_bound(over, count, 10**9, 0.025) == pytest.approx(interval.high, rel=1e-6)


@pytest.mark.parametrize(("count", "left"), [(10, 5), (30, 40), (54, 60), (54, 400)])
def test_the_bound_covers_the_points_left_whatever_the_truth(count: int, left: int) -> None:
    alpha, seen = 0.025, np.arange(count + 1)
    bounds = np.array([audit.upper_bound(int(k), count, left, alpha) for k in seen])
    for bad in range(count + left + 1):
        missed = (bad - seen) / left > bounds + 1e-12
        assert hypergeom.pmf(seen, count + left, bad, count)[missed].sum() <= alpha


def test_the_audits_of_a_run_share_five_per_cent() -> None:
    assert sum(audit.significance(j) for j in range(1, 60)) == pytest.approx(0.05)


@pytest.mark.parametrize("number", [1, 2, 5, 9])
@pytest.mark.parametrize(("kind", "over", "claimed"), [(0, 1, 0.1), (1, 1, 0.2)])
def test_an_audit_is_as_large_as_it_must_be_to_pass(number: int, kind: int, over: int, claimed: float) -> None:
    alpha = audit.significance(number)
    count = audit.size(3000, alpha, kind)
    assert audit.upper_bound(over, count, 3000 - count, alpha) <= claimed
    assert audit.upper_bound(over, count - 1, 3001 - count, alpha) > claimed


def test_audits_draw_other_points_by_seed_and_number() -> None:
    below, above = np.arange(100, 3000), np.arange(3000, 4000)
    draws = [audit.draw(below, above, seed=s, number=j) for s, j in ((0, 1), (0, 1), (0, 2), (1, 1))]
    assert np.array_equal(draws[0].indices, draws[1].indices)
    assert all(np.isin(d.below, below).all() and len(np.unique(d.below)) == len(d.below) for d in draws)
    assert all(np.isin(d.above, above).all() and len(d.above) + d.left[1] == 1000 for d in draws)
    assert all(len(np.intersect1d(draws[0].indices, d.indices)) < 10 for d in draws[2:])


@pytest.mark.parametrize("shape", [(601,), (51, 51), (31, 77)])
@pytest.mark.parametrize("surface", [_bowl, _hills])
@pytest.mark.parametrize("tolerance", [0.05, 0.02])
def test_few_points_reach_the_tolerance(shape: tuple[int, ...], surface: Surface, tolerance: float) -> None:
    axes = _axes(*shape)
    truth, goal = _on(axes, surface), _goal(axes, surface, tolerance=tolerance)
    run = _refine(axes, {"loss": truth}, goal)
    errors = _true_errors(run, truth, goal)
    assert len(run.result.evaluated) - (run.result.audit.above_count or 0) < 0.2 * truth.size
    assert np.percentile(errors, 95) <= tolerance
    assert np.mean(errors > tolerance) <= run.result.audit.share_upper95 <= 0.1


def test_no_point_is_asked_twice_and_pictures_are_whole() -> None:
    axes = _axes(31, 40)
    truth = _on(axes, _hills)
    run = _refine(axes, {"loss": truth}, _goal(axes, _hills))
    asked = np.concatenate([r.indices for r in run.rounds])
    assert len(np.unique(asked)) == len(asked) == len(run.result.evaluated)
    assert all(np.all(np.diff(r.indices) > 0) for r in run.rounds)
    assert run.rounds[0].filled is None
    known = np.empty(0, int)
    for before, after in zip(run.rounds[:-1], run.rounds[1:], strict=True):
        known = np.concatenate([known, before.indices])
        assert after.filled is not None
        assert np.isfinite(after.filled["loss"]).all()
        assert np.array_equal(after.filled["loss"].ravel()[known], truth.ravel()[known])


def test_the_audit_reports_what_its_points_show() -> None:
    axes = _axes(51, 51)
    truth, goal = _on(axes, _hills), _goal(axes, _hills)
    run = _refine(axes, {"loss": truth}, goal)
    last, known = run.rounds[-1], truth.ravel()[run.result.evaluated]
    assert last.purpose == "audit"
    assert last.filled is not None
    pairs = zip(last.filled["loss"].ravel()[last.indices], truth.ravel()[last.indices], strict=True)
    errors = np.array([_plain_error(g, t, known, goal.levels["loss"], goal.centre["loss"]) for g, t in pairs])
    report, below = run.result.audit, last.filled["loss"].ravel()[last.indices] <= goal.levels["loss"]
    assert (report.count, report.over) == (int(below.sum()), int(np.count_nonzero(errors[below] > 0.05)))
    assert (report.above_count, report.above_over) == (
        int((~below).sum()),
        int(np.count_nonzero(errors[~below] > 0.05)),
    )
    assert min(report.count, report.above_count or 0) > 10
    assert report.worst == pytest.approx(errors[below].max())
    assert report.confidence == 0.975


def test_a_narrow_plane_takes_few_points() -> None:
    axes = [np.linspace(-0.1, 0.1, 51), np.linspace(-1.0, 1.0, 51)]
    truth, goal = _on(axes, _hills), _goal(axes, _hills)
    run = _refine(axes, {"loss": truth}, goal)
    assert np.percentile(_true_errors(run, truth, goal), 95) <= 0.05
    assert len(run.result.evaluated) < 0.07 * truth.size


def test_the_audited_interpolant_is_kept() -> None:
    axes = _axes(51, 51)
    truth, goal = _on(axes, _hills), _goal(axes, _hills)
    run = _refine(axes, {"loss": truth}, goal)
    last = run.rounds[-1]
    assert last.filled is not None
    assert np.array_equal(np.setdiff1d(run.result.evaluated, run.result.fitted), last.indices)
    rest = _rest(run)
    assert np.array_equal(run.result.filled["loss"].ravel()[rest], last.filled["loss"].ravel()[rest])


def test_a_failed_audit_leads_to_more_points() -> None:
    axes = _axes(51, 51)
    truth = np.ones(51 * 51)
    others = np.setdiff1d(np.arange(truth.size), acquisition.coarse_lattice(axes))
    truth[np.random.default_rng(5).choice(others, 500, replace=False)] = 2.0
    run = _refine(
        axes,
        {"loss": truth.reshape(51, 51)},
        RefinementGoal(tolerance=0.05, levels={"loss": 10.0}, centre={"loss": 1.0}),
    )
    assert [r.purpose for r in run.rounds[:3]] == ["start", "audit", "refine"]
    assert run.result.failed[0].share_upper95 > 0.1
    assert not run.result.failed[0].passed
    errors = _true_errors(run, truth, RefinementGoal(tolerance=0.05, levels={"loss": 10.0}, centre={"loss": 1.0}))
    assert not errors.size or np.mean(errors > 0.05) <= 0.1


def test_the_course_depends_on_the_answers_alone() -> None:
    axes = _axes(41, 31)
    truth = {"loss": _on(axes, _hills)}
    one, two = (_refine(axes, truth, _goal(axes, _hills)) for _ in range(2))
    assert [r.indices.tolist() for r in one.rounds] == [r.indices.tolist() for r in two.rounds]
    assert np.array_equal(one.result.filled["loss"], two.result.filled["loss"])


def test_a_broken_run_goes_on_from_stored_points() -> None:
    axes = _axes(41, 31)
    truth = {"loss": _on(axes, _hills)}
    whole = _refine(axes, truth, _goal(axes, _hills))
    stored = np.full(41 * 31, np.nan)
    for done in whole.rounds[:6]:
        stored[done.indices] = truth["loss"].ravel()[done.indices]
    new: list[IntArray] = []

    def answer(asked: RefinementRound) -> dict[str, FloatArray]:
        new.append(asked.indices[np.isnan(stored[asked.indices])])
        stored[new[-1]] = truth["loss"].ravel()[new[-1]]
        return {"loss": stored[asked.indices]}

    resumed = _course(axes, _goal(axes, _hills), answer)
    assert [n.size for n in new[:6]] == [0] * 6
    assert [n.tolist() for n in new[6:]] == [r.indices.tolist() for r in whole.rounds[6:]]
    assert np.array_equal(resumed.result.filled["loss"], whole.result.filled["loss"])


@pytest.mark.parametrize("constant", [0.0, 0.7, -4.0])
def test_a_flat_surface_costs_the_lattice_and_one_audit(constant: float) -> None:
    axes = _axes(51, 51)
    truth = np.full((51, 51), constant)
    run = _refine(
        axes, {"loss": truth}, RefinementGoal(tolerance=0.05, levels={"loss": 2.3}, centre={"loss": constant})
    )
    assert [r.purpose for r in run.rounds] == ["start", "audit"]
    np.testing.assert_allclose(run.result.filled["loss"], constant, atol=1e-12)


def test_noise_is_evaluated_to_the_end() -> None:
    axes = _axes(30, 30)
    truth = 0.01 + np.random.default_rng(6).random((30, 30))
    run = _refine(axes, {"loss": truth}, RefinementGoal(tolerance=0.05, levels={"loss": 2.3}, centre={"loss": 0.01}))
    assert len(run.result.evaluated) > 0.9 * truth.size
    if len(run.result.evaluated) == truth.size:
        assert (run.result.audit.count, run.result.audit.share_upper95) == (0, 0.0)


def test_steps_stay_within_the_claim() -> None:
    axes = _axes(1001)
    truth = _on(axes, lambda x: np.floor(4 * x) + 5.0)
    goal = RefinementGoal(tolerance=0.05, levels={"loss": 100.0}, centre={"loss": 5.0})
    run = _refine(axes, {"loss": truth}, goal)
    assert len(run.result.evaluated) < 400
    assert np.mean(_true_errors(run, truth, goal) > 0.05) <= run.result.audit.share_upper95


def test_every_loss_must_be_within_the_tolerance() -> None:
    axes = _axes(51, 51)
    truth = {"train_loss": _on(axes, _bowl), "test_loss": _on(axes, lambda x, y: _hills(y, -x))}
    goal = RefinementGoal(
        tolerance=0.05, levels={"train_loss": 2.3, "test_loss": 3.0}, centre={"train_loss": 0.01, "test_loss": 0.8}
    )
    run = _refine(axes, truth, goal)
    errors = np.max([_true_errors(run, z, goal, name) for name, z in truth.items()], axis=0)
    assert np.mean(errors > 0.05) <= run.result.audit.share_upper95 <= 0.1
    assert len(run.result.evaluated) < 0.2 * 51 * 51


def test_negative_losses_are_refined_like_others() -> None:
    axes = _axes(51, 51)
    truth = _on(axes, _hills) - 50.0
    goal = RefinementGoal(tolerance=0.05, levels={"loss": -47.7}, centre={"loss": float(truth[25, 25])})
    run = _refine(axes, {"loss": truth}, goal)
    assert np.percentile(_true_errors(run, truth, goal), 95) <= 0.05
    assert len(run.result.evaluated) < 0.2 * truth.size


@pytest.mark.parametrize(("peak", "most"), [(1e30, 0.4), (1e300, 0.6)])
def test_an_exploded_border_does_not_hide_the_basin(peak: float, most: float) -> None:
    axes = _axes(51, 51)
    truth = _on(axes, lambda x, y: _bowl(x, y) + np.exp(np.log(peak) * (x**2 + y**2 - 1)))
    goal = _goal(axes, _bowl)
    run = _refine(axes, {"loss": truth}, goal)
    assert np.isfinite(run.result.filled["loss"]).all()
    assert np.percentile(_true_errors(run, truth, goal), 95) <= 0.05
    assert len(run.result.evaluated) < most * truth.size


def _disc(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.where((x - 0.4) ** 2 + (y - 0.3) ** 2 < 0.05, np.nan, _bowl(x, y))


def _half_plane(x: FloatArray, y: FloatArray) -> FloatArray:
    return np.where(x > 0.33, np.inf, _bowl(x, y))


def _beside_diverged(truth: FloatArray) -> NDArray[np.bool_]:
    """Return the points that have diverged, or a neighbour (of 8) that has."""
    bad = np.pad(~np.isfinite(truth), 1)
    n, m = truth.shape
    near: NDArray[np.bool_] = np.logical_or.reduce([bad[i : i + n, j : j + m] for i in range(3) for j in range(3)])
    return near


@pytest.mark.parametrize("surface", [_disc, _half_plane])
def test_diverged_regions_and_their_rims_are_evaluated(surface: Surface) -> None:
    axes = _axes(51, 41)
    truth = _on(axes, surface)
    run = _refine(axes, {"loss": truth}, _goal(axes, surface))
    evaluated = np.zeros(truth.size, bool)
    evaluated[run.result.evaluated] = True
    assert evaluated[_beside_diverged(truth).ravel()].all()
    assert np.array_equal(np.isfinite(run.result.filled["loss"]), np.isfinite(truth))
    assert np.percentile(_true_errors(run, truth, _goal(axes, surface)), 95) <= 0.05
    assert not evaluated.all()


def test_a_diverged_point_in_an_audit_fails_it() -> None:
    axes = _axes(51, 51)
    truth, goal = np.ones((51, 51)), RefinementGoal(tolerance=0.05, levels={"loss": 2.3}, centre={"loss": 1.0})
    inner = next(i for i in _refine(axes, {"loss": truth}, goal).rounds[1].indices if 60 < i < 2500)
    truth.ravel()[inner] = np.nan
    run = _refine(axes, {"loss": truth}, goal)
    assert run.result.failed[0].worst == np.inf
    assert np.isin(np.flatnonzero(_beside_diverged(truth)), run.result.evaluated).all()


def test_where_all_diverged_all_is_evaluated() -> None:
    run = _refine(
        _axes(9, 12),
        {"loss": np.full((9, 12), np.nan)},
        RefinementGoal(tolerance=0.05, levels={"loss": 2.3}, centre={"loss": np.nan}),
    )
    assert len(run.result.evaluated) == 108


def test_one_diverged_loss_is_enough() -> None:
    axes = _axes(41, 41)
    truth = {"train_loss": _on(axes, _bowl), "test_loss": _on(axes, _disc)}
    goal = RefinementGoal(tolerance=0.05, levels=dict.fromkeys(truth, 2.3), centre=dict.fromkeys(truth, 0.01))
    run = _refine(axes, truth, goal)
    assert np.isin(np.flatnonzero(_beside_diverged(truth["test_loss"])), run.result.evaluated).all()
    assert np.isfinite(run.result.filled["train_loss"]).all()


@pytest.mark.parametrize("shape", [(2, 2), (3,), (2,), (4, 5), (7, 3)])
def test_tiny_grids_are_evaluated_whole(shape: tuple[int, ...]) -> None:
    axes = _axes(*shape)
    truth = _on(axes, _hills)
    run = _refine(axes, {"loss": truth}, _goal(axes, _hills))
    assert len(run.result.evaluated) == truth.size
    assert np.array_equal(run.result.filled["loss"], truth)
    assert (run.result.audit.count, run.result.audit.share_upper95) == (0, 0.0)
    assert run.result.audit.passed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((1.5, {"a": 1.0}, {"a": 0.0}, 0), "tolerance 1.5: expected a share between 0 and 1"),
        ((0.1, {}, {}, 0), r"levels \[\], centre \[\]: expected the same losses"),
        ((0.1, {"a": 1.0}, {"b": 0.0}, 0), r"levels \['a'\], centre \['b'\]: expected the same losses"),
        ((0.1, {"a": 1.0}, {"a": 0.0}, -1), "seed -1: expected 0 or more"),
    ],
)
def test_a_goal_that_makes_no_sense_is_refused(
    arguments: tuple[float, dict[str, float], dict[str, float], int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RefinementGoal(tolerance=arguments[0], levels=arguments[1], centre=arguments[2], seed=arguments[3])


def test_three_axes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"got axes of \[3, 3, 3\] points; expected one or two axes"):
        next(refinement(_axes(3, 3, 3), RefinementGoal(tolerance=0.1, levels={"a": 1.0}, centre={"a": 0.0})))


def test_an_answer_of_another_shape_is_refused() -> None:
    course = refinement(_axes(9, 9), RefinementGoal(tolerance=0.1, levels={"a": 1.0}, centre={"a": 0.0}))
    next(course)
    with pytest.raises(ValueError, match=r"values of shapes {'a': \(2,\)}; expected \(25,\) for each of \['a'\]"):
        course.send({"a": np.zeros(2)})
