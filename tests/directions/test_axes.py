"""Baseline: numpy's linspace and a double loop."""

from __future__ import annotations

import numpy as np
import pytest

from surfaceviz.directions.axes import AutoAxis, Axis, axes_around, parse_axis
from surfaceviz.pipeline.slice.chunks import chunks


@pytest.mark.parametrize("given", ["-1:1:25", "-0.3:0.3:51", "0:2:4", "-2:0:3", "-0.7:0.1:9"])
def test_coordinates_are_equally_spaced_and_zero_is_exact(given: str) -> None:
    axis = Axis.parse(given)
    x = axis.coordinates()
    np.testing.assert_allclose(x, np.linspace(axis.minimum, axis.maximum, axis.count), atol=1e-15)
    assert (x[0], x[-1]) == (axis.minimum, axis.maximum)
    assert 0.0 in x
    assert str(axis) == given


def test_chunks_cover_the_missing_points_once_with_their_coordinates() -> None:
    axes = [np.array([0.0, 0.5, 1.0]), np.array([-1.0, 1.0])]
    origin = np.zeros((3, 2), np.uint8)
    origin[1, 0] = 1
    found = chunks(axes, np.arange(6), origin, 2)
    expected = [(2 * i + j, (axes[0][i], axes[1][j])) for i in range(3) for j in range(2) if (i, j) != (1, 0)]
    got = [pair for c in found for pair in zip(c.indices, c.coordinates, strict=True)]
    assert got == expected
    assert [len(c.indices) for c in found] == [2, 2, 1]
    assert chunks(axes, np.arange(6), np.ones((3, 2), np.uint8), 2) == []


def test_fitted_axes_hold_the_models_with_a_margin() -> None:
    alpha, beta = axes_around([(1.0, 0.0), (0.5, 0.8)], [25, 25], margin=0.25)
    assert (alpha.minimum, alpha.maximum) == (-0.25, 1.25)
    assert (beta.minimum, beta.maximum) == pytest.approx((-0.2, 1.0))


def test_groups_start_where_those_of_an_undisturbed_run_do() -> None:
    axes, origin = [np.arange(7.0)], np.zeros(7, np.uint8)
    origin[[0, 1, 4]] = 1  # the first group of two is done, the third by half
    origin[6] = 2  # an interpolated point is to be evaluated like a missing one
    found = chunks(axes, np.arange(7), origin, 5, group=2)
    assert [c.indices for c in found] == [(2, 3, 4, 5), (6,)]
    scattered = chunks(axes, np.array([1, 2, 5]), origin, 1, group=2)
    assert [c.indices for c in scattered] == [(1, 2), (5,)]


def test_axes_to_be_found_are_parsed() -> None:
    assert parse_axis("auto:51") == AutoAxis(51)
    assert str(parse_axis("auto:51")) == "auto:51"
    assert AutoAxis(5).with_range(0.5) == Axis(-0.5, 0.5, 5)
    assert parse_axis((-1, 1, 3)) == Axis(-1, 1, 3)
    with pytest.raises(ValueError, match="axis 'auto': expected auto:NUM, such as auto:51"):
        parse_axis("auto")
    with pytest.raises(ValueError, match="NUM is 1, expected at least 2 points"):
        parse_axis("auto:1")
