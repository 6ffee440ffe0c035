"""Baselines: the pixels of frames, and the numbers of iterates."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest

import surfaceviz
from surfaceviz import render
from surfaceviz.records import Slice, Trajectory
from surfaceviz.render.plot_options import AnimationOptions, PlotOptions


def _surface(trajectory: Trajectory | None) -> Slice:
    axes = np.linspace(-1, 1, 9), np.linspace(-2, 2, 7)
    values = axes[0][:, None] ** 2 + axes[1] ** 2 + 0.1
    return Slice(
        axes=axes, values={"train_loss": values}, origin=np.ones((9, 7), np.uint8), centre={"train_loss": 0.1},
        provenance={"problem": "net", "splits": "train"}, trajectory=trajectory,
    )  # fmt: skip


def _path(runs: int = 1) -> Trajectory:
    steps = np.tile(np.linspace(1, 0, 6), runs)
    return Trajectory(
        coordinates=np.stack([0.8 * steps, -1.5 * steps], 1), step=np.tile(np.arange(6.0), runs),
        distance=np.linspace(0, 1, 6 * runs), values={"train_loss": 0.1 + 4 * steps},
        run=None if runs == 1 else np.repeat(np.arange(runs), 6), provenance={"loss": "train_loss"},
    )  # fmt: skip


def test_the_slice_stays_while_path_and_loss_grow() -> None:
    surfaceviz.animate(_surface(_path()), output="a.gif", way="trajectory", frames=3, size="column")
    frames = np.asarray(iio.imread("a.gif"))[..., :3].astype(int)
    assert len(frames) >= 3  # equal frames at the end may be joined
    first, second, last = frames[0], frames[1], frames[2]
    changed = np.abs(second - first).max(-1) > 60, np.abs(last - first).max(-1) > 60
    assert 0 < changed[0].sum() < changed[1].sum() < 0.1 * changed[1].size
    assert not np.array_equal(first, last)


def test_a_trajectory_begins_with_the_first_iterates_of_each_training() -> None:
    assert _path().first(2).step.tolist() == [0, 1]
    both = _path(2).first(2)
    assert both.step.tolist() == [0, 1, 0, 1]
    assert [len(path.step) for path in both.paths] == [2, 2]
    assert _path(2).first(99).step.tolist() == _path(2).step.tolist()


def test_movies_of_a_training_without_one_are_refused() -> None:
    for surfaces, message in (
        ([_surface(None)], "animate trajectory: no file has a trajectory; --animate orbit needs none"),
        ([_surface(_path())] * 2, "a movie along a training is of one slice, got 2; give one file"),
    ):
        with pytest.raises(ValueError, match=message):
            render.animate(
                surfaces, PlotOptions(kind="trajectory"), Path("a.gif"), animation=AnimationOptions("trajectory")
            )
    with pytest.raises(ValueError, match="--animate orbit makes movies of --kind surface, not of lines"):
        surfaceviz.animate(_surface(None), output="a.gif", kind="lines")
    with pytest.raises(ValueError, match="--animate trajectory makes movies of --kind trajectory or surface, not of c"):
        surfaceviz.animate(_surface(_path()), output="a.gif", way="trajectory", kind="cuts")
    with pytest.raises(ValueError, match="kind trajectory has no --camera: leave it out"):
        surfaceviz.animate(_surface(_path()), output="a.gif", way="trajectory", camera="top")
