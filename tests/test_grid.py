"""Baseline: numpy's linspace and a double loop."""

from __future__ import annotations

import numpy as np
import pytest

from surfaceviz.grid import Axis, fitted, missing_chunks


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
    chunks = missing_chunks(axes, origin, 2)
    expected = [(2 * i + j, (axes[0][i], axes[1][j])) for i in range(3) for j in range(2) if (i, j) != (1, 0)]
    got = [pair for c in chunks for pair in zip(c.indices, c.coordinates, strict=True)]
    assert got == expected
    assert [len(c.indices) for c in chunks] == [2, 2, 1]
    assert missing_chunks(axes, np.ones((3, 2), np.uint8), 2) == []


def test_fitted_axes_hold_the_models_with_a_margin() -> None:
    alpha, beta = fitted([(1.0, 0.0), (0.5, 0.8)], [25, 25], margin=0.25)
    assert (alpha.minimum, alpha.maximum) == (-0.25, 1.25)
    assert (beta.minimum, beta.maximum) == pytest.approx((-0.2, 1.0))
