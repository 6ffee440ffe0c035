"""Baselines: the singular value decomposition of all rows in memory, least squares, and simulated random walks."""

from __future__ import annotations

import numpy as np
import pytest

from surfaceviz.directions.training.path_plane import PlaneRule, plane_of, random_walk_gram, random_walk_share
from surfaceviz.records import FloatArray


def _rule(count: int, rows: int, **options: object) -> PlaneRule:
    return PlaneRule(count=count, rows=np.arange(rows), **options)  # type: ignore[arg-type]


def _rows(seed: int = 0) -> FloatArray:
    """Return a curved path of 30 iterates in 4000 dimensions, relative to its end."""
    walk = np.random.default_rng(seed).normal(size=(30, 4000)).cumsum(axis=0)
    return np.asarray(walk - walk[-1])


@pytest.mark.parametrize("centred", [False, True])
def test_the_gram_matrix_gives_the_plane_of_the_dense_svd(centred: bool) -> None:
    rows = _rows()
    plane = plane_of(rows @ rows.T, _rule(2, 30, centred=centred))
    assert plane is not None
    about = rows - rows.mean(axis=0) if centred else rows
    _, singular, right = np.linalg.svd(about, full_matrices=False)
    directions = plane.weights.T @ rows
    overlap = np.abs(np.sum(directions * right[:2], axis=1))
    np.testing.assert_allclose(overlap, 1, rtol=0, atol=1e-8)
    np.testing.assert_allclose(directions @ directions.T, np.eye(2), atol=1e-8)
    np.testing.assert_allclose(plane.explained, singular[:2] ** 2 / np.sum(singular**2), rtol=1e-8)
    exact = np.linalg.lstsq(directions.T, rows.T, rcond=None)[0].T
    np.testing.assert_allclose(plane.coordinates, exact, rtol=0, atol=1e-8 * np.abs(exact).max())


def test_no_other_plane_through_the_end_is_closer_to_the_rows() -> None:
    rows = _rows(1)
    plane = plane_of(rows @ rows.T, _rule(2, 30))
    assert plane is not None
    centred = plane_of(rows @ rows.T, _rule(2, 30, centred=True))
    assert centred is not None

    def off(weights: FloatArray) -> float:
        basis = np.linalg.qr((weights.T @ rows).T)[0]
        return float(np.sum((rows - rows @ basis @ basis.T) ** 2))

    assert off(plane.weights) < off(centred.weights)


def test_the_plane_through_three_iterates_holds_them() -> None:
    rows = _rows(2)
    plane = plane_of(rows @ rows.T, _rule(2, 30, through=(0, 12)))
    assert plane is not None
    on_plane = plane.coordinates @ (plane.weights.T @ rows)
    np.testing.assert_allclose(on_plane[[0, 12, 29]], rows[[0, 12, 29]], atol=1e-9 * np.abs(rows).max())
    assert np.abs(plane.coordinates[0, 1]) < 1e-9 * np.abs(plane.coordinates[0, 0])


@pytest.mark.parametrize("through", [None, (0, 1)])
def test_iterates_on_a_line_span_no_plane_but_a_line(through: tuple[int, int] | None) -> None:
    rows = np.outer(np.arange(5.0)[::-1], np.ones(7))
    assert plane_of(rows @ rows.T, _rule(2, 5, through=through)) is None
    line = plane_of(rows @ rows.T, _rule(1, 5, through=through))
    assert line is not None
    np.testing.assert_allclose(line.coordinates[:, 0], np.arange(5.0)[::-1] * np.sqrt(7))
    assert line.explained[0] == pytest.approx(1)


@pytest.mark.parametrize("length", [3, 20, 200])
def test_the_eigenvalues_of_a_random_walk_have_their_closed_form(length: int) -> None:
    values = np.linalg.eigvalsh(random_walk_gram([length], length - 1))[::-1][:2]
    exact = 1 / (2 - 2 * np.cos((2 * np.array([1, 2]) - 1) * np.pi / (2 * length - 1)))
    np.testing.assert_allclose(values, exact, rtol=1e-10)
    share = random_walk_share([length], length - 1, _rule(2, length))
    assert share == pytest.approx(exact.sum() / (length * (length - 1) / 2), rel=1e-10)


def test_a_long_random_walk_has_the_shares_of_the_literature() -> None:
    # 6 / (pi k)^2 centred (arXiv 1806.08805), 8 / (pi (2 k - 1))^2 around the end
    centred = random_walk_share([2000], 1999, _rule(2, 2000, centred=True))
    assert centred == pytest.approx(6 / np.pi**2 * (1 + 1 / 4), abs=1e-3)
    assert random_walk_share([2000], 1999, _rule(2, 2000)) == pytest.approx(8 / np.pi**2 * (1 + 1 / 9), abs=1e-3)


@pytest.mark.parametrize(
    ("lengths", "options"),
    [
        ([25], {}), ([25], {"centred": True}), ([25], {"through": (0, 12)}), ([12, 20], {}),
        ([12, 20], {"centred": True}),
    ],
)  # fmt: skip
def test_the_share_of_a_random_walk_agrees_with_a_simulation(lengths: list[int], options: dict[str, object]) -> None:
    random, dimension = np.random.default_rng(3), 20_000
    steps = [random.normal(size=(length - 1, dimension)) for length in lengths]
    walk = np.concatenate([np.concatenate([np.zeros((1, dimension)), each.cumsum(axis=0)]) for each in steps])
    rows = walk - walk[lengths[0] - 1]
    rule = _rule(2, len(rows), **options)
    simulated = plane_of(rows @ rows.T, rule)
    assert simulated is not None
    # A share of a sum of 20,000 independent terms: its standard deviation is below 1%.
    assert random_walk_share(lengths, lengths[0] - 1, rule) == pytest.approx(simulated.explained.sum(), abs=0.02)
