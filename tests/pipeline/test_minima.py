"""Baseline: a loss whose minima and passes are known in closed form, sample by sample, with its errors in numpy.

Sample i has the loss W(x) + y^2 + e_i x, W as in `topology_oracles.double_well`: the second well ends at a pass that is
0.7 higher, whose paired difference per sample is 0.7 - e_i.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import oracles
import pytest
from edited import edited

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.errors import SchemaError, StoreError
from surfaceviz.pipeline.minima.request import MinimaRequest
from surfaceviz.problem.problem import Problem
from surfaceviz.records import INTERPOLATED, MISSING, Minima, MinimumKind, Slice

AXES = [(-2, 2, 17), (-1, 1, 9)]
pytestmark = pytest.mark.filterwarnings("ignore:.* points lie lower than the centre")

PROBLEM = """
import torch
from torch import nn
from surfaceviz import Problem

class Wells(nn.Module):
    def __init__(self):
        super().__init__()
        self.p = nn.Parameter(torch.zeros(2, dtype=torch.float64))

    def forward(self, noise):
        x, y = self.p
        well = torch.where(x < -1, -2 * (1 + x), torch.where(
            x < 0, 1 + x, torch.where(x < 1, 1 - 0.7 * x, 2 * x - 1.7)
        ))
        return well + y ** 2 + noise * x

def problem(count=400, spread=0.5):
    noise = torch.linspace(-spread, spread, count, dtype=torch.float64)
    return Problem(Wells(), (noise, noise), lambda out, _: out)

def coupled():
    noise = torch.linspace(-1, 1, 40, dtype=torch.float64)
    return Problem(Wells(), (noise, noise), lambda out, _: out.mean() + out.var())
"""


def _problem(count: int = 400, spread: float = 0.5) -> Problem:
    names: dict[str, Any] = {}
    exec(PROBLEM, names)  # noqa: S102  our own text
    made: Problem = names["problem"](count, spread)
    return made


def _slice(problem: Problem, axes: Any = None, **options: Any) -> Slice:
    return oracles.run_slice(problem, axes or AXES, along=["p[0]", "p[1]"][: len(axes or AXES)], **options)


def _found(problem: Problem, surface: Slice | str, **options: Any) -> Minima:
    minima = surfaceviz.minima(surface, problem=problem, **options).minima
    assert minima is not None
    return minima


@pytest.mark.parametrize("axes", [AXES, AXES[:1]])
def test_two_wells_have_their_places_losses_pass_and_persistence(axes: Any) -> None:
    problem = _problem()
    minima = _found(problem, _slice(problem, axes))
    rest = [0.0] * (len(axes) - 1)
    assert minima.place.tolist() == [[-1, *rest], [1, *rest]]
    assert minima.pass_place[1].tolist() == [0, *rest]
    np.testing.assert_allclose(minima.loss, [0, 0.3], atol=1e-12)
    assert minima.persistence[1] == pytest.approx(0.7)
    noise = np.linspace(-0.5, 0.5, 400)
    assert minima.persistence_stderr[1] == pytest.approx(noise.std(ddof=1) / 20)
    assert minima.verdict.tolist() == [MinimumKind.LOWEST, MinimumKind.COUNTS]
    assert minima.basin[0] == pytest.approx(0.5, abs=0.05)
    assert minima.basin.sum() == pytest.approx(1)
    assert (minima.count, minima.samples, minima.held_out, minima.dtype) == (2, 400, False, "float64")


def test_a_well_within_the_error_of_its_own_points_does_not_count() -> None:
    problem = _problem(count=20, spread=5.0)  # a standard error of 0.67
    minima = _found(problem, _slice(problem))
    assert minima.verdict.tolist() == [MinimumKind.LOWEST, MinimumKind.WITHIN_ERROR]
    assert minima.basin[0] == pytest.approx(1)


def test_pairs_are_evaluated_on_the_samples_that_the_slice_was_not_computed_on() -> None:
    problem = _problem(spread=3.0)
    surface = _slice(problem, samples=150)
    minima = _found(problem, surface)
    used = problem.load("train", samples=150).rows[0].numpy()
    others = np.setdiff1d(problem.sources["train"][0].numpy(), used)
    assert (minima.held_out, minima.samples) == (True, 250)
    k = int(np.flatnonzero(minima.pass_place[:, 0] == 0)[0])
    assert minima.place[k].tolist() == [1, 0]
    assert minima.persistence[k] == pytest.approx(0.7 - others.mean())
    assert minima.persistence_stderr[k] == pytest.approx(others.std(ddof=1) / 250**0.5)


@pytest.mark.parametrize("samples", [330, 301, 399])
def test_too_few_other_samples_leave_the_own_ones(samples: int) -> None:
    problem = _problem()
    minima = _found(problem, _slice(problem, AXES[:1], samples=samples))
    assert (minima.held_out, minima.samples) == (False, samples)


def test_interpolated_minima_and_passes_are_evaluated_first() -> None:
    """A false dip and a false ridge, both interpolated, are gone; the true pass is found."""
    problem = _problem()
    surface = _slice(problem)
    values, origin = surface.values["train_loss"].copy(), surface.origin.copy()
    values[5, 6], values[8, 4] = -3.0, 5.0
    origin[5, 6] = origin[8, 4] = INTERPOLATED
    audit = surfaceviz.records.Audit(tolerance=0.1, count=9, over=0, share_upper95=0.1, worst=0.0, confidence=0.9)
    changed = replace(surface, values={**surface.values, "train_loss": values}, origin=origin, audit=audit)
    minima = _found(problem, changed)
    assert minima.place.tolist() == [[-1, 0], [1, 0]]
    np.testing.assert_allclose(minima.loss, [0, 0.3], atol=1e-12)
    assert abs(minima.pass_place[1, 1]) == 0.25  # the ridge point itself is not on the way


def test_diverged_points_part_the_wells() -> None:
    problem = _problem()
    surface = _slice(problem)
    values = surface.values["train_loss"].copy()
    values[8] = np.nan
    minima = _found(problem, replace(surface, values={**surface.values, "train_loss": values}))
    assert minima.verdict.tolist() == [MinimumKind.LOWEST, MinimumKind.NO_PASS]
    assert np.isnan(minima.pass_place[1]).all()


def _write_problem() -> None:
    Path("mine.py").write_text(PROBLEM)


SLICE = ["slice", "mine.py:problem", "--along", "p[0]", "--along", "p[1]", "--axis", "-2:2:17", "--axis", "-1:1:9",
         "-o", "run.h5", "--no-plot", "--quiet", "--workers", "1"]  # fmt: skip


def test_the_command_prints_a_table_and_a_line_and_keeps_all_else(capsys: pytest.CaptureFixture[str]) -> None:
    _write_problem()
    assert cli.run(SLICE) == 0
    before = store.read("run.h5")
    with edited("run.h5") as file:
        file.attrs["note of a user"] = "kept"
    capsys.readouterr()
    assert cli.run(["minima", "run.h5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["minimum", "place", "loss", "pass", "persistence", "basin", "counts"]
    assert lines[2].split()[:3] == ["2", "(1,", "0)"]
    assert "1 at (0, 0)" in lines[2]
    assert "0.7 +- 0.014" in lines[2]
    assert lines[2].endswith("yes")
    assert lines[3] == (
        "minima of train_loss: the lowest and 1 more, of 2 on the grid (persistence above 1.96 standard errors on the "
        "slice's own 400 samples, which also chose the pairs; with both diagonals of the cells, and on every second "
        "point)"
    )
    after = store.read("run.h5")
    assert after.provenance["note of a user"] == "kept"
    for name, array in before.values.items():
        np.testing.assert_array_equal(after.values[name], array)
    assert after.directions == before.directions
    assert cli.run(["info", "run.h5"]) == 0
    assert "train_loss: the lowest and 1 more, of 2 on the grid" in capsys.readouterr().out


def test_minima_come_back_from_the_file_as_they_were() -> None:
    problem = _problem()
    _slice(problem, output="s.h5")
    found = _found(problem, "s.h5")
    back = store.read("s.h5").minima
    assert back is not None
    for name in Minima.__dataclass_fields__:
        np.testing.assert_array_equal(getattr(back, name), getattr(found, name))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("loss", np.zeros(3), r"got minima/place of shape \(2, 2\); expected \(3, 2\)"),
        ("place", np.zeros((2, 1)), r"got minima/place of shape \(2, 1\); expected \(2, 2\)"),
        ("verdict", np.array([0, 9]), "minima/verdict holds 9, expected at most 6"),
        ("parent", np.array([-1, 1]), "minima/parent does not name a minimum that comes before"),
    ],
)
def test_minima_that_no_run_writes_are_refused(name: str, value: Any, message: str) -> None:
    problem = _problem()
    _slice(problem, output="s.h5")
    _found(problem, "s.h5")
    with edited("s.h5") as file:
        del file["minima"][name]
        file["minima"][name] = value
    with pytest.raises(SchemaError, match=message):
        store.read("s.h5")


def test_a_slice_that_says_nothing_about_minima_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    _write_problem()
    problem = _problem()
    surface = _slice(problem)
    origin = surface.origin.copy()
    origin[0, 0] = MISSING
    with pytest.raises(
        StoreError, match=r"^the slice is not finished \(152 of 153 points\), so that .* which resumes$"
    ):
        surfaceviz.minima(replace(surface, origin=origin), problem=problem)
    with pytest.raises(StoreError, match=r"^the slice has no losses of single samples \(train_loss has no standard"):
        surfaceviz.minima(replace(surface, stderr={}), problem=problem)
    with pytest.raises(StoreError, match=r"^got split 'valid'; the slice has train. Name one of these$"):
        surfaceviz.minima(surface, split="valid", problem=problem)
    with pytest.raises(ValueError, match=r"^most must be at least 1, got 0$"):
        MinimaRequest.of("s.h5", most=0)
    for command, code, message in (
        (["minima", "gone.h5"], 1, "gone.h5: no such file"),
        (["minima", "net.py:problem"], 1, "net.py:problem: no such file; give a file that surfaceviz slice, or"),
        (["minima", "mine.py"], 1, "no whole HDF5 file"),
    ):
        capsys.readouterr()
        assert cli.run(command) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line


def test_a_loss_that_couples_its_batch_has_no_minima(capsys: pytest.CaptureFixture[str]) -> None:
    _write_problem()
    assert cli.run([*SLICE[:1], "mine.py:coupled", *SLICE[2:]]) == 0
    capsys.readouterr()
    assert cli.run(["minima", "run.h5"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "run.h5 has no losses of single samples" in line


def test_the_problem_of_another_is_not_run_without_being_trusted(capsys: pytest.CaptureFixture[str]) -> None:
    _write_problem()
    assert cli.run(SLICE) == 0
    with edited("run.h5") as file:
        made_from = {**json.loads(file.attrs["made_from"]), "problem": "./mine.py:problem"}
        file.attrs["made_from"] = json.dumps(made_from)
    capsys.readouterr()
    assert cli.run(["minima", "run.h5"]) == 1
    assert "confirm that by --trust" in capsys.readouterr().err
    with h5py.File("run.h5") as file:
        assert "minima" not in file
    assert cli.run(["minima", "run.h5", "--trust"]) == 0


def test_rays_are_refused_in_one_line() -> None:
    problem = _problem()
    rays = oracles.run_slice(problem, AXES[:1], repeat=2, normalise="none", ignore="none")
    with pytest.raises(
        StoreError, match=r"holds 2 rays; minima are those of one curve or surface. Take a slice without"
    ):
        surfaceviz.minima(rays, problem=problem)
