"""Baseline: dense Hessians by differences at weights moved by hand; runs in one process, whole, for all others."""

from __future__ import annotations

import copy
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import dense
import launchers
import numpy as np
import oracles
import pytest
import torch

import surfaceviz
from surfaceviz import cli, store
from surfaceviz.curvature import SpectrumSpec
from surfaceviz.errors import ProblemError, StoreError, SurfacevizError
from surfaceviz.pipeline.hessian import maps
from surfaceviz.pipeline.hessian.request import parse_grid, parse_memory, parse_point
from surfaceviz.pipeline.hessian.spectrum_store import satisfies
from surfaceviz.problem.problem import Problem
from surfaceviz.records import HessianMap, Spectrum

pytestmark = pytest.mark.usefixtures("one_thread")

EXTRA = """
import dense
import torch.utils.checkpoint
from torch import nn

def mlp():
    return dense.named_problem("mlp")

def normed():
    return dense.named_problem("convolutional")

def once():
    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x ** 2
        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, slope):
            return 2 * ctx.saved_tensors[0] * slope
    problem = dense.named_problem("mlp")
    return surfaceviz.Problem(problem.model, problem.sources["train"], lambda y, _: Once.apply(y).sum(1))

def ignored():
    problem = dense.named_problem("mlp")
    x, y = problem.sources["train"]
    return surfaceviz.Problem(problem.model, (x, torch.full_like(y, -100)), "cross_entropy")

def hard():
    problem = dense.named_problem("mlp")
    return surfaceviz.Problem(problem.model, problem.sources["train"], lambda y, t: (y.argmax(1) != t).double())

def rectified():
    x, y = dense.classes(23, 3, 4)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3)).double()
    for p in model.parameters():
        torch.nn.init.constant_(p, 0.1)
    model[0].weight.data[2] = 0
    model[0].bias.data[2] = 0
    return surfaceviz.Problem(model, (x, y), "cross_entropy")

class Checkpointed(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.first, self.second, self.reentrant = nn.Linear(4, 6).double(), nn.Linear(6, 3).double(), reentrant
    def forward(self, x):
        block = lambda x: torch.tanh(self.first(x))
        x = x.clone().requires_grad_() if self.reentrant else x
        return self.second(torch.utils.checkpoint.checkpoint(block, x, use_reentrant=self.reentrant))

def checkpointed(reentrant=False):
    torch.manual_seed(0)
    return surfaceviz.Problem(Checkpointed(reentrant), dense.classes(23, 3, 4), "cross_entropy")

def reentrant():
    return checkpointed(True)

def writing():
    torch.manual_seed(0)
    model = nn.Linear(4, 3).double()
    return surfaceviz.Problem(model, dense.classes(23, 3, 4), "cross_entropy", forward=lambda net, x: net(x.mul_(1.5)))

def exploding():
    def measure(model, batch):
        out = model(batch[0])
        w = model[0].weight
        far = (w - start).abs().sum() > 1e-9
        total = torch.nn.functional.cross_entropy(out, batch[1], reduction="sum")
        return {"loss": (total / (0.0 if far else 1.0), len(out))}
    problem = dense.named_problem("mlp")
    start = problem.model[0].weight.detach().clone()
    return surfaceviz.Problem(problem.model, [problem.sources["train"]], measure=measure)
"""
SLICE = ["--axis=-1:1:5", "--axis=0:1:3", "--workers=1", "--no-plot", "--quiet", "-o", "a.h5"]


@pytest.fixture(autouse=True)
def _factory(tmp_path: Path) -> None:
    oracles.write_factory(tmp_path, EXTRA)


def _cut(factory: str = "mlp", *more: str) -> None:
    assert cli.run(["slice", f"mine.py:{factory}", *SLICE, *more]) == 0


def _moved(problem: Problem, path: str, place: tuple[float, ...]) -> Problem:
    """Return the problem at a point of a slice, moved by hand by the file's own directions."""
    other = copy.deepcopy(problem.model)
    for x, arrays in zip(place, store.read_directions(path), strict=True):
        for name, parameter in other.named_parameters():
            if name in arrays:
                parameter.data += x * torch.from_numpy(arrays[name])
    return Problem(other, problem.sources, "cross_entropy")


def _dense(problem: Problem) -> oracles.Array:
    return np.asarray(np.linalg.eigvalsh(dense.dense_hessian(problem, dense.loss_of(problem))), dtype=np.float64)


def _hessian(target: Any, *args: Any, **options: Any) -> Spectrum:
    return surfaceviz.hessian(target, *args, **{"reporter": oracles.Recorder(), **options})


@pytest.mark.parametrize("factory", ["mlp", "normed"])
@pytest.mark.parametrize("place", [(0.0, 0.0), (-0.75, 0.3)])
def test_a_points_spectrum_is_that_of_the_weights_there(factory: str, place: tuple[float, float]) -> None:
    _cut(factory)
    problem = dense.named_problem({"mlp": "mlp", "normed": "convolutional"}[factory])
    expected = _dense(_moved(problem, "a.h5", place))
    found = _hessian("a.h5", place, top=3, bottom=2, rtol=1e-8)
    norm = np.abs(expected).max()
    np.testing.assert_allclose(found.eigenvalues, np.r_[expected[:2], expected[-3:]], rtol=0, atol=1e-6 * norm)
    assert found.place == place
    assert store.read("a.h5").spectra[0].eigenvalues.tolist() == found.eigenvalues.tolist()


def test_the_slices_own_curvature_is_its_second_differences() -> None:
    assert cli.run(["slice", "mine.py:mlp", "--axis=-0.004:0.004:5", "--axis=-0.004:0.004:5", *SLICE[2:]]) == 0
    found = _hessian("a.h5")
    assert found.along is not None
    assert found.differences is not None
    np.testing.assert_allclose(found.differences, np.diag(found.along), rtol=1e-4)
    surface = store.read("a.h5")
    z, h = surface.values["train_loss"], 0.002
    mixed = (z[3, 3] - z[3, 1] - z[1, 3] + z[1, 1]) / (4 * h * h)
    assert mixed == pytest.approx(found.along[0, 1], rel=1e-4)
    assert found.slope is not None
    assert (z[3, 2] - z[1, 2]) / (2 * h) == pytest.approx(found.slope[0], rel=1e-4)
    off_grid = _hessian("a.h5", (0.001, 0.0))
    assert off_grid.differences is not None
    assert np.isnan(off_grid.differences).all()


@pytest.mark.parametrize("options", [{"workers": 2}, {"batch_size": 4}, {"batch_size": 1, "workers": 2}])
def test_workers_and_batches_change_nothing_but_rounding(options: dict[str, int]) -> None:
    _cut()
    more: dict[str, Any] = {"density": True, "by_layer": True, "steps": 10, "rtol": 1e-8}
    alone = _hessian("a.h5", workers=1, **more)
    other = _hessian("a.h5", overwrite=True, **more, **options)
    np.testing.assert_allclose(other.eigenvalues, alone.eigenvalues, rtol=0, atol=1e-6 * alone.norm)
    assert other.trace == pytest.approx(alone.trace, rel=1e-6)
    assert alone.layers is not None
    assert other.layers is not None
    np.testing.assert_allclose(other.layers.top, alone.layers.top, rtol=0, atol=1e-6 * alone.norm)


def test_the_same_run_twice_gives_the_same_bits() -> None:
    first, second = (_hessian("mine.py:mlp", density=True, steps=8, seed=s) for s in (3, 3))
    assert first.eigenvalues.tobytes() == second.eigenvalues.tobytes()
    assert first.density is not None
    assert second.density is not None
    assert first.density.nodes.tobytes() == second.density.nodes.tobytes()
    estimated = [_hessian("mine.py:mlp", trace=True, seed=s).trace for s in (3, 3, 4)]
    assert estimated[0] == estimated[1] != estimated[2]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["openmpi", "mpich"])
def test_ranks_of_a_job_give_what_one_process_does(launcher: str) -> None:
    _cut()
    command = ["-m", "surfaceviz", "hessian", "a.h5", "--at=0,0", "--at=0.5,0.5", "--map=3:2", "--rtol=1e-8", "--trace"]
    code, out, errors = launchers.finish(launchers.start(launcher, 2, [*command, "--batch=5"]))
    assert (code, errors) == (0, "")
    assert out.count("point ") == 2  # rank 0 alone talks
    got = store.read("a.h5")
    _cut("mlp", "--overwrite")
    for place, record in zip([(0, 0), (0.5, 0.5)], got.spectra, strict=True):
        alone = _hessian("a.h5", place, rtol=1e-8, trace=True)
        np.testing.assert_allclose(record.eigenvalues, alone.eigenvalues, rtol=0, atol=1e-6 * alone.norm)
        assert record.trace == pytest.approx(alone.trace, rel=1e-6)
    alone_map = surfaceviz.hessian_map("a.h5", (3, 2), rtol=1e-8, workers=1)
    assert got.hessian_map is not None
    np.testing.assert_allclose(got.hessian_map.lambda_max, alone_map.lambda_max, rtol=1e-6)
    np.testing.assert_allclose(got.hessian_map.lambda_min, alone_map.lambda_min, rtol=1e-6)


@pytest.mark.slow
def test_a_rank_with_other_weights_is_named() -> None:
    Path("other.py").write_text(
        "import mine, surfaceviz.execute\n"
        "def problem():\n"
        "    made = mine.mlp()\n"
        "    if surfaceviz.execute.mpi_placement().rank == 1:\n"
        "        made.model[0].bias.data += 1e-3\n"
        "    return made\n"
    )
    start = launchers.start("openmpi", 2, ["-m", "surfaceviz", "hessian", "other.py:problem"])
    code, _, errors = launchers.finish(start)
    assert code == 1
    assert "surfaceviz: rank 1 on " in errors
    assert re.search(r"rank 1 on \S+ has other weights than rank 0 \(\w{12}, not \w{12}\); all", errors)


def _map(*args: Any, **options: Any) -> HessianMap:
    return surfaceviz.hessian_map(*args, **{"reporter": oracles.Recorder(), **options})


@pytest.mark.parametrize("options", [{}, {"workers": 2}, {"cold": True}])
def test_a_map_has_each_points_extremes_at_its_place(options: dict[str, Any]) -> None:
    _cut()
    found = _map("a.h5", (3, 2), rtol=1e-8, **options)
    assert found.lambda_max.shape == (3, 2)
    assert [axis.tolist() for axis in found.axes] == [[-1, 0, 1], [0, 1]]
    problem = dense.named_problem("mlp")
    for i, j in np.ndindex(3, 2):
        place = (float(found.axes[0][i]), float(found.axes[1][j]))
        moved = _moved(problem, "a.h5", place)
        values = _dense(moved)
        norm = np.abs(values).max()
        assert found.lambda_max[i, j] == pytest.approx(values[-1], abs=1e-6 * norm)
        assert found.lambda_min[i, j] == pytest.approx(values[0], abs=1e-6 * norm)
        gradient, theta = dense.gradient_at(moved, dense.loss_of(moved))
        assert found.gradient_norm[i, j] == pytest.approx(np.linalg.norm(gradient(theta)), rel=1e-9)
    assert found.complete
    kept = store.read("a.h5").hessian_map
    assert kept is not None
    np.testing.assert_array_equal(kept.lambda_max, found.lambda_max)
    np.testing.assert_allclose(found.ratio, np.abs(found.lambda_min / found.lambda_max))


def test_a_map_on_a_curve_has_one_axis() -> None:
    assert cli.run(["slice", "mine.py:mlp", "--axis=-1:1:5", *SLICE[2:]]) == 0
    assert cli.run(["hessian", "a.h5", "--map", "3", "--quiet"]) == 0
    found = store.read("a.h5").hessian_map
    assert found is not None
    assert found.lambda_max.shape == (3,)


def test_where_the_loss_diverges_a_map_has_a_hole_and_goes_on() -> None:
    _cut("exploding")
    found = _map("a.h5", (3, 2), workers=1)
    assert np.isfinite(found.lambda_max).tolist() == [[False, False], [True, False], [False, False]]
    assert found.complete
    with pytest.raises(ProblemError, match="the loss is inf there, or its gradient not finite"):
        _hessian("a.h5", (0.5, 0.5))


@pytest.mark.parametrize(
    ("factory", "more", "line"),
    [
        ("once", [], "Once.backward is marked @once_differentiable"),
        ("mlp", ["--memory=1K"], "give more --memory"),
        ("checkpointed", [], "activation checkpointing can't be differentiated twice"),
        ("writing", [], "the model writes into its input"),
    ],
)
def test_a_map_that_cannot_be_is_no_map_of_holes(
    factory: str, more: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if factory == "writing":
        assert cli.run(["hessian", "mine.py:writing"]) == 1
    else:
        _cut(factory)
        assert cli.run(["hessian", "a.h5", "--map=3:2", *more]) == 1
        assert store.read("a.h5").hessian_map is None
    errors = capsys.readouterr().err.splitlines()
    assert line in errors[-1]


def test_reentrant_checkpointing_is_refused() -> None:
    with pytest.raises(ProblemError, match="activation checkpointing can't be differentiated twice"):
        _hessian("mine.py:reentrant")


MAP_RUN = """
import os
import sys
import time
sys.path.insert(0, {tests!r})
import surfaceviz
from pathlib import Path
from surfaceviz.pipeline.hessian import maps
point = maps.RowEvaluator._point
def held(self, number, vectors):  # while there is a file "hold", from the 8th point on until the main process is gone
    parent = os.getppid()
    while Path("hold").exists() and Path("points").exists() and len(Path("points").read_text().split()) >= 8:
        if os.getppid() != parent:
            os._exit(1)
        time.sleep(0.01)
    with open("points", "a") as stream:
        stream.write(f"{{number}}\\n")
    return point(self, number, vectors)
maps.RowEvaluator._point = held
surfaceviz.hessian_map("a.h5", (5, 3), workers={workers})
"""


def _rows_are_safe() -> bool:
    """Return whether the run holds at its 8th point, with a row in the file."""
    if not (Path("points").exists() and Path("points").read_text().count("\n") >= 8):
        return False
    found = store.read("a.h5").hessian_map
    return found is not None and bool(found.origin.any())


@pytest.mark.slow
@pytest.mark.parametrize(("workers", "signum"), [(2, signal.SIGKILL), (1, signal.SIGTERM)])
def test_a_killed_map_goes_on_to_the_same_bits(workers: int, signum: signal.Signals) -> None:
    _cut()
    whole = _map("a.h5", (5, 3), workers=1)
    _cut("mlp", "--overwrite")
    Path("run.py").write_text(MAP_RUN.format(tests=str(Path(__file__).parents[1]), workers=workers))
    Path("hold").touch()
    process = subprocess.Popen([sys.executable, "run.py"], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not _rows_are_safe():
        time.sleep(0.01)
    os.kill(process.pid, signum)
    _, errors = process.communicate()
    if signum == signal.SIGTERM:
        assert process.returncode == 143
        assert "rows that were finished are in the file, and the same command resumes from there" in errors
    half = store.read("a.h5").hessian_map
    assert half is not None
    assert 3 <= np.count_nonzero(half.origin) < 15
    Path("hold").unlink()
    Path("points").unlink()
    subprocess.run([sys.executable, "run.py"], check=True)
    again = [int(number) for number in Path("points").read_text().split()]
    assert sorted(again) == [i for i, known in enumerate(half.origin.flat) if not known]  # and no other
    got = store.read("a.h5").hessian_map
    assert got is not None
    for name in ("lambda_max", "lambda_min", "residual_max", "residual_min", "gradient_norm", "products", "origin"):
        np.testing.assert_array_equal(getattr(got, name), getattr(whole, name))


def test_a_map_of_other_settings_is_refused_and_kept() -> None:
    _cut()
    _map("a.h5", (3, 2))
    with pytest.raises(
        StoreError, match=r"holds another map \(rtol is 0.01 there, 0.001 here\), which is kept; replace it by --over"
    ):
        _map("a.h5", (3, 2), rtol=1e-3)
    with pytest.raises(StoreError, match="holds another map \\(of 3 x 2 points\\)"):
        _map("a.h5", (2, 2))
    assert _map("a.h5", (2, 2), overwrite=True).lambda_max.shape == (2, 2)


def test_a_spectrum_that_is_there_is_not_computed_again_and_what_it_lacks_is_added() -> None:
    _cut()
    first = _hessian("a.h5", trace=True)
    recorder = oracles.Recorder()
    surfaceviz.hessian("a.h5", top=3, reporter=recorder)
    assert recorder.said == []  # five include three
    surfaceviz.hessian("a.h5", top=7, reporter=recorder)
    assert any(line.startswith("eigenvalues: ") for line in recorder.said)
    (kept,) = store.read("a.h5").spectra
    assert len(kept.eigenvalues) == 8
    assert kept.trace == first.trace  # which the last call did not ask for
    assert not satisfies(kept, SpectrumSpec(density=True))
    other = _hessian("a.h5", top=1, bottom=0, seed=1, trace=True)  # of other vectors: a record of its own
    assert other.trace != first.trace
    assert [len(s.eigenvalues) for s in store.read("a.h5").spectra] == [8, 1]
    assert len(_hessian("a.h5", top=2, bottom=3).eigenvalues) == 10  # and none that is known gets lost
    assert _hessian("a.h5", trace=True, probes=20).trace_stderr != first.trace_stderr
    _hessian("a.h5", operator="ggn")
    _hessian("a.h5", (0.5, 0.5))
    assert [(s.operator, s.place, s.seed, s.probes) for s in store.read("a.h5").spectra] == [
        ("hessian", (0, 0), 0, 10), ("hessian", (0, 0), 1, 10), ("hessian", (0, 0), 0, 20), ("ggn", (0, 0), 0, None),
        ("hessian", (0.5, 0.5), 0, None),
    ]  # fmt: skip


def test_a_record_comes_back_from_the_file_as_it_was() -> None:
    _cut()
    found = _hessian("a.h5", density=True, by_layer=True, steps=6, weight_decay=0.01)
    (kept,) = store.read("a.h5").spectra
    for field in fields(Spectrum):
        if field.name not in ("density", "layers"):
            np.testing.assert_array_equal(getattr(kept, field.name), getattr(found, field.name), field.name)
    for name in ("density", "layers"):
        for field in fields(getattr(found, name)):
            ours, theirs = getattr(getattr(found, name), field.name), getattr(getattr(kept, name), field.name)
            np.testing.assert_array_equal(theirs, ours, field.name)


def test_a_slice_keeps_all_it_has_and_goes_on_with_its_spectra() -> None:
    _cut()
    before, arrays = store.read("a.h5"), store.read_directions("a.h5")
    _hessian("a.h5")
    _map("a.h5", (2, 2))
    after = store.read("a.h5")
    np.testing.assert_array_equal(after.values["train_loss"], before.values["train_loss"])
    assert dict(after.provenance) == dict(before.provenance)
    for ours, theirs in zip(arrays, store.read_directions("a.h5"), strict=True):
        np.testing.assert_array_equal(ours["0.weight"], theirs["0.weight"])
    origin = after.origin.copy()
    origin[0, 0] = 0
    store.write(Path("a.h5"), replace(after, origin=origin), arrays)
    _cut()  # evaluates what is missing
    done = store.read("a.h5")
    assert done.complete
    assert len(done.spectra) == 1
    assert done.hessian_map is not None


def test_the_gradients_weight_decay_is_told_apart() -> None:
    problem = dense.named_problem("mlp")
    found = _hessian(problem, weight_decay=0.1)
    gradient, theta = dense.gradient_at(problem, dense.loss_of(problem))
    assert found.gradient_norm == pytest.approx(np.linalg.norm(gradient(theta)), rel=1e-9)
    assert found.decayed_gradient_norm == pytest.approx(np.linalg.norm(gradient(theta) + 0.1 * theta), rel=1e-9)


def test_checkpoints_of_a_training_are_followed(capsys: pytest.CaptureFixture[str]) -> None:
    problem = dense.named_problem("mlp")
    values = []
    for step in (0, 10, 200):
        with torch.no_grad():
            next(problem.model.parameters()).add_(0.01 * step)
        torch.save(problem.model.state_dict(), f"step-{step:03}.pt")
        values.append(_dense(problem)[-1])
    given = [f"--weights=step-{step:03}.pt" for step in (0, 10, 200)]
    command = ["hessian", "mine.py:mlp", "--rtol=1e-8", "--trace", "-o", "curvature.h5"]
    assert cli.run([*command, *given[:2]]) == 0
    assert cli.run([*command, *given]) == 0
    assert capsys.readouterr().out.count("eigenvalues: ") == 3  # the first two are there already
    course = store.read_curvature("curvature.h5")
    assert [s.step for s in course.spectra] == [0, 10, 200]
    assert [s.source for s in course.spectra] == ["step-000.pt", "step-010.pt", "step-200.pt"]
    np.testing.assert_allclose([s.lambda_max for s in course.spectra], values, rtol=1e-6)
    assert cli.run(["plot", "curvature.h5", "-o", "course.png"]) == 0
    assert Path("course.png").stat().st_size > 10_000
    with pytest.raises(StoreError, match="curvature.h5 holds the curvature of another run"):
        surfaceviz.hessian("mine.py:normed", output=Path("curvature.h5"))
    assert cli.run([*command, given[0], "--overwrite"]) == 0  # of one alone
    again = store.read_curvature("curvature.h5")
    assert len(again.spectra) == 3
    _cut()
    before = Path("a.h5").read_bytes()
    with pytest.raises(
        StoreError, match="a.h5 is not a file of curvature along checkpoints, and is kept; give another -o"
    ):
        surfaceviz.hessian("mine.py:mlp", output=Path("a.h5"), overwrite=True)
    assert Path("a.h5").read_bytes() == before


def test_a_single_precision_slice_is_measured_in_double_at_its_own_weights(tmp_path: Path) -> None:
    oracles.write_factory(tmp_path)
    assert cli.run(["slice", "mine.py:problem", *SLICE]) == 0
    single, double = (_hessian("a.h5", (0.5, 0.5), dtype=dtype, overwrite=True) for dtype in ("float32", "float64"))
    np.testing.assert_allclose(single.eigenvalues, double.eigenvalues, rtol=0, atol=1e-4 * double.norm)
    assert (single.eigenvalues != double.eigenvalues).any()


def test_a_model_is_as_it_was_afterwards() -> None:
    problem = dense.named_problem("convolutional")
    before = {name: (tensor, tensor.clone()) for name, tensor in problem.model.state_dict(keep_vars=True).items()}
    flags = [(m.training, p.requires_grad) for m in problem.model.modules() for p in m.parameters()]
    random = torch.get_rng_state()
    _hessian(problem, density=True, by_layer=True, steps=4)
    assert torch.equal(random, torch.get_rng_state())
    assert flags == [(m.training, p.requires_grad) for m in problem.model.modules() for p in m.parameters()]
    for name, tensor in problem.model.state_dict(keep_vars=True).items():
        assert tensor is before[name][0]
        assert torch.equal(tensor, before[name][1])
        assert tensor.grad is None


def test_a_kink_at_the_point_is_warned_of() -> None:
    recorder = oracles.Recorder()
    found = surfaceviz.hessian("mine.py:rectified", reporter=recorder)
    expected = "there may be no Hessian in the strict sense: 23 entries of relu at a kink or tie exactly"
    assert found.notes == (expected,)
    assert expected in recorder.warned


def test_attention_is_differentiated_twice_in_single_precision() -> None:
    problem = dense.named_problem("transformer")
    exact = _hessian(problem)
    single = _hessian(problem, dtype="float32")
    np.testing.assert_allclose(single.eigenvalues, exact.eigenvalues, rtol=0, atol=1e-4 * exact.norm)


def test_recalibrated_slices_have_their_own_statistics_at_a_point() -> None:
    _cut("normed", "--bn", "recalibrate", "--split", "train")
    fixed, found = _hessian("mine.py:normed"), _hessian("a.h5", (0.0, 0.0))
    assert found.along is None  # its statistics follow the weights, which the matrix does not know
    assert found.loss == pytest.approx(store.read("a.h5").centre["train_loss"], rel=1e-9)
    assert abs(found.loss - fixed.loss) > 1e-3


BAD = [
    (["a.h5", "--at=2,0"], 1, "point (2, 0) is off the slice: alpha is 2, its range -1 .. 1"),
    (["a.h5", "--at=0"], 1, "point (0) has 1 coordinates, the slice 2"),
    (["a.h5", "--at=zero"], 2, "at 'zero': expected A,B such as 0.5,-1"),
    (["a.h5", "--map=3"], 1, "map 3 has 1 axes, but the slice has 2"),
    (["a.h5", "--map=3x3"], 2, "map '3x3': expected P:Q such as 11:11"),
    (["a.h5", "--map=0:3"], 2, "map: expected numbers of at least 1, got 0:3"),
    (["a.h5", "--top=80", "--bottom=10"], 1, "90 eigenvalues are asked for, of a matrix over 83 parameters (all)"),
    (["a.h5", "--top=0", "--bottom=0"], 2, "top and bottom are both 0"),
    (["a.h5", "--parameters=nothing"], 1, "parameters 'nothing' matches none of 0.bias, 0.weight"),
    (["a.h5", "--split=nowhere"], 1, "no split 'nowhere' in a.h5; it has train"),
    (["a.h5", "--memory=1K"], 1, "available for graphs; give more --memory"),
    (["a.h5", "--memory=20K", "--batch=23"], 1, "the graph of a batch of 23 samples needs"),
    (["a.h5", "--memory=lots"], 2, "memory 'lots': expected a size such as 4G or 500M"),
    (
        ["a.h5", "--weights=w.pt"],
        2,
        "a.h5 holds a slice with its own weights and gets the results; leave out weights and output",
    ),
    (["a.h5", "--memory=inf"], 2, "memory 'inf': expected a size such as 4G or 500M"),
    (["a.h5", "--rtol=0"], 2, "rtol must lie between 0 and 1, got 0"),
    (["a.h5", "--weight-decay=nan"], 2, "weight decay: expected a number of at least 0, got nan"),
    (["a.h5", "--density", "--steps=83", "--memory=50K"], 1, "83 vectors over 83 parameters need 0.1 MB"),
    (["mine.py:ignored"], 1, "the weights of all samples are 0"),
    (["missing.h5"], 1, "missing.h5: no such file"),
    (["mine.py:mlp", "--at=0,0"], 2, "points and maps lie on a slice; give its file instead of the problem"),
    (
        ["mine.py:once"],
        1,
        "the loss is not twice differentiable: Once.backward is marked @once_differentiable; write it",
    ),
    (["mine.py:hard"], 1, "the loss does not depend on the parameters in a way that can be differentiated"),
    (["mine.py:mlp", "-o", "a.png"], 2, "a.png: the output is an HDF5 file"),
    (["mine.py:mlp", "--workers=0"], 2, "workers: expected a number of at least 1, or auto, got '0'"),
]


@pytest.mark.parametrize(("arguments", "code", "line"), BAD, ids=[" ".join(given) for given, _, _ in BAD])
def test_bad_input_gets_one_line_and_nothing_is_lost(
    arguments: list[str], code: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    _cut()
    before = {path: path.read_bytes() for path in Path().glob("*.h5")}
    capsys.readouterr()
    assert cli.run(["hessian", *arguments]) == code
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 1
    assert errors[0].startswith("surfaceviz: ")
    assert line in errors[0]
    assert {path: path.read_bytes() for path in Path().glob("*.h5")} == before


def test_a_slice_of_live_objects_asks_for_its_problem() -> None:
    oracles.run_slice(dense.named_problem("mlp"), [(-1, 1, 3)], output="live.h5")
    with pytest.raises(
        ProblemError, match="live.h5 was computed from live objects, by surfaceviz.slice, and does not name its"
    ):
        _hessian("live.h5")
    assert _hessian("live.h5", problem=dense.named_problem("mlp")).dimension == 83
    changed = dense.named_problem("mlp")
    with torch.no_grad():
        next(changed.model.parameters()).add_(1)
    with pytest.raises(StoreError, match="live.h5 was computed with other weights"):
        _hessian("live.h5", problem=changed)


def test_memory_points_and_grids_are_read_as_people_write_them() -> None:
    assert parse_memory("500M") == 500 * 2**20
    assert parse_memory("2gb") == 2 * 2**30
    assert parse_point("-1") == (-1.0,)
    assert parse_grid("7") == (7,)


def test_nothing_but_our_errors_leaves_a_hessian() -> None:
    for factory in ("once", "hard"):
        with pytest.raises(SurfacevizError):
            _hessian(f"mine.py:{factory}")


def test_rows_of_a_map_are_numbered_behind_the_points() -> None:
    zeros = np.zeros((3, 2))
    axes = (np.arange(3.0), np.arange(2.0))
    origin = np.zeros((3, 2), np.uint8)
    blank = HessianMap(
        axes=axes,
        lambda_max=zeros,
        lambda_min=zeros,
        residual_max=zeros,
        residual_min=zeros,
        gradient_norm=zeros,
        products=np.zeros((3, 2), np.int64),
        origin=origin,
    )
    assert [row.numbers for row in maps.missing_rows(blank, 4)] == [(4, 5), (6, 7), (8, 9)]
