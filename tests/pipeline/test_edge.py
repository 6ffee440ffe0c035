"""Baselines: dense float64 Hessians, preconditioners by hand from torch's own optimisers, an undisturbed run."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import paths
import pytest
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.func import functional_call

import surfaceviz
from surfaceviz import cli, render, store
from surfaceviz.errors import CheckpointError, SchemaError, StoreError
from surfaceviz.records import Edge
from surfaceviz.reporting import QuietReporter

EXACT: dict[str, Any] = {"rtol": 1e-10, "workers": 1, "reporter": QuietReporter()}


def _train(make: Any, *, folder: str = "run", steps: int = 3) -> tuple[surfaceviz.Problem, list[Tensor], list[Any]]:
    """Train, record each step, and return the problem, the weights and P at the steps."""
    problem = paths.problem()
    model, (x, y) = problem.model.train(), problem.sources["train"]
    optimiser = make(model.parameters())
    recorder = surfaceviz.Recorder(model, folder, optimiser=optimiser)
    weights, preconditioners = [], []
    for step in range(steps + 1):
        recorder.record(step)
        weights.append({name: t.clone() for name, t in model.state_dict().items()})
        preconditioners.append([dict(optimiser.state[p]) for p in model.parameters()])
        preconditioners[-1] = [{k: v.clone() for k, v in entries.items()} for entries in preconditioners[-1]]
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    return problem, weights, preconditioners  # type: ignore[return-value]


def _dense(problem: surfaceviz.Problem, state: Any, decay: float = 0.0) -> Any:
    """Return the Hessian of the loss in eval mode, in the order of the model's parameters."""
    model, (x, y) = problem.model.eval(), problem.sources["train"]
    names = [name for name, _ in model.named_parameters()]
    shapes = [state[name].shape for name in names]
    theta = torch.cat([state[name].reshape(-1) for name in names])

    def loss(flat: Tensor) -> Tensor:
        parts = flat.split([shape.numel() for shape in shapes])
        given = {**state, **{n: p.view(s) for n, p, s in zip(names, parts, shapes, strict=True)}}
        return nn.functional.cross_entropy(functional_call(model, given, (x,)), y) + decay / 2 * flat @ flat

    return torch.autograd.functional.hessian(loss, theta).numpy()


def _adams(entries: list[Any], b1: float, b2: float, eps: float) -> Any:
    t = float(entries[0]["step"])
    parts = [(1 - b1**t) * ((e["exp_avg_sq"] / (1 - b2**t)).sqrt() + eps) for e in entries]
    return torch.cat([part.reshape(-1) for part in parts]).numpy()


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_the_preconditioned_eigenvalue_is_that_of_the_dense_matrix(kind: Any) -> None:
    decay = 0.05
    problem, weights, states = _train(lambda p: kind(p, 0.01, eps=1e-3, weight_decay=decay))
    found = surfaceviz.edge("run", problem=problem, batch_size=60, output="edge.h5", **EXACT)
    assert found.step.tolist() == [0, 1, 2, 3]
    assert found.threshold == pytest.approx(38 / 0.01)
    assert np.isnan(found.preconditioned[0])  # Adam has no state before its first step
    for k in (1, 2, 3):
        hessian = _dense(problem, weights[k], decay if kind is torch.optim.Adam else 0.0)
        root = _adams(states[k], 0.9, 0.999, 1e-3) ** -0.5
        assert found.lambda_max[k] == pytest.approx(np.linalg.eigvalsh(hessian)[-1], rel=1e-7)
        scaled = np.linalg.eigvalsh(root[:, None] * hessian * root)[-1]
        assert found.preconditioned[k] == pytest.approx(scaled, rel=1e-7)
    assert found.converged.all()
    stored = surfaceviz.read_edge("edge.h5")
    assert stored.checkpoints == found.checkpoints
    for name in ("step", "loss", "lambda_max", "preconditioned", "threshold", "batch_sharpness", "converged"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(found, name))
    assert stored.provenance["optimiser"] == kind.__name__


def test_the_rate_is_that_of_each_checkpoint() -> None:
    problem = paths.problem()
    optimiser = torch.optim.SGD(problem.model.parameters(), 0.5, momentum=0.5)
    recorder = surfaceviz.Recorder(problem.model, "run", optimiser=optimiser)
    for step, rate in enumerate((0.5, 0.25, 0.0)):
        optimiser.param_groups[0]["lr"] = rate
        recorder.record(step)
    found = surfaceviz.edge("run", problem=problem, **EXACT)
    assert found.learning_rate.tolist() == [0.5, 0.25, 0.0]
    assert found.edge.tolist() == [4.0, 8.0, np.inf]
    assert found.threshold.tolist() == [6.0, 12.0, np.inf]
    assert np.isnan(found.batch_sharpness).all()  # the size of a batch is not known
    assert found.lambda_max == pytest.approx(np.linalg.eigvalsh(_dense(problem, problem.model.state_dict()))[-1])


def test_critical_sharpness_on_a_quadratic_along_an_eigenvector_is_its_eigenvalue() -> None:
    values = torch.tensor([5.0, 1.0, 0.2], dtype=torch.float64)
    model = nn.ParameterDict({"w": nn.Parameter(torch.tensor([0.0, 2.0, 0.0], dtype=torch.float64))})
    problem = surfaceviz.Problem(model, loss=lambda model: (values * model["w"] ** 2).sum() / 2, name="bowl")
    recorder = surfaceviz.Recorder(model, "run", optimiser=torch.optim.SGD(model.parameters(), 0.1))
    recorder.record(0)
    with torch.no_grad():
        model["w"].copy_(torch.tensor([0.0, 0.0, 3.0]))
    recorder.record(1)
    found = surfaceviz.edge("run", problem=problem, critical=True, reporter=QuietReporter())
    assert found.critical_sharpness == pytest.approx([1.0, 0.2], rel=1e-3)
    assert found.loss == pytest.approx([2.0, 0.9])
    assert np.isnan(found.lambda_max).all()


class Killer(QuietReporter):
    """A reporter that kills its process after two checkpoints."""

    def advance(self, done: int, total: int | None, fresh: int) -> None:
        """Kill the process."""
        if done == 2:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_run_resumes_after_its_last_checkpoint_to_the_same_bits() -> None:
    problem, *_ = _train(lambda p: torch.optim.Adam(p, 0.01), steps=4)
    options = {**EXACT, "batch_size": 20}

    def alone() -> None:
        torch.set_num_threads(1)
        surfaceviz.edge("run", problem=problem, output="edge.h5", **{**options, "reporter": Killer()})

    process = multiprocessing.get_context("fork").Process(target=alone)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert store.read_edge("edge.h5").step.tolist() == [0, 1]
    whole = surfaceviz.edge("run", problem=problem, **options)
    resumed = surfaceviz.edge("run", problem=problem, output="edge.h5", **options)
    for name in ("step", "lambda_max", "preconditioned", "batch_sharpness", "batch_sharpness_stderr"):
        np.testing.assert_array_equal(getattr(resumed, name), getattr(whole, name))


def test_critical_sharpness_is_added_to_what_a_file_holds() -> None:
    problem, *_ = _train(lambda p: torch.optim.SGD(p, 0.1), steps=2)
    first = surfaceviz.edge("run", problem=problem, output="edge.h5", **EXACT)
    both = surfaceviz.edge("run", problem=problem, output="edge.h5", critical=True, **EXACT)
    np.testing.assert_array_equal(both.lambda_max, first.lambda_max)
    assert np.isfinite(both.critical_sharpness).all()
    with pytest.raises(StoreError, match=r"edge.h5 holds another run \(options .* there, .* here\) and is kept"):
        surfaceviz.edge("run", problem=problem, output="edge.h5", **{**EXACT, "rtol": 0.1})


def test_checkpoints_of_another_program_are_followed_at_a_given_rate() -> None:
    problem = paths.problem()
    offsets = np.zeros((3, sum(p.numel() for p in problem.model.parameters())))
    paths.lay(Path("run"), problem.model, offsets, name="epoch-{}.pt".format)
    found = surfaceviz.edge("run", problem=problem, learning_rate=0.5, checkpoints=2, **EXACT)
    assert found.step.tolist() == [0, 2]
    assert found.threshold.tolist() == [4.0, 4.0]
    with pytest.raises(CheckpointError, match="run holds no checkpoints of surfaceviz train or of a Recorder; .* --lr"):
        surfaceviz.edge("run", problem=problem)


@pytest.mark.slow
def test_the_command_prints_a_table_and_draws_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    train = ["train", "mlp", "digits", "--epochs", "2", "--every", "2", "--optimiser", "adam", "-o", "run", "--quiet"]
    assert cli.run(train) == 0
    assert cli.run(["edge", "run", "--checkpoints", "2", "--samples", "50", "--rtol", "0.01", "-o", "edge.h5"]) == 0
    printed = capsys.readouterr().out
    for words in ("lambda_max", "preconditioned", "batch sharpness", "threshold", "state frozen", "training mode"):
        assert words in printed
    assert Path("edge.png").stat().st_size > 10_000
    assert cli.run(["edge", "run", "--checkpoints", "2", "--samples", "50", "--rtol", "0.01", "-o", "edge.h5"]) == 0
    assert "edge.h5, nothing to recompute" in capsys.readouterr().out
    assert cli.run(["info", "edge.h5"]) == 0
    assert "preconditioned" in capsys.readouterr().out
    assert cli.run(["plot", "edge.h5", "--kind", "lines"]) == 2
    assert cli.run(["report", "edge.h5"]) == 2
    assert "not of kind lines; leave it out" in (errors := capsys.readouterr().err)
    assert "report: slices only; got curvature along a training" in errors


def _course(**changes: Any) -> Edge:
    numbers = {name: np.array([1.0, 2.0]) for name in ("step", "loss", "lambda_max", "batch_sharpness")}
    empty = {name: np.full(2, np.nan) for name in ("preconditioned", "critical_sharpness")}
    given = {
        **numbers, **empty, "learning_rate": np.array([0.1, 0.2]), "threshold": np.array([20.0, 10.0]),
        "batch_sharpness_stderr": np.array([0.1, 0.0]), "converged": np.array([True, False]), "checkpoints": ("a", "b"),
    }  # fmt: skip
    return Edge(**{**given, **changes})


def test_pictures_show_the_loss_beside_sharpness_and_thresholds() -> None:
    loss, sharp = render.draw_edges([_course()]).axes
    assert loss.get_ylabel() == "training loss"
    lines = {line.get_label(): np.asarray(line.get_ydata()).tolist() for line in sharp.lines}
    assert lines["2 / learning rate"] == [20, 10]
    assert "threshold with momentum" not in lines
    assert [line.get_markerfacecolor() for line in sharp.lines].count("white") == 2  # has not converged
    momentum = _course(threshold=np.array([38.0, 19.0]))
    assert "threshold with momentum" in [line.get_label() for line in render.draw_edges([momentum]).axes[1].lines]
    adam = _course(preconditioned=np.array([np.nan, 300.0]), threshold=np.array([380.0, 190.0]))
    third = render.draw_edges([adam, adam], names=["a", "b"]).axes[2]
    assert [line.get_label() for line in third.lines][-1] == "threshold of the optimiser"
    with pytest.raises(ValueError, match="nothing to draw: give at least one file of surfaceviz edge"):
        render.draw_edges([])


def test_bad_folders_are_told_in_one_line_each() -> None:
    problem, *_ = _train(lambda p: torch.optim.Adam(p, 0.01), folder="adam", steps=2)
    with pytest.raises(CheckpointError, match="adam does not name its problem; give it by --problem FILE.py:FACTORY"):
        surfaceviz.edge("adam")
    with pytest.raises(
        CheckpointError, match="nowhere: no such folder; give the folder of surfaceviz train or of a Recorder"
    ):
        surfaceviz.edge("nowhere", problem=problem)
    _train(lambda p: torch.optim.Adam(p, 0.01), folder="one", steps=0)
    with pytest.raises(CheckpointError, match="one holds one checkpoint; a course needs at least 2"):
        surfaceviz.edge("one", problem=problem)
    recorder = surfaceviz.Recorder(problem.model, "alone")
    recorder.record(0)
    recorder.record(1)
    with pytest.raises(CheckpointError, match="step-00000000.safetensors records no learning rate; give the recorder"):
        surfaceviz.edge("alone", problem=problem)
    _train(torch.optim.Adadelta, folder="other", steps=1)
    with pytest.raises(CheckpointError, match="is of Adadelta, whose threshold is not known; known are SGD, Adam"):
        surfaceviz.edge("other", problem=problem)


def test_missing_and_torn_states_are_told() -> None:
    problem, *_ = _train(lambda p: torch.optim.Adam(p, 0.01), steps=2)
    torn = Path("run/optimiser/step-00000002.safetensors")
    whole = torn.read_bytes()
    torn.write_bytes(whole[:100])
    with pytest.raises(CheckpointError, match="step-00000002.safetensors: not a whole safetensors file"):
        surfaceviz.edge("run", problem=problem)
    for path in torn.parent.iterdir():
        path.unlink()
    with pytest.raises(CheckpointError, match="run keeps no state of its Adam .optimiser/step-00000002.safetensors is"):
        surfaceviz.edge("run", problem=problem)
    weights = Path("run/step-00000001.safetensors")
    weights.write_bytes(weights.read_bytes()[:-20])
    with pytest.raises(CheckpointError, match="step-00000001.safetensors"):
        surfaceviz.edge("run", problem=problem, learning_rate=0.1)


def test_files_of_another_kind_are_kept() -> None:
    problem, *_ = _train(lambda p: torch.optim.SGD(p, 0.01), steps=1)
    surfaceviz.hessian(problem, top=1, bottom=0, output="curvature.h5", reporter=QuietReporter())
    with pytest.raises(StoreError, match="curvature.h5 is not a file of surfaceviz edge, and is kept; give another -o"):
        surfaceviz.edge("run", problem=problem, output="curvature.h5", overwrite=True, **EXACT)
    with pytest.raises(SchemaError, match="curvature.h5: HDF5, but no surfaceviz edge"):
        surfaceviz.read_edge("curvature.h5")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"learning_rate": 0.0}, "learning rate: expected a positive number, got 0"),
        ({"checkpoints": 1}, "checkpoints must be at least 2, got 1"),
        ({"batch_size": 0}, "batch must be at least 1, got 0"),
        ({"rtol": 1.0}, "rtol must lie between 0 and 1, got 1"),
        ({"dtype": "float16"}, "dtype: expected float64 or float32, got 'float16'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        surfaceviz.edge("run", **options)


@pytest.mark.slow
def test_gradient_descent_of_a_small_network_reaches_two_over_its_rate() -> None:
    x, y = load_digits(return_X_y=True)
    inputs = torch.tensor(x[:1000] / 16, dtype=torch.float32)
    targets = nn.functional.one_hot(torch.tensor(y[:1000]), 10).float()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))
    optimiser = torch.optim.SGD(model.parameters(), 0.6)
    recorder = surfaceviz.Recorder(model, "run", optimiser=optimiser, every=500)
    for step in range(4001):
        recorder.record(step)
        optimiser.zero_grad()
        nn.functional.mse_loss(model(inputs), targets).backward()
        optimiser.step()
    problem = surfaceviz.Problem(model, (inputs, targets), "mse")
    found = surfaceviz.edge("run", problem=problem, workers=1, reporter=QuietReporter())
    assert found.lambda_max[0] < 0.6 * found.edge[0]  # it starts well below
    assert found.lambda_max[-3:] == pytest.approx(2 / 0.6, rel=0.1)
