"""Baseline: closed forms in numpy alone (quadratic forms, Gaussian sums, cell bounds), against matplotlib's artists."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection, QuadMesh
from matplotlib.colors import AsinhNorm, LogNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from surfaceviz import render
from surfaceviz.records import Curvature, Density, FloatArray, HessianMap, Slice, Spectrum
from surfaceviz.render import annotate
from surfaceviz.render.contours import hessian_map
from surfaceviz.render.spectra import smoothed_density
from surfaceviz.render.spectra import spectrum_axes as panel

TILTED = np.array([[2.0, 1.2], [1.2, 5.0]])
SADDLE = np.array([[1.0, 2.0], [2.0, -1.5]])


def _spectrum(
    place: tuple[float, ...] = (0.0, 0.0), *, along: FloatArray | None = TILTED, ruled: bool = True, seed: int = 0
) -> Spectrum:
    """Return one with a bulk at 0 of width 1e-2, four outliers up to 300 and a negative edge of -3."""
    rng = np.random.default_rng(seed)
    outliers = np.array([20.0, 70.0, 150.0, 300.0])
    nodes = np.concatenate([rng.normal(0, 1e-2, (5, 30)), np.full((5, 1), -3.0), np.tile(outliers, (5, 1))], 1)
    nodes[0, 3] = np.nan  # an exhausted Krylov space
    weights = np.concatenate([np.ones((5, 30)), np.full((5, 5), 1e-3)], 1) * np.isfinite(nodes)
    weights /= weights.sum(1, keepdims=True)
    return Spectrum(
        eigenvalues=np.concatenate([[-3.0, -2.0], outliers]),
        residuals=np.zeros(6),
        converged=np.array([True, False, False, True, True, True]),
        place=place,
        dimension=1000,
        bottom=2,
        norm=300.0,
        loss=0.1,
        gradient_norm=0.013,
        kind="not a critical point",
        reason="because",
        along=along,
        trace=640.0,
        trace_stderr=12.0,
        probes=5,
        density=Density(nodes, weights) if ruled else None,
    )


def _map(p: int = 4, q: int = 3) -> HessianMap:
    axes = np.linspace(-1, 1, p), np.linspace(-1, 2, q)
    top, bottom = 10 + np.arange(p * q, dtype=np.float64).reshape(p, q), -np.arange(1.0, p * q + 1).reshape(p, q)
    zero, origin = np.zeros((p, q)), np.ones((p, q), np.uint8)
    return HessianMap(
        axes=axes,
        lambda_max=top,
        lambda_min=bottom,
        residual_max=zero,
        residual_min=zero,
        gradient_norm=1 + top,
        products=np.ones((p, q), np.int64),
        origin=origin,
        provenance={"normalised": 1},
    )


def _surface(*spectra: Spectrum, title: str = "net", hessian_map: HessianMap | None = None) -> Slice:
    """Return a non-square slice, alpha in [-1, 1] and beta in [-1, 2]."""
    axes = np.linspace(-1, 1, 9), np.linspace(-1, 2, 13)
    a, b = np.meshgrid(*axes, indexing="ij")
    z = 0.1 + a**2 + 10 * b**2
    return Slice(
        axes=axes, values={"train_loss": z}, origin=np.ones(z.shape, np.uint8), centre={"train_loss": 0.1},
        provenance={"problem": title, "splits": "train"}, spectra=spectra, hessian_map=hessian_map,
    )  # fmt: skip


def _line(*spectra: Spectrum, hessian_map: HessianMap | None = None) -> Slice:
    a = np.linspace(-1, 1, 21)
    values = {"train_loss": 0.1 + 3 * a**2, "test_loss": 0.3 + 3 * a**2, "train_accuracy": np.exp(-(a**2))}
    return Slice(
        axes=(a,),
        values=values,
        origin=np.ones(21, np.uint8),
        centre={"train_loss": 0.1},
        spectra=spectra,
        hessian_map=hessian_map,
        provenance={"problem": "net", "splits": "train,test"},
    )


def _course(tops: Sequence[float], *, title: str = "net", trace: bool = True) -> Curvature:
    spectra = tuple(
        replace(
            _spectrum(()),
            bottom=1,
            eigenvalues=np.array([-1.0, top]),
            residuals=np.zeros(2),
            converged=np.array([True, k != 1]),
            step=100.0 * k,
            trace=5 * top if trace else None,
            trace_stderr=float(k) if trace else None,
        )
        for k, top in enumerate(tops)
    )  # fmt: skip
    return Curvature(spectra, {"problem": title})


def _xy(line: Line2D) -> FloatArray:
    return np.asarray(line.get_xydata(), np.float64)


def _is_drawn(figure: render.Picture) -> bool:
    pixels = matplotlib.image.imread(io.BytesIO(figure._repr_png_()))
    return bool(pixels[..., :3].std() > 0.05)


def _integral(y: FloatArray, x: FloatArray) -> float:
    return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)))


def _axes() -> Axes:
    return Figure().subplots()


def _texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def test_a_density_integrates_to_one_along_its_axis() -> None:
    spectrum = _spectrum()
    scale = smoothed_density.choose_scale([spectrum])
    line = panel.draw_density(_axes(), spectrum, scale, colour="k")
    assert line is not None
    x, y = _xy(line).T
    u = np.log(x / scale.threshold + np.sqrt((x / scale.threshold) ** 2 + 1)) / np.log(10)
    assert _integral(y, u) == pytest.approx(1, abs=1e-4)  # the kernels are cut off at 4 standard deviations
    bulk = np.abs(x) < 1
    assert _integral(y[bulk], u[bulk]) == pytest.approx(30 / 30.005, abs=1e-3)


def test_a_density_is_the_mean_over_probes_of_gaussians_in_decades() -> None:
    spectrum = _spectrum()
    scale = smoothed_density.EigenvalueScale(threshold=0.01, low=-10.0, high=1000.0, bandwidth=0.1)
    assert spectrum.density is not None
    rule = spectrum.density.nodes, spectrum.density.weights
    for x in (-3.0, 0.0, 0.02, 140.0):
        expected = 0.0
        for nodes, weights in zip(*rule, strict=True):
            for t, w in zip(nodes, weights, strict=True):
                if np.isfinite(t):
                    z = (np.arcsinh(x / 0.01) - np.arcsinh(t / 0.01)) / np.log(10) / 0.1
                    expected += w * np.exp(-z * z / 2) / (0.1 * np.sqrt(2 * np.pi)) / 5
        assert smoothed_density.smoothed(rule, scale, np.array([x]))[0] == pytest.approx(
            expected, rel=1e-10, abs=1e-300
        )


def test_the_axis_is_one_decade_a_unit_far_from_zero_and_linear_near_it() -> None:
    scale = smoothed_density.EigenvalueScale(threshold=0.01, low=-1.0, high=1.0, bandwidth=0.1)
    assert np.diff(scale.transform(np.array([10.0, 100.0, 1000.0]))) == pytest.approx(1, abs=1e-6)
    assert scale.transform(np.array([2e-5])) == pytest.approx(2 * scale.transform(np.array([1e-5])), rel=1e-5)
    x = np.array([-300.0, -0.01, 0.0, 5.0])
    np.testing.assert_allclose(scale.inverse_transform(scale.transform(x)), x, atol=1e-12)


def test_a_quadrature_too_coarse_for_the_bulk_shows_no_gap_at_zero() -> None:
    """Nodes at -0.02 and 0.02 carry a bulk at 0: between them the density stays above half of its peak."""
    nodes, weights = np.array([[-0.02, 0.02, 100.0]]), np.array([[0.5, 0.499, 0.001]])
    coarse = replace(_spectrum(), density=Density(nodes, weights))
    scale = smoothed_density.choose_scale([coarse])
    y = smoothed_density.smoothed((nodes, weights), scale, np.array([0.0, 0.02]))
    assert y[0] > 0.5 * smoothed_density.smoothed((nodes, weights), scale, scale.points()).max()


def test_eigenvalues_that_are_all_known_make_a_density_of_themselves() -> None:
    values = np.linspace(-1, 4, 50)
    whole = replace(_spectrum(ruled=False), eigenvalues=values, converged=np.ones(50, bool), dimension=50)
    rule = smoothed_density.rule_of(whole)
    assert rule is not None
    np.testing.assert_allclose(rule[0], values[None])
    assert rule[1].sum() == pytest.approx(1)
    assert smoothed_density.rule_of(_spectrum(ruled=False)) is None


def test_marks_are_filled_where_converged_and_hollow_where_not() -> None:
    spectrum = _spectrum()
    heads = panel.draw_eigenvalues(_axes(), spectrum, colour="#0072B2")
    found = {head.get_markerfacecolor(): sorted(_xy(head)[:, 0]) for head in heads}
    assert found == {"#0072B2": [-3.0, 70.0, 150.0, 300.0], "white": [-2.0, 20.0]}


def test_ticks_are_labelled_at_zero_and_powers_of_ten_apart_from_each_other() -> None:
    scale = smoothed_density.choose_scale([_spectrum()])
    major, minor = scale.ticks(0.1)
    assert 0 in major
    assert 100 in major
    decades = np.log10(np.abs(major[major != 0]))
    np.testing.assert_allclose(decades, np.round(decades))
    u = np.arcsinh(major / scale.threshold)
    length = np.ptp(np.arcsinh(np.array([scale.low, scale.high]) / scale.threshold))
    assert np.diff(u).min() >= 0.1 * length
    assert not set(major) & set(minor)
    assert [panel.tick_label(x) for x in (-10.0, 1e-3)] == ["\N{MINUS SIGN}10", "$10^{-3}$"]


def test_nothing_but_zeros_still_has_an_axis() -> None:
    zero = replace(_spectrum(ruled=False), eigenvalues=np.zeros(6))
    assert _is_drawn(render.draw_spectra([("flat", zero)]))


def test_an_ellipse_is_a_level_line_of_the_quadratic_form() -> None:
    extent = np.array([2.0, 3.0])
    ((points, positive),) = annotate.model_lines(TILTED, extent)
    level = np.einsum("ni,ij,nj->n", points, TILTED, points)
    np.testing.assert_allclose(level, level[0])
    assert positive
    assert (np.abs(points) / extent).max() == pytest.approx(0.12)  # of the axis
    lengths = np.linalg.norm(points, axis=1)
    trace, determinant = 7.0, 2.0 * 5.0 - 1.2**2
    steep, shallow = (trace + np.array([1, -1]) * np.sqrt(trace**2 - 4 * determinant)) / 2
    assert lengths.max() / lengths.min() == pytest.approx(np.sqrt(steep / shallow), rel=1e-3)
    longest = points[np.argmax(lengths)]  # curvature is least downhill to the right: tan 2t = 2 * 1.2 / (2 - 5)
    assert longest[1] / longest[0] == pytest.approx(np.tan(np.arctan2(-2.4, 3.0) / 2), rel=0.05)


def test_a_surface_steep_in_beta_has_an_ellipse_that_lies_along_alpha() -> None:
    (ax,) = [a for a in render.draw([_surface(_spectrum((0.5, 1.0), along=np.diag([2.0, 20.0])))], spectrum=True).axes
             if a.get_xlabel().startswith(r"$\alpha")]  # fmt: skip
    (ellipse,) = [_xy(line) for line in ax.lines if len(_xy(line)) > 100]
    width, height = np.ptp(ellipse, axis=0)
    assert width / height == pytest.approx(np.sqrt(10), rel=1e-3)
    np.testing.assert_allclose((ellipse.max(0) + ellipse.min(0)) / 2, [0.5, 1.0], atol=1e-3)
    assert _texts(ax) == ["1"]


def test_a_saddle_is_a_cross_of_half_axes_dashed_where_it_falls() -> None:
    lines = {positive: points for points, positive in annotate.model_lines(SADDLE, np.array([2.0, 2.0]))}
    along = {sign: points[-1] - points[0] for sign, points in lines.items()}
    assert along[True] @ SADDLE @ along[True] > 0 > along[False] @ SADDLE @ along[False]
    assert along[True] @ along[False] == pytest.approx(0, abs=1e-12)
    # both ends lie on level lines of one level
    assert along[True] @ SADDLE @ along[True] == pytest.approx(-(along[False] @ SADDLE @ along[False]))
    drawn = annotate.draw_model(_axes(), _spectrum(along=SADDLE), np.array([2.0, 2.0]))
    assert [line.get_linestyle() for line in drawn[1:]] == ["-", "--"]


@pytest.mark.parametrize(
    ("hessian", "positive"), [(np.diag([-1.0, -4.0]), False), (np.diag([3.0, 0.0]), True), (np.zeros((2, 2)), None)]
)
def test_maxima_are_dashed_and_flat_directions_are_lines(hessian: FloatArray, positive: bool | None) -> None:
    lines = annotate.model_lines(hessian, np.array([1.0, 1.0]))
    assert [sign for _, sign in lines] == ([] if positive is None else [positive])
    if positive:
        assert np.ptp(lines[0][0][:, 0]) == 0  # along beta, where there is no curvature


def test_numbers_keep_off_what_is_drawn_and_stay_inside() -> None:
    taken = np.array([[0.5, 0.5], [0.54, 0.54], [0.46, 0.54]])
    place = annotate.free_position(np.array([0.5, 0.5]), taken, np.array([1.0, 1.0]))
    assert np.linalg.norm(taken - place, axis=1).min() >= 0.042
    corner = annotate.free_position(np.array([1.0, 0.5]), np.array([[1.0, 0.5]]), np.array([1.0, 0.5]))
    assert np.all(corner < [1.0, 0.5])
    assert np.all(annotate.free_position(np.array([9.0, 9.0]), taken, np.array([1.0, 1.0])) < 1)


def test_matrices_at_one_point_share_its_number_and_other_points_count_on() -> None:
    here, there = _spectrum(), _spectrum((0.5, 1.0))
    first = _surface(here, there, replace(here, operator="ggn"), replace(here, place=()))
    picture = render.draw([first, _surface(_spectrum((0.1, 0.1)), title="b")], spectrum=True)
    surfaces = [ax for ax in picture.axes if ax.get_xlabel().startswith(r"$\alpha")]
    assert [_texts(ax) for ax in surfaces] == [["1", "2"], ["3"]]
    boxes = [_texts(ax) for ax in picture.axes if len(ax.texts) == 3]
    assert sorted(box[0] for box in boxes) == ["1", "1", "2", "3"]
    assert sum("(G)" in box[2] for box in boxes) == 1


def test_the_box_says_what_is_known_and_what_is_in_doubt() -> None:
    ax = _axes()
    panel.draw_box(ax, replace(_spectrum(), converged=np.zeros(6, bool)), 7)
    assert _texts(ax)[:2] == ["7", "not a critical point"]
    assert _texts(ax)[2].splitlines() == [
        r"$\lambda_{\max}$ 300 (not converged)",
        "$\\lambda_{\\min}$ \N{MINUS SIGN}3 (not converged)",
        "trace 640 \N{PLUS-MINUS SIGN} 33 (95%)",  # 2.776 standard errors of 12: Student's t of 5 probes
        "|gradient| 0.013",
    ]
    ax = _axes()
    near = np.array([-0.2, 1.0, 20.0, 70.0, 150.0, 300.0])
    blurred = replace(_spectrum(), trace=None, trace_stderr=None, eigenvalues=near, residuals=np.full(6, 0.25))
    panel.draw_box(ax, blurred, 1)
    assert "\N{MINUS SIGN}0.2 (\N{ALMOST EQUAL TO} 0)" in _texts(ax)[2]
    assert r"$\lambda_{\max}$ 300" in _texts(ax)[2].splitlines()
    assert "trace" not in _texts(ax)[2]


@pytest.mark.parametrize(
    ("x", "digits", "text"),
    [(1186.6, 3, "1187"), (0.0, 3, "0"), (-3.14159, 3, "\N{MINUS SIGN}3.14"), (2.5e-7, 3, r"$2.5{\times}10^{-7}$"),
     (12345.0, 2, r"$1.2{\times}10^{4}$"), (0.0130, 2, "0.013"), (np.inf, 3, "inf")],
)  # fmt: skip
def test_numbers_are_written_for_readers(x: float, digits: int, text: str) -> None:
    assert panel.format_number(x, digits) == text


def test_a_map_lies_as_the_slice_does_on_a_grid_that_is_not_square() -> None:
    own = _map()
    picture = render.draw([_surface(hessian_map=own)], map="max")
    ax = picture.axes[0]
    (cells,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    np.testing.assert_array_equal(np.asarray(cells.get_array()), own.lambda_max.T)
    corners = np.asarray(cells.get_coordinates())
    third, half = 1 / 3, 0.75
    np.testing.assert_allclose(corners[0, :, 0], [-1 - third, -2 * third, 0, 2 * third, 1 + third], atol=1e-12)
    np.testing.assert_allclose(corners[:, 0, 1], [-1 - half, -1 + half, 2 - half, 2 + half])
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 1), (-1, 2))
    assert picture.axes[1].get_ylabel() == r"$\lambda_{\max}$ of DHD"


@pytest.mark.parametrize("of", ["ratio", "max", "min", "gradient"])
def test_every_shade_shows_its_quantity(of: str) -> None:
    own = _map()
    expected = {
        "ratio": -own.lambda_min / own.lambda_max,
        "max": own.lambda_max,
        "min": own.lambda_min,
        "gradient": own.gradient_norm,
    }[of]
    picture = render.draw([_surface(_spectrum(), hessian_map=own)], map=of, spectrum=True)
    (cells,) = [c for c in picture.axes[0].collections if isinstance(c, QuadMesh)]
    np.testing.assert_allclose(np.asarray(cells.get_array()), expected.T)
    assert _is_drawn(picture)


def test_cells_that_diverged_or_are_missing_are_grey() -> None:
    own = _map()
    own.lambda_max[0, 0] = np.nan
    own.lambda_max[3, 2] = np.nan
    own.origin[3, 2] = 0
    ax = render.draw([_surface(hessian_map=own)], map="max").axes[0]
    _, missing, diverged = [c for c in ax.collections if isinstance(c, QuadMesh)]
    shown = [np.isfinite(np.ma.filled(np.ma.asarray(c.get_array()), np.nan)) for c in (missing, diverged)]
    assert [np.argwhere(where).tolist() for where in shown] == [[[2, 3]], [[0, 0]]]  # rows are beta


def test_colours_tell_the_sign_and_run_over_logarithms_where_values_span_much() -> None:
    signed = hessian_map.choose_norm([np.array([-3.0, 0.5, np.nan])])
    assert isinstance(signed, AsinhNorm)
    assert (signed.vmin, signed.vmax) == (-3, 3)
    assert isinstance(hessian_map.choose_norm([np.array([0.01, 1.0])]), LogNorm)
    assert not isinstance(hessian_map.choose_norm([np.array([0.5, 1.0])]), LogNorm)
    flat = hessian_map.choose_norm([np.array([2.0, 2.0])])
    assert flat.vmin is not None
    assert flat.vmax is not None
    assert flat.vmin < flat.vmax


def test_a_single_column_of_a_map_fills_the_axis() -> None:
    ax = render.draw([_surface(hessian_map=_map(1, 3))], map="max").axes[0]
    (cells,) = [c for c in ax.collections if isinstance(c, QuadMesh)]
    corners = np.asarray(cells.get_coordinates())
    assert corners[0, :, 0].tolist() == [-1, 1]


def test_a_curve_has_its_points_parabolas_and_map() -> None:
    point = replace(_spectrum((0.5,), along=np.array([[6.0]])), slope=np.array([3.0]))
    axis = np.linspace(-1, 1, 5)
    wide = replace(
        _map(5, 1), axes=(axis,), lambda_max=np.array([1.0, 10, 100, 1000, 1e4]), origin=np.ones(5, np.uint8)
    )
    picture = render.draw([_line(point, hessian_map=wide)], spectrum=True, map="max")
    left, right = [ax for ax in picture.axes if ax.get_ylabel() == "loss" or "dotted" in ax.get_ylabel()]
    (parabola,) = [_xy(line) for line in left.lines if len(_xy(line)) == 61]
    np.testing.assert_allclose(parabola[:, 1], 0.1 + 3 * parabola[:, 0] ** 2, atol=1e-12)  # the curve is one
    assert np.ptp(parabola[:, 0]) == pytest.approx(0.48)
    assert _texts(left) == ["1"]
    np.testing.assert_array_equal(_xy(right.lines[0]), np.stack([axis, wide.lambda_max], 1))
    assert right.get_yscale() == "log"
    assert _is_drawn(picture)
    accuracy = render.draw([_line(point)], spectrum=True, of="train_accuracy").axes[0]
    assert not [line for line in accuracy.lines if len(_xy(line)) == 61]  # no parabola of the loss there


def test_spectra_alone_are_told_apart_by_what_differs() -> None:
    first, second = _surface(_spectrum()), _surface(_spectrum((0.5, 1.0), seed=1), title="b")
    picture = render.draw([first, second, _line(_spectrum((0.0,), seed=2))], kind="spectrum", names=["a", "b", "c"])
    (ax,) = picture.axes
    densities = [line for line in ax.lines if len(_xy(line)) > 1000]
    assert [line.get_label() for line in densities] == ["a, theta", "b, (0.5, 1)", "c, theta"]
    assert len({line.get_color() for line in densities}) == 3
    heads = {line.get_color() for line in ax.lines if line.get_marker() == "o"}
    assert heads == {line.get_color() for line in densities}
    assert (ax.get_xscale(), ax.get_yscale()) == ("asinh", "log")
    assert [text.get_text() for text in picture.legends[0].get_texts()] == ["a, theta", "b, (0.5, 1)", "c, theta"]
    matrices = render.draw_spectra([("a", _spectrum()), ("a", replace(_spectrum(), operator="ggn"))])
    assert [text.get_text() for text in matrices.legends[0].get_texts()] == ["H", "G"]
    assert render.draw_spectra([("a", _spectrum())]).axes[0].get_title() == "a, theta"


def test_without_a_density_eigenvalues_are_stems_alone() -> None:
    picture = render.draw_spectra([("a", _spectrum(ruled=False)), ("b", _spectrum(ruled=False, seed=1))])
    (ax,) = picture.axes
    assert not [line for line in ax.lines if len(_xy(line)) > 1000]
    assert ax.get_yticks().tolist() == []
    assert [text.get_text() for text in picture.legends[0].get_texts()] == ["a", "b"]


def test_a_course_has_a_log_scale_where_values_span_decades() -> None:
    picture = render.draw_training_curvature([_course([1.0, 60.0, 98.0])])
    top, trace, gradient = picture.axes
    assert top.get_yscale() == "log"
    assert (trace.get_ylabel(), gradient.get_ylabel()) == ("trace of H", "gradient norm")
    assert render.draw_training_curvature([_course([50.0, 60.0, 98.0])]).axes[0].get_yscale() == "linear"


def test_a_course_runs_over_steps_with_its_doubts_and_errors() -> None:
    top, trace, _ = render.draw_training_curvature([_course([90.0, 95.0, 98.0])]).axes
    assert _xy(top.lines[0]).tolist() == [[0, 90], [100, 95], [200, 98]]
    hollow = [line for line in top.lines if line.get_markerfacecolor() == "white"]
    assert [_xy(line).tolist() for line in hollow] == [[[100, 95]]]
    (band,) = [c for c in trace.collections if isinstance(c, PolyCollection)]
    assert np.asarray(band.get_paths()[0].vertices)[:, 1].max() == pytest.approx(5 * 98 + 2 * 2.7764, abs=1e-3)


def test_quantities_that_nobody_computed_are_left_out() -> None:
    course = _course([90.0, 95.0], trace=False)
    unstepped = replace(course, spectra=tuple(replace(s, step=None) for s in course.spectra))
    picture = render.draw_training_curvature([unstepped])
    assert [ax.get_ylabel() for ax in picture.axes] == [r"$\lambda_{\max}$ of H", "gradient norm"]
    assert picture.axes[-1].get_xlabel() == "checkpoint"
    assert _xy(picture.axes[0].lines[0])[:, 0].tolist() == [1, 2]


def test_courses_are_overlaid() -> None:
    picture = render.draw_training_curvature([_course([90.0, 95.0]), _course([300.0, 390.0])], names=["a", "b"])
    drawn = {str(line.get_label()): line.get_color() for line in picture.axes[0].lines}
    assert drawn["a"] != drawn["b"]
    assert [text.get_text() for text in picture.legends[0].get_texts()] == ["a", "b"]


@pytest.mark.parametrize("kind", ["filled", "lines", "heat", "spectrum"])
def test_every_kind_with_spectra_is_not_blank(kind: str) -> None:
    points = _spectrum(), _spectrum((0.5, 1.0), along=SADDLE), _spectrum((-0.5, 1.0), along=None, ruled=False)
    assert _is_drawn(render.draw([_surface(*points)], kind=kind, spectrum=kind != "spectrum"))


def test_courses_and_curves_are_not_blank() -> None:
    assert _is_drawn(render.draw_training_curvature([_course([1.0, 60.0, 98.0])]))
    assert _is_drawn(render.draw([_line(_spectrum((0.0,), along=None))], spectrum=True))


def test_bad_requests_are_told_what_would_do() -> None:
    bare, elsewhere = _surface(), _surface(_spectrum((0.5,)))
    hint = "run.h5 has no spectrum; compute one by: surfaceviz hessian FILE.h5$"
    for surface, options in ((bare, {"spectrum": True}), (elsewhere, {"spectrum": True}), (bare, {"kind": "spectrum"})):
        with pytest.raises(ValueError, match=hint):
            render.draw([surface], names=["run.h5"], **options)
    with pytest.raises(ValueError, match="run.h5 has no Hessian map; compute one by: surfaceviz hessian FILE.h5 --map"):
        render.draw([bare], names=["run.h5"], map="ratio")
    with pytest.raises(ValueError, match="net has no spectrum"):
        render.draw([bare], spectrum=True)
    with pytest.raises(ValueError, match="map: expected one of ratio, max, min, gradient, got 'trace'"):
        render.draw([_surface(hessian_map=_map())], map="trace")
    empty = replace(_map(), lambda_max=np.full((4, 3), np.nan))
    with pytest.raises(ValueError, match="the Hessian map of net has no finite value: every point is missing"):
        render.draw([_surface(hessian_map=empty)], map="max")
    with pytest.raises(ValueError, match="spectrum.*, got 'pie'"):
        render.draw([bare], kind="pie")
    with pytest.raises(ValueError, match="nothing to draw: give at least one spectrum"):
        render.draw_spectra([])
    with pytest.raises(ValueError, match="nothing to draw: give at least one file of curvature"):
        render.draw_training_curvature([])
    with pytest.raises(ValueError, match="a.h5 has no spectrum; compute one by: surfaceviz hessian FILE.h5"):
        render.draw_training_curvature([Curvature(())], names=["a.h5"])
