"""Baseline: the records drawn, read back from matplotlib's artists; pixels only for not being blank."""

from __future__ import annotations

import io
import re
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection, QuadMesh
from matplotlib.contour import QuadContourSet
from numpy.typing import NDArray

import surfaceviz
from surfaceviz import atomic_write, render, store
from surfaceviz.errors import SchemaError, StoreError
from surfaceviz.records import DirectionRecord, Mark, Slice, Trajectory, trajectory_rows
from surfaceviz.render import quantity, style
from surfaceviz.render.contours import levels, smooth

NAMES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")


def _surface(shape: tuple[int, ...] = (9, 5), *, steep: int = 1, scale: float = 1.0, title: str = "net") -> Slice:
    """Return a bowl that is ten times as steep along axis ``steep``."""
    axes = tuple(np.linspace(-1, k + 1, n) for k, n in enumerate(shape))
    mesh = np.meshgrid(*axes, indexing="ij")
    z = np.asarray(0.1 + scale * sum((10.0 if k == steep else 1.0) * x**2 for k, x in enumerate(mesh)))
    direction = DirectionRecord(kind="random", sha256="00", rule={}, seed=0, normalise="filter", ignore="biasbn")
    return Slice(
        axes=axes,
        values={"train_loss": z, "train_accuracy": np.exp(-z), "test_loss": z + 0.1, "test_accuracy": np.exp(-z) * 0.9},
        origin=np.ones(shape, np.uint8),
        centre=dict.fromkeys(NAMES, 0.1),
        directions=(direction,) * len(shape),
        stderr={},
        rise_stderr={"train_loss": z * 0.1},
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
    (holes,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    reasons: NDArray[np.float64] = np.ma.filled(np.ma.asarray(holes.get_array()), np.nan)  # rows are beta
    assert (reasons[0, 0], reasons[-1, -1]) == (2, 1)
    bare = np.isfinite(reasons)  # the two cells that the points are corners of, and nothing of the others
    shares = np.linspace(0, 1, reasons.shape[0])[:, None], np.linspace(0, 1, reasons.shape[1])
    assert not bare[((shares[0] > 1 / 4) | (shares[1] > 1 / 8)) & ((shares[0] < 3 / 4) | (shares[1] < 7 / 8))].any()
    assert bare[(shares[0] < 1 / 4) & (shares[1] < 1 / 8)].all()
    (legend,) = ax.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["theta", "missing", "diverged"]
    surface.values["train_loss"][:] = np.nan
    with pytest.raises(ValueError, match="no finite value to draw"):
        render.draw([surface])


def test_marks_lie_where_their_models_lie() -> None:
    surface = _surface()
    marked = Slice(
        axes=surface.axes,
        values=surface.values,
        origin=surface.origin,
        centre=surface.centre,
        marks=(Mark("b.pt", (0.5, 1.5), {}),),
    )
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
    assert [text.get_text() for text in picture.legends[0].get_texts()] == [
        "train loss", "test loss", "train accuracy", "test accuracy",
        "band: standard error of the rise over the centre",
    ]  # fmt: skip


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
    odd = Slice(
        axes=surface.axes, values=values, origin=surface.origin, centre=surface.centre, provenance=surface.provenance
    )
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
    chosen = levels.choose_levels([z], "auto")
    assert chosen.log
    assert chosen.values[0] <= 0.003
    assert chosen.values[-1] >= 7
    assert 6 <= len(chosen.values) <= 16
    assert not levels.choose_levels([np.array([1.0, 2.0])], "auto").log
    assert not levels.choose_levels([np.array([0.0, 2000.0])], "auto").log  # no logarithm of 0
    valley = levels.choose_levels([np.array([0.0, 0.5, 3.0, 2000.0])], "auto")  # an exact zero hides no valley
    assert (valley.log, valley.open_below) == (True, True)
    assert 0.1 < valley.values[0] <= 0.5
    assert levels.choose_levels([np.array([0.0, 1e-30, 2000.0])], "auto").values[0] >= 1e-3  # rounding next to a zero
    for scale in ("auto", "linear", "log"):
        flat = levels.choose_levels([np.array([3.0, 3.0])], scale).values
        assert flat[0] < 3 < flat[-1]
    with pytest.raises(ValueError, match="no value is above 0; use linear"):
        levels.choose_levels([np.array([-1.0, -2.0])], "log")


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
    with pytest.raises(ValueError, match="kind: expected one of filled, lines, heat, surface, .*spectrum, got 'pie'"):
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


def test_levels_of_the_paper_are_its_own() -> None:
    """plot_2D.py of Li et al.: vmin 0.1, vmax 10, vlevel 0.5."""
    (ax,) = _axes(render.draw([_surface((41, 41))], kind="lines", levels="paper"))
    lines = [c for c in ax.collections if isinstance(c, QuadContourSet)]
    np.testing.assert_allclose(list(lines[0].levels), np.arange(0.1, 10, 0.5))


def test_above_the_clip_a_surface_is_hatched() -> None:
    """0.1 + alpha^2 + 10 beta^2 over 4.1 begins at beta = 0.632 where alpha is 0."""
    (ax,) = _axes(render.draw([_surface((41, 61))], levels="linear", clip=4.1))
    (hatched,) = [c for c in ax.collections if isinstance(c, QuadContourSet) and any(c.hatches)]
    assert next(iter(hatched.levels)) == 4.1
    (path,) = hatched.get_paths()
    for beta, inside in ((0.64, True), (0.62, False), (-0.64, True), (-0.62, False), (0.0, False), (1.9, True)):
        assert path.contains_point((0.0, beta)) == inside
    assert [text.get_text() for text in ax.figure.legends[0].get_texts()] == ["theta", "above 4.1"]
    with pytest.raises(ValueError, match="clip: nothing lies below 0.05; the least value is 0.1"):
        render.draw([_surface((41, 61))], clip=0.05)
    (plain,) = _axes(render.draw([_surface((41, 61))], levels="linear", clip=1e6))
    assert not [c for c in plain.collections if isinstance(c, QuadContourSet) and any(c.hatches)]


def test_a_rise_is_over_the_centre_and_a_metric_that_of_its_first_split() -> None:
    surface = _surface((21,))
    for of, expected, label in (
        ("rise", surface.values["train_loss"] - 0.1, "rise"),
        ("test_rise", surface.values["test_loss"] - 0.1, "rise"),
        ("accuracy", surface.values["train_accuracy"], "accuracy"),
        ("test_accuracy", surface.values["test_accuracy"], "accuracy"),
    ):
        (ax,) = render.draw([surface], of=of).axes
        np.testing.assert_allclose(np.asarray(ax.lines[0].get_ydata(), float), expected)
        assert ax.get_ylabel() == label
    assert quantity.quantity(_surface(), "rise").label == "rise of train loss"
    with pytest.raises(ValueError, match="no 'f1' in net; it has train_loss"):
        quantity.quantity(surface, "f1")


@pytest.mark.parametrize(("size", "width"), [("column", 3.4), ("page", 6.8), ("slide", 10.0)])
def test_sizes_are_as_wide_as_they_say_with_letters_to_match(size: str, width: float) -> None:
    for surfaces in ([_surface()], [_surface(title="a"), _surface(title="b")], [_surface((21,))]):
        picture = render.draw(surfaces, size=size)
        assert picture.get_size_inches()[0] == pytest.approx(width)
        assert picture.axes[0].xaxis.label.get_fontsize() == style.SIZES[size].font
    stacked = [ax.get_position().x0 for ax in _axes(render.draw(_pair(), size="column"))]
    assert stacked[0] == pytest.approx(stacked[1])  # one above the other where two are too narrow
    with pytest.raises(ValueError, match="size: expected one of auto, column, page, slide, got 'huge'"):
        render.draw([_surface()], size="huge")


def _pair() -> list[Slice]:
    return [_surface(title="a"), _surface(title="b")]


def test_a_trajectory_is_coloured_by_its_distance() -> None:
    path = Trajectory(
        coordinates=np.array([[0.9, 1.5], [0.4, 0.3], [0, 0]]), step=np.arange(3.0), distance=np.array([3.0, 1.0, 0.0])
    )
    surface = replace(_surface(), trajectory=path)
    picture = render.draw([surface])
    ax = picture.axes[0]
    dots = next(c for c in ax.collections if isinstance(c, PathCollection) and c.get_array() is not None)
    np.testing.assert_array_equal(np.asarray(dots.get_offsets()), path.coordinates)
    np.testing.assert_array_equal(np.asarray(dots.get_array()), path.distance)
    assert [bar.get_xlabel() for bar in picture.axes[1:]][-1] == "distance of the iterates from the plane"
    unknown = replace(surface, trajectory=replace(path, distance=np.full(3, np.nan)))
    assert len(render.draw([unknown]).axes) == 2  # no colour bar for what is not known
    lone = Trajectory(
        coordinates=np.array([[0.5], [0]]),
        step=np.arange(2.0),
        distance=np.zeros(2),
        values={"train_loss": np.array([7.0, 0.1])},
    )
    line = replace(_surface((21,)), trajectory=lone)
    drawn = next(each for each in render.draw([line]).axes[0].lines if each.get_label() == "training")
    assert np.asarray(drawn.get_xydata()).tolist() == [[0.5, 7.0], [0, 0.1]]


def test_curves_refuse_what_only_surfaces_have() -> None:
    for options, message in (
        ({"kind": "lines"}, "kind lines draws surfaces, and these slices are curves"),
        ({"points": True}, "the points of curves are not dotted"),
        ({"levels": "paper"}, "levels paper: curves have none"),
    ):
        with pytest.raises(ValueError, match=message):
            render.draw([_surface((5,))], **options)


def test_the_axis_of_overlaid_curves_is_that_of_the_widest() -> None:
    wide = replace(_surface((21,), title="wide"), axes=(np.linspace(-3, 3, 21),))
    ax = render.draw([_surface((21,)), wide]).axes[0]
    assert ax.get_xlim() == (-3, 3)


def test_names_from_files_are_letters_and_no_formulas() -> None:
    hostile = replace(_surface(), marks=(Mark(r"a$\frac{1}{$.pt", (0.0, 0.5), {}),), provenance={"problem": "$x^"})
    picture = render.draw([hostile])
    assert picture._repr_png_().startswith(b"\x89PNG")
    assert picture.axes[0].texts[0].get_text() == r"a\$\\frac{1}{\$.pt"


def test_a_thousand_points_a_side_draw() -> None:
    picture = render.draw([_surface((1001, 1001))])
    assert picture._repr_png_()[:4] == b"\x89PNG"


def test_lines_between_points_do_not_overshoot_and_pass_through_them() -> None:
    axes = (np.linspace(0, 1, 7), np.linspace(0, 2, 5))
    z = np.random.default_rng(0).normal(size=(7, 5))
    fine, drawn = smooth.refine_grid(axes, z)
    i, j = (np.searchsorted(new, old) for new, old in zip(fine, axes, strict=True))
    np.testing.assert_allclose(drawn[np.ix_(i, j)], z, atol=1e-12)
    assert drawn.min() >= z.min() - 1e-12
    assert drawn.max() <= z.max() + 1e-12
    parabola = np.broadcast_to(axes[0][:, None] ** 3, (7, 5))
    assert np.abs(smooth.refine_grid(axes, parabola)[1] - fine[0][:, None] ** 3).max() < 4e-3


def test_labels_stand_on_their_lines_off_the_rim_and_apart() -> None:
    """Each label's own number is the value of 0.1 + alpha^2 + 10 beta^2 where it stands."""
    (ax,) = _axes(render.draw([_surface((41, 61))], kind="lines", levels="linear"))
    (lines,) = [c for c in ax.collections if isinstance(c, QuadContourSet)]
    assert len(lines.labelTexts) >= 4
    places = np.array([text.get_position() for text in lines.labelTexts])
    for (a, b), text in zip(places, lines.labelTexts, strict=True):
        assert 0.1 + a**2 + 10 * b**2 == pytest.approx(float(text.get_text()), rel=0.02, abs=0.1)
    share = (places - [-1, -1]) / [2, 3]
    assert share.min() > 0.06
    assert share.max() < 0.94
    distances = np.linalg.norm(share[:, None] - share[None], axis=2) + np.eye(len(share))
    assert distances.min() > 0.12
    dense = _surface((41, 61), scale=30)  # 20 levels in a tenth of the plane: no room for all labels
    (crowded,) = _axes(render.draw([dense], kind="lines", levels="paper"))
    (lines,) = [c for c in crowded.collections if isinstance(c, QuadContourSet) and len(list(c.levels)) > 2]
    assert len(lines.labelTexts) <= 4


def _white_share(picture: render.figure.Picture, ax: Axes) -> float:
    """Return the share of an axes' inside, rim and marks apart, that is white."""
    pixels = matplotlib.image.imread(io.BytesIO(picture._repr_png_()))
    picture.canvas.draw()
    box = ax.get_window_extent()
    # what is written is cropped: the share of white in the middle third of what lies around the axes' middle
    height, width = pixels.shape[:2]
    middle = pixels[height // 4 : height // 2, width // 4 : width // 2, :3]
    assert box.width > 50
    return float((middle > 0.99).all(axis=-1).mean())


@pytest.mark.parametrize("kind", ["filled", "heat"])
def test_what_has_no_logarithm_is_no_white_hole(kind: str) -> None:
    surface = _surface((41, 41))
    surface.values["train_loss"][:] -= 1.1  # below 0 over much of the middle
    picture = render.draw([surface], kind=kind, levels="log")
    ax = picture.axes[0]
    assert _white_share(picture, ax) < 0.05
    if kind == "filled":
        drawn = next(c for c in ax.collections if isinstance(c, QuadContourSet))
        assert drawn.extend == "min"


@pytest.mark.parametrize("shape", [(1, 9), (9, 1), (1, 1)])
def test_cells_of_a_single_row_have_a_width(shape: tuple[int, int]) -> None:
    (ax,) = _axes(render.draw([_surface(shape)], levels="linear"))
    (cells,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    corners = np.asarray(cells.get_coordinates())
    assert np.ptp(corners[..., 0]) >= 1
    assert np.ptp(corners[..., 1]) >= 1
    assert ax.get_xlim() == (corners[..., 0].min(), corners[..., 0].max())


def test_cells_of_uneven_axes_end_half_way_to_their_neighbours() -> None:
    uneven = replace(_surface((4, 3)), axes=(np.array([0.0, 1, 3, 7]), np.array([0.0, 1, 2])))
    (ax,) = _axes(render.draw([uneven], kind="heat", levels="linear"))
    assert ax.get_xlim() == (-0.5, 9)


@pytest.mark.parametrize(("low", "high"), [(1e-300, 1e300), (1e20, 1e20), (-3e200, -3e200), (1e-3, 1e30), (0.0, 0.0)])
def test_levels_of_any_values_rise_and_are_few(low: float, high: float) -> None:
    for scale in ("auto", "linear"):
        values = levels.choose_levels([np.array([low, high])], scale).values
        assert 2 <= len(values) <= 40
        assert np.all(np.diff(values) > 0)
    with pytest.raises(ValueError, match="clip: the paper's levels begin at 0.1, got 0.05"):
        levels.choose_levels([np.array([0.0, 1.0])], "paper", 0.05)


@pytest.mark.parametrize(("size", "width"), [("column", 3.4), ("page", 6.8), ("slide", 10.0)])
def test_what_is_written_is_as_wide_as_it_says(size: str, width: float) -> None:
    for surfaces in ([_surface()], _pair(), [_surface((21,))]):
        render.save(render.draw(surfaces, size=size), Path("a.pdf"))
        (box,) = re.findall(rb"/MediaBox \[ 0 0 ([0-9.]+) ", Path("a.pdf").read_bytes())
        assert float(box) == pytest.approx(72 * width, abs=0.01)


def test_a_share_has_no_level_above_1() -> None:
    picture = render.draw([_surface((41, 41))], of="accuracy")
    ticks = [float(text.get_text()) for text in picture.axes[1].get_yticklabels()]
    assert max(ticks) <= 1


def test_axes_that_fall_are_refused() -> None:
    falling = replace(_surface((4, 3)), axes=(np.array([3.0, 2, 1, 0]), np.array([0.0, 1, 2])))
    with pytest.raises(ValueError, match="the coordinates of an axis must rise"):
        render.draw([falling])
    store.write(Path("a.h5"), falling)
    with pytest.raises(SchemaError, match="slice/alpha are no rising finite coordinates"):
        store.read("a.h5")


def test_a_lone_point_between_diverged_ones_is_dotted() -> None:
    line = _surface((5,))
    line.values["train_loss"][[0, 1, 3]] = np.inf
    ax = render.draw([line], of="train_loss").axes[0]
    dots = [each for each in ax.lines if each.get_marker() == "."]
    assert [np.asarray(dot.get_xdata()).tolist() for dot in dots] == [[0.0, 1.0]]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"camera": "low"}, "kind filled has no --camera: leave it out"),
        ({"camera": "nonsense"}, "camera: expected one of corner"),
        ({"kind": "surface", "points": True}, "kind surface has no --show-points"),
        ({"kind": "spectrum", "of": "loss"}, "kind spectrum has no --of"),
    ],
)
def test_options_that_a_kind_has_no_use_for_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        surfaceviz.plot(_surface(), **options)


def test_files_written_by_two_at_once_are_whole() -> None:
    images = [bytes([k]) * 300_000 for k in range(4)]
    path, torn = Path("a.bin"), []
    atomic_write.write_bytes(path, images[0])

    def write(image: bytes) -> None:
        for _ in range(30):
            atomic_write.write_bytes(path, image)
            seen = path.read_bytes()
            if seen not in images:
                torn.append(len(seen))

    threads = [threading.Thread(target=write, args=(image,)) for image in images]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not torn
    assert [each.name for each in Path().iterdir()] == ["a.bin"]


def _trained(**others: Any) -> Slice:
    path = Trajectory(
        coordinates=np.array([[0.8, 0.6], [0.3, 0.4], [0, 0], [-0.8, 0.6], [-0.2, 0.1]]),
        step=np.array([0, 5, 9, 0, 7.0]),
        distance=np.array([3.0, 1, 0, 2, 0.5]), run=np.array([0, 0, 0, 1, 1]),
        values={"train_loss": np.array([4.0, 2, 0.1, 5, 1]), "projected_loss": np.array([3.0, 2, 0.1, 4, 0.9])},
        provenance={"explained_variance": 0.875, "random_walk": 0.9, "runs": '["runs/sgd", "runs/adam"]'},
    )  # fmt: skip
    return replace(_surface(), trajectory=replace(path, **others))


def test_a_training_is_drawn_with_its_losses_and_distances() -> None:
    figure = render.draw([_trained()], kind="trajectory")
    losses, distances = figure.subfigs[1].axes
    drawn = [(line.get_xdata(), line.get_ydata()) for line in losses.get_lines()]
    for (x, y), (steps, values) in zip(
        drawn, [([0, 5, 9], [4, 2, 0.1]), ([0, 5, 9], [3, 2, 0.1]), ([0, 7], [5, 1]), ([0, 7], [4, 0.9])], strict=True
    ):
        np.testing.assert_array_equal(x, steps)
        np.testing.assert_array_equal(y, values)
    from_theta, from_plane = (np.asarray(line.get_ydata()) for line in distances.get_lines()[:2])
    np.testing.assert_allclose(from_theta, [np.sqrt(10), np.sqrt(1.25), 0])
    np.testing.assert_array_equal(from_plane, [3, 1, 0])
    assert losses.get_title() == "87.5% of the variance lies in the plane,\nof a random walk 90.0%"
    legend = [text.get_text() for text in figure.subfigs[0].legends[0].get_texts()]
    assert {"sgd", "adam"} <= set(legend)
    paths = [line for line in figure.subfigs[0].axes[0].get_lines() if line.get_label() == "trajectory"]
    assert [len(line.get_xdata()) for line in paths] == [3, 2]  # type: ignore[arg-type]


def test_kind_trajectory_needs_one_slice_with_a_trajectory() -> None:
    with pytest.raises(ValueError, match="has no trajectory; compute one by: surfaceviz trajectory FOLDER"):
        render.draw([_surface()], kind="trajectory")
    with pytest.raises(ValueError, match="kind trajectory draws one slice, got 2"):
        render.draw([_trained(), _trained()], kind="trajectory")


def test_a_trajectory_in_words_names_the_training_and_the_step() -> None:
    path = _trained().trajectory
    assert path is not None
    rows = dict(trajectory_rows(path))
    assert "at most 3 off the plane, at step 0 of runs/sgd, which is 3.162 from theta" in rows["path"]
    assert "87.5% of the variance around theta lies in the plane; of a random walk of the same length 90.0%" in str(
        rows
    )
    assert "differ from those of the iterates by at most 1, at step 0 of runs/sgd: 4 of the iterate, 3 of" in str(rows)
