"""Baseline: the records drawn, read back from matplotlib's artists; pixels only for not being blank."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.contour import QuadContourSet

import surfaceviz
from surfaceviz import render, store
from surfaceviz.errors import StoreError
from surfaceviz.records import Direction, Mark, Slice
from surfaceviz.render import levels

NAMES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")


def _surface(shape: tuple[int, ...] = (9, 5), *, steep: int = 1, scale: float = 1.0, title: str = "net") -> Slice:
    """Return a bowl that is ten times as steep along axis ``steep``."""
    axes = tuple(np.linspace(-1, k + 1, n) for k, n in enumerate(shape))
    mesh = np.meshgrid(*axes, indexing="ij")
    z = np.asarray(0.1 + scale * sum((10.0 if k == steep else 1.0) * x**2 for k, x in enumerate(mesh)))
    direction = Direction("random", "00", {}, seed=0, normalise="filter", ignore="biasbn")
    return Slice(
        axes,
        {"train_loss": z, "train_accuracy": np.exp(-z), "test_loss": z + 0.1, "test_accuracy": np.exp(-z) * 0.9},
        np.ones(shape, np.uint8),
        dict.fromkeys(NAMES, 0.1),
        (direction,) * len(shape),
        {},
        {"train_loss": z * 0.1},
        provenance={"problem": title, "splits": "train,test"},
    )


def _axes(picture: render.figure.Picture) -> list[Axes]:
    return [ax for ax in picture.axes if ax.get_label() != "<colorbar>"]


def test_a_surface_steep_in_beta_is_steep_upwards() -> None:
    """The closed line of a level is ten times ... sqrt(10) times as wide as it is high."""
    (ax,) = _axes(render.draw([_surface((41, 61), steep=1)], kind="lines", levels="linear"))
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 1), (-1, 2))
    (lines,) = [c for c in ax.collections if isinstance(c, QuadContourSet)]
    level = np.asarray(lines.get_paths()[1].vertices)  # 4 = 0.1 + a^2 + 10 b^2
    height = np.ptp(level[:, 1])
    assert height == pytest.approx(2 * np.sqrt((list(lines.levels)[1] - 0.1) / 10), rel=0.02)
    assert np.abs(level[:, 0]).max() == pytest.approx(1)


@pytest.mark.parametrize("kind", ["filled", "lines", "heat"])
@pytest.mark.parametrize("scale", ["auto", "linear", "log"])
def test_every_kind_draws_and_is_not_blank(kind: str, scale: str) -> None:
    picture = render.draw([_surface()], kind=kind, levels=scale)
    png = picture._repr_png_()
    assert png[:4] == b"\x89PNG"
    pixels = matplotlib.image.imread(io.BytesIO(png))
    assert pixels.std() > 0.05


def test_heat_cells_hold_the_transposed_values() -> None:
    surface = _surface()
    (ax,) = _axes(render.draw([surface], kind="heat", levels="linear"))
    mesh = next(c for c in ax.collections if isinstance(c, QuadMesh))
    np.testing.assert_allclose(np.asarray(mesh.get_array()), surface.values["train_loss"].T)
    assert ax.get_xlim() == pytest.approx((-1.125, 1.125))
    assert ax.get_xlabel().startswith(r"$\alpha$")


def test_several_surfaces_share_one_set_of_levels() -> None:
    picture = render.draw([_surface(title="a"), _surface(scale=7, title="b")], kind="filled", levels="log")
    sets = [next(c for c in ax.collections if isinstance(c, QuadContourSet)) for ax in _axes(picture)]
    np.testing.assert_array_equal(sets[0].levels, sets[1].levels)
    assert [ax.get_title() for ax in _axes(picture)] == ["a", "b"]
    assert len(picture.axes) == 3  # one colour bar


def test_diverged_and_missing_points_are_shown_as_such() -> None:
    surface = _surface()
    surface.values["train_loss"][0, 0] = np.inf
    surface.values["train_loss"][8, 4] = np.nan
    surface.origin[8, 4] = 0
    (ax,) = _axes(render.draw([surface], levels="linear"))
    (crosses,) = [line for line in ax.lines if line.get_label() == "diverged"]
    assert np.asarray(crosses.get_xydata()).tolist() == [[-1, -1]]
    holes = [c for c in ax.collections if isinstance(c, QuadMesh)]
    assert [int(np.isfinite(np.ma.filled(np.ma.asarray(c.get_array()), np.nan)).sum()) for c in holes] == [1, 1]
    surface.values["train_loss"][:] = np.nan
    with pytest.raises(ValueError, match="no finite value to draw"):
        render.draw([surface])


def test_marks_lie_where_their_models_lie() -> None:
    surface = _surface()
    marked = Slice(surface.axes, surface.values, surface.origin, surface.centre, marks=(Mark("b.pt", (0.5, 1.5), {}),))
    (ax,) = _axes(render.draw([marked]))
    assert [np.asarray(line.get_xydata()).tolist() for line in ax.lines] == [[[0, 0]], [[0.5, 1.5]]]
    assert [text.get_text() for text in ax.texts] == ["b.pt"]


def test_a_curve_shows_both_splits_accuracy_and_the_band() -> None:
    surface = _surface((21,))
    picture = render.draw([surface], levels="linear")
    left, right = picture.axes
    curves = [line for line in left.lines if str(line.get_label()).endswith("loss")]
    assert [line.get_label() for line in curves] == ["train loss", "test loss"]
    np.testing.assert_array_equal(curves[0].get_ydata(), surface.values["train_loss"])
    assert [line.get_label() for line in right.lines] == ["train accuracy", "test accuracy"]
    (band,) = [c for c in left.collections if isinstance(c, PolyCollection)]
    assert np.asarray(band.get_paths()[0].vertices)[:, 1].max() == pytest.approx(
        1.1 * surface.values["train_loss"].max()
    )
    assert len(picture.legends[0].get_texts()) == 4


def test_several_curves_are_overlaid() -> None:
    picture = render.draw([_surface((21,), title="a"), _surface((11,), title="b")], of="test_loss")
    (ax,) = picture.axes
    curves = [line for line in ax.lines if "loss" in str(line.get_label())]
    assert [line.get_label() for line in curves] == ["a, test loss", "b, test loss"]
    assert curves[0].get_color() != curves[1].get_color()
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [np.asarray(dot.get_xydata()).tolist() for dot in dots] == [[[0, 0.1]]] * 2  # the centre's own value


def test_slices_of_one_problem_are_told_apart() -> None:
    picture = render.draw([_surface(), _surface()], names=["one", "two"])
    assert [ax.get_title() for ax in _axes(picture)] == ["net (one)", "net (two)"]


def test_a_metric_whose_name_ends_in_loss_is_not_taken_for_a_split() -> None:
    surface = _surface((21,))
    values = {"train_aux_loss": surface.values["train_loss"] * 7, **surface.values}
    odd = Slice(surface.axes, values, surface.origin, surface.centre, provenance=surface.provenance)
    left, _ = render.draw([odd]).axes
    assert [str(line.get_label()) for line in left.lines if "loss" in str(line.get_label())] == [
        "train loss",
        "test loss",
    ]


def test_only_a_loss_is_put_on_a_log_scale_unasked() -> None:
    surface = _surface((41, 41))
    assert surface.values["train_accuracy"].max() > 20 * surface.values["train_accuracy"].min()
    for name in ("train_loss", "train_accuracy"):
        (ax,) = _axes(render.draw([surface], of=name))
        drawn = next(c for c in ax.collections if isinstance(c, QuadContourSet))
        assert (next(iter(drawn.levels)) < 0) == (name == "train_loss")  # the logarithm of a loss below 1


def test_levels_span_the_values() -> None:
    z = np.array([0.003, 7.0])
    chosen = levels.choose([z], "auto")
    assert chosen.log
    assert chosen.values[0] <= 0.003
    assert chosen.values[-1] >= 7
    assert 6 <= len(chosen.values) <= 16
    assert not levels.choose([np.array([1.0, 2.0])], "auto").log
    assert not levels.choose([np.array([0.0, 2000.0])], "auto").log  # no logarithm of 0
    for scale in ("auto", "linear", "log"):
        flat = levels.choose([np.array([3.0, 3.0])], scale).values
        assert flat[0] < 3 < flat[-1]
    with pytest.raises(ValueError, match="no value is above 0; use linear"):
        levels.choose([np.array([-1.0, -2.0])], "log")


@pytest.mark.parametrize("shape", [(1, 5), (2, 2), (3, 1)])
def test_thin_surfaces_draw(shape: tuple[int, int]) -> None:
    for kind in ("heat", "filled", "lines"):  # a single row has no contours, and is drawn as cells
        (ax,) = _axes(render.draw([_surface(shape)], kind=kind, levels="linear"))
        cells = [c for c in ax.collections if isinstance(c, QuadMesh)]
        assert len(cells) == (kind == "heat" or min(shape) == 1)


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_pictures_are_written_whole_in_each_format(suffix: str) -> None:
    path = Path(f"a.{suffix}")
    render.save(render.draw([_surface()]), path)
    start = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}[suffix]
    assert path.read_bytes().startswith(start)
    assert [p.name for p in Path().iterdir()] == [path.name]
    if suffix == "svg":
        assert ">net</text>" in path.read_text()  # text, not outlines


def test_bad_requests_are_told_what_would_do() -> None:
    with pytest.raises(ValueError, match="pictures are written as png, svg, pdf"):
        render.save(render.draw([_surface()]), Path("a.jpg"))
    with pytest.raises(StoreError, match="no/a.png can't be written: No such file or directory"):
        render.save(render.draw([_surface()]), Path("no/a.png"))
    with pytest.raises(ValueError, match="1-D and 2-D slices don't go into one picture"):
        render.draw([_surface(), _surface((5,))])
    with pytest.raises(ValueError, match="no 'val_loss' in net; it has train_loss"):
        render.draw([_surface()], of="val_loss")
    with pytest.raises(ValueError, match="kind: expected one of filled, lines, heat, got 'pie'"):
        render.draw([_surface()], kind="pie")
    with pytest.raises(ValueError, match="nothing to draw"):
        render.draw([])


def test_plot_takes_records_and_files() -> None:
    store.write(Path("a.h5"), _surface())
    surfaceviz.plot(_surface(), "a.h5", output="a.svg", kind="lines")
    assert Path("a.svg").exists()


def test_points_that_were_evaluated_are_dotted_where_they_lie() -> None:
    surface = _surface((9, 5))
    surface.origin[:] = 2
    surface.origin[2, 3] = surface.origin[7, 1] = 1
    (ax,) = _axes(render.draw([surface], points=True))
    (dots,) = [line for line in ax.lines if line.get_label() == "evaluated"]
    places = [(surface.axes[0][i], surface.axes[1][j]) for i, j in ((2, 3), (7, 1))]
    np.testing.assert_allclose(np.asarray(dots.get_xydata()), places)
    (plain,) = _axes(render.draw([surface]))
    assert not [line for line in plain.lines if line.get_label() == "evaluated"]
