"""Baseline: polynomials whose quadratic model and its error are known; norms and eigenvalues in numpy."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.records import DirectionRecord, QuadraticModel, Slice, explanation, quadratic_models

pytestmark = pytest.mark.usefixtures("one_thread")

CURVATURES = (2.0, 3.0, 50.0)


class Polynomial(nn.Module):
    """The loss sum_i h_i w_i^2 / 2 + c w_0^3 / 6 + q w_1^4 / 24, whose Hessian at 0 is diag(h), for any input."""

    def __init__(self, *, cubic: float = 0.0, quartic: float = 0.0, slope: float = 0.0) -> None:
        super().__init__()
        self.terms = slope, cubic / 6, quartic / 24
        self.w = nn.Parameter(torch.zeros(3, 1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        w, (g, c, q) = self.w[:, 0], self.terms
        h = torch.tensor(CURVATURES, dtype=torch.float64)
        return (1 + (h * w * w).sum() / 2 + g * w[0] + c * w[0] ** 3 + q * w[1] ** 4).expand(len(x))


def _problem(**terms: float) -> surfaceviz.Problem:
    data = (torch.zeros(2, 1, dtype=torch.float64), torch.zeros(2, dtype=torch.float64))
    return surfaceviz.Problem(Polynomial(**terms), data, lambda outputs, _: outputs, name="poly")


def _sliced(path: Path, problem: surfaceviz.Problem, axes: list[str], **options: Any) -> Slice:
    surfaceviz.slice(problem, axes, output=path, workers=1, **options)
    surfaceviz.hessian(path, problem=problem, workers=1)
    return store.read(path)


def _model(path: Path, axes: list[str], entries: list[int], **terms: float) -> QuadraticModel:
    found = _sliced(path, _problem(**terms), axes, along=[f"w[{i},0]" for i in entries])
    (model,) = quadratic_models(found)
    return model


def test_the_model_of_a_quadratic_loss_is_right_on_the_whole_slice(tmp_path: Path) -> None:
    model = _model(tmp_path / "a.h5", ["-2:3:11", "-1:1:7"], [0, 2])
    assert (model.radius, model.beyond, model.points) == (math.hypot(3, 1), math.inf, 77)


def test_a_cubic_term_ends_it_at_three_tenths_of_h_over_c(tmp_path: Path) -> None:
    # |c| r^3 / 6 = 0.1 h r^2 / 2 at r = 0.3 h / |c| = 0.146
    model = _model(tmp_path / "a.h5", ["-1:1:201"], [0], cubic=-4.1)
    assert (model.radius, model.beyond) == pytest.approx((0.14, 0.15), abs=1e-9)


def test_a_quartic_term_ends_it_at_the_root_of_1_2_h_over_q(tmp_path: Path) -> None:
    # q r^4 / 24 = 0.1 h r^2 / 2 at r = (1.2 h / q)^(1/2) = 0.603
    model = _model(tmp_path / "a.h5", ["-1:1:401"], [1], quartic=9.9)
    assert (model.radius, model.beyond) == pytest.approx((0.6, 0.605), abs=1e-9)


@pytest.mark.filterwarnings("ignore:.*lie lower than the centre")
def test_on_a_plane_the_error_is_compared_with_the_largest_change_within_the_radius(tmp_path: Path) -> None:
    # along alpha |c| r^3 / 6; the largest change within r is h_2 r^2 / 2, along beta: r = 0.3 h_2 / |c| = 0.75
    model = _model(tmp_path / "a.h5", ["-1:1:81", "-1:1:161"], [0, 2], cubic=20.0)
    assert model.beyond == pytest.approx(0.775, abs=1e-9)  # the next point on the axis
    assert 0.75 <= model.radius < 0.775  # points off the axis lie in between


@pytest.mark.filterwarnings("ignore:.*lie lower than the centre")
def test_a_slope_is_part_of_the_model(tmp_path: Path) -> None:
    # -0.1 w + w^2 + c w^3 / 6: at -t the error c t^3 / 6 is a tenth of 0.1 t + t^2, the larger change, at t = 0.2
    c = 6 * 0.1 * (0.1 * 0.2 + 0.2**2) / 0.2**3
    model = _model(tmp_path / "a.h5", ["-0.5:0.5:1001"], [0], cubic=c, slope=-0.1)
    assert model.radius == pytest.approx(0.2, abs=0.0011)


def test_lambda_max_is_compared_with_the_curvature_per_length_of_weights(tmp_path: Path) -> None:
    found = _sliced(tmp_path / "a.h5", _problem(), ["-1:1:5", "-1:1:5"], normalise="none", ignore="none")
    (model,) = quadratic_models(found)
    directions = [arrays["w"].reshape(-1) for arrays in store.read_directions(tmp_path / "a.h5")]
    expected = [d @ (CURVATURES * d) / (d @ d) for d in directions]
    assert model.curvature == pytest.approx(expected, rel=1e-9)
    assert model.ratios == pytest.approx([50 / x for x in expected], rel=1e-3)  # the eigenvalue's own tolerance
    assert [d.norm for d in found.directions] == pytest.approx([np.linalg.norm(d) for d in directions], rel=1e-12)
    first, second = explanation(found)
    assert first.endswith("is right to 10% on the whole slice, at all 25 evaluated points")
    shown = [f"{50 / x:.3g} times the curvature shown along {{}} (d'Hd / ||d||^2 = {x:.3g})" for x in expected]
    assert second == f"lambda_max (50) is {shown[0].format('alpha')}, {shown[1].format('beta')}"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"along": ["w[0,0]"]}, 1.0),
        ({"along": ["gradient"]}, 1.0),
        ({"along": ["hessian"]}, 1.0),
        ({"normalise": "none", "ignore": "none", "repeat": 2}, None),
    ],
)
def test_every_kind_of_direction_has_its_norm(tmp_path: Path, options: dict[str, Any], expected: float | None) -> None:
    path = tmp_path / "a.h5"
    made = surfaceviz.slice(_problem(slope=0.5), ["-1:1:3"], output=path, workers=1, **options)
    norm = made.directions[0].norm
    assert norm is not None
    assert store.read(path).directions[0].norm == norm
    assert expected is None or norm == pytest.approx(expected, rel=1e-12)


def test_toward_a_model_the_norm_is_the_distance(tmp_path: Path) -> None:
    torch.save({"w": torch.tensor([[1.0], [2.0], [-2.0]], dtype=torch.float64)}, tmp_path / "other.pt")
    made = surfaceviz.slice(_problem(), ["0:1:3"], toward=[str(tmp_path / "other.pt")], workers=1)
    assert made.directions[0].norm == pytest.approx(3.0, rel=1e-12)
    surfaceviz.slice(_problem(), ["0:1:3"], output=tmp_path / "a.h5", along=["w[1,0]"], workers=1)
    read = surfaceviz.slice(_problem(), ["0:1:3"], directions=tmp_path / "a.h5", workers=1)
    assert read.directions[0].norm == pytest.approx(1.0, rel=1e-12)


def _without_norms(surface: Slice) -> Slice:
    return replace(surface, directions=tuple(replace(d, norm=None) for d in surface.directions))


def test_what_is_not_known_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    found = _sliced(path, _problem(), ["-1:1:5"], along=["w[0,0]"])
    assert explanation(_without_norms(found))[1] == (
        "lambda_max (50) is not compared with the curvature shown: the file does not hold ||d||; slice again with this "
        "version"
    )
    assert explanation(replace(found, spectra=())) == [
        "has no spectrum, without which nothing is known of its curvature: surfaceviz hessian FILE.h5"
    ]
    (spectrum,) = found.spectra
    other = replace(found, spectra=(replace(spectrum, loss=2.0, samples=1),))
    assert "can't be compared with the slice: the spectrum is on 1 samples" in explanation(other)[0]
    assert "hold no d'Hd" in explanation(replace(found, spectra=(replace(spectrum, along=None),)))[0]
    assert "is that of D H D" in explanation(replace(found, spectra=(replace(spectrum, normalised=True),)))[1]
    down = replace(found, spectra=(replace(spectrum, along=-np.ones((1, 1))),))
    assert "not compared along alpha, where the curvature is not positive (-1)" in explanation(down)[1]
    rays = replace(found, seeds=(0, 1), origin=np.ones((2, 5), np.uint8), directions=(DirectionRecord(
        kind="random", sha256="", rule={}),))  # fmt: skip
    assert "rays share no axis" in explanation(rays)[0]


def test_the_command_prints_it_and_writes_it_below(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, picture = tmp_path / "a.h5", tmp_path / "a.svg"
    _sliced(path, _problem(cubic=-4.1), ["-1:1:201"], along=["w[0,0]"])
    assert cli.run(["plot", str(path), "--explain", "-o", str(picture)]) == 0
    words = "right to 10% up to a distance of 0.14, and no longer at 0.15"
    assert words in capsys.readouterr().out
    assert "right to 10% up to a distance of" in " ".join(picture.read_text(encoding="utf-8").split())
    assert cli.run(["report", str(path), "-o", str(tmp_path / "a.html")]) == 0
    assert words in (tmp_path / "a.html").read_text(encoding="utf-8")


def test_a_movie_has_no_explanation(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["plot", str(tmp_path / "a.h5"), "--explain", "--animate", "orbit"]) == 2
    assert "a movie has no --explain" in capsys.readouterr().err
