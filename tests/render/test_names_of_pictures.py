"""Baseline: the texts that were given, and the size of the panel of the same slice without a path."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.records import Slice, Trajectory
from surfaceviz.render.contours.levels import choose_levels
from surfaceviz.render.figure_io import Picture

ALPHA, BETA = np.linspace(-6.5, 6.5, 6), np.linspace(-4.0, 4.0, 5)


def _surface() -> Slice:
    loss = ALPHA[:, None] ** 2 + BETA**2 + 1
    return Slice(
        axes=(ALPHA, BETA), values={"train_loss": loss}, origin=np.ones((6, 5), np.uint8),
        centre={"train_loss": 1.0}, provenance={"problem": "mine", "splits": "train"},
    )  # fmt: skip


def _curve() -> Slice:
    surface = _surface()
    return replace(
        surface, axes=(ALPHA,), values={"train_loss": surface.values["train_loss"][:, 2]}, origin=np.ones(6, np.uint8)
    )


def _texts(figure: Picture) -> list[str]:
    found = [text for ax in figure.axes for text in (ax.get_title(), ax.get_xlabel(), ax.get_ylabel())]
    legends = [*figure.legends, *(each for ax in figure.axes if (each := ax.get_legend()) is not None)]
    return found + [text.get_text() for legend in legends for text in legend.get_texts()] + [figure.get_suptitle()]


@pytest.mark.parametrize("kind", ["filled", "lines", "heat", "cuts"])
def test_panels_have_the_labels_given_below_the_title_given(kind: str) -> None:
    texts = _texts(surfaceviz.plot(_surface(), _surface(), kind=kind, label=["SGD, 0.1", "Adam"], title="Two runs"))
    assert {"SGD, 0.1", "Adam", "Two runs"} <= {*texts}
    assert not any("mine" in text for text in texts)


def test_axes_have_the_names_given() -> None:
    texts = _texts(surfaceviz.plot(_surface(), axis_name=["along the valley", "across"], title="One"))
    assert {"along the valley", "across", "One"} <= {*texts}
    texts = _texts(surfaceviz.plot(_surface(), axis_name="distance"))
    assert "distance" in texts
    assert r"$\beta$" in texts


def test_curves_have_the_labels_given_in_their_legend() -> None:
    texts = _texts(surfaceviz.plot(_curve(), _curve(), label=["one", "two"], axis_name="distance", title="Curves"))
    assert {"one, train loss", "two, train loss", "distance", "Curves"} <= {*texts}


def test_names_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="got 1 labels for 2 files; give --label for each, in their order"):
        surfaceviz.plot(_surface(), _surface(), label="one")
    with pytest.raises(ValueError, match="got 2 names of axes; these slices have 1: give a name for each"):
        surfaceviz.plot(_curve(), axis_name=["a", "b"])
    with pytest.raises(ValueError, match="kind cuts has no --axis-name: leave it out"):
        surfaceviz.plot(_surface(), kind="cuts", axis_name="a")
    with pytest.raises(ValueError, match="a movie has no title next to the names of its surfaces; give --label"):
        surfaceviz.animate(_surface(), _surface(), output="a.gif", title="Two")


def test_the_page_and_the_command_take_the_same_names() -> None:
    store.write(Path("s.h5"), _surface())
    names = ["--label=SGD", "--title=My page", "--axis-name=valley"]
    assert cli.run(["report", "s.h5", *names, "-o", "page.html"]) == 0
    page = Path("page.html").read_text()
    assert "<title>My page</title>" in page
    assert '"title":"SGD"' in page
    assert '"labels":["valley","beta"]' in page
    assert cli.run(["plot", "s.h5", *names, "-o", "s.svg"]) == 0


def test_a_path_leaves_a_wide_plane_its_size() -> None:
    surface = _surface()
    path = Trajectory(step=np.arange(3.0), coordinates=np.array([[-5.0, -3], [-2, 1], [0, 0]]), distance=np.ones(3))
    sizes = []
    for shown in (surface, replace(surface, trajectory=path)):
        figure = surfaceviz.plot(shown)
        figure.draw_without_rendering()
        sizes.append(figure.axes[0].get_window_extent().width)
    assert sizes[1] > 0.95 * sizes[0]


@pytest.mark.parametrize("value", [0.3, 0.0, 7.0])
def test_the_scale_of_a_single_loss_begins_at_zero(value: float) -> None:
    levels = choose_levels([np.array([value, np.nan, np.inf])], "auto").values
    assert levels[0] == 0
    assert levels[-1] == pytest.approx(2 * value or 1.0)
