"""Baseline: the record that was written, h5py and xarray's reading of the file, and a killed writer's leavings."""

from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
import xarray

from surfaceviz import store
from surfaceviz.errors import SchemaError, StoreError
from surfaceviz.problem.parameters import fingerprint
from surfaceviz.records import DirectionRecord, Mark, Slice, describe


def _surface(shape: tuple[int, ...] = (3, 5), fill: float = 1.0) -> Slice:
    z = np.arange(np.prod(shape), dtype=np.float64).reshape(shape) + fill
    z.flat[0], z.flat[1] = np.nan, np.inf
    origin = np.ones(shape, np.uint8)
    origin.flat[0] = 0
    rules = {f"layer.{i}.weight": "Linear: axis 0; filter" for i in range(3000)}  # over HDF5's 64 kB for an attribute
    direction = DirectionRecord(
        kind="random", sha256="ab" * 32, rule=rules, seed=7, normalise="filter", ignore="biasbn"
    )
    return Slice(
        axes=tuple(np.linspace(-1, i + 1, n) for i, n in enumerate(shape)),
        values={"train_loss": z, "test_loss": z + 1, "train_accuracy": np.ones(shape)},
        origin=origin,
        centre={"train_loss": 0.5, "test_loss": 0.25, "train_accuracy": 0.5},
        directions=(direction,) * len(shape),
        stderr={"train_loss": z / 10},
        rise_stderr={"train_loss": z / 20},
        marks=(Mark("b.pt", (0.5,) * len(shape), {"train_loss": 3.0}),),
        provenance={"problem": "net", "splits": "train,test", "seed": 7, "cosine": 0.25},
    )


@pytest.mark.parametrize("shape", [(4,), (3, 5), (1, 4)])
def test_a_record_comes_back_as_it_was(shape: tuple[int, ...]) -> None:
    tensors = [{"a.weight": np.arange(6.0, dtype=np.float32).reshape(2, 3)}] * len(shape)
    sha256 = fingerprint({"a.weight": torch.arange(6.0).reshape(2, 3)})
    surface = _surface(shape)
    surface = replace(surface, directions=tuple(replace(each, sha256=sha256) for each in surface.directions))
    store.write(Path("a.h5"), surface, tensors)
    back = store.read("a.h5")
    assert list(back.values) == ["train_loss", "train_accuracy", "test_loss"]
    for name, array in surface.values.items():
        np.testing.assert_array_equal(back.values[name], array)
    np.testing.assert_array_equal(back.origin, surface.origin)
    for old, new in zip(surface.axes, back.axes, strict=True):
        np.testing.assert_array_equal(old, new)
    assert back.centre == surface.centre
    assert back.directions == surface.directions
    assert back.marks == surface.marks
    assert back.provenance == surface.provenance
    np.testing.assert_array_equal(back.stderr["train_loss"], surface.stderr["train_loss"])
    np.testing.assert_array_equal(back.rise_stderr["train_loss"], surface.rise_stderr["train_loss"])
    np.testing.assert_array_equal(store.read_directions("a.h5")[0]["a.weight"], tensors[0]["a.weight"])
    assert describe(back)[0][1].startswith(" x ".join(map(str, shape)))
    assert "<table>" in back._repr_html_()


def test_xarray_sees_named_dimensions() -> None:
    store.write(Path("a.h5"), _surface())
    with xarray.open_dataset("a.h5", group="slice", engine="h5netcdf") as data:
        assert dict(data.sizes) == {"alpha": 3, "beta": 5}
        assert data["train_loss"].dims == ("alpha", "beta")
        assert float(data["train_loss"].sel(alpha=1.0, beta=2.0)) == 15.0
        assert data.attrs["centre_train_loss"] == 0.5
    with h5py.File("a.h5") as file:
        assert file["slice/origin"].dtype == np.uint8
        assert file.attrs["schema_version"] == 1


WRITER = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from surfaceviz import store
from test_store import _surface

step, path = int(sys.argv[1]), Path("a.h5")
store.write(path, _surface(fill=1.0))
seen = 0

def die_at(number):
    global seen
    seen += 1
    if seen == number:
        os.kill(os.getpid(), signal.SIGKILL)

def in_halves(descriptor, image):
    die_at(step)
    first = wrote(descriptor, image[: len(image) // 2])
    die_at(step)
    return first + wrote(descriptor, image[len(image) // 2 :])

def around(call):
    def wrapped(*args):
        die_at(step)
        result = call(*args)
        die_at(step)
        return result
    return wrapped

wrote, os.write = os.write, in_halves
os.fsync, os.replace = around(os.fsync), around(os.replace)
store.write(path, _surface(fill=2.0))
print(seen)
"""


def _write_and_die(step: int) -> subprocess.CompletedProcess[str]:
    script = WRITER.format(tests=str(Path(__file__).parent))
    return subprocess.run([sys.executable, "-c", script, str(step)], capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_writer_killed_around_each_step_leaves_a_whole_file() -> None:
    """Before, within and after the write, the fsyncs of file and folder, and the rename."""
    steps = int(_write_and_die(0).stdout)
    assert steps == 8
    outcomes = []
    for step in range(1, steps + 1):
        assert _write_and_die(step).returncode == -signal.SIGKILL
        outcomes.append(store.read("a.h5").values["train_loss"].flat[2] - 2)
    assert outcomes == [1.0] * 5 + [2.0] * 3  # the old one up to the rename, the new one from there


def test_a_full_disk_leaves_the_last_good_file(monkeypatch: pytest.MonkeyPatch) -> None:
    store.write(Path("a.h5"), _surface(fill=1.0))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StoreError, match="a.h5 can't be written: No space left on device; the last good snapshot is kept"
    ):
        store.write(Path("a.h5"), _surface(fill=2.0))
    assert store.read("a.h5").values["train_loss"].flat[2] == 3
    assert [path.name for path in Path().iterdir()] == ["a.h5"]


def test_a_link_stays_a_link() -> None:
    Path("real.h5").touch()
    Path("link.h5").symlink_to("real.h5")
    store.write(Path("link.h5"), _surface())
    assert Path("link.h5").is_symlink()
    assert store.read("real.h5").shape == (3, 5)


def _break(how: str) -> None:
    store.write(Path("a.h5"), _surface())
    if how == "truncated":
        os.truncate("a.h5", 3000)
    elif how == "text":
        Path("a.h5").write_text("loss,1,2\n")
    elif how == "foreign":
        with h5py.File("a.h5", "w") as file:
            file["train_loss"] = [1.0]
    else:
        with h5py.File("a.h5", "a") as file:
            _break_within(file, how)


def _break_within(file: h5py.File, how: str) -> None:
    if how in ("later", "earlier"):
        file.attrs["schema_version"] = {"later": 99, "earlier": 0}[how]
        return
    del file["slice/train_loss"]
    if how == "link":
        file["slice/train_loss"] = h5py.ExternalLink("/etc/passwd", "/")
    elif how == "soft":
        file["slice/train_loss"] = h5py.SoftLink("/slice/test_loss")
    elif how == "external":
        file["slice"].create_dataset("train_loss", (3, 5), "f8", external=[("/etc/passwd", 0, 120)])
    elif how == "vast":
        file["slice"].create_dataset("train_loss", (10**5, 10**5), "f8", chunks=(100, 100))
    elif how == "shape":
        file["slice/train_loss"] = np.zeros((5, 3))
    elif how == "group":
        file["slice"].create_group("train_loss")
    elif how == "parts":
        del file["slice/origin"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("truncated", "a.h5: no whole HDF5 file"),
        ("text", "a.h5: no whole HDF5 file"),
        ("foreign", "a.h5: HDF5, but no surfaceviz slice .it has train_loss"),
        ("later", "schema version 99, expected 1; update surfaceviz"),
        ("earlier", "schema version 0, expected 1; compute the file again"),
        ("link", "slice/train_loss is a ExternalLink, which is not followed"),
        ("soft", "slice/train_loss is a SoftLink, which is not followed"),
        ("external", "slice/train_loss keeps its data outside the file"),
        ("vast", "declares shape .100000, 100000., which no slice has"),
        ("shape", "slice/train_loss has shape .5, 3., its axes .3, 5."),
        ("group", "slice/train_loss is a group, expected a data set"),
        ("parts", "a.h5: no whole surfaceviz file .KeyError"),
    ],
)
def test_a_broken_or_hostile_file_is_refused(how: str, message: str) -> None:
    _break(how)
    with pytest.raises(SchemaError, match=message):
        store.read("a.h5")


def test_a_missing_file_is_said_to_be() -> None:
    with pytest.raises(SchemaError, match="nowhere.h5: no such file"):
        store.read("nowhere.h5")


def test_large_directions_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store.slices, "LARGEST_DIRECTIONS", 10)
    store.write(Path("a.h5"), _surface(), [{"w": np.zeros(3)}, {"w": np.zeros(3)}])
    assert store.read_directions("a.h5") == [{}, {}]
    assert math.isnan(store.read("a.h5").values["train_loss"][0, 0])


def test_an_eigenvalue_in_words_is_read_from_files_of_version_0_1(tmp_path: Path) -> None:
    record = DirectionRecord(kind="eigenvector", sha256="", rule={}, source="eigenvalue -2.5e-3, residual 1e-6")
    line = Slice(
        axes=(np.linspace(0, 1, 2),), values={"train_loss": np.ones(2)}, origin=np.ones(2, np.uint8), centre={},
        directions=(record, replace(record, eigenvalue=4.0)),
    )  # fmt: skip
    store.write(tmp_path / "a.h5", line)
    assert [direction.eigenvalue for direction in store.read(tmp_path / "a.h5").directions] == [-2.5e-3, 4.0]
