"""Baselines: curves laid in known planes, the loss of a model called by torch itself, the names of files."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import paths
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import surfaceviz
from surfaceviz import store
from surfaceviz.cli import run
from surfaceviz.directions.training.iterates import BLOCK_BYTES
from surfaceviz.directions.training.training_plane import FromTraining
from surfaceviz.errors import CheckpointError, DirectionError
from surfaceviz.pipeline.provenance import attributes_of, request_from
from surfaceviz.pipeline.trajectory.checkpoint_files import runs_of, steps_of
from surfaceviz.pipeline.trajectory.request import TrajectoryRequest
from surfaceviz.pipeline.trajectory.run import slice_request
from surfaceviz.records import FloatArray, Slice, Trajectory
from surfaceviz.reporting import QuietReporter


class Silent(QuietReporter):
    """A reporter that drops warnings: the networks here are not trained."""

    def warn(self, line: str) -> None:
        """Drop the line."""


SMALL = {"axes": ["auto:5", "auto:4"], "engine": "eager", "batch_size": 60, "workers": 1, "reporter": Silent()}


def _path(surface: Slice) -> Trajectory:
    assert surface.trajectory is not None
    return surface.trajectory


def _gram(places: FloatArray) -> FloatArray:
    return np.asarray(places @ places.T)


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
@pytest.mark.parametrize("block_bytes", [12 * 8 * 7, BLOCK_BYTES])
def test_coordinates_recover_a_path_laid_in_a_plane(
    ending: str, block_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = paths.problem()
    basis = paths.orthonormal(made.model)
    paths.lay(tmp_path / "run", made.model, paths.SPIRAL @ basis, name=f"epoch-{{}}.{ending}".format)
    monkeypatch.setattr(
        "surfaceviz.directions.training.from_training.BLOCK_BYTES", block_bytes
    )  # seven parameters, or all
    path = _path(surfaceviz.trajectory(tmp_path / "run", problem=made, **SMALL))  # type: ignore[arg-type]
    # Products determine places up to a rotation or reflection of the plane.
    scale = np.abs(paths.SPIRAL).max() ** 2
    np.testing.assert_allclose(_gram(path.coordinates), _gram(paths.SPIRAL), rtol=0, atol=1e-9 * scale)
    np.testing.assert_allclose(path.distance, 0, atol=1e-9)
    np.testing.assert_array_equal(path.step, np.arange(12))
    assert path.provenance["explained_variance"] == pytest.approx(1)


def test_float32_checkpoints_give_coordinates_to_1e_6(tmp_path: Path) -> None:
    made = paths.problem()
    basis = paths.orthonormal(made.model)
    made.model.float()
    made = surfaceviz.Problem(made.model, (torch.randn(9, 4), torch.zeros(9, dtype=torch.long)), "cross_entropy")
    paths.lay(tmp_path / "run", made.model, paths.SPIRAL @ basis)
    path = _path(surfaceviz.trajectory(tmp_path / "run", problem=made, **SMALL))  # type: ignore[arg-type]
    scale = np.abs(paths.SPIRAL).max() ** 2
    np.testing.assert_allclose(_gram(path.coordinates), _gram(paths.SPIRAL), rtol=0, atol=1e-6 * scale)


def test_distances_are_those_from_the_plane(tmp_path: Path) -> None:
    made = paths.problem()
    count = sum(p.numel() for p in made.model.parameters())
    basis = np.linalg.qr(np.random.default_rng(5).normal(size=(count, 3)))[0].T
    bumps = np.array([0, 0.5, 0, 0, 0.25, 0, 0, 0, 0, 0, 0, 0])
    places = np.concatenate([10 * paths.SPIRAL, bumps[:, None]], axis=1)
    paths.lay(tmp_path / "run", made.model, places @ basis)
    given = {**SMALL, "plane": "step-0,step-3,step-11"}
    path = _path(surfaceviz.trajectory(tmp_path / "run", problem=made, **given))  # type: ignore[arg-type]
    np.testing.assert_allclose(path.distance, bumps, atol=1e-9)
    np.testing.assert_allclose(_gram(path.coordinates), _gram(10 * paths.SPIRAL), atol=1e-7)
    # START lies on the alpha axis
    assert path.coordinates[0] == pytest.approx([np.linalg.norm(10 * paths.SPIRAL[0]), 0], abs=1e-7)


def test_losses_are_those_of_the_iterates_and_of_their_projections(tmp_path: Path) -> None:
    made = paths.problem()
    count = sum(p.numel() for p in made.model.parameters())
    offsets = np.random.default_rng(2).normal(size=(6, count)).cumsum(axis=0) * 0.3
    offsets -= offsets[-1]

    def shift_buffers(k: int, state: dict[str, Tensor]) -> None:
        state["1.running_mean"] += 0.1 * (5 - k)

    files = paths.lay(tmp_path / "run", made.model, offsets, change=shift_buffers)
    surface = surfaceviz.trajectory(*files, problem=made, output="p.h5", **SMALL)  # type: ignore[arg-type]
    path, (x, y) = _path(surface), made.sources["train"]
    directions = store.read_directions("p.h5")
    assert set(directions[0]) == {name for name, _ in made.model.named_parameters()}  # buffers stay
    for k, file in enumerate(files):
        twin = paths.problem().model.eval().requires_grad_(False)
        twin.load_state_dict(load_file(file))
        assert path.values["train_loss"][k] == pytest.approx(float(nn.functional.cross_entropy(twin(x), y)), rel=1e-10)
        state = load_file(files[-1])
        for coordinate, tensors in zip(path.coordinates[k], directions, strict=True):
            for name, array in tensors.items():
                state[name] += coordinate * torch.from_numpy(array)
        twin.load_state_dict(state)
        assert path.values["projected_loss"][k] == pytest.approx(float(nn.functional.cross_entropy(twin(x), y)))
    assert "test_loss" in path.values


def test_the_range_is_fitted_to_the_path_and_the_file_keeps_it(tmp_path: Path) -> None:
    made = paths.problem()
    basis = paths.orthonormal(made.model)
    paths.lay(tmp_path / "run", made.model, paths.SPIRAL @ basis)
    surface = surfaceviz.trajectory(tmp_path / "run", problem=made, output="p.h5", **SMALL)  # type: ignore[arg-type]
    assert surface.shape == (5, 4)
    for axis, along in zip(surface.axes, _path(surface).coordinates.T, strict=True):
        assert axis[0] < along.min() - 0.1 * np.ptp(along)
        assert axis[-1] > along.max() + 0.1 * np.ptp(along)
    kept = surfaceviz.read("p.h5")
    for name in ("coordinates", "distance", "step"):
        np.testing.assert_array_equal(getattr(_path(kept), name), getattr(_path(surface), name))
    assert set(_path(kept).values) == set(_path(surface).values)
    assert kept.directions[0].kind == "trajectory"
    again = surfaceviz.trajectory(tmp_path / "run", problem=made, output="p.h5", **SMALL)  # type: ignore[arg-type]
    np.testing.assert_array_equal(again.values["train_loss"], surface.values["train_loss"])


def test_a_tolerance_and_a_line_hold_for_trajectories(tmp_path: Path) -> None:
    made = paths.problem()
    paths.lay(tmp_path / "run", made.model, 0.1 * paths.SPIRAL @ paths.orthonormal(made.model))
    given = {**SMALL, "axes": ["auto:33", "auto:33"], "tol": 0.1}
    surface = surfaceviz.trajectory(tmp_path / "run", problem=made, **given)  # type: ignore[arg-type]
    assert surface.audit is not None
    assert surface.evaluated < surface.origin.size
    line = surfaceviz.trajectory(tmp_path / "run", problem=made, **{**SMALL, "axes": ["auto:7"]})  # type: ignore[arg-type]
    assert (line.ndim, _path(line).coordinates.shape) == (1, (12, 1))
    assert _path(line).distance.max() > 0.1


def test_several_runs_share_a_plane(tmp_path: Path) -> None:
    made = paths.problem()
    basis = paths.orthonormal(made.model)
    other = paths.SPIRAL[3:] * [1, -1] + [1.0, 0.5]
    paths.lay(tmp_path / "one", made.model, paths.SPIRAL @ basis)
    paths.lay(tmp_path / "two", made.model, other @ basis)
    folders = [tmp_path / "one", tmp_path / "two"]
    surface = surfaceviz.trajectory(*folders, problem=made, output="p.h5", **SMALL)  # type: ignore[arg-type]
    for path in (_path(surface), _path(surfaceviz.read("p.h5"))):
        first, second = path.paths
        assert (len(first.step), len(second.step)) == (12, 9)
        both = np.concatenate([paths.SPIRAL, other])
        np.testing.assert_allclose(_gram(path.coordinates), _gram(both), atol=1e-8)
        np.testing.assert_array_equal(second.coordinates, path.coordinates[12:])
        assert path.names == tuple(map(str, folders))
        assert np.isnan(path.with_gaps.coordinates[12]).all()
        np.testing.assert_array_equal(path.with_gaps.coordinates[13:], second.coordinates)


def test_only_and_ignore_leave_parameters_out_of_the_rows(tmp_path: Path) -> None:
    made = paths.problem()
    offsets = paths.SPIRAL @ paths.orthonormal(made.model)
    paths.lay(tmp_path / "run", made.model, offsets)
    surface = surfaceviz.trajectory(tmp_path / "run", problem=made, ignore="biasbn", freeze="3", output="p.h5", **SMALL)  # type: ignore[arg-type]
    assert [set(each) for each in store.read_directions("p.h5")] == [{"0.weight"}, {"0.weight"}]
    part = offsets[:, : 4 * 5]
    found = _path(surface)
    np.testing.assert_allclose(_gram(found.coordinates), _gram(part), atol=1e-8)


def test_files_are_in_natural_order_with_their_steps(tmp_path: Path) -> None:
    for name in ("epoch-10.pt", "epoch-2.pt", "epoch-1.pt", "best.pt", "optimizer-3.pt", "log-4.csv"):
        (tmp_path / name).touch()
    said: list[str] = []
    (found,) = runs_of([str(tmp_path)], said.append)
    assert [Path(file).name for file in found.files] == ["epoch-1.pt", "epoch-2.pt", "epoch-10.pt"]
    assert found.steps == (1, 2, 10)
    assert "best.pt have no number in their names and are left out" in said[0]
    (given,) = runs_of([str(tmp_path / name) for name in ("best.pt", "epoch-10.pt", "epoch-2.pt")], said.append)
    assert [Path(file).name for file in given.files] == ["epoch-2.pt", "epoch-10.pt", "best.pt"]
    folders = [tmp_path / f"checkpoint-{step}" for step in (20, 100)]
    for folder in folders:
        folder.mkdir()
        (folder / "model.safetensors").touch()
    (nested,) = runs_of([str(folder / "model.safetensors") for folder in reversed(folders)], said.append)
    assert nested.steps == (20, 100)
    assert steps_of(["step-0200", "step-0400"]) == (200, 400)
    assert steps_of(["net2-epoch1", "net2-epoch3"]) == (1, 3)


def test_checkpoints_in_folders_of_their_own_are_found(tmp_path: Path) -> None:
    for step in (500, 1000, 90):
        folder = tmp_path / f"checkpoint-{step}"
        folder.mkdir()
        for name in ("model.safetensors", "optimizer.pt", "training_args.bin"):
            (folder / name).touch()
    (found,) = runs_of([str(tmp_path)], lambda _line: None)
    assert [Path(file).parent.name for file in found.files] == ["checkpoint-90", "checkpoint-500", "checkpoint-1000"]
    assert found.steps == (90, 500, 1000)


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_a_torn_checkpoint_gives_one_line(ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = paths.problem()
    files = paths.lay(
        tmp_path / "run", made.model, paths.SPIRAL @ paths.orthonormal(made.model), name=f"s{{}}.{ending}".format
    )
    whole = Path(files[4]).read_bytes()
    Path(files[4]).write_bytes(whole[: len(whole) // 2])
    Path("mine.py").write_text("import paths\n\n\ndef problem():\n    return paths.problem()\n")
    code = run(["trajectory", str(tmp_path / "run"), "--problem", "mine.py:problem", "--quiet"])
    err = capsys.readouterr().err
    assert code == 1
    assert len(err.splitlines()) == 1
    assert files[4] in err
    assert "leave this file out, or write it again" in err


@pytest.mark.parametrize("sizes", [(4, 6, 3), (4, 5, 2)])
def test_checkpoints_of_two_architectures_give_one_line(
    sizes: tuple[int, int, int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, other = paths.problem(), paths.problem(sizes)
    paths.lay(tmp_path / "run", made.model, paths.SPIRAL @ paths.orthonormal(made.model))
    paths.lay(tmp_path / "run", other.model, np.zeros((2, 10_000)))
    Path("mine.py").write_text("import paths\n\n\ndef problem():\n    return paths.problem()\n")
    code = run(["trajectory", str(tmp_path / "run"), "--problem", "mine.py:problem", "--quiet"])
    err = capsys.readouterr().err
    assert (code, len(err.splitlines())) == (1, 1)
    assert "step-0.safetensors doesn't fit the model" in err
    assert "whole checkpoints of one architecture" in err


def test_a_checkpoint_with_nan_is_named(tmp_path: Path) -> None:
    made = paths.problem()

    def spoil(k: int, state: dict[str, Tensor]) -> None:
        if k == 7:
            state["3.weight"][0, 0] = torch.nan

    paths.lay(tmp_path / "run", made.model, paths.SPIRAL @ paths.orthonormal(made.model), change=spoil)
    with pytest.raises(CheckpointError, match=r"step-7.safetensors holds NaN or inf in 3.weight; leave this"):
        surfaceviz.trajectory(tmp_path / "run", problem=made, **SMALL)  # type: ignore[arg-type]


def test_paths_without_a_plane_are_refused(tmp_path: Path) -> None:
    made = paths.problem()
    basis = paths.orthonormal(made.model)
    paths.lay(tmp_path / "line", made.model, np.outer([3.0, 1.0, 0.0], basis[0]))
    paths.lay(tmp_path / "still", made.model, np.zeros((3, basis.shape[1])))
    paths.lay(tmp_path / "one", made.model, np.zeros((1, basis.shape[1])))
    for folder, error, words in (
        ("line", DirectionError, "of 3 checkpoints lie on one line, and span no plane; give more of them, or one axis"),
        ("still", DirectionError, "all 3 checkpoints have the same weights"),
        ("one", CheckpointError, "holds 1 checkpoints .* a trajectory needs at least 2"),
    ):
        with pytest.raises(error, match=words):
            surfaceviz.trajectory(tmp_path / folder, problem=made, **SMALL)  # type: ignore[arg-type]
    line = surfaceviz.trajectory(tmp_path / "line", problem=made, **{**SMALL, "axes": ["auto:5"]})  # type: ignore[arg-type]
    np.testing.assert_allclose(_path(line).coordinates[:, 0], [3, 1, 0], atol=1e-9)
    with pytest.raises(DirectionError, match=r"plane: got '7'; expected the name of a checkpoint, or a step: 0, 1, 2"):
        surfaceviz.trajectory(tmp_path / "line", problem=made, plane="0,1,7", **SMALL)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"plane: expected pca, last or START,MIDDLE,END, got 'first'"):
        surfaceviz.trajectory(tmp_path / "line", problem=made, plane="first")
    with pytest.raises(ValueError, match="leave out centred"):
        surfaceviz.trajectory(tmp_path / "line", problem=made, plane="0,1,2", centred=True)
    with pytest.raises(CheckpointError, match="nothere: no such file or folder of checkpoints"):
        surfaceviz.trajectory("nothere", problem=made)
    with pytest.raises(ValueError, match="got no checkpoint"):
        surfaceviz.trajectory(problem=made)
    with pytest.raises(ValueError, match="without their problem"):
        surfaceviz.trajectory("a.pt", "b.pt")


def test_the_plane_of_the_last_half_does_not_depend_on_the_first(tmp_path: Path) -> None:
    made = paths.problem()
    count = sum(p.numel() for p in made.model.parameters())
    basis = np.linalg.qr(np.random.default_rng(5).normal(size=(count, 4)))[0].T
    early = np.concatenate([np.zeros((6, 2)), 30 * paths.SPIRAL[:6] + 40], axis=1)
    late = np.concatenate([paths.SPIRAL[6:], np.zeros((6, 2))], axis=1)
    paths.lay(tmp_path / "run", made.model, np.concatenate([early, late]) @ basis)
    surface = surfaceviz.trajectory(tmp_path / "run", problem=made, plane="last", **SMALL)  # type: ignore[arg-type]
    path = _path(surface)
    np.testing.assert_allclose(_gram(path.coordinates[6:]), _gram(paths.SPIRAL[6:]), atol=1e-8)
    np.testing.assert_allclose(path.distance[:6], np.linalg.norm(early, axis=1), rtol=1e-9)
    assert max(np.ptp(axis) for axis in surface.axes) < 2 * np.ptp(paths.SPIRAL[6:])


def test_a_files_attributes_give_back_its_request(tmp_path: Path) -> None:
    made = paths.problem()
    paths.lay(tmp_path / "run", made.model, paths.SPIRAL @ paths.orthonormal(made.model))
    given = TrajectoryRequest.of(
        tmp_path / "run", problem="mine.py:problem", plane="last", centred=True, ignore="biasbn", freeze="3"
    )
    request = slice_request(given, lambda _line: None)
    assert isinstance(request.directions, FromTraining)
    assert request_from(attributes_of(request)) == request
    assert json.loads(str(attributes_of(request)["made_from"]))["weights"].endswith("step-11.safetensors")
    assert replace(request.directions, runs=()) == given.plane


def test_a_dry_run_of_a_trajectory_tells_its_plan_and_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    made = paths.problem()
    basis = paths.orthonormal(made.model)
    paths.lay(Path("run"), made.model, paths.SPIRAL @ basis)
    Path("mine.py").write_text(
        f"import sys\nsys.path.insert(0, {str(Path(paths.__file__).parent)!r})\nfrom paths import problem\n"
    )
    options = ["--problem=mine.py:problem", "--axis=auto:5", "--axis=auto:4", "--engine=eager", "--workers=1"]
    assert run(["trajectory", "run", *options, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert "5 x 4" in printed
    assert "run: 12 checkpoints" in printed
    assert not list(Path.cwd().glob("*.h5"))
