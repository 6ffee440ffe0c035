"""Baseline: gudhi's persistence on the same triangulation, and surfaces whose minima and passes are known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from topology_oracles import Array, double_well, intervals

from surfaceviz.topology import NONE, MergeTree, merge_tree, on_border

SHAPES = [(1,), (2,), (40,), (1, 9), (9, 1), (2, 2), (7, 12), (12, 7), (13, 3), (5, 5)]


def _random_grid(seed: int) -> Array:
    """Return a grid with ties in every other case, missing points in every third, diverged ones in every fifth."""
    random, shape = np.random.default_rng(seed), SHAPES[seed % len(SHAPES)]
    values = random.integers(0, 6, shape).astype(float) if seed % 2 else random.standard_normal(shape)
    values[random.random(shape) < (0.0 if seed % 3 else 0.2)] = np.nan
    values[random.random(shape) < (0.0 if seed % 5 else 0.1)] = np.inf
    return values


def _intervals(values: Array, tree: MergeTree) -> Array:
    birth = values.ravel()[tree.minimum]
    death = np.where(tree.highest == NONE, np.inf, values.ravel()[tree.highest])
    found = np.stack([birth, death], axis=1)
    return found[np.lexsort(found.T)]


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("seed", range(50))
def test_persistence_is_that_of_gudhi(seed: int, flipped: bool) -> None:
    values = _random_grid(seed)
    tree = merge_tree(values, flipped=flipped)
    np.testing.assert_array_equal(_intervals(values, tree), intervals(values, flipped=flipped))


@pytest.mark.parametrize("seed", range(30))
def test_each_minimum_ends_in_a_lower_one_that_comes_before(seed: int) -> None:
    values = _random_grid(seed)
    tree, flat = merge_tree(values), values.ravel()
    met = tree.parent != NONE
    assert (tree.parent < np.maximum(np.arange(len(tree)), 1)).all()
    assert (flat[tree.minimum[tree.parent[met]]] <= flat[tree.minimum[met]]).all()
    assert (np.diff(tree.persistence[1:][np.isfinite(tree.persistence[1:])]) <= 0).all()
    np.testing.assert_array_equal(tree.basin == NONE, ~np.isfinite(values))
    np.testing.assert_array_equal(tree.basin.ravel()[tree.minimum], np.arange(len(tree)))


@pytest.mark.parametrize("flipped", [False, True])
@pytest.mark.parametrize("transposed", [False, True])
def test_two_wells_have_their_depth_their_pass_and_their_halves(transposed: bool, flipped: bool) -> None:
    x, y = np.linspace(-2, 2, 17), np.linspace(-1, 1, 9)
    values = np.add.outer(double_well(x), y**2)
    tree = merge_tree(values.T if transposed else values, flipped=flipped)
    at = np.unravel_index(tree.minimum, values.T.shape if transposed else values.shape)
    passes = np.unravel_index(tree.highest[1:], values.T.shape if transposed else values.shape)
    (i, j), (k, m) = (at[::-1], passes[::-1]) if transposed else (at, passes)
    np.testing.assert_array_equal([x[i], y[j]], [[-1, 1], [0, 0]])
    np.testing.assert_array_equal([x[k], y[m]], [[0], [0]])
    assert tree.persistence.tolist() == [np.inf, pytest.approx(0.7)]
    assert tree.parent.tolist() == [NONE, 0]
    basin = tree.basin.T if transposed else tree.basin
    assert (basin[x < 0] == 0).all()
    assert (basin[x > 0] == 1).all()


def test_a_line_with_two_wells_is_that_of_the_surface() -> None:
    x = np.linspace(-2, 2, 41)
    tree = merge_tree(double_well(x))
    np.testing.assert_allclose(x[tree.minimum], [-1, 1], atol=1e-12)
    np.testing.assert_allclose(tree.persistence, [np.inf, 0.7])


@pytest.mark.parametrize("shape", [(31,), (21, 11)])
def test_a_bowl_and_a_plateau_have_one_minimum(shape: tuple[int, ...]) -> None:
    mesh = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    bowl = np.asarray(sum(x**2 for x in mesh))
    for values in (bowl, np.maximum(bowl, 0.5), np.zeros(shape)):
        tree = merge_tree(values)
        assert len(tree) == 1
        assert (tree.basin == 0).all()


def test_a_valley_along_one_diagonal_is_a_row_of_minima_without_it() -> None:
    """On the floor i = j, cells cut from [i, j] to [i + 1, j + 1] join neighbours; the other cut parts them."""
    i, j = np.meshgrid(np.arange(8), np.arange(8), indexing="ij")
    values = (i != j) + 0.01 * i
    assert len(merge_tree(values)) == 1
    assert len(merge_tree(values, flipped=True)) == 8


def test_walls_of_diverged_points_leave_two_minima_without_a_pass() -> None:
    values = np.array([2.0, 1.0, 2.0, np.inf, 3.0, 2.5, 4.0])
    tree = merge_tree(values)
    assert tree.highest.tolist() == [NONE, NONE]
    assert tree.minimum.tolist() == [1, 5]


def test_nothing_finite_has_no_minimum() -> None:
    tree = merge_tree(np.full((3, 4), np.nan))
    assert len(tree) == 0
    assert (tree.basin == NONE).all()


def test_the_border_is_the_edge_and_the_neighbourhood_of_missing_points() -> None:
    values = np.zeros((6, 7))
    values[3, 3], values[1, 5] = np.nan, np.inf
    inside = np.zeros((6, 7), bool)
    inside[1:-1, 1:-1] = True
    inside[2:5, 2:5] = False
    np.testing.assert_array_equal(~on_border(values, np.arange(42)).reshape(6, 7), inside)
    assert on_border(np.zeros(5), np.arange(5)).tolist() == [True, False, False, False, True]
