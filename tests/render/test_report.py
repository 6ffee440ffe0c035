"""Baseline: the records' own arrays, against what the page's payload decodes to by numpy."""

from __future__ import annotations

import base64
import json
import os
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray
from pages import RANDOM, bowl

import surfaceviz
from surfaceviz import store
from surfaceviz.errors import SchemaError, StoreError
from surfaceviz.records import Slice, Spectrum
from surfaceviz.render.report import page, payload
from surfaceviz.render.report.decimate import decimate
from surfaceviz.render.report.tables import sharpness_table


def unpacked(packed: dict[str, Any]) -> NDArray[Any]:
    return np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"]).reshape(packed["shape"])


def one(surface: Slice, name: str = "net") -> Any:
    return payload([surface], [name], "title")["files"][0]


def series(file: Any, split: str, metric: str) -> Any:
    return next(each for each in file["series"] if (each["split"], each["metric"]) == (split, metric))


def of_page(text: str) -> Any:
    found = re.search(r'<script id="payload" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_values_errors_and_axes_are_the_arrays_in_their_own_order() -> None:
    surface = bowl((7, 4))
    file = one(surface)
    for axis, packed in zip(surface.axes, file["axes"], strict=True):
        np.testing.assert_array_equal(unpacked(packed), axis)
    for name, array in surface.values.items():
        found = series(file, *name.split("_"))
        np.testing.assert_allclose(unpacked(found["values"]), array, rtol=1e-6)
        np.testing.assert_allclose(unpacked(found["stderr"]), 0.01 * array, rtol=1e-6)
        np.testing.assert_allclose(unpacked(found["rise_stderr"]), 0.02 * array, rtol=1e-6)
    assert [(each["split"], each["metric"]) for each in file["series"]] == [
        ("train", "loss"),
        ("train", "rise of the loss"),
        ("train", "accuracy"),
        ("test", "loss"),
        ("test", "rise of the loss"),
        ("test", "accuracy"),
    ]


def test_the_rise_is_taken_in_double_precision_and_carries_the_paired_error() -> None:
    surface = bowl((5,))
    values = {"train_loss": 1000 + np.array([2e-7, 1e-7, 0, 1e-7, 2e-7])}
    flat = replace(surface, values=values, centre={"train_loss": 1000.0}, stderr={})
    rise = series(one(flat), "train", "rise of the loss")
    np.testing.assert_allclose(unpacked(rise["values"]), values["train_loss"] - 1000, rtol=1e-6)
    np.testing.assert_allclose(unpacked(rise["stderr"]), surface.rise_stderr["train_loss"], rtol=1e-6)


def test_missing_diverged_and_vast_values_come_as_they_are() -> None:
    surface = bowl((5, 3))
    surface.values["train_loss"][0, 0] = np.inf
    surface.values["train_loss"][4, 2] = np.nan
    surface.values["test_loss"][1, 1] = 1e200  # beyond single precision
    surface.origin[4, 2] = 0
    file = one(surface)
    loss = unpacked(series(file, "train", "loss")["values"])
    assert np.isposinf(loss[0, 0])
    assert np.isnan(loss[4, 2])
    assert unpacked(series(file, "test", "loss")["values"])[1, 1] == 1e200
    assert unpacked(file["origin"])[4, 2] == 0


@pytest.mark.parametrize("shape", [(1001, 3), (301, 700), (5000,)])
def test_thinning_keeps_the_ends_the_centre_and_the_minimum_and_says_so(shape: tuple[int, ...]) -> None:
    surface = bowl(shape)
    lowest = tuple(n // 3 + 1 for n in shape)
    surface.values["train_loss"][lowest] = 0.01
    shown = decimate(surface)
    for axis, kept, low in zip(surface.axes, shown.kept, lowest, strict=True):
        assert {0, len(axis) - 1, int(np.argmin(np.abs(axis))), low} <= set(kept.tolist())
        assert len(kept) <= (2000 if len(shape) == 1 else 150) + 3
    whole, less = " x ".join(map(str, shape)), " x ".join(str(len(kept)) for kept in shown.kept)
    assert f"{whole} points; the page shows {less}: every" in shown.words
    loss = series(one(surface), "train", "loss")
    np.testing.assert_allclose(unpacked(loss["values"]), surface.values["train_loss"][np.ix_(*shown.kept)], rtol=1e-6)


def test_a_grid_that_fits_is_shown_whole() -> None:
    assert decimate(bowl((150, 150))).words == ""
    assert one(bowl((9, 5)))["axes"][0]["shape"] == [9]


def test_two_surfaces_of_51_x_51_stay_under_6_megabytes() -> None:
    surfaces = [bowl((51, 51), rich=True), bowl((51, 51), scale=7)]
    assert surfaceviz.report(*surfaces).size == Path("report.html").stat().st_size < 6e6


def test_text_of_files_is_data_and_never_markup() -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&amp;"
    surface = replace(bowl(), values={f"train_{evil}": bowl().values["train_loss"]}, provenance={"problem": evil})
    text = page([surface], names=[evil])
    assert "<script>alert" not in text
    assert "<img src=x" not in text
    held = of_page(text)
    assert held["files"][0]["name"] == held["files"][0]["title"] == evil
    assert held["files"][0]["series"][0]["metric"] == f"train_{evil}"
    assert f"<title>{evil}" not in text


def test_a_name_that_is_no_text_is_written_all_the_same() -> None:
    path = Path(os.fsdecode(b"bad\xff.h5"))
    store.write(path, replace(bowl(), provenance={}))
    surfaceviz.report(path)
    text = Path("report.html").read_text(encoding="utf-8")
    assert of_page(text)["files"][0]["name"] == path.stem
    assert "<title>bad?</title>" in text


def test_the_policy_names_the_scripts_that_are_there_and_no_address() -> None:
    text = page([bowl()], names=["a"])
    policy = re.search(r'http-equiv="Content-Security-Policy" content="(.*?)"', text)
    assert policy is not None
    assert policy[1].count("'sha256-") == 2
    assert "default-src 'none'" in policy[1]
    assert "http" not in policy[1]
    assert "unsafe-eval" not in policy[1]
    head = text[: text.index('<script id="payload"')]
    assert not re.search(r"(src|href)=\"(?!data:,|#)", head)
    assert "Licensed under the MIT license" in text  # plotly's own comment


def test_spectra_are_numbered_over_files_and_densities_integrate_to_one() -> None:
    found = payload([bowl(rich=True), bowl(rich=True)], ["a", "b"], "")["spectra"]
    assert [(each["file"], each["number"], each["at"]) for each in found] == [
        (0, 1, [0, 0]),
        (0, 2, [0.5, 0]),
        (1, 3, [0, 0]),
        (1, 4, [0.5, 0]),
    ]
    density = found[0]["density"]
    u, y = unpacked(density["u"]), unpacked(density["y"])
    assert y.mean() * np.ptp(u) == pytest.approx(1, rel=5e-3)
    assert found[1]["density"] is None
    assert [each["value"] for each in found[0]["eigenvalues"]] == [-1.5, 3.0, 20.0]
    assert [each["converged"] for each in found[0]["eigenvalues"]] == [True, False, True]
    assert dict(found[0]["facts"])["trace"].startswith("22 \N{PLUS-MINUS SIGN} 2.2 (95% by Student's t, 3 probes)")
    assert found[0]["axis"] == found[2]["axis"]  # they compare


def test_of_many_eigenvalues_the_ends_are_listed() -> None:
    surface = bowl(rich=True)
    first: Spectrum = surface.spectra[0]
    many = replace(
        first, eigenvalues=np.arange(100.0), residuals=np.zeros(100), converged=np.ones(100, np.bool_), dimension=100
    )
    (found,) = payload([replace(surface, spectra=(many,))], ["a"], "")["spectra"]
    assert [each["value"] for each in found["eigenvalues"]] == [*range(20), *range(80, 100)]
    assert found["left_out"] == "the 20 lowest and highest of 100"


def test_the_sharpness_table_tells_what_files_tell_and_no_more() -> None:
    table = sharpness_table([bowl((21, 31), rich=True), bowl((21, 31), scale=4)], ["a", "b"])
    rows = {row[0]: row[1:] for row in table["rows"]}
    assert table["columns"] == ["at theta", "a", "b"]
    assert rows["train loss"] == ["0.1", "0.1"]
    assert rows["lambda_max (H, train)"] == ["20", "-"]
    assert rows["trace (H, train)"] == ["22 \N{PLUS-MINUS SIGN} 2.2 (95%)", "-"]
    assert rows["d'Hd along beta (train)"] == ["20", "-"]
    assert rows["second difference along alpha (train loss)"] == ["2 (step 0.1)", "8 (step 0.1)"]
    assert rows["second difference along beta (train loss)"] == ["20 (step 0.1)", "80 (step 0.1)"]
    # 0.1 = alpha^2 at 0.31623, between 0.3 and 0.4 on the grid: 0.3 + 0.1 (0.01 / 0.07)
    assert rows["width along alpha at train loss + 0.1"][0] == "0.62857"


def test_a_width_beyond_the_slice_and_a_grid_without_its_centre_are_not_invented() -> None:
    narrow = replace(
        bowl((21,)), axes=(np.linspace(-0.1, 0.1, 21),), values={"train_loss": np.linspace(-0.1, 0.1, 21) ** 2}
    )
    rows = {row[0]: row[1] for row in sharpness_table([narrow], ["a"])["rows"]}
    assert rows["width along alpha at train loss + 0.1"] == "more than 0.2"
    even = {row[0] for row in sharpness_table([bowl((20, 31))], ["a"])["rows"]}
    assert not any("width" in label or "difference" in label for label in even)


def test_bad_requests_are_told_what_would_do() -> None:
    with pytest.raises(ValueError, match="nothing to report: give at least one slice"):
        surfaceviz.report()
    with pytest.raises(ValueError, match="1-D and 2-D slices don't go into one report"):
        surfaceviz.report(bowl(), bowl((5,)))
    with pytest.raises(ValueError, match="a report is a web page; end the name in .html"):
        surfaceviz.report(bowl(), output="a.png")
    with pytest.raises(StoreError, match="no/a.html can't be written: No such file or directory"):
        surfaceviz.report(bowl(), output="no/a.html")
    empty = bowl()
    for array in empty.values.values():
        array[:] = np.nan
    with pytest.raises(ValueError, match="1: no finite value to draw"):
        surfaceviz.report(empty)


def test_a_course_along_checkpoints_is_no_slice() -> None:
    store.write_curvature(Path("edge.h5"), surfaceviz.Curvature(bowl(rich=True).spectra))
    with pytest.raises(ValueError, match="edge.h5: report: slices only"):
        surfaceviz.report("edge.h5")


def test_a_file_that_declares_a_thousand_million_points_is_refused() -> None:
    with h5py.File("vast.h5", "w") as file:
        file.attrs["schema_version"] = 1
        for name in ("train_loss", "origin"):
            file.create_dataset(f"slice/{name}", (31623, 31623), "f8", chunks=(1000, 1000))
        for name in ("alpha", "beta"):
            file[f"slice/{name}"] = np.linspace(-1, 1, 31623)
    with pytest.raises(SchemaError, match="declares shape .31623, 31623., which no slice has"):
        surfaceviz.report("vast.h5")


def test_slices_of_one_name_are_told_apart() -> None:
    for folder in ("a", "b"):
        Path(folder).mkdir()
        store.write(Path(folder, "run.h5"), bowl())
    surfaceviz.report("a/run.h5", "b/run.h5", output="r.html")
    assert [each["name"] for each in of_page(Path("r.html").read_text())["files"]] == ["a/run.h5", "b/run.h5"]


def test_labels_say_where_directions_come_from_without_formulas() -> None:
    assert one(bowl())["labels"] == [
        "alpha (random direction, filter-normalised)",
        "beta (random direction, filter-normalised)",
    ]
    along = replace(RANDOM, kind="eigenvector", eigenvalue=3.25)
    assert one(replace(bowl(), directions=(along, along)))["labels"][0] == "alpha (eigenvector, lambda = 3.25)"
