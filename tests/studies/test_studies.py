"""Baseline: closed forms and published numbers, which are in the table of each study with the difference allowed."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

import surfaceviz
from surfaceviz import cli
from surfaceviz.records import Slice
from surfaceviz.records.studies import StudyPanel, StudyResult, StudySeries, study_rows
from surfaceviz.render.study_figure import draw_study
from surfaceviz.studies.linear.deep_linear import World, subsets
from surfaceviz.studies.registry import STUDIES
from surfaceviz.studies.relu.teacher_student import gradient, population_loss
from surfaceviz.studies.spectra.eigenvalue_signs import semicircle_below
from surfaceviz.studies.spectra.index_vs_loss import critical_energy, law_share
from surfaceviz.studies.spectra.spectrum_outliers import outliers


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_each_number_of_a_study_agrees_with_what_is_known(name: str) -> None:
    result = surfaceviz.study(name, quick=True, output=".")
    assert [row for row in study_rows(result) if row[-1] == "NO"] == []
    assert np.isfinite(result.known).any(), "a study has a number that could have come out wrong"
    assert all(Path(f"study-{name}.{ending}").stat().st_size for ending in ("h5", "csv", "png"))
    assert str(Path.cwd()).encode() not in Path(f"study-{name}.h5").read_bytes(), "the file is for others as well"
    stored = surfaceviz.read_study(f"study-{name}.h5")
    np.testing.assert_array_equal(stored.found, result.found)
    assert len(draw_study(stored).axes) >= len(result.panels)


def test_the_command_lists_the_studies_with_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["study"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(STUDIES)


def test_the_command_prints_the_table_and_both_lines(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["study", "saddle-escape", "--quick", "-o", "made"]) == 0
    out = capsys.readouterr().out
    assert "smallest eigenvalue at the saddle" in out
    assert [line.split()[0] for line in out.splitlines()[-6:]] == [
        "see", "misleads", "sources", "file", "table", "picture",
    ]  # fmt: skip
    assert Path("made/study-saddle-escape.png").exists()
    assert cli.run(["info", "made/study-saddle-escape.h5"]) == 0
    assert "smallest eigenvalue at the saddle" in capsys.readouterr().out


def test_plot_draws_the_figure_of_a_study_again(capsys: pytest.CaptureFixture[str]) -> None:
    result = surfaceviz.study("saddle-escape", quick=True, output=".")
    assert cli.run(["plot", "study-saddle-escape.h5", "-o", "again.png"]) == 0
    assert Path("again.png").read_bytes() == Path("study-saddle-escape.png").read_bytes()
    assert [ax.get_title() for ax in surfaceviz.plot(result).axes] == [ax.get_title() for ax in draw_study(result).axes]
    for options, words in [
        (
            ["--kind", "surface"],
            "a file of surfaceviz study has one picture, without --kind and --label; leave them out",
        ),
        (["--clip", "3"], "a picture of a study has no --clip: leave it out"),
        (["study-saddle-escape.h5"], "got 2 studies; each has a picture of its own. Draw them apart"),
        (["--animate", "orbit"], "study-saddle-escape holds a study, and no slice to draw in 3-D"),
    ]:
        capsys.readouterr()
        assert cli.run(["plot", "study-saddle-escape.h5", *options]) == cli.USAGE
        assert words in capsys.readouterr().err


def test_an_unknown_study_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["study", "five-point"]) == cli.USAGE
    assert "got study 'five-point'; expected one of five-points" in capsys.readouterr().err


def _of(*panels: StudyPanel) -> StudyResult:
    return StudyResult(
        name="empty", title="", question="", see="", misleads="", sources="", quick=True, quantities=(),
        known=np.zeros(0), found=np.zeros(0), allowed=np.zeros(0), panels=panels,
    )  # fmt: skip


def test_a_figure_needs_a_panel() -> None:
    with pytest.raises(ValueError, match="nothing to draw: the study empty has no panel"):
        draw_study(_of())


def _panel(height: float, group: str) -> StudyPanel:
    axis = np.linspace(-1, 1, 9)
    bowl = height * (axis[:, None] ** 2 + axis**2)
    surface = Slice(
        axes=(axis, axis), values={"train_loss": bowl}, origin=np.ones((9, 9), np.uint8), centre={"train_loss": 0.0}
    )
    return StudyPanel(title="", x_label="", y_label="", surface=surface, levels="linear", group=group)


@pytest.mark.parametrize(("group", "highest"), [("both", [40.0, 40.0]), ("", [4.0, 40.0])])
def test_slices_of_one_group_share_their_levels(group: str, highest: list[float]) -> None:
    bars = [ax for ax in draw_study(_of(_panel(2, group), _panel(20, group))).axes if ax.get_label() == "<colorbar>"]
    assert [bar.get_ylim()[1] for bar in bars] == highest


def test_places_on_an_axis_have_names() -> None:
    series = StudySeries(label="", x=np.array([0.0, 1.0]), y=np.array([0.1, 0.9]), kind="points")
    panel = StudyPanel(title="", x_label="", y_label="", series=(series,), ticks=("never", "always"))
    (ax,) = draw_study(_of(panel)).axes
    assert [(tick.get_text(), tick.get_position()[0]) for tick in ax.get_xticklabels()] == [("never", 0), ("always", 1)]


def test_the_population_loss_is_the_mean_over_gaussian_inputs() -> None:
    noise = torch.Generator().manual_seed(0)
    w = torch.randn((4, 3), generator=noise, dtype=torch.float64)
    x = torch.randn((400000, 3), generator=noise, dtype=torch.float64)
    samples = (torch.relu(x @ w.T).sum(1) - torch.relu(x).sum(1)).square() / 2
    stderr = float(samples.std()) / math.sqrt(len(x))
    assert abs(float(population_loss(w)) - float(samples.mean())) < 4 * stderr


def test_the_gradient_of_the_population_loss_is_its_derivative() -> None:
    w = torch.randn((5, 4), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    step = 1e-6 * torch.randn((5, 4), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    difference = float(population_loss(w + step) - population_loss(w - step)) / 2
    assert difference == pytest.approx(float((gradient(w) * step).sum()), rel=1e-6)


def test_the_teacher_itself_has_loss_and_gradient_0() -> None:
    teacher = torch.eye(6, dtype=torch.float64)
    assert float(population_loss(teacher)) == pytest.approx(0, abs=1e-12)
    assert float(gradient(teacher).abs().max()) < 1e-7


def test_a_constructed_point_of_the_linear_network_is_critical() -> None:
    world = World()
    for chosen in subsets():
        first, second = (p.detach() for p in world.problem(chosen).model.parameters())
        residual = world.y - world.x @ (second @ first).T
        slope = residual.T @ world.x  # of the loss in the product, times -N
        assert float((second.T @ slope).abs().max()) < 1e-10
        assert float((slope @ first.T).abs().max()) < 1e-10
        assert float(residual.square().sum() / (2 * len(world.x))) == pytest.approx(world.loss(chosen))


def test_the_semicircle_is_whole_and_symmetric() -> None:
    assert [semicircle_below(x) for x in (-2.0, 0.0, 2.0)] == pytest.approx([0.0, 0.5, 1.0])
    x = np.linspace(-2, 1, 100001)
    assert semicircle_below(1.0) == pytest.approx(np.trapezoid(np.sqrt(4 - x**2) / (2 * np.pi), x), abs=1e-6)


def test_the_random_matrix_law_has_no_negative_eigenvalue_below_its_critical_energy() -> None:
    edge = critical_energy(0.25)
    assert law_share(0.98 * edge, 0.25) == pytest.approx(0, abs=1e-4)
    assert law_share(1.3 * edge, 0.25) > 1e-3


def test_outliers_are_those_above_the_largest_ratio_of_neighbours() -> None:
    assert outliers(np.array([10.0, 9.0, 8.0, 1.0, 0.9, 0.8, 0.7]), 3) == 3
    assert outliers(np.array([10.0, 1.0, 0.9, 0.8, 0.7]), 2) == 1
