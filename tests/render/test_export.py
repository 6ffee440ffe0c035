"""Baseline: the readers of others (vtk's own of XML, trimesh, meshio, pandas, xarray, numpy), and a prism's volume."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import meshio
import numpy as np
import pandas as pd
import pytest
import trimesh
import xarray
from vtkmodules.vtkIOXML import vtkXMLPolyDataReader, vtkXMLStructuredGridReader

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.errors import SchemaError, StoreError
from surfaceviz.records import Mark, Slice

HOSTILE = "train_<script>alert('1')</script>&\",\n"
FORMATS = ("vts", "vtp", "gltf", "glb", "obj", "stl", "npz", "csv", "nc")
SURFACES = ("gltf", "glb", "obj", "stl")


def _surface(shape: tuple[int, ...] = (5, 4), title: str = "net") -> Slice:
    """Return 100 i + j + 1, the first point missing and the last diverged where there are enough."""
    axes = tuple(np.linspace(-1, 1 + k, n) if n > 1 else np.array([0.25]) for k, n in enumerate(shape))
    z = np.fromfunction(lambda *index: 1.0 + index[0] * 100 + sum(index[1:]), shape)
    origin = np.ones(shape, np.uint8)
    if z.size > 8:
        z.flat[0], z.flat[-1], origin.flat[0], origin.flat[1] = np.nan, np.inf, 0, 2
    return Slice(
        axes=axes, values={"train_loss": z, "test_loss": z / 3, HOSTILE: -z}, origin=origin, centre={"train_loss": 0.5},
        stderr={"train_loss": z / 7}, rise_stderr={"train_loss": z / 11},
        marks=(Mark("b.pt", (0.5,) * len(shape), {}),),
        provenance={"problem": title, "splits": "train,test", "seed": 3},
    )  # fmt: skip


def _bowl(shape: tuple[int, int] = (9, 7), steep: int = 1) -> Slice:
    """Return what depends on one coordinate alone."""
    axes = tuple(np.linspace(-1, 1, n) for n in shape)
    z = np.meshgrid(*axes, indexing="ij")[steep] ** 2 + 1
    return Slice(
        axes=axes, values={"train_loss": z}, origin=np.ones(shape, np.uint8), centre={}, provenance={"problem": "bowl"}
    )


def _plain() -> Slice:
    """Return a slice without the name that no file of ours can have."""
    surface = _surface()
    return replace(surface, values={name: surface.values[name] for name in ("train_loss", "test_loss")})


def _read(name: str) -> Any:
    reader: Any = vtkXMLStructuredGridReader() if name.endswith("vts") else vtkXMLPolyDataReader()
    assert reader.CanReadFile(name)
    reader.SetFileName(name)
    reader.Update()
    return reader.GetOutput()


def _point_data(data: Any) -> dict[str, np.ndarray[Any, Any]]:
    arrays = [data.GetPointData().GetArray(i) for i in range(data.GetPointData().GetNumberOfArrays())]
    return {a.GetName(): np.array([a.GetValue(k) for k in range(a.GetNumberOfTuples())]) for a in arrays}


def _points(data: Any) -> np.ndarray[Any, Any]:
    return np.array([data.GetPoint(k) for k in range(data.GetNumberOfPoints())])


def _cells(data: Any) -> list[list[int]]:
    """Return the points of each cell; the reader hands out one cell again and again."""
    counts = [data.GetCell(k).GetNumberOfPoints() for k in range(data.GetNumberOfCells())]
    return [[data.GetCell(k).GetPointId(i) for i in range(count)] for k, count in enumerate(counts)]


@pytest.mark.parametrize("shape", [(5, 4), (4, 4), (1, 9), (9, 1), (9,)])
@pytest.mark.parametrize("to", ["vts", "vtp"])
def test_vtk_reads_every_metric_at_the_point_where_it_was_taken(to: str, shape: tuple[int, ...]) -> None:
    surface = _surface(shape)
    surfaceviz.export(surface, f"a.{to}")
    data = _read(f"a.{to}")
    found = _point_data(data)
    names = {"alpha", "beta", "origin", "train_loss", "test_loss", "train_loss_stderr", "train_loss_rise_stderr"}
    names = names if len(shape) > 1 else names - {"beta"}
    assert set(found) - {"vtkGhostType"} == names | {HOSTILE.replace("\n", " ")}
    points = _points(data)
    assert len(points) == surface.origin.size
    for k, point in enumerate(points):
        index = tuple(int(np.argmin(abs(axis - x))) for axis, x in zip(surface.axes, point, strict=False))
        assert found["alpha"][k] == point[0] == surface.axes[0][index[0]]
        for name, array in surface.values.items():
            np.testing.assert_array_equal(found[name.replace("\n", " ")][k], array[index])
        np.testing.assert_array_equal(found["train_loss_stderr"][k], surface.stderr["train_loss"][index])
        np.testing.assert_array_equal(found["train_loss_rise_stderr"][k], surface.rise_stderr["train_loss"][index])
        assert found["origin"][k] == surface.origin[index]
    assert np.isnan(found["train_loss"]).sum() == 1
    assert np.isposinf(found["train_loss"]).sum() == 1
    assert np.isfinite(points).all()


def test_points_without_a_value_are_hidden_and_in_no_triangle() -> None:
    surface = _surface((5, 4))
    surfaceviz.export(surface, "a.vts")
    grid = _read("a.vts")
    extent = grid.GetExtent()
    assert extent == (0, 4, 0, 3, 0, 0)
    hidden = [k for k in range(20) if not grid.IsPointVisible(k)]
    assert [grid.GetPoint(k)[:2] for k in hidden] == [(-1.0, -1.0), (1.0, 2.0)]
    surfaceviz.export(surface, "a.vtp")
    data = _read("a.vtp")
    cells, points = _cells(data), _points(data)
    assert len(cells) == 2 * (4 * 3 - 2) + 2  # a cell with a corner that is missing keeps one triangle
    assert not {k for cell in cells for k in cell} & {0, 19}
    for a, b, c in (points[cell] for cell in cells):
        assert np.cross(b - a, c - a)[2] > 0  # seen from above, all turn the same way


def test_a_curve_is_broken_where_points_are_missing() -> None:
    surface = _surface((11,))
    surface.values["train_loss"][4] = np.nan
    surfaceviz.export(surface, "a.vtp")
    data = _read("a.vtp")
    assert _cells(data) == [[1, 2, 3], [5, 6, 7, 8, 9]]
    points = _points(data)
    assert points[1, 2] == 0
    assert points[9, 2] == pytest.approx(0.6 * 2)  # of the longest side
    assert (points[:, 1] == 0).all()


def test_the_file_says_what_its_height_is() -> None:
    surfaceviz.export(_surface(), "a.vts", of="test_loss")
    told = _read("a.vts").GetFieldData()
    words = {told.GetAbstractArray(i).GetName(): told.GetAbstractArray(i).GetValue(0) for i in range(5)}
    match = re.fullmatch(r"\(test loss - (\S+)\) x (\S+)", words["z"])
    assert match
    low, unit = map(float, match.groups())
    data = _read("a.vts")
    values, heights = _point_data(data)["test_loss"], _points(data)[:, 2]
    finite = np.isfinite(values)
    np.testing.assert_allclose(heights[finite], (values[finite] - low) * unit, rtol=1e-7, atol=1e-7)
    assert (words["x"], words["y"], words["title"]) == ("alpha", "beta", "net")
    assert json.loads(words["surfaceviz"])["provenance"]["seed"] == 3


def test_logarithm_and_clip_shape_the_height_alone() -> None:
    z = np.array([[1.0, 10.0, 100.0], [1000.0, 1.0, -5.0]])
    surface = Slice(
        axes=(np.array([0.0, 1.0]), np.arange(3.0)),
        values={"train_loss": z},
        origin=np.ones((2, 3), np.uint8),
        centre={},
    )

    def heights(**options: Any) -> Any:
        surfaceviz.export(surface, "a.vts", overwrite=True, **options)
        np.testing.assert_array_equal(_point_data(_read("a.vts"))["train_loss"].reshape(3, 2).T, z)
        return _points(_read("a.vts"))[:, 2].reshape(3, 2).T

    logged = heights(log=True)
    np.testing.assert_allclose(np.diff([logged[0, 0], logged[0, 1], logged[0, 2], logged[1, 0]], 2), 0, atol=1e-12)
    assert logged[1, 2] == 0  # no logarithm of it: at the bottom
    np.testing.assert_allclose(heights(clip=100)[1, 0], heights(clip=100)[0, 2])
    assert heights(height=0.1).max() == pytest.approx(0.1 * 2)


def test_sides_that_are_not_alike_become_equally_long() -> None:
    surface = replace(_bowl(), axes=(np.linspace(-1, 1, 9), np.linspace(0, 0.01, 7)))
    surfaceviz.export(surface, "a.vts")
    data = _read("a.vts")
    np.testing.assert_allclose(np.ptp(_points(data), axis=0)[:2], [2, 2])
    assert np.ptp(_point_data(data)["beta"]) == pytest.approx(0.01)


@pytest.mark.parametrize("to", SURFACES)
def test_what_is_steep_in_beta_rises_away_and_not_to_the_right(to: str) -> None:
    """Right is x; away is y, in glTF, whose y is up, -z. The highest row is the far one: nothing is mirrored."""
    surface = _bowl()
    surface.values["train_loss"][:] = np.linspace(1, 2, 7)  # rises with beta
    surface.values["train_loss"][8] += 0.25  # and is higher on the right
    surfaceviz.export(surface, f"a.{to}")
    mesh: Any = trimesh.load(f"a.{to}", force="mesh")
    x, y, z = mesh.vertices.T
    right, away, up = (x, -z, y) if to in ("gltf", "glb") else (x, y, z)
    top = up > 0.1 * up.max() if to == "stl" else np.ones(len(up), bool)
    left = top & (right < right.max() - 1e-6)
    assert np.corrcoef(away[left], up[left])[0, 1] == pytest.approx(1)
    assert up[right == right.max()].max() == up.max()
    assert away[np.argmax(up)] == away.max()
    normals = mesh.face_normals @ np.array([0, 1, 0] if to in ("gltf", "glb") else [0, 0, 1])
    if to != "stl":
        assert (normals > 0).all()


def test_a_body_for_a_printer_is_closed_and_has_the_volume_of_its_prism() -> None:
    """A plane that rises with alpha from the base's 3 mm to 63: 100 x 75 x 33 mm^3."""
    axes = (np.linspace(0, 4, 9), np.linspace(1, 4, 5))
    z = np.meshgrid(*axes, indexing="ij")[0]
    surfaceviz.export(Slice(axes=axes, values={"train_loss": z}, origin=np.ones((9, 5), np.uint8), centre={}), "a.stl")
    mesh: Any = trimesh.load("a.stl")
    assert mesh.is_watertight
    assert mesh.is_winding_consistent
    assert mesh.volume == pytest.approx(100 * 75 * 33)
    np.testing.assert_allclose(mesh.bounds, [[-50, -37.5, 0], [50, 37.5, 63]], atol=1e-5)
    read = meshio.read("a.stl")
    assert len(read.cells_dict["triangle"]) == len(mesh.faces)
    assert b"millimetres" in Path("a.stl").read_bytes()[:80]


@pytest.mark.parametrize("seed", range(8))
def test_a_body_with_holes_is_closed_as_well(seed: int) -> None:
    """Holes at random, at which parts also touch in single points."""
    surface = _bowl((12, 9))
    surface.values["train_loss"][np.random.default_rng(seed).random((12, 9)) < 0.2] = np.nan
    surfaceviz.export(surface, "a.stl")
    mesh: Any = trimesh.load("a.stl")
    assert mesh.is_watertight
    assert mesh.volume > 0
    assert all(part.volume > 0 for part in mesh.split())


@pytest.mark.parametrize("to", ["gltf", "glb", "obj"])
def test_a_coloured_surface_has_the_points_with_values_alone(to: str) -> None:
    surface = _surface((5, 4))
    surfaceviz.export(surface, f"a.{to}")
    mesh: Any = trimesh.load(f"a.{to}", force="mesh", process=False)
    assert len(mesh.vertices) == 18
    assert len(mesh.faces) == 22
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0).max(), 2, rtol=1e-6)
    assert np.isfinite(mesh.vertices).all()


def test_colours_brighten_with_height_and_are_the_same_light_in_both_formats() -> None:
    surface = _bowl()
    for to in ("obj", "gltf"):
        surfaceviz.export(surface, f"a.{to}")
    rows = [line.split()[1:] for line in Path("a.obj").read_text().splitlines() if line.startswith("v ")]
    table = np.array(rows, np.float64)
    up, colours = table[:, 2], table[:, 3:]
    order = np.argsort(up)
    grey = colours[order] @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(grey) > -1e-9).all()
    assert np.ptp(grey) > 0.5
    scene = json.loads(Path("a.gltf").read_text())
    data = base64.b64decode(scene["buffers"][0]["uri"].partition(",")[2])
    view = scene["bufferViews"][2]
    light = np.frombuffer(data[view["byteOffset"] :][: view["byteLength"]], "<f4").reshape(-1, 3)
    assert np.abs(light - ((colours + 0.055) / 1.055) ** 2.4)[colours > 0.1].max() < 1e-5


def test_pandas_reads_a_row_a_point() -> None:
    surface = _surface((5, 4))
    surface.values["train_loss"][1, 1] = 0.1 + 0.2
    surfaceviz.export(surface, "a.csv")
    table = pd.read_csv("a.csv")
    assert list(table.columns[:4]) == ["alpha", "beta", "origin", "train_loss"]
    assert HOSTILE in table.columns
    assert len(table) == 20
    for i, alpha in enumerate(surface.axes[0]):
        for j, beta in enumerate(surface.axes[1]):
            row = table[(table["alpha"] == alpha) & (table["beta"] == beta)]
            for name, array in surface.values.items():
                np.testing.assert_allclose(float(row[name].iloc[0]), array[i, j], rtol=1e-15)
    text = Path("a.csv").read_bytes().decode()
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert float(rows[1 + 4 + 1][3]) == 0.1 + 0.2  # repr reads back exactly
    assert rows[1][3] == "nan"
    assert text.count("\r\n") == 21


def test_npz_holds_arrays_without_pickles() -> None:
    surface = _surface((5, 4))
    surfaceviz.export(surface, "a.npz")
    with np.load("a.npz", allow_pickle=False) as data:
        np.testing.assert_array_equal(data["train_loss"], surface.values["train_loss"])
        np.testing.assert_array_equal(data["train_loss_stderr"], surface.stderr["train_loss"])
        np.testing.assert_array_equal(data["alpha"], surface.axes[0])
        np.testing.assert_array_equal(data["beta"], surface.axes[1])
        np.testing.assert_array_equal(data["origin"], surface.origin)
        told = json.loads(str(data["provenance"]))
        assert told["centre"] == {"train_loss": 0.5}
        assert told["marks"][0]["name"] == "b.pt"
        assert all(re.fullmatch(r"[\w.+-]+", name) for name in data.files)


@pytest.mark.parametrize("shape", [(5, 4), (1, 9), (9,)])
def test_xarray_reads_named_dimensions(shape: tuple[int, ...]) -> None:
    surface = _surface(shape)
    surfaceviz.export(surface, "a.nc")
    with xarray.open_dataset("a.nc") as data:
        assert dict(data.sizes) == dict(zip(("alpha", "beta"), shape, strict=False))
        np.testing.assert_array_equal(data["train_loss"].values, surface.values["train_loss"])
        np.testing.assert_array_equal(data["alpha"].values, surface.axes[0])
        assert json.loads(data.attrs["provenance"])["provenance"]["problem"] == "net"
        (odd,) = [v for v in data.variables.values() if "long_name" in v.attrs]
        assert odd.attrs["long_name"] == HOSTILE.replace("\n", " ")
        np.testing.assert_array_equal(odd.values, surface.values[HOSTILE])


@pytest.mark.parametrize("to", FORMATS)
def test_hostile_names_are_harmless(to: str) -> None:
    surface = _surface((5, 4), title="</VTKFile>\n]]><script>\x1b[2J\ud800\\")
    surfaceviz.export(surface, f"a.{to}")
    if to in ("vts", "vtp"):
        root = ET.parse(f"a.{to}").getroot()  # noqa: S314  written here
        assert root.tag == "VTKFile"
        assert not list(root.iter("script"))
        assert HOSTILE.replace("\n", " ") in {each.get("Name") for each in root.iter("DataArray")}
    elif to == "obj":
        kinds = {line.split()[0] for line in Path("a.obj").read_text().splitlines()}
        assert kinds == {"#", "v", "f"}
    elif to in SURFACES:
        assert len(trimesh.load(f"a.{to}", force="mesh").faces) >= 22  # type: ignore[attr-defined]
    else:
        assert Path(f"a.{to}").stat().st_size > 0
    assert [path.name for path in Path().iterdir()] == [f"a.{to}"]


def test_what_cannot_be_is_said_in_a_line() -> None:
    surface, curve = _surface(), _surface((9,))
    for to in ("gltf", "obj", "stl"):
        with pytest.raises(ValueError, match=f"a curve has no surface, which {to} holds; export it to vts, vtp, csv"):
            surfaceviz.export(curve, f"a.{to}")
        with pytest.raises(ValueError, match="no three neighbouring points have finite values"):
            surfaceviz.export(_surface((1, 9)), f"a.{to}")
    with pytest.raises(ValueError, match="no 'accuracy' in net; it has train_loss"):
        surfaceviz.export(surface, "a.vts", of="accuracy")
    with pytest.raises(ValueError, match="csv holds every metric as it is; leave out of, log, clip and height"):
        surfaceviz.export(surface, "a.csv", log=True)
    with pytest.raises(ValueError, match="expected one of vts, vtp, gltf, obj, stl, npz, csv, netcdf, got 'ply'"):
        surfaceviz.export(surface, "a.ply", to="ply")
    with pytest.raises(ValueError, match="a.ply: no format ends in .ply; name it by --to"):
        surfaceviz.export(surface, "a.ply")
    with pytest.raises(ValueError, match="height: expected a share of the width, such as 0.6, got 0"):
        surfaceviz.export(surface, "a.vts", height=0)
    with pytest.raises(ValueError, match="no value is above 0"):
        surfaceviz.export(surface, "a.vts", of=HOSTILE, log=True)
    empty = replace(surface, values={"train_loss": np.full((5, 4), np.nan)})
    with pytest.raises(ValueError, match="no finite value to draw"):
        surfaceviz.export(empty, "a.vts")
    with pytest.raises(StoreError, match="no/a.vts can't be written: No such file or directory"):
        surfaceviz.export(surface, "no/a.vts")
    assert not list(Path().iterdir())


def test_a_failed_write_leaves_what_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("a.csv").write_text("old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(StoreError, match="a.csv can't be written: No space left on device"):
        surfaceviz.export(_surface(), "a.csv", overwrite=True)
    assert Path("a.csv").read_text() == "old"
    assert [path.name for path in Path().iterdir()] == ["a.csv"]


@pytest.mark.parametrize("to", ["vts", "vtp", "gltf", "obj", "stl", "npz", "csv", "netcdf", "reference"])
def test_the_command_names_its_file_and_replaces_none(to: str, capsys: pytest.CaptureFixture[str]) -> None:
    store.write(Path("run.v1.h5"), _plain())
    name = {"netcdf": "run.v1.nc", "reference": "run.v1-reference.h5"}.get(to, f"run.v1.{to}")
    assert cli.run(["export", "run.v1.h5", "--to", to]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"file: {name}"
    before = Path(name).read_bytes()
    Path(name).write_bytes(b"mine")
    assert cli.run(["export", "run.v1.h5", "--to", to]) == 1
    assert f"{name} is there already, and kept" in capsys.readouterr().err
    assert Path(name).read_bytes() == b"mine"
    assert cli.run(["export", "run.v1.h5", "--to", to, "--overwrite"]) == 0
    assert len(Path(name).read_bytes()) == len(before)


def test_the_slice_itself_is_never_replaced(capsys: pytest.CaptureFixture[str]) -> None:
    store.write(Path("a.h5"), _plain())
    Path("link.h5").symlink_to("a.h5")
    for name in ("a.h5", "link.h5"):
        assert cli.run(["export", "a.h5", "--to", "csv", "-o", name, "--overwrite"]) == 1
        assert f"{name} is what is read, and kept" in capsys.readouterr().err
    assert store.read("a.h5").shape == (5, 4)
    assert cli.run(["export", "a.h5"]) == 2
    assert "name a format by --to (vts, vtp" in capsys.readouterr().err
    assert cli.run(["export", "nowhere.h5", "--to", "csv"]) == 1
    assert capsys.readouterr().err == "surfaceviz: nowhere.h5: no such file\n"
    with pytest.raises(SchemaError, match="nowhere.h5: no such file"):
        surfaceviz.export("nowhere.h5", "a.csv")
