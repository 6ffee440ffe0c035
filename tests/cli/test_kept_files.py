"""Baseline: the bytes, modes and inodes of all files that were there before a command."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import oracles
import pytest

import surfaceviz
from surfaceviz import cli, lock, store
from surfaceviz.errors import StoreError
from surfaceviz.pipeline.slice import slice_buffer, workers
from surfaceviz.records import Slice

GRID = ["--axis=-1:1:3", "--axis=-1:1:4", "--engine=eager", "--batch=128", "--workers=1", "--no-plot"]
EXTRA = """
import numpy as np
def reads():
    np.load("values.npz")
    return oracles.net_problem()

def moves():
    import os
    os.makedirs("elsewhere", exist_ok=True)
    os.chdir("elsewhere")
    return oracles.net_problem()
"""


def _surface(fill: float = 1.0) -> Slice:
    axes = (np.linspace(-1, 1, 5), np.linspace(-1, 1, 4))
    z = fill + axes[0][:, None] ** 2 + axes[1] ** 2
    return Slice(
        axes=axes, values={"train_loss": z}, origin=np.ones(z.shape, np.uint8), centre={"train_loss": fill},
        provenance={"problem": "net", "splits": "train"},
    )  # fmt: skip


@pytest.fixture
def files(tmp_path: Path) -> dict[str, bytes]:
    """Write the inputs of commands, and return their bytes."""
    import torch  # noqa: PLC0415

    oracles.write_factory(tmp_path, EXTRA)
    torch.save(oracles.net(1).state_dict(), "w.pt")
    np.savez("values.npz", a=np.ones(3))
    assert cli.run(["slice", "mine.py:problem", *GRID, "-o", "a.h5"]) == 0
    assert cli.run(["export", "a.h5", "--to", "reference", "-o", "r.h5"]) == 0
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}


def _now() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path().iterdir() if path.is_file()}


@pytest.mark.parametrize(
    "command",
    [
        ["sharpness", "a.h5", "--no-rescale", "--json", "a.h5"],
        ["sharpness", "mine.py:problem", "--no-rescale", "--json", "mine.py"],
        ["sharpness", "mine.py:problem", "--weights", "w.pt", "--no-rescale", "--json", "w.pt"],
        ["sharpness", "a.h5", "--no-rescale", "--json", "mine.py"],
        ["slice", "mine.py:problem", *GRID, "-o", "mine.py"],
        ["slice", "mine.py:problem", *GRID, "--weights", "w.pt", "-o", "w.pt"],
        ["slice", "mine.py:problem", "--toward", "w.pt", "-o", "w.pt"],
        ["slice", "mine.py:problem", *GRID, "--directions", "a.h5", "-o", "a.h5"],
        ["slice", "mine.py:reads", *GRID, "-o", "values.npz"],
        ["hessian", "mine.py:problem", "-o", "mine.py"],
        ["hessian", "mine.py:problem", "--weights", "w.pt", "-o", "w.pt"],
        ["merge", "a.h5", "-o", "a.h5"],
        ["export", "a.h5", "--to", "csv", "-o", "a.h5"],
        ["export", "a.h5", "--to", "reference", "-o", "a.h5"],
        ["import", "r.h5", "-o", "r.h5"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("overwrite", [True, False])
def test_no_command_replaces_what_it_reads(
    command: list[str], overwrite: bool, files: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert cli.run([*command, *(["--overwrite"] if overwrite else [])]) in (1, 2)
    (line,) = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("warning")]
    assert line.startswith("surfaceviz: ")
    assert "is what is read, and kept" in line or "ends as" in line or "ends in" in line
    assert _now() == files


@pytest.mark.parametrize("hard", [True, False])
def test_an_input_is_known_by_any_of_its_names(hard: bool, files: dict[str, bytes]) -> None:
    (os.link if hard else os.symlink)("w.pt", "other.h5")
    command = ["slice", "mine.py:problem", *GRID, "--weights", "w.pt", "-o", "other.h5", "--overwrite"]
    assert cli.run(command) == 1
    assert Path("w.pt").read_bytes() == files["w.pt"]


WRITES: dict[str, Callable[[str, bool], int]] = {
    "png": lambda name, over: cli.run(["plot", "a.h5", "-o", name, *["--overwrite"] * over]),
    "svg": lambda name, over: cli.run(["plot", "a.h5", "-o", name, *["--overwrite"] * over]),
    "html": lambda name, over: cli.run(["report", "a.h5", "-o", name, *["--overwrite"] * over]),
    "csv": lambda name, over: cli.run(["export", "a.h5", "-o", name, *["--overwrite"] * over]),
}


@pytest.mark.parametrize("kind", WRITES)
def test_a_file_of_another_kind_is_replaced_only_when_asked(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    store.write(Path("a.h5"), _surface())
    output = Path(f"out.{kind}")
    output.write_text("precious")
    output.chmod(0o640)
    assert WRITES[kind](str(output), False) == 1
    assert "and kept" in capsys.readouterr().err
    assert output.read_text() == "precious"
    assert WRITES[kind](str(output), True) == 0
    assert output.read_text(errors="replace") != "precious"
    assert output.stat().st_mode & 0o777 == 0o640
    if kind != "csv":  # an earlier output of the same kind
        assert WRITES[kind](str(output), False) == 0
    assert {path.name for path in Path().iterdir()} == {"a.h5", output.name}


@pytest.mark.parametrize("kind", WRITES)
@pytest.mark.parametrize("victim", ["precious", None])
@pytest.mark.parametrize("overwrite", [True, False])
def test_a_planted_link_is_not_followed(
    kind: str, victim: str | None, overwrite: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    store.write(Path("a.h5"), _surface())
    if victim:
        Path("victim").write_text(victim)
    Path(f"out.{kind}").symlink_to("victim")
    assert WRITES[kind](f"out.{kind}", overwrite) == 1
    assert "it is a link to" in (error := capsys.readouterr().err) or "is there already" in error
    assert Path(f"out.{kind}").is_symlink()
    assert Path("victim").exists() == bool(victim)
    assert not victim or Path("victim").read_text() == victim


@pytest.mark.parametrize(
    "command",
    [
        ["plot", "a.h5", "-o", "out.png"],
        ["report", "a.h5", "-o", "out.html"],
        ["export", "a.h5", "-o", "out.csv"],
        ["export", "a.h5", "-o", "out.h5", "--overwrite"],
        ["merge", "a.h5", "-o", "out.h5", "--overwrite"],
        ["import", "r.h5", "-o", "out.h5", "--overwrite"],
        ["slice", "mine.py:problem", *GRID, "-o", "out.h5", "--overwrite"],
        ["hessian", "out.h5"],
    ],
    ids=" ".join,
)
def test_every_command_that_writes_takes_the_lock(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from surfaceviz.pipeline import outputs  # noqa: PLC0415
    from surfaceviz.store import merge  # noqa: PLC0415

    oracles.write_factory(tmp_path)
    for name in ("a.h5", "out.h5"):
        store.write(Path(name), _surface())
    assert cli.run(["export", "a.h5", "--to", "reference", "-o", "r.h5"]) == 0
    monkeypatch.setattr(outputs, "WAIT", 0.0)
    monkeypatch.setattr(outputs.claimed, "__kwdefaults__", {"wait": 0.0}, raising=False)
    monkeypatch.setattr(merge, "_WAIT", 0.0)
    name = next((word for word in command if word.startswith("out.")), "")
    before = Path("out.h5").read_bytes()
    with lock.held(Path(name)):
        assert cli.run(command) == 1
    assert f"{name} is being written by process {os.getpid()}" in capsys.readouterr().err
    assert Path("out.h5").read_bytes() == before
    assert name == "out.h5" or not Path(name).exists()


@pytest.mark.slow
@pytest.mark.parametrize("folder", [True, False])
def test_a_factory_that_changes_the_folder_does_not_move_the_output(
    folder: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    oracles.write_factory(tmp_path, EXTRA)
    Path("elsewhere").mkdir()
    Path("elsewhere/a.h5").write_text("precious")
    Path("sub").mkdir()
    name = "sub/a.h5" if folder else "a.h5"
    import torch  # noqa: PLC0415

    torch.save(oracles.net().state_dict(), "w.pt")
    for _ in range(2):  # the second one finds it complete
        assert cli.run(["slice", "mine.py:moves", "--weights", "w.pt", *GRID, "-o", name]) == 0
        os.chdir(tmp_path)
    assert f"file     {name}" in capsys.readouterr().out
    whole = store.read(name)
    assert whole.complete
    assert cli.run(["hessian", name, "--top=1", "--bottom=0", "--problem=mine.py:moves"]) == 0
    os.chdir(tmp_path)
    assert len(store.read(name).spectra) == 1
    np.testing.assert_array_equal(store.read(name).values["train_loss"], whole.values["train_loss"])
    assert cli.run(["hessian", "mine.py:moves", "--top=1", "--bottom=0", "-o", "c.h5"]) == 0
    os.chdir(tmp_path)
    assert store.holds_training_curvature("c.h5")
    arguments = ["sharpness", "mine.py:moves", "mine.py:moves", "--no-rescale", "--starts=1", "--iterations=1"]
    assert cli.run([*arguments, "--json=s.json", "--samples=8"]) == 0
    os.chdir(tmp_path)
    assert len(json.loads(Path("s.json").read_text())["checkpoints"]) == 2
    assert {path.name for path in Path("elsewhere").rglob("*") if path.is_file()} == {"a.h5"}
    assert Path("elsewhere/a.h5").read_text() == "precious"


@pytest.mark.parametrize("how", ["moved", "rewritten", "created"])
def test_a_file_that_was_moved_into_place_is_kept_and_so_are_the_points(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SECONDS", 0.0)
    monkeypatch.setattr(slice_buffer, "SNAPSHOT_SHARE", 1.0)
    monkeypatch.setattr(workers, "CHUNK_SECONDS", 0.0)
    write, count = store.OutputFile.write, iter(range(100))

    def disturbed(self: store.OutputFile, image: bytes) -> None:
        if next(count) == (0 if how == "created" else 3):
            Path("other").write_bytes(b"precious")
            if how == "rewritten":
                Path("a.h5").write_bytes(b"precious")
            else:
                Path("other").replace("a.h5")
        write(self, image)

    monkeypatch.setattr(store.OutputFile, "write", disturbed)
    with pytest.raises(StoreError, match=r"a.h5 is kept: another program has changed.* whose results are in a-2.h5"):
        oracles.run_slice(oracles.net_problem(), [(-1, 1, 7)], output="a.h5", engine="eager", batch_size=128)
    assert Path("a.h5").read_bytes() == b"precious"
    assert store.read("a-2.h5").done == (0 if how == "created" else 3)
    resumed = oracles.run_slice(oracles.net_problem(), [(-1, 1, 7)], output="a-2.h5", engine="eager", batch_size=128)
    alone = oracles.run_slice(oracles.net_problem(), [(-1, 1, 7)], engine="eager", batch_size=128)
    np.testing.assert_array_equal(resumed.values["train_loss"], alone.values["train_loss"])


def test_a_slice_overwrites_through_no_link(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    oracles.write_factory(tmp_path)
    store.write(Path("other.h5"), _surface())
    before = Path("other.h5").read_bytes()
    Path("a.h5").symlink_to("other.h5")
    assert cli.run(["slice", "mine.py:problem", *GRID, "-o", "a.h5", "--overwrite"]) == 1
    assert "a.h5 can't be written: it is a link to" in capsys.readouterr().err
    assert Path("other.h5").read_bytes() == before


def test_a_picture_that_is_not_ours_is_kept_and_the_slice_is_complete(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    oracles.write_factory(tmp_path)
    Path("a.png").write_text("precious")
    assert cli.run(["slice", "mine.py:problem", *GRID[:-1], "-o", "a.h5"]) == 0
    assert "warning: no picture: a.png can't be written: there is another file" in capsys.readouterr().err
    assert Path("a.png").read_text() == "precious"
    assert store.read("a.h5").complete


def _add(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["mine"] = "a note"
        file.create_group("my/group")["data"] = np.arange(3)
        file["slice"].attrs["mine"] = 1.5
        file["slice/train_loss"].attrs["units"] = "nats"
        file["directions/0"].attrs["mine"] = [1, 2]


def _assert_added(path: Path) -> None:
    with h5py.File(path) as file:
        assert file.attrs["mine"] == "a note"
        np.testing.assert_array_equal(file["my/group/data"][()], np.arange(3))
        assert file["slice"].attrs["mine"] == 1.5
        assert file["slice/train_loss"].attrs["units"] == "nats"
        np.testing.assert_array_equal(file["directions/0"].attrs["mine"], [1, 2])


def test_what_users_added_to_a_file_is_kept(tmp_path: Path) -> None:
    oracles.write_factory(tmp_path)
    assert cli.run(["slice", "mine.py:problem", *GRID, "-o", "a.h5"]) == 0
    shutil.copy("a.h5", "whole.h5")
    with h5py.File("a.h5", "r+") as file:
        file["slice/origin"][1:] = 0
    _add(Path("a.h5"))
    assert cli.run(["slice", "mine.py:problem", *GRID, "-o", "a.h5"]) == 0
    _assert_added(Path("a.h5"))
    np.testing.assert_array_equal(store.read("a.h5").values["train_loss"], store.read("whole.h5").values["train_loss"])
    assert cli.run(["hessian", "a.h5", "--top=1", "--bottom=0"]) == 0
    _assert_added(Path("a.h5"))
    with h5py.File("a.h5", "r+") as file:
        file["spectra/0"].attrs["mine"] = "of the minimum"
    assert cli.run(["hessian", "a.h5", "--top=1", "--bottom=0", "--at=1,1"]) == 0
    _assert_added(Path("a.h5"))
    assert cli.run(["merge", "a.h5", "-o", "m.h5", "--no-plot"]) == 0
    _assert_added(Path("m.h5"))
    for name in ("a.h5", "m.h5"):
        with h5py.File(name) as file:
            assert [group.attrs.get("mine") for group in file["spectra"].values()] == ["of the minimum", None]


def test_the_python_interface_refuses_the_same(files: dict[str, bytes]) -> None:
    with pytest.raises(StoreError, match="w.pt is what is read"):
        surfaceviz.slice("mine.py:problem", [(-1, 1, 3)], weights="w.pt", output="w.pt", overwrite=True)
    with pytest.raises(StoreError, match="a.h5 is what is read"):
        surfaceviz.sharpness("a.h5", json="a.h5", overwrite=True)
    assert _now() == files
