"""Baseline: the closed form of a quadratic loss along the axes and diagonals, and points counted by hand."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_hex

import surfaceviz
from surfaceviz import render
from surfaceviz.records import EVALUATED, INTERPOLATED, MISSING, Slice
from surfaceviz.render.curves.cut_figure import cut_along


def _surface(shape: tuple[int, int] = (9, 5), ends: tuple[float, float] = (1.0, 1.0)) -> Slice:
    """Return 1 + alpha^2 + 3 beta^2 + alpha beta on a grid over -ends .. ends."""
    axes = tuple(np.linspace(-end, end, n) for n, end in zip(shape, ends, strict=True))
    alpha, beta = np.meshgrid(*axes, indexing="ij")
    values = {"train_loss": np.asarray(1 + alpha**2 + 3 * beta**2 + alpha * beta)}
    return Slice(axes=axes, values=values, origin=np.full(shape, EVALUATED, np.uint8), centre={"train_loss": 1.0})


@pytest.mark.parametrize(
    ("direction", "curvature", "count"), [((1, 0), 1.0, 9), ((0, 1), 3.0, 5), ((1, 1), 2.5, 5), ((1, -1), 1.5, 5)]
)
def test_a_cut_is_the_closed_form_over_distance(direction: tuple[float, float], curvature: float, count: int) -> None:
    surface = _surface()
    cut = cut_along(surface, surface.values["train_loss"], direction)
    assert cut is not None
    assert len(cut.distance) == count  # on 9 x 5 points over one square every second alpha meets a diagonal
    assert np.all(np.diff(cut.distance) > 0)
    np.testing.assert_allclose(cut.values, 1 + curvature * cut.distance**2)


def test_a_cut_has_only_points_of_the_grid() -> None:
    surface = _surface((4, 5))  # alpha = 0 lies between two points
    z = surface.values["train_loss"]
    assert cut_along(surface, z, (0, 1)) is None
    beta_is_0 = cut_along(surface, z, (1, 0))
    assert beta_is_0 is not None
    np.testing.assert_allclose(beta_is_0.distance, surface.axes[0])


def test_interpolated_points_are_hollow_and_missing_ones_break_the_line() -> None:
    surface = _surface()
    surface.origin[3, 2], surface.origin[6, 2] = INTERPOLATED, MISSING
    surface.values["train_loss"][6, 2] = np.nan
    z = surface.values["train_loss"]
    cut = cut_along(surface, z, (1, 0))
    assert cut is not None
    assert np.flatnonzero(cut.interpolated).tolist() == [3]
    assert np.flatnonzero(np.isnan(cut.values)).tolist() == [6]
    whole = Slice(axes=surface.axes, values={"train_loss": z}, origin=np.maximum(surface.origin, 1), centre={})
    ax = render.draw([whole], kind="cuts").axes[0]
    hollow = [line for line in ax.lines if line.get_marker() == "o" and line.get_markerfacecolor() == "white"]
    assert [to_hex(line.get_color()) for line in hollow if np.size(line.get_xdata())] == ["#0072b2"]


def test_the_legend_names_the_lines_and_the_axis_its_unit() -> None:
    picture = render.draw([_surface()], kind="cuts")
    (legend,) = picture.legends
    labels = [text.get_text() for text in legend.get_texts()]
    assert labels == [r"$\beta = 0$", r"$\alpha = 0$", r"$\beta = \alpha$", r"$\beta = -\alpha$", "theta"]
    (ax,) = picture.axes
    assert "units of the directions" in ax.get_xlabel()
    assert ax.get_ylabel() == "train loss"


def test_two_slices_share_one_scale_of_values() -> None:
    first, second = render.draw([_surface(), _surface((5, 5), (2.0, 2.0))], kind="cuts", levels="log").axes
    assert first.get_ylim() == second.get_ylim()
    assert first.get_yscale() == second.get_yscale() == "log"


def test_values_are_cut_off_at_the_clip() -> None:
    (ax,) = render.draw([_surface()], kind="cuts", clip=2.0).axes
    assert ax.get_ylim()[1] == 2.0
    assert ax.get_ylabel() == "train loss, cut off at 2"


def test_what_has_no_cuts_is_refused() -> None:
    with pytest.raises(ValueError, match="net.h5: no axis or diagonal through theta has two finite grid points"):
        render.draw([_surface((4, 2), (1.0, 0.5))], kind="cuts", names=["net.h5"])
    with pytest.raises(ValueError, match="levels paper: cuts have none"):
        render.draw([_surface()], kind="cuts", levels="paper")
    with pytest.raises(ValueError, match="kind cuts has no --map: leave it out"):
        surfaceviz.plot(_surface(), kind="cuts", map="max")
    line = Slice(
        axes=(np.linspace(0, 1, 3),), values={"train_loss": np.ones(3)}, origin=np.ones(3, np.uint8), centre={}
    )
    with pytest.raises(ValueError, match="kind cuts draws surfaces, and these slices are curves"):
        render.draw([line], kind="cuts")
