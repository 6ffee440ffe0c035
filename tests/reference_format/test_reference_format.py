"""Baseline: files filled by hand in the reference code's way (meshgrid, ravel, indices, a loop); h5py and vtk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from vtkmodules.vtkIOXML import vtkXMLStructuredGridReader

import surfaceviz
from surfaceviz import cli, reference_format, store
from surfaceviz.errors import SchemaError, StoreError
from surfaceviz.records import DirectionRecord, Slice, TensorEntry, Trajectory

Array = NDArray[np.float64]
Function = Callable[[float, float], float]

DIR_FILE = "cifar10/nets/model_300.t7_weights_xignore=biasbn_xnorm=filter_yignore=biasbn_ynorm=filter.h5"


def _loss(x: float, y: float) -> float:
    return 2 + x + 10 * y + x * y


def _accuracy(x: float, y: float) -> float:
    return 0.5 + x / 10 + y / 100


def _filled(x: Array, y: Array | None, function: Function, blank: float = -1.0, stop: int | None = None) -> Array:
    """Return an array as that code fills it: the shape says (nx, ny), the numbers of points go row by row of y."""
    array = np.full(len(x) if y is None else (len(x), len(y)), blank)
    mesh = [x, np.zeros_like(x)] if y is None else [each.ravel() for each in np.meshgrid(x, y)]
    numbers = np.arange(array.size)[array.ravel() == blank]
    for k in numbers[:stop]:
        array.ravel()[k] = function(mesh[0][k], mesh[1][k])
    return array


def _write(name: str, x: Array, y: Array | None, **arrays: Array) -> None:
    with h5py.File(name, "w") as file:
        file["dir_file"] = DIR_FILE
        file["xcoordinates"] = x
        if y is not None:
            file["ycoordinates"] = y
        for key, array in arrays.items():
            file[key] = array


def _axes(shape: tuple[int, ...]) -> tuple[Array, Array | None]:
    x = np.linspace(-1, 1, shape[0]) if shape[0] > 1 else np.zeros(1)
    return x, (np.linspace(-1, 2, shape[1]) if len(shape) > 1 else None)


SHAPES = [(3, 5), (5, 3), (4, 4), (1, 6), (6, 1), (7,)]


@pytest.mark.parametrize("shape", SHAPES)
def test_values_lie_where_they_were_taken(shape: tuple[int, ...]) -> None:
    x, y = _axes(shape)
    percent = _filled(x, y, lambda a, b: 100 * _accuracy(a, b))
    _write("s.h5", x, y, train_loss=_filled(x, y, _loss), train_acc=percent, test_loss=3 * _filled(x, y, _loss))
    surface = surfaceviz.read_reference("s.h5")
    assert surface.shape == shape
    assert list(surface.values) == ["train_loss", "train_accuracy", "test_loss"]
    for index in np.ndindex(shape):
        a, b = float(x[index[0]]), 0.0 if y is None else float(y[index[1]])
        assert surface.values["train_loss"][index] == _loss(a, b)
        assert surface.values["test_loss"][index] == 3 * _loss(a, b)
        assert surface.values["train_accuracy"][index] == pytest.approx(_accuracy(a, b), rel=1e-14)
    assert surface.complete
    assert surface.splits == ["train", "test"]
    assert (surface.title, surface.provenance["imported_from"]) == ("s", "s.h5")
    assert {direction.source for direction in surface.directions} == {DIR_FILE.rpartition("/")[2]}


def test_missing_is_minus_one_and_nothing_else() -> None:
    x, y = _axes((3, 5))
    assert y is not None
    loss = _filled(x, y, lambda a, b: 0.0 if a == 0 else a - b, stop=11)
    loss.ravel()[3] = np.nan
    _write("s.h5", x, y, train_loss=loss)
    surface = surfaceviz.read_reference("s.h5")
    found, origin = surface.values["train_loss"], surface.origin
    assert origin.T.ravel().tolist() == (np.array(loss).ravel() != -1).astype(int).tolist()
    assert (found[1, :3] == 0).all()  # a loss of 0 is one
    assert (found < 0).any()
    assert np.isnan(found[0, 1])  # diverged, not missing
    assert origin[0, 1] == 1
    assert np.isnan(found[origin == 0]).all()


def test_the_centre_is_the_value_at_zero_where_the_grid_has_it() -> None:
    x, y = np.linspace(-1, 1, 51), np.linspace(-0.5, 1, 4)
    _write("s.h5", x, y, train_loss=_filled(x, y, _loss))
    assert surfaceviz.read_reference("s.h5").centre == {"train_loss": pytest.approx(2)}
    _write("off.h5", x, y + 0.01, train_loss=_filled(x, y + 0.01, _loss))
    assert surfaceviz.read_reference("off.h5").centre == {}
    loss = _filled(x, y, _loss)
    loss.ravel()[51 + 25] = -1
    _write("missing.h5", x, y, train_loss=loss)
    assert surfaceviz.read_reference("missing.h5").centre == {}


@pytest.mark.parametrize("shape", [(5, 4), (7,)])
def test_a_slice_without_a_centre_is_told_drawn_and_exported(
    shape: tuple[int, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    x, y = _axes(shape)
    x = x + 0.01
    _write("s$x$^.h5", x, y, train_loss=_filled(x, y, _loss))
    assert cli.run(["import", "s$x$^.h5"]) == 0
    assert "centre: none, as (0, 0) is not a point" in capsys.readouterr().out
    for command in (["info"], ["plot", "-o", "a.png"], ["export", "--to", "vts"], ["export", "--to", "reference"]):
        assert cli.run([command[0], "s$x$^-imported.h5", *command[1:]]) == 0
    assert Path("a.png").read_bytes().startswith(b"\x89PNG")


def test_eigenvalues_become_the_hessian_map() -> None:
    """The smallest is blank where it is 1, as that code fills it, and the largest where it is -1."""
    x, y = _axes((3, 4))
    _write(
        "s.h5", x, y, train_loss=_filled(x, y, _loss), max_eig=_filled(x, y, lambda a, b: 5 + a + b, stop=7),
        min_eig=_filled(x, y, lambda a, b: a - b, blank=1.0, stop=7),
    )  # fmt: skip
    found = surfaceviz.read_reference("s.h5").hessian_map
    assert found is not None
    assert y is not None
    for k, (b, a) in enumerate([(b, a) for b in y for a in x]):
        i, j = list(x).index(a), list(y).index(b)
        assert found.origin[i, j] == (k < 7)
        if k < 7:
            assert (found.lambda_max[i, j], found.lambda_min[i, j]) == (5 + a + b, a - b)
        else:
            assert np.isnan([found.lambda_max[i, j], found.lambda_min[i, j]]).all()


def _project(name: str, x: Any, y: Any) -> None:
    with h5py.File(name, "w") as file:
        file["proj_xcoord"], file["proj_ycoord"] = x, y


def test_a_projection_becomes_the_trajectory(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = _axes((3, 4))
    _write("s.h5", x, y, train_loss=_filled(x, y, _loss))
    _project("p.h5", [0.5, 0.25, 0.0], [1.0, 0.5, 0.0])
    assert cli.run(["import", "s.h5", "--projection", "p.h5", "-o", "i.h5"]) == 0
    assert capsys.readouterr().out == "file: i.h5, 12 of 3 x 4 points, train_loss, 3 iterates\n"
    found = store.read("i.h5").trajectory
    assert found is not None
    assert found.coordinates.tolist() == [[0.5, 1.0], [0.25, 0.5], [0.0, 0.0]]
    assert found.step.tolist() == [0, 1, 2]
    assert np.isnan(found.distance).all()
    _project("p.h5", [0.5, 0.25], [1.0])
    with pytest.raises(SchemaError, match="p.h5: proj_xcoord and proj_ycoord have shapes .2,. and .1,."):
        surfaceviz.read_reference("s.h5", "p.h5")
    _write("c.h5", x, None, train_loss=_filled(x, None, _loss))
    with pytest.raises(SchemaError, match="p.h5: a projection file goes with a surface, not with a curve"):
        surfaceviz.read_reference("c.h5", "p.h5")


def _own(shape: tuple[int, ...]) -> Slice:
    axes = tuple(axis for axis in _axes(shape) if axis is not None)
    mesh = np.meshgrid(*axes, indexing="ij")
    loss = np.asarray(_loss(mesh[0], mesh[1] if len(mesh) > 1 else 0.0 * mesh[0]))  # type: ignore[arg-type]
    origin = np.ones(shape, np.uint8)
    loss.flat[1], loss.flat[2], origin.flat[1] = np.nan, np.nan, 0
    values = {"train_loss": loss, "train_accuracy": loss / 70, "test_loss": loss / 3, "train_f1": loss}
    return Slice(
        axes=axes, values=values, origin=origin, centre={"train_loss": 2.0}, provenance={"splits": "train,test"}
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_written_values_lie_where_that_code_looks_for_them(shape: tuple[int, ...]) -> None:
    surface = _own(shape)
    assert reference_format.write_reference(surface, "s.h5") == [Path("s.h5")]
    with h5py.File("s.h5") as file:
        assert sorted(file) == sorted(
            ["dir_file", "test_loss", "train_acc", "train_loss", "xcoordinates", *["ycoordinates"][: len(shape) - 1]]
        )
        assert len(file.attrs) == 0
        x, y = file["xcoordinates"][:], file["ycoordinates"][:] if len(shape) > 1 else np.zeros(1)
        for k, (a, b) in enumerate(zip(*(each.ravel() for each in np.meshgrid(x, y)), strict=True)):
            index = (list(surface.axes[0]).index(a), *([list(surface.axes[1]).index(b)] if len(shape) > 1 else []))
            expected = surface.values["train_loss"][index] if surface.origin[index] else -1.0
            np.testing.assert_array_equal(file["train_loss"][:].ravel()[k], expected)
            assert file["train_loss"].shape == shape


@pytest.mark.parametrize("shape", SHAPES)
def test_a_round_trip_is_exact(shape: tuple[int, ...]) -> None:
    x, y = _axes(shape)
    percent = _filled(x, y, lambda a, b: 100 * _accuracy(a, b), stop=4)
    _write("s.h5", x, y, train_loss=_filled(x, y, _loss, stop=4), train_acc=percent)
    first = surfaceviz.read_reference("s.h5")
    if len(shape) > 1:
        path = np.arange(6.0).reshape(3, 2)
        first = replace(
            first, trajectory=Trajectory(coordinates=path, step=np.arange(3.0), distance=np.full(3, np.nan))
        )
    reference_format.write_reference(first, "t.h5")
    second = surfaceviz.read_reference("t.h5", "t-projection.h5" if len(shape) > 1 else None)
    for name, array in first.values.items():
        np.testing.assert_allclose(second.values[name], array, rtol=0 if name == "train_loss" else 1e-12)
    np.testing.assert_array_equal(first.origin, second.origin)
    for old, new in zip(first.axes, second.axes, strict=True):
        np.testing.assert_array_equal(old, new)
    with h5py.File("s.h5") as a, h5py.File("t.h5") as b:
        np.testing.assert_array_equal(a["train_loss"][:], b["train_loss"][:])
        np.testing.assert_allclose(a["train_acc"][:], b["train_acc"][:], rtol=1e-12)
    if second.trajectory is not None:
        np.testing.assert_array_equal(second.trajectory.coordinates, np.arange(6.0).reshape(3, 2))


def test_an_imported_grid_is_exported_the_right_way_round() -> None:
    """Through both doors: what that code has at (x, y), vtk finds at (x, y)."""
    x, y = _axes((3, 5))
    _write("s.h5", x, y, train_loss=_filled(x, y, _loss))
    surfaceviz.export(surfaceviz.read_reference("s.h5"), "a.vts")
    reader: Any = vtkXMLStructuredGridReader()
    reader.SetFileName("a.vts")
    reader.Update()
    grid = reader.GetOutput()
    for k in range(15):
        a, b, _ = grid.GetPoint(k)
        assert grid.GetPointData().GetArray("train_loss").GetValue(k) == _loss(a, b)


def test_directions_are_numbered_in_the_order_of_parameters() -> None:
    layout = (
        TensorEntry("b", (2, 3), False),
        TensorEntry("b", (2, 3), False),
        TensorEntry("a", (3,), False),
        TensorEntry("c", (), True),
    )
    record = DirectionRecord(kind="random", sha256="00", rule={}, layout=layout)
    surface = replace(_own((7,)), directions=(record,))
    b = np.arange(6, dtype=np.float32).reshape(2, 3)
    files = reference_format.write_reference(surface, "s.h5", [{"b": b}])
    assert files == [Path("s.h5"), Path("s-directions.h5")]
    with h5py.File("s-directions.h5") as file:
        assert list(file) == ["xdirection"]
        assert list(file["xdirection"]) == ["0", "1"]  # what is tied comes once
        np.testing.assert_array_equal(file["xdirection/0"][:], b)
        assert file["xdirection/0"].dtype == np.float32
        assert file["xdirection/1"][:].tolist() == [0, 0, 0]  # which stays still
    reference_format.write_reference(surface, "s.h5", [{"b": b, "c": np.array(4, np.float32)}])
    found = reference_format.read_direction_file("s-directions.h5")[0]
    assert [array.shape for array in found] == [(2, 3), (2, 3), (3,), ()]  # the state's, as a buffer moves
    assert found[3] == 4
    without = replace(surface, directions=(replace(record, layout=()),))
    assert reference_format.write_reference(without, "s.h5", [{"b": b}]) == [Path("s.h5")]


def test_values_that_would_be_lost_are_refused() -> None:
    surface = _own((7,))
    surface.values["train_loss"][3] = -1.0
    with pytest.raises(ValueError, match="train_loss is -1 at 1 points, which the reference code takes for missing"):
        reference_format.write_reference(surface, "s.h5")
    with pytest.raises(ValueError, match="hold train_loss or test_loss; this slice has val_loss"):
        reference_format.write_reference(replace(surface, values={"val_loss": np.ones(7)}), "s.h5")
    assert not list(Path().iterdir())


def _break(how: str) -> None:
    x, y = _axes((3, 5))
    _write("s.h5", x, y, train_loss=_filled(x, y, _loss))
    if how == "text":
        Path("s.h5").write_text("0.1, 0.2")
        return
    with h5py.File("s.h5", "a") as file:
        if how in ("coordinates", "directions"):
            del file["xcoordinates"]
            file.create_group("xdirection" if how == "directions" else "other")
            return
        if how in ("falling", "vast axis"):
            del file["xcoordinates"]
            if how == "falling":
                file["xcoordinates"] = [1.0, 0.0, -1.0]
            else:
                file.create_dataset("xcoordinates", (10**9,), "f8", chunks=(1000,))
            return
        if how == "many":
            del file["xcoordinates"], file["ycoordinates"]
            file["xcoordinates"] = file["ycoordinates"] = np.arange(32000.0)
        del file["train_loss"]
        _lose(file, how)


def _lose(file: Any, how: str) -> None:
    if how == "link":
        file["train_loss"] = h5py.ExternalLink("/etc/passwd", "/")
    elif how == "soft":
        file["train_loss"] = h5py.SoftLink("/xcoordinates")
    elif how == "external":
        file.create_dataset("train_loss", (3, 5), "f8", external=[("/etc/passwd", 0, 120)])
    elif how == "vast":
        file.create_dataset("train_loss", (10**9,), "i1", chunks=(1000,))
    elif how == "words":
        file["train_loss"] = np.full((3, 5), b"<script>")
    elif how == "group":
        file.create_group("train_loss/0")
    elif how == "turned":
        file["train_loss"] = np.zeros((5, 3))
    elif how == "empty":
        file["train_loss"] = h5py.Empty("f8")
    elif how == "cycle":
        file["train_loss"] = np.zeros((3, 5))
        file["again"] = file["/"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("text", "s.h5: no whole HDF5 file"),
        ("coordinates", "s.h5: HDF5, but no surface file of the reference code .it has dir_file, other"),
        ("directions", "no surface file .*; `slice --directions` takes a direction file"),
        ("falling", "s.h5: xcoordinates, of shape .3,., are no rising finite coordinates"),
        ("vast axis", "s.h5: /xcoordinates declares shape .1000000000,., which no slice has"),
        ("many", "s.h5: its coordinates declare 32000 x 32000 points"),
        ("nothing", "s.h5: a surface file of the reference code without train_loss or test_loss"),
        ("link", "train_loss is a ExternalLink, which is not followed"),
        ("soft", "train_loss is a SoftLink, which is not followed"),
        ("external", "train_loss keeps its data outside the file"),
        ("vast", "train_loss declares shape .1000000000,., which no slice has"),
        ("words", "train_loss holds .S8, expected numbers"),
        ("group", "train_loss is a group, expected numbers"),
        ("turned", "train_loss has shape .5, 3., its coordinates .3, 5."),
        ("empty", "train_loss holds float64, expected numbers"),
        ("cycle", "lies too deep, or is reached by two names"),
    ],
)
def test_a_broken_or_hostile_file_is_refused_in_a_line(
    how: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _break(how)
    with pytest.raises(SchemaError, match=message):
        surfaceviz.read_reference("s.h5")
    assert cli.run(["import", "s.h5"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("surfaceviz: s.h5: ")
    assert [path.name for path in Path().iterdir()] == ["s.h5"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda file: file.create_group("other"), "HDF5, but no direction file of the reference code .it has other"),
        (lambda file: file.create_group("xdirection/1"), 'xdirection is not a group of the data sets "0", "1"'),
        (lambda file: file.create_group("xdirection/0"), "xdirection/0 is a group, expected numbers"),
        (lambda file: file.create_dataset("xdirection", data=1.0), "xdirection is not a group of the data sets"),
        (lambda file: file.create_dataset("xdirection/0", data=b"w"), "xdirection/0 holds object, expected numbers"),
        (
            lambda file: file.create_dataset("xdirection/0", (10**9,), "f8", chunks=(1000,)),
            "xdirection/0 declares shape .1000000000,., which no slice has",
        ),
    ],
)
def test_a_hostile_direction_file_is_refused(make: Callable[[Any], Any], message: str) -> None:
    with h5py.File("d.h5", "w") as file:
        make(file)
    with pytest.raises(SchemaError, match=message):
        reference_format.read_direction_file("d.h5")


def test_what_is_read_is_never_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = _axes((3, 5))
    _write("s.h5", x, y, train_loss=_filled(x, y, _loss))
    before = Path("s.h5").read_bytes()
    assert cli.run(["import", "s.h5", "-o", "s.h5", "--overwrite"]) == 1
    assert "s.h5 is what is read, and kept" in capsys.readouterr().err
    assert cli.run(["import", "s.h5"]) == 0
    assert cli.run(["import", "s.h5"]) == 1
    assert "s-imported.h5 is there already, and kept; give another name by -o, or --overwrite" in (
        capsys.readouterr().err
    )
    assert cli.run(["import", "s.h5", "--overwrite"]) == 0
    assert Path("s.h5").read_bytes() == before
    surface = replace(
        store.read("s-imported.h5"),
        trajectory=Trajectory(coordinates=np.ones((2, 2)), step=np.ones(2), distance=np.ones(2)),
    )
    Path("t-projection.h5").write_text("mine")
    with pytest.raises(StoreError, match="t-projection.h5 is there already, and kept"):
        surfaceviz.export(surface, "t.h5")
    assert Path("t-projection.h5").read_text() == "mine"
    assert not Path("t.h5").exists()


def test_curvature_of_an_imported_slice_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    x, y = _axes((3, 5))
    _write("s.h5", x, y, train_loss=_filled(x, y, _loss))
    assert cli.run(["import", "s.h5"]) == 0
    assert cli.run(["hessian", "s-imported.h5", "--problem", "mine.py:problem"]) == 1
    assert "was imported from s.h5, which names neither the network nor" in capsys.readouterr().err
