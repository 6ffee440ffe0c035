"""Baseline: closed forms of quadratics, of kinks and of cosines."""

from __future__ import annotations

import math

import numpy as np
import pytest

from surfaceviz.comparison.convexity import share_not_convex
from surfaceviz.comparison.ray_width import common_reach, widths

_ALPHA = np.linspace(-1, 1, 41)


def test_the_width_of_a_quadratic_lies_between_two_points_of_the_grid() -> None:
    losses = 4 * _ALPHA[None] ** 2
    exact = math.sqrt(0.1 / 4)
    (width,) = widths(_ALPHA, losses, 0.0)
    assert exact - 0.05 < width < exact + 1e-12  # a chord of a convex curve crosses the level before it


def test_both_sides_make_the_width() -> None:
    losses = np.where(_ALPHA > 0, 0.4 * _ALPHA, -1.6 * _ALPHA)[None]
    assert widths(_ALPHA, losses, 0.0) == pytest.approx([math.sqrt(0.25 * 0.0625)])


def test_a_side_that_does_not_rise_has_no_width() -> None:
    assert widths(_ALPHA, np.maximum(_ALPHA, 0)[None], 0.0) == np.array([math.inf])


def test_the_common_reach_is_where_the_median_rises_to_the_level() -> None:
    losses = np.array([2.0, 4.0, 100.0])[:, None] * _ALPHA**2
    assert common_reach(_ALPHA, losses, 1.0) == pytest.approx(0.5)
    assert common_reach(_ALPHA, losses, 1e3) == 1.0


def test_a_diverged_ray_counts_as_above_every_level() -> None:
    losses = np.where(np.abs(_ALPHA) > 0.31, np.nan, 0.0)[None]
    assert common_reach(_ALPHA, losses, 1e9) == pytest.approx(0.35)


def test_half_of_a_product_of_cosines_is_not_convex_along_an_axis() -> None:
    x = np.linspace(-math.pi, math.pi, 201)[:-1]
    along_one = np.cos(x)[:, None] + 0 * x[None, :]
    assert share_not_convex(x, x, along_one) == pytest.approx(0.5, abs=0.01)


def test_a_bowl_turned_against_the_axes_is_convex_and_a_turned_saddle_is_not() -> None:
    x, y = np.linspace(-1, 1, 9), np.linspace(-2, 2, 7)
    u, v = x[:, None] + y[None, :], x[:, None] - y[None, :]
    assert share_not_convex(x, y, u**2 + 0.01 * v**2) == 0
    assert share_not_convex(x, y, u**2 - 0.01 * v**2) == 1


def test_points_that_diverged_are_left_out() -> None:
    x = np.linspace(-1, 1, 5)
    losses = x[:, None] ** 2 + x[None, :] ** 2
    losses[0, 0] = np.inf
    assert share_not_convex(x, x, losses) == 0
    assert math.isnan(share_not_convex(x, x, np.full((5, 5), np.nan)))
