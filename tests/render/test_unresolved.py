"""Baseline: a refined bowl whose interpolated points above the level are known, in every kind of picture and export."""

from __future__ import annotations

import base64
import csv
from pathlib import Path

import h5py
import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import NDArray

import surfaceviz
from surfaceviz.records import EVALUATED, INTERPOLATED, Slice, describe
from surfaceviz.reference_format import write_reference
from surfaceviz.render.contours.contour_figure import levels_of
from surfaceviz.render.export.height_field import height_field
from surfaceviz.render.export.options import ExportOptions
from surfaceviz.render.plot_options import PlotOptions
from surfaceviz.render.quantity import quantity
from surfaceviz.render.report.payload import payload

LEVEL = 2.0


def _bowl(*, refined: bool = True) -> Slice:
    axis = np.linspace(-1, 1, 21)
    alpha, beta = np.meshgrid(axis, axis, indexing="ij")
    loss = 0.1 + 6 * (alpha**2 + beta**2)
    origin = np.full(loss.shape, INTERPOLATED if refined else EVALUATED, np.uint8)
    origin[::4, ::4] = EVALUATED
    provenance: dict[str, str | int | float] = {"splits": "train", "train_loss_level": LEVEL}
    values = {"train_loss": loss, "train_accuracy": np.exp(-loss)}
    centre = {"train_loss": 0.1, "train_accuracy": float(np.exp(-0.1))}
    return Slice(axes=(axis, axis), values=values, origin=origin, centre=centre, provenance=provenance)


def _hidden(surface: Slice) -> NDArray[np.bool_]:
    return np.asarray((surface.origin == INTERPOLATED) & (surface.values["train_loss"] > LEVEL))


def test_levels_end_at_the_level_and_resolve_what_lies_below() -> None:
    for refined in (True, False):
        surface = _bowl(refined=refined)
        levels = levels_of([quantity(surface)], PlotOptions())
        assert levels.clip == LEVEL
        assert np.sum(levels.values < LEVEL) >= 6
        assert levels_of([quantity(surface)], PlotOptions(levels="linear")).clip is None
        assert levels_of([quantity(surface, "rise")], PlotOptions()).clip == pytest.approx(LEVEL - 0.1)
        assert levels_of([quantity(surface, "accuracy")], PlotOptions()).clip is None


def test_surfaces_side_by_side_end_at_the_higher_level() -> None:
    other = _bowl()
    other.provenance["train_loss_level"] = 3.0  # type: ignore[index]
    assert levels_of([quantity(_bowl()), quantity(other)], PlotOptions()).clip == 3.0


def _other() -> Slice:
    """Return the slice with other values at the points that are not resolved."""
    surface = _bowl()
    hidden = _hidden(surface)
    surface.values["train_loss"][hidden] *= 1.5
    surface.values["train_accuracy"][hidden] = 0.9
    return surface


@pytest.mark.parametrize(
    ("of", "levels"), [("loss", "linear"), ("rise", "linear"), ("accuracy", "auto"), ("accuracy", "linear")]
)
@pytest.mark.parametrize("kind", ["filled", "lines", "heat", "cuts"])
def test_pictures_do_not_depend_on_what_is_not_resolved(of: str, levels: str, kind: str, tmp_path: Path) -> None:
    pictures = []
    for k, surface in enumerate((_bowl(), _other())):
        path = tmp_path / f"{k}.png"
        surfaceviz.plot(surface, of=of, kind=kind, levels=levels, output=path)
        pictures.append(path.read_bytes())
    assert pictures[0] == pictures[1]


def test_tables_and_files_of_the_reference_code_leave_it_empty(tmp_path: Path) -> None:
    surface = _bowl()
    hidden = _hidden(surface)
    assert 100 < hidden.sum() < 400
    surfaceviz.export(surface, tmp_path / "a.csv")
    with (tmp_path / "a.csv").open() as file:
        rows = list(csv.DictReader(file))
    for name in ("train_loss", "train_accuracy"):
        column = np.array([float(row[name]) for row in rows]).reshape(hidden.shape)
        np.testing.assert_array_equal(np.isnan(column), hidden)
    write_reference(surface, tmp_path / "a.h5")
    with h5py.File(tmp_path / "a.h5") as file:
        np.testing.assert_array_equal(file["train_loss"][...] == -1, hidden)


def test_a_mesh_is_flat_at_the_level(tmp_path: Path) -> None:
    fields = [height_field(surface, ExportOptions()) for surface in (_bowl(), _other())]
    np.testing.assert_array_equal(fields[0].z, fields[1].z)
    assert "2 at the most" in fields[0].words["z"]


def test_a_report_says_which_points_are_not_resolved() -> None:
    surface = _bowl()
    series = payload([surface], ["a.h5"], "t")["files"][0]["series"]
    found = {(one["split"], one["metric"]): one for one in series}
    for metric in ("loss", "rise of the loss", "accuracy"):
        packed = found["train", metric]["unresolved"]
        mask = np.frombuffer(base64.b64decode(packed["bdata"]), np.uint8).reshape(packed["shape"]).astype(bool)
        np.testing.assert_array_equal(mask, _hidden(surface))
    assert found["train", "loss"]["level"] == LEVEL
    assert found["train", "rise of the loss"]["level"] == pytest.approx(LEVEL - 0.1)


def test_info_says_how_many_points_lie_above_and_are_not_resolved() -> None:
    surface = _bowl()
    above = np.mean(surface.values["train_loss"] > LEVEL)
    expected = f"train_loss 2: {above:.0%} of the points lie above; {_hidden(surface).sum()} of them are interpolated"
    assert dict(describe(surface))["level"].startswith(expected)


def test_a_picture_of_a_refined_plane_says_what_is_hatched(tmp_path: Path) -> None:
    path = tmp_path / "a.svg"
    for of, words in ((None, "above 2, not resolved"), ("accuracy", "not resolved: the loss lies above")):
        with mpl.rc_context({"svg.fonttype": "none"}):
            surfaceviz.plot(_bowl(), of=of, output=path)
        assert words in path.read_text()
    with mpl.rc_context({"svg.fonttype": "none"}):
        surfaceviz.plot(_bowl(refined=False), output=path)
    assert "above 2 (lines: 10)" in path.read_text()
