"""Baselines: numpy's quantiles over the complete rays, and the records' own arrays in pictures, pages and exports."""

from __future__ import annotations

import base64
import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure
from pages import RANDOM, bowl

import surfaceviz
from surfaceviz import store
from surfaceviz.errors import SchemaError
from surfaceviz.records import DirectionRecord, FloatArray, Slice, one_ray, ray_spread, with_seeds
from surfaceviz.render import draw
from surfaceviz.render.report import payload
from surfaceviz.render.same_distance import same_distance

NORM = 4.0
SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


def rays(count: int = 7, points: int = 5, title: str = "net") -> Slice:
    """Return bowls of random steepness, one for each ray."""
    like = bowl((points,), title=title)
    steep = np.random.default_rng(3).uniform(0.5, 30, (count, 1))
    loss = 0.1 + steep * like.axes[0] ** 2
    values = {"train_loss": loss, "train_accuracy": np.exp(-loss)}
    return replace(
        like, values=values, stderr={n: 0.01 * a for n, a in values.items()},
        rise_stderr={n: 0.02 * a for n, a in values.items()}, origin=np.ones(loss.shape, np.uint8),
        seeds=tuple(range(10, 10 + count)), directions=(replace(RANDOM, norm=NORM),),
        centre={"train_loss": 0.1, "train_accuracy": float(np.exp(-0.1))},
        provenance={**like.provenance, "weights_sha256": "ab", "splits": "train"},
    )  # fmt: skip


def curve(kind: str = "ascent", **fields: Any) -> Slice:
    """Return a steep curve over alpha -2 .. 2 around the weights of `rays`."""
    like = bowl((5,), scale=50.0)
    direction = DirectionRecord(kind=kind, sha256="01", rule={}, **fields)
    provenance = {**like.provenance, "weights_sha256": "ab", "splits": "train"}
    return replace(like, axes=(2 * like.axes[0],), directions=(direction,), provenance=provenance)


def _incomplete(surface: Slice) -> Slice:
    """Return rays of which the last two are not complete: one has two points, the other none."""
    origin = surface.origin.copy()
    origin[-2, 2:], origin[-1] = 0, 0
    values = {name: np.where(origin == 0, np.nan, array) for name, array in surface.values.items()}
    return replace(surface, origin=origin, values=values)


def _lines(figure: Any) -> dict[str, FloatArray]:
    """Return label -> the heights of each line of the picture's legend."""
    assert isinstance(figure, Figure)
    (legend,) = [each for sub in (figure, *figure.subfigs) for each in sub.legends]
    words = [text.get_text() for text in legend.get_texts()]
    (ax,) = figure.axes
    handles = [line for line in ax.lines if np.size(line.get_xdata()) > 2]  # no dot, no line at the centre
    return dict(zip(words, (np.asarray(line.get_ydata()) for line in handles), strict=False))


@pytest.mark.parametrize("count", [1, 2, 3, 4, 10, 11])
def test_the_spread_is_that_of_numpys_quantiles(count: int) -> None:
    surface = rays(count)
    for name in ("train_loss", "train_accuracy"):
        spread = ray_spread(surface, surface.values[name], is_loss=name == "train_loss")
        np.testing.assert_allclose(spread.stacked, np.quantile(surface.values[name], SHARES, axis=0), rtol=1e-12)
        assert spread.rays == count


def test_a_ray_that_is_not_complete_is_left_out() -> None:
    surface = _incomplete(rays(7))
    spread = ray_spread(surface, surface.values["train_loss"], is_loss=True)
    assert spread.rays == 5
    np.testing.assert_allclose(spread.median, np.median(surface.values["train_loss"][:5], axis=0), rtol=1e-12)


@pytest.mark.parametrize("diverged", [np.nan, np.inf])
def test_a_diverged_loss_is_larger_than_all_others(diverged: float) -> None:
    surface = rays(5)
    loss = surface.values["train_loss"]
    loss[0, 4] = loss[3, 4] = diverged
    spread = ray_spread(surface, loss, is_loss=True)
    finite = np.sort(loss[[1, 2, 4], 4])
    assert spread.lowest[4] == finite[0]
    assert spread.median[4] == finite[2]
    assert spread.upper_quartile[4] == spread.highest[4] == np.inf
    np.testing.assert_allclose(spread.highest[:4], loss[:, :4].max(axis=0))


def test_another_metric_that_is_not_finite_has_no_spread_there() -> None:
    surface = rays(3)
    surface.values["train_accuracy"][1, 2] = np.nan
    spread = ray_spread(surface, surface.values["train_accuracy"], is_loss=False)
    assert np.isnan(spread.stacked[:, 2]).all()
    assert np.isfinite(spread.stacked[:, [0, 1, 3, 4]]).all()


def test_rays_that_are_added_are_missing_and_others_are_refused() -> None:
    grown = with_seeds(rays(2), (10, 11, 12))
    assert grown.shape == (3, 5)
    assert np.count_nonzero(grown.origin, axis=1).tolist() == [5, 5, 0]
    assert np.isnan(grown.values["train_loss"][2]).all()
    with pytest.raises(ValueError, match="seeds of other rays; expected them to begin with those of the 2 rays"):
        with_seeds(rays(2), (10, 99, 12))


def test_the_picture_shows_median_quartiles_and_range() -> None:
    surface = rays(7)
    figure = draw([surface])
    loss = surface.values["train_loss"]
    lines = _lines(figure)
    assert next(iter(lines)) == "median of 7 rays"
    np.testing.assert_allclose(lines["median of 7 rays"], np.median(loss, axis=0))
    assert isinstance(figure, Figure)
    bands = [np.unique(np.asarray(each.get_paths()[0].vertices)[:, 1]) for each in figure.axes[0].collections]
    expected = np.quantile(loss, SHARES, axis=0)
    for band, low, high in ((bands[0], 0, 4), (bands[1], 1, 3)):
        np.testing.assert_allclose(band, np.unique(expected[[low, high]]))


def test_missing_rays_are_named_and_not_drawn() -> None:
    surface = _incomplete(rays(7))
    figure = draw([surface])
    label = "median of the 5 complete of 7 rays"
    np.testing.assert_allclose(_lines(figure)[label], np.median(surface.values["train_loss"][:5], axis=0))
    assert isinstance(figure, Figure)
    assert figure.axes[0].get_title() == "net\n27 of 35 points so far"
    nothing = replace(surface, origin=np.zeros_like(surface.origin))
    with pytest.raises(ValueError, match="none of the 7 rays is complete; run the same command again first"):
        draw([nothing])


def test_an_accuracy_and_the_rise_are_drawn_too() -> None:
    surface = rays(7)
    for of, values in (("accuracy", surface.values["train_accuracy"]), ("rise", surface.values["train_loss"] - 0.1)):
        np.testing.assert_allclose(_lines(draw([surface], of=of))["median of 7 rays"], np.median(values, axis=0))


@pytest.mark.parametrize(
    ("over", "ends", "label"),
    [
        (curve("ascent"), 2 / NORM, "worst case, along ascent"),
        (curve("eigenvector", eigenvalue=3.0), 2 / NORM, "along eigenvector, $\\lambda$ = 3"),
        (curve("random", normalise="filter"), 2.0, "along random direction, filter-normalised"),
    ],
    ids=["ascent", "eigenvector", "random"],
)
def test_a_curve_over_rays_is_at_the_same_distance(over: Slice, ends: float, label: str) -> None:
    _, scaled = same_distance([rays(), over], ["rays", "over"])
    assert (scaled.axes[0][0], scaled.axes[0][-1]) == (-ends, ends)
    assert label in _lines(draw([rays(), over]))


@pytest.mark.parametrize(
    ("over", "message"),
    [
        (curve("difference"), r"over has a direction \(difference\) whose length is not known to be that of the rays"),
        (curve("random", normalise="none"), r"over has a direction \(random\) whose length is not known"),
        (replace(curve(), provenance={"weights_sha256": "cd"}), "over lies around other weights than the rays"),
    ],
    ids=["difference", "random", "weights"],
)
def test_a_curve_of_another_kind_of_length_is_refused(over: Slice, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        draw([rays(), over], names=["rays", "over"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"spectrum": True}, "a picture of rays has no --spectrum: leave it out, or take --kind spectrum"),
        ({"map": "ratio"}, "a picture of rays has no --map: leave it out, or take --kind spectrum"),
        ({"kind": "surface"}, "kind surface draws surfaces, and these slices are curves; leave out --kind"),
    ],
    ids=str,
)
def test_options_that_rays_do_not_have_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        draw([rays()], **options)


def _unpacked(packed: dict[str, Any]) -> FloatArray:
    found = np.frombuffer(base64.b64decode(packed["bdata"]), packed["dtype"])
    return found.reshape(packed["shape"]).astype(np.float64)


def test_a_report_has_the_median_with_both_bands() -> None:
    surface = _incomplete(rays(7))
    file = payload([surface], ["rays"], "title")["files"][0]
    loss, rise = surface.values["train_loss"][:5], surface.values["train_loss"][:5] - 0.1
    for values, series in ((loss, file["series"][0]), (rise, file["series"][1])):
        quantiles = np.quantile(values, SHARES, axis=0)
        drawn = [series["values"], *(band[end] for band in series["bands"] for end in ("low", "high"))]
        for packed, k in zip(drawn, (2, 1, 3, 0, 4), strict=True):
            np.testing.assert_allclose(_unpacked(packed), quantiles[k], rtol=1e-6, atol=1e-7)
    assert file["summary"].startswith("7 rays x 5 points: alpha -1 .. 1; 27 of 35 done")
    nothing = replace(surface, origin=np.zeros_like(surface.origin))
    with pytest.raises(ValueError, match="rays: none of the 7 rays is complete"):
        payload([nothing], ["rays"], "title")


def test_exports_hold_every_ray() -> None:
    surface = rays(3)
    for to in ("csv", "npz", "netcdf"):
        surfaceviz.export(surface, f"a.{to}", to)
    loss = surface.values["train_loss"]
    rows = list(csv.DictReader(io.StringIO(Path("a.csv").read_text())))
    assert [(float(r["ray"]), float(r["alpha"]), int(r["seed"])) for r in rows[4:6]] == [
        (1.0, 1.0, 10),
        (2.0, -1.0, 11),
    ]
    assert [float(row["train_loss"]) for row in rows] == loss.ravel().tolist()
    with np.load("a.npz") as arrays:
        np.testing.assert_array_equal(arrays["train_loss"], loss)
        np.testing.assert_array_equal(arrays["seed"][:, 0], surface.seeds)
        np.testing.assert_array_equal(arrays["ray"], [1, 2, 3])
    with xarray.open_dataset("a.netcdf", engine="scipy") as data:
        assert data["train_loss"].dims == ("ray", "alpha")
        np.testing.assert_array_equal(data["train_loss"].sel(ray=2), loss[1])


@pytest.mark.parametrize("to", ["vts", "vtp", "gltf", "obj", "stl", "reference"])
def test_formats_of_one_curve_refuse_rays(to: str) -> None:
    with pytest.raises(ValueError, match=rf"{to} holds one curve or surface; got 3 rays. Export to csv, npz or netcdf"):
        surfaceviz.export(rays(3), "a.h5" if to == "reference" else f"a.{to}", to)


def test_a_file_gives_the_record_back() -> None:
    surface = _incomplete(rays(7))
    store.write(Path("a.h5"), surface)
    found = store.read("a.h5")
    assert (found.seeds, found.shape, found.directions) == (surface.seeds, (7, 5), surface.directions)
    for kind in ("values", "stderr", "rise_stderr"):
        for name, array in getattr(surface, kind).items():
            np.testing.assert_array_equal(getattr(found, kind)[name], array)
    np.testing.assert_array_equal(one_ray(found, 1).values["train_loss"], surface.values["train_loss"][1])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": (1, 1, 2)}, "slice/seed is of shape (3,), expected different seeds, one for each ray"),
        ({"seeds": (1, 2)}, "slice/origin has shape (3, 5), its axes (2, 5)"),
        ({"seeds": ()}, "slice/origin has shape (3, 5), its axes (5,)"),  # as a reader that knows no rays sees it
        ({"axes": (np.arange(3.0), np.arange(5.0))}, "slice holds 3 rays and 2 axes, expected one axis"),
    ],
    ids=str,
)
def test_a_file_whose_seeds_do_not_fit_is_refused(change: dict[str, Any], message: str) -> None:
    store.write(Path("a.h5"), replace(rays(3), **change))
    with pytest.raises(SchemaError, match=re.escape(message)):
        store.read("a.h5")
