"""Baseline: lattices counted by hand, a clock that is told what time it is, PNG files read by matplotlib."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import launchers
import matplotlib.image
import numpy as np
import oracles
import pytest
import torch
from matplotlib.contour import QuadContourSet

import surfaceviz
from surfaceviz import render, store
from surfaceviz.pipeline.slice import live_plot
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.records import Slice, coarse_first, coarsened, finished_level
from surfaceviz.records.lattice import levels
from surfaceviz.render import figure


def test_levels_are_lattices_of_ever_half_the_spacing() -> None:
    assert levels([17]).tolist() == [0, 2, 1, 2, 0, 2, 1, 2, 0, 2, 1, 2, 0, 2, 1, 2, 0]
    assert levels([12]).tolist() == [0, 1] * 5 + [0, 0]  # the last point is in all
    assert levels([4]).tolist() == [0] * 4
    assert levels([1]).tolist() == [0]
    both = levels([9, 3])
    assert both.tolist() == [[k] * 3 for k in (0, 1, 0, 1, 0, 1, 0, 1, 0)]


@pytest.mark.parametrize("shape", [(51, 51), (7, 5), (1, 9), (101,), (33, 12)])
def test_coarse_points_come_first_and_each_once(shape: tuple[int, ...]) -> None:
    order = coarse_first(shape)
    assert sorted(order.tolist()) == list(range(int(np.prod(shape))))
    assert np.all(np.diff(levels(shape).ravel()[order]) >= 0)


def _half_done(level: int) -> Slice:
    axes = (np.linspace(-1, 1, 17), np.linspace(0, 3, 9))
    z = 1 + axes[0][:, None] ** 2 + 5 * axes[1] ** 2
    origin = (levels((17, 9)) <= level).astype(np.uint8)
    values = np.where(origin, z, np.nan)
    return Slice(
        axes=axes,
        values={"train_loss": values},
        origin=origin,
        centre={"train_loss": 1.0},
        provenance={"problem": "net"},
    )


def test_an_unfinished_slice_is_drawn_as_its_finest_whole_lattice() -> None:
    assert [finished_level(_half_done(k)) for k in (0, 1, 2)] == [0, 1, 2]
    assert [coarsened(_half_done(k)).shape for k in (0, 1, 2)] == [(5, 5), (9, 5), (17, 9)]
    surface = _half_done(1)
    surface.origin[1, 0], surface.values["train_loss"][1, 0] = 1, 7.0  # one of the next lattice changes nothing
    part = coarsened(surface)
    np.testing.assert_allclose(part.axes[1], [0, 0.75, 1.5, 2.25, 3])
    assert np.isfinite(part.values["train_loss"]).all()
    ax = render.draw([surface]).axes[0]
    assert ax.get_title() == "net\n46 of 153 points so far"
    assert any(isinstance(c, QuadContourSet) for c in ax.collections)
    nothing = replace(surface, origin=np.zeros((17, 9), np.uint8))
    assert coarsened(nothing) is nothing


class _Clock:
    """Time that passes as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(live_plot, "monotonic", lambda: self.now)

    def drawing(self, seconds: float) -> Callable[..., None]:
        def save(figure: object, path: Path) -> None:
            self.now += seconds

        return save


def test_watching_takes_less_than_two_per_cent_whatever_a_picture_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(monkeypatch)
    monkeypatch.setattr(figure, "draw", lambda _surfaces: None)
    for seconds in (0.1, 1.0, 30.0):
        monkeypatch.setattr(figure, "save", clock.drawing(seconds))
        begun, watching = clock.now, live_plot.LivePlot(Path("a.png"), pytest.fail)
        pictures = 0
        for k in range(4_000):
            before = watching.seconds
            watching.update(lambda: _half_done(2), lambda k=k: k)  # type: ignore[misc]
            pictures += watching.seconds > before
            clock.now += 2.5
        # what the first one takes can't be known beforehand; after it all together stay below
        allowed = max(0.02 * (clock.now - begun), seconds)  # of the clock above, which stands still between its steps
        assert allowed >= watching.seconds
        assert pictures >= 3


def test_nothing_is_drawn_twice_nor_before_there_is_something(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(monkeypatch)
    monkeypatch.setattr(figure, "save", clock.drawing(0.01))
    watching = live_plot.LivePlot(Path("a.png"), pytest.fail)
    for level, drawn in ((None, False), (0, True), (0, False), (1, True)):
        clock.now += 1000
        before = watching.seconds
        watching.update(lambda: _half_done(2), lambda level=level: level)  # type: ignore[misc]
        assert (watching.seconds > before) == drawn
    unwatched = live_plot.LivePlot(None, pytest.fail)
    clock.now += 1000
    unwatched.update(lambda: pytest.fail("drawn"), lambda: pytest.fail("asked"))


def test_a_picture_that_cannot_be_written_ends_the_watching_and_not_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = _Clock(monkeypatch)
    said: list[str] = []
    watching = live_plot.LivePlot(Path("no/a.png"), said.append)
    for level in range(3):
        clock.now += 1000
        watching.update(lambda: _half_done(2), lambda level=level: level)  # type: ignore[misc]
    assert said == ["the live plot ends: no/a.png can't be written: No such file or directory"]


@pytest.mark.parametrize("tol", [None, 0.05])
def test_a_watched_run_has_whole_pictures_and_the_values_of_another(
    monkeypatch: pytest.MonkeyPatch, tol: float | None
) -> None:
    monkeypatch.setattr(live_plot, "SHARE", 1e9)
    monkeypatch.setattr(live_plot, "_EVERY", 0.0)
    torch.manual_seed(0)
    x, y = torch.randn(40, 6, dtype=torch.float64), torch.randn(40, 1, dtype=torch.float64)
    model = torch.nn.Linear(6, 1, bias=False).double()
    model.weight.data = torch.linalg.lstsq(x, y).solution.T
    problem = surfaceviz.Problem(model, (x, y), "mse")
    seen: list[tuple[int, ...]] = []
    over = threading.Event()

    def look() -> None:
        last = False
        while not last:
            last = over.wait(0.01)  # the picture is read once more after the run, however fast that was
            if Path("a.png").exists():
                seen.append(matplotlib.image.imread("a.png").shape)  # raises on a torn file

    viewer = threading.Thread(target=look)
    viewer.start()
    given = {"axes": ["-1:1:17", "-1:1:17"], "engine": "eager", "batch_size": 40, "workers": 1, "tol": tol}
    watched = surfaceviz.slice(problem, output="a.h5", watch=True, **given)  # type: ignore[arg-type]
    over.set()
    viewer.join()
    alone = surfaceviz.slice(problem, **given)  # type: ignore[arg-type]
    np.testing.assert_array_equal(watched.values["train_loss"], alone.values["train_loss"])
    assert Path("a.png").exists()
    assert not list(Path().glob(".*.part"))
    assert seen


WATCHED = """
from surfaceviz.pipeline.slice import live_plot
live_plot.SHARE, live_plot._EVERY = 1e9, 0.0
"""


@pytest.mark.slow
@pytest.mark.parametrize(("launcher", "named"), [("openmpi", True), ("mpich", False)])
def test_ranks_of_a_job_are_watched_too(launcher: str, named: bool, tmp_path: Path) -> None:
    oracles.write_factory(tmp_path, WATCHED)
    command = ["-m", "surfaceviz", "slice", "mine.py:problem", "--axis=-1:1:9", "--engine=eager", "--batch=128"]
    output = ["-o", "a.h5"] if named else []
    code, _, errors = launchers.finish(launchers.start(launcher, 2, [*command, "--watch", "--no-plot", *output]))
    assert code == 0, errors
    assert "live plot" not in errors
    (picture,), (file,) = Path().glob("*.png"), Path().glob("*.h5")  # --no-plot: only the live plot draws
    assert picture.stem == file.stem
    assert matplotlib.image.imread(picture).ndim == 3
    alone = oracles.run_slice(oracles.net_problem(), ["-1:1:9"], engine="eager", batch_size=128)
    np.testing.assert_array_equal(store.read(file).values["train_loss"], alone.values["train_loss"])


def test_watching_wants_a_file_and_a_whole_grid() -> None:
    with pytest.raises(ValueError, match="watch draws a picture next to the output"):
        Request.of("mlp-digits", watch=True)


def test_a_killed_run_has_coarse_points_all_over_the_plane() -> None:
    """What is in a snapshot of a run that was stopped early is a whole coarse lattice before all else."""
    calls = 0

    def measure(model: torch.nn.Module, batch: object) -> dict[str, tuple[torch.Tensor, int]]:
        nonlocal calls
        calls += 1
        if calls > 150:
            raise RuntimeError("stop")
        return {"loss": (model(torch.ones(1, 2)).sum() ** 2, 1)}

    problem = surfaceviz.Problem(torch.nn.Linear(2, 1), [torch.ones(1, 2)], measure=measure)
    with pytest.raises(surfaceviz.SurfacevizError, match="stop"):
        surfaceviz.slice(problem, axes=["-1:1:17", "-1:1:17"], engine="eager", output="a.h5", workers=1)
    assert finished_level(store.read("a.h5")) >= 0
