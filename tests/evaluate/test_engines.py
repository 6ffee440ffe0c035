"""Baseline: numpy's closed form of a quadratic, and the eager engine in float64."""

from __future__ import annotations

import importlib
import math
import warnings
from typing import Any

import numpy as np
import oracles
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from surfaceviz import evaluate, options
from surfaceviz.evaluate import EngineConfig, EvaluationContext, Evaluator, engines, select_engine
from surfaceviz.evaluate.conv_bn_fusion import CannotFuseError, ConvBnFusion
from surfaceviz.pipeline.slice.planning.make_plan import make_plan
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.problem.functional import borrowed, eager
from surfaceviz.problem.parameters import named_tensors
from surfaceviz.problem.problem import Problem

POINTS = [(0.3, -0.2), (0.0, 0.0), (-0.7, 0.5), (1.0, 1.0), (0.1, 0.9)]
FAST = [
    EngineConfig("folded", 20),
    EngineConfig("compiled", 20),
    EngineConfig("vmapped", 20, 4),
    EngineConfig("unfused", 64, 2),
]


class FullSchedule(nn.Module):
    """A model with all operations that the folded engine rewrites, and some that it must not rewrite."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.down = nn.Conv2d(8, 16, 3, stride=2, padding=1, bias=False)
        self.down_norm = nn.BatchNorm2d(16)
        self.short = nn.Conv2d(8, 16, 1, stride=2)
        self.wide = nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=4)
        self.plain_norm = nn.BatchNorm2d(16, affine=False)
        self.same = nn.Conv2d(16, 16, 3, padding="same")
        self.fc = nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        y = self.down_norm(self.down(x))
        kept = y.clone()  # a second user: no adding in place
        z = functional.relu(y + self.short(x))
        z = z + self.plain_norm(self.wide(z)) + kept
        z = z + z
        z = functional.max_pool2d(functional.gelu(self.same(z)), 2)
        out: Tensor = self.fc(z.mean((2, 3)) + 0.1 * functional.relu(self.wide(kept)).sum((2, 3)))
        return out


class InPlace(nn.Module):
    """A model that writes into activations, also into some that are read again."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.three = (
            nn.Conv2d(1, 8, 3, padding=1),
            nn.Conv2d(8, 8, 3, padding=1),
            nn.Conv2d(8, 8, 1),
        )
        self.norm = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.one(x))
        same = y
        self.relu(y)  # the result is not used, but y is
        z = self.two(y)
        z += same
        twice = z
        z += self.three(same)
        z.relu_()
        out: Tensor = self.fc((z + twice * 0.5).mean((2, 3)) + functional.silu(self.three(z), inplace=True).sum((2, 3)))
        return out


def _in_place() -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        model = InPlace()
        model(torch.randn(16, 1, 6, 6) + 1)
    return Problem(model.eval(), {"train": oracles.images(50), "test": oracles.images(17)}, "cross_entropy")


def _context(problem: Problem, dtype: str = "float32", **options: Any) -> EvaluationContext:
    axes = [(-1, 1, 5), (-1, 1, 5)]
    plan = make_plan(Request.of(problem, axes, dtype=dtype, **options), lambda _line: None)
    plan.problem.model.eval()
    return plan.context()


def _everything() -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = FullSchedule()
        for _ in range(4):
            model(torch.randn(16, 1, 6, 6) + 1)
    return Problem(model.eval(), {"train": oracles.images(50), "test": oracles.images(17)}, "cross_entropy")


def _mlp() -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        model = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.Tanh(), nn.Linear(16, 3))
    return Problem(model, {"train": oracles.images(50), "test": oracles.images(17)}, "cross_entropy")


def _soft() -> Problem:
    x, y = oracles.images(50)
    soft = 0.9 * functional.one_hot(y, 3) + 0.1 / 3
    return Problem(oracles.net(), {"train": (x, soft), "test": (x[:17], soft[:17])}, "cross_entropy")


def _dense() -> Problem:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 3, 1))
        model(torch.randn(16, 1, 6, 6) + 1)
        labels = torch.randint(3, (50, 6, 6))
    labels[::7] = -100
    return Problem(model.eval(), (oracles.images(50)[0], labels), "cross_entropy")


class Keyed(nn.Module):
    """Takes keywords and gives a mapping with logits, as Hugging Face's models do."""

    def __init__(self) -> None:
        super().__init__()
        self.net = oracles.net()

    def forward(self, *, pixels: Tensor, scale: Tensor) -> dict[str, Tensor]:
        return {"logits": self.net(pixels * scale[:, None, None, None])}


def _keyed() -> Problem:
    x, y = oracles.images(50)
    scale = torch.linspace(0.5, 1.5, 50)
    return Problem(Keyed(), {"train": {"pixels": x, "scale": scale, "labels": y}}, "cross_entropy")


PROBLEMS = {
    "net": oracles.net_problem, "everything": _everything, "in_place": _in_place, "mlp": _mlp, "soft": _soft,
    "dense": _dense, "keyed": _keyed,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "engine"),
    [(n, engine) for n in PROBLEMS for engine in FAST if (n, engine.name) != ("mlp", "folded")],
    ids=str,
)
def test_every_engine_agrees_with_the_eager_one_in_float64(name: str, engine: EngineConfig) -> None:
    exact = Evaluator(_context(PROBLEMS[name](), "float64"), EngineConfig("eager", 7))
    context = _context(PROBLEMS[name]())
    with borrowed(context.problem.model, context.perturb.device):
        evaluator = Evaluator(context, engine)
        exact.centre()
        evaluator.centre()
        expected, got = exact(POINTS), evaluator(POINTS)
    for metric, values in expected.values.items():
        if metric.endswith("_loss"):
            assert np.all(np.abs(got.values[metric] - values) <= 1e-5 * np.maximum(np.abs(values), 1e-2)), metric
        else:
            np.testing.assert_allclose(got.values[metric], values, atol=1e-12)  # counts of samples
        np.testing.assert_allclose(got.stderr[metric], expected.stderr[metric], rtol=1e-4, atol=1e-7)
        np.testing.assert_allclose(got.rise_stderr[metric], expected.rise_stderr[metric], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("engine", [EngineConfig("compiled", 20), EngineConfig("vmapped", 20, 4)], ids=str)
@pytest.mark.parametrize("splits", [1, 2])
def test_engines_give_the_closed_form_of_a_quadratic(engine: EngineConfig, splits: int) -> None:
    model, x, y = oracles.regression()
    quadratic = oracles.Quadratic(model, x, y)
    data = {"train": (x, y), "test": (x[:9], y[:9])}
    problem = Problem(model, dict(list(data.items())[:splits]), "mse")
    context = _context(problem, "float64")
    evaluator = Evaluator(context, engine)
    got = evaluator(POINTS).values["train_loss"]
    flat = [quadratic.flat(dict(direction)) for direction in context.perturb.directions]
    expected = [quadratic.at(a * flat[0] + b * flat[1]) for a, b in POINTS]
    np.testing.assert_allclose(got, expected, rtol=1e-10)


@pytest.mark.parametrize("engine", FAST, ids=str)
def test_a_point_has_the_same_bits_in_every_call(engine: EngineConfig) -> None:
    context = _context(oracles.net_problem())
    with borrowed(context.problem.model, context.perturb.device):
        evaluator = Evaluator(context, engine)
        together = evaluator(POINTS[: engine.group])
        again = evaluator(POINTS[: engine.group])
    for metric, values in together.values.items():
        np.testing.assert_array_equal(again.values[metric], values)


def test_a_slice_with_a_fixed_engine_has_equal_bits_for_any_number_of_workers() -> None:
    torch.set_num_threads(1)
    for engine in ("folded", "vmapped"):
        fixed: Any = {"engine": engine, "batch_size": 32}
        one, two = (
            oracles.run_slice(oracles.net_problem(), [(-1, 1, 7), (0, 1, 5)], workers=workers, **fixed)
            for workers in (1, 2)
        )
        assert one.provenance["engine"] == engine
        for metric, values in one.values.items():
            np.testing.assert_array_equal(two.values[metric], values)


def test_engine_and_group_are_read_back_from_the_file() -> None:
    first = oracles.run_slice(oracles.net_problem(), [(-1, 1, 7)], output="a.h5", engine="vmapped", batch_size=32)
    assert (first.provenance["engine"], first.provenance["group"]) == ("vmapped", 256)
    recorder = oracles.Recorder()
    again = oracles.run_slice(oracles.net_problem(), [(-1, 1, 7)], output="a.h5", reporter=recorder)
    assert again.provenance["group"] == 256
    assert any("complete already" in line for line in recorder.said)


class Branching(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(36, 3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.fc(x.flatten(1))
        return y if float(y.detach().sum()) > 0 else 2 * y  # a value decides: no graph holds it


@pytest.mark.parametrize("engine", ["compiled", "vmapped", "folded"])
def test_the_eager_engine_is_the_fallback_of_an_engine_that_can_not_run_the_problem(engine: str) -> None:
    problem = Problem(Branching(), oracles.images(20), "cross_entropy")
    recorder = oracles.Recorder()
    surface = oracles.run_slice(problem, [(-1, 1, 5)], engine=engine, reporter=recorder)
    assert surface.provenance["engine"] == "eager"
    assert any(
        f"engine {engine} can't run this problem" in line and "the eager engine runs instead" in line
        for line in recorder.warned
    )
    np.testing.assert_array_equal(
        surface.values["train_loss"], oracles.run_slice(problem, [(-1, 1, 5)], engine="eager").values["train_loss"]
    )


def test_a_loss_with_autograd_inside_is_left_to_the_eager_engine_or_right() -> None:
    def measure(model: nn.Module, batch: Any) -> dict[str, Any]:
        x = batch[0].detach().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        return {"loss": (slope.square().sum(), float(len(x)))}

    problem = Problem(
        nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), (torch.randn(12, 2),), measure=measure
    )
    eager = oracles.run_slice(problem, [(-1, 1, 5)], engine="eager")
    compiled = oracles.run_slice(problem, [(-1, 1, 5)], engine="compiled")
    np.testing.assert_allclose(compiled.values["train_loss"], eager.values["train_loss"], rtol=1e-5)


def test_batches_of_coupled_samples_are_never_filled_up() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.BatchNorm1d(8, track_running_stats=False), nn.Linear(8, 3))
    problem = Problem(model, oracles.images(50), "cross_entropy")
    eager = oracles.run_slice(problem, [(-1, 1, 5)], engine="eager", batch_size=20)
    compiled = oracles.run_slice(problem, [(-1, 1, 5)], engine="compiled", batch_size=20)
    assert compiled.provenance["engine"] == "compiled"
    np.testing.assert_allclose(compiled.values["train_loss"], eager.values["train_loss"], rtol=1e-5)


def test_a_users_mean_loss_is_right_in_every_engine() -> None:
    def loss(outputs: Tensor, targets: Tensor) -> Tensor:
        return functional.cross_entropy(outputs, targets)

    problem = Problem(oracles.net(), {"train": oracles.images(50), "test": oracles.images(17)}, loss)
    eager = oracles.run_slice(problem, [(-1, 1, 5)], engine="eager", batch_size=50)
    for engine in ("folded", "compiled"):
        other = oracles.run_slice(problem, [(-1, 1, 5)], engine=engine, batch_size=20)
        if not (engine == "folded" and torch.__version__.startswith("2.6.")):  # it can't trace a partial: eager then
            assert other.provenance["engine"] == engine
        for metric in ("train_loss", "test_loss"):
            np.testing.assert_allclose(other.values[metric], eager.values[metric], rtol=1e-5)


def test_an_engine_with_other_losses_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(problem: Problem) -> Any:
        call = eager(problem)
        return lambda state, batches: call({name: 1.01 * t for name, t in state.items()}, batches)

    monkeypatch.setattr(engines, "folded", wrong)
    context = _context(_mlp())
    chosen = select_engine(context, POINTS[:2], points=10, engine="folded")
    assert chosen.engine.name == "eager"
    assert "the eager engine gives" in chosen.notes[0]


def test_a_compilers_warning_that_is_an_error_does_not_decide_on_a_requested_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A compiler warns at its first use in a process, so that the tests that ran before would decide."""

    def warning(problem: Problem) -> Any:
        call = eager(problem)

        def run(state: Any, batches: Any) -> Any:
            warnings.warn("first use", UserWarning, stacklevel=1)  # an error here
            return call(state, batches)

        return run

    monkeypatch.setattr(engines, "folded", warning)
    chosen = select_engine(_context(_mlp()), POINTS[:2], points=10, engine="folded", batch_size=32)
    assert (chosen.engine, chosen.notes) == (EngineConfig("folded", 32), [])


class Timings:
    """Given seconds per point in place of measured ones, and the engines that were timed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, seconds: dict[str, float], elapsed: float = 0.0) -> None:
        self.timed: list[str] = []
        trials = importlib.import_module("surfaceviz.evaluate.engine_trials").EngineTrials

        def given(trial: Any, engine: EngineConfig) -> float:
            self.timed.append(str(engine))
            trial._last = Evaluator(trial.context, EngineConfig("eager", engine.batch_size)), trial.context
            return seconds.get(str(engine), seconds[engine.name])

        monkeypatch.setattr(trials, "seconds", given)
        monkeypatch.setattr(trials, "elapsed", lambda _trial: elapsed)


SECONDS = {"eager": 0.1, "folded": 0.1, "compiled": 0.1, "vmapped": 0.1}


def _select(name: str, **options: Any) -> evaluate.SelectedEngine:
    context = _context(PROBLEMS[name]())
    with borrowed(context.problem.model, context.perturb.device):
        return select_engine(context, POINTS[:2], **options)


def test_engines_are_not_compared_for_less_than_two_seconds_of_work(monkeypatch: pytest.MonkeyPatch) -> None:
    timings = Timings(monkeypatch, SECONDS)
    selected = _select("net", points=19)
    assert selected.engine == EngineConfig("eager", 128)
    assert timings.timed == list(selected.seconds) == ["eager, batches of 128"]


@pytest.mark.parametrize(
    ("name", "tried"),
    [("net", {"eager", "folded", "compiled"}), ("mlp", {"eager", "folded", "vmapped", "compiled"})],
)
@pytest.mark.parametrize("fastest", ["eager", "folded", "vmapped", "compiled"])
def test_the_fastest_engine_is_selected(
    name: str, tried: set[str], fastest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Timings(monkeypatch, {**SECONDS, fastest: 0.05})
    selected = _select(name, points=1e9)
    assert {title.split(",")[0] for title in selected.seconds} == tried
    assert selected.engine.name == (fastest if fastest in tried else "eager")
    assert selected.seconds[str(selected.engine)] == min(selected.seconds.values())


def test_smaller_batches_are_tried_while_they_are_faster(monkeypatch: pytest.MonkeyPatch) -> None:
    with torch.random.fork_rng(devices=[]):
        data = (torch.zeros(1000, 1, 6, 6), torch.zeros(1000, dtype=torch.long))
    context = _context(Problem(oracles.net(), data, "cross_entropy"))
    seconds = {**SECONDS, "folded, batches of 128": 0.05, "folded, batches of 32": 0.06}
    for faster, sizes in ((0.08, ["480", "128", "32"]), (math.inf, ["480", "128"])):
        timings = Timings(monkeypatch, {**seconds, "folded, batches of 480": faster if faster < 1 else 0.04})
        with borrowed(context.problem.model, context.perturb.device):
            selected = select_engine(context, POINTS[:2], points=1e9, compiling=False)
        assert [line.split()[-1] for line in timings.timed if line.startswith("folded")] == sizes
        assert selected.engine == EngineConfig("folded", 128 if faster < 1 else 480)


def test_compiling_is_not_worth_it_for_little_work(monkeypatch: pytest.MonkeyPatch) -> None:
    timings = Timings(monkeypatch, SECONDS)
    _select("net", points=999)  # 30 s of compiling, which save at most 0.3 of 99.9 s
    assert not any(line.startswith("compiled") for line in timings.timed)
    _select("net", points=1001)
    assert any(line.startswith("compiled") for line in timings.timed)


def test_timing_takes_at_most_a_twentieth_of_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    for elapsed, timed in ((3.0, True), (5.1, False)):  # of 100 s of work; "folded" is first, and costs nothing yet
        timings = Timings(monkeypatch, SECONDS, elapsed)
        _select("net", points=1000)
        assert ("eager, batches of 32" in timings.timed) is timed


def test_the_weights_of_the_model_do_not_change() -> None:
    problem = oracles.net_problem()
    before = {name: named.tensor.clone() for name, named in named_tensors(problem.model).items()}
    for engine in options.ENGINES:
        oracles.run_slice(problem, [(-1, 1, 3)], engine=engine)
    for name, named in named_tensors(problem.model).items():
        assert torch.equal(named.tensor, before[name])


def test_a_graph_without_convolutions_can_not_be_fused() -> None:
    module = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(2, 2)))
    with pytest.raises(CannotFuseError, match="no convolution to fold"):
        ConvBnFusion()(module, [])


def test_bf16_values_are_within_its_rounding() -> None:
    exact, coarse = _context(oracles.net_problem()), _context(oracles.net_problem(), "bf16")
    for engine in (EngineConfig("eager", 20), EngineConfig("folded", 20)):
        with borrowed(coarse.problem.model, coarse.perturb.device):
            got = Evaluator(coarse, engine)(POINTS).values["train_loss"]
        expected = Evaluator(exact, EngineConfig())(POINTS).values["train_loss"]
        np.testing.assert_allclose(got, expected, rtol=0.05)
        assert not np.array_equal(got, expected)


class Deep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Conv2d(1 if i == 0 else 4, 4, 3, padding=1) for i in range(12))
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = torch.relu(layer(x))
        out: Tensor = self.fc(x.mean((2, 3)))
        return out


def test_overflows_are_nan_in_the_folded_engine_too() -> None:
    """OneDNN's rectifier makes 0 of NaN, and ln 3 of an exploded loss."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        problem = Problem(Deep(), oracles.images(20), "cross_entropy")
    axes = [(-10, 10000, 9)]
    eager, folded = (oracles.run_slice(problem, axes, engine=engine, batch_size=20) for engine in ("eager", "folded"))
    assert folded.provenance["engine"] == "folded"
    assert not np.isfinite(eager.values["train_loss"][3:]).any()
    np.testing.assert_array_equal(np.isfinite(folded.values["train_loss"]), np.isfinite(eager.values["train_loss"]))


def test_a_users_sums_are_right_with_several_weight_sets() -> None:
    def measure(model: nn.Module, batch: Any) -> dict[str, Any]:
        each = functional.cross_entropy(model(batch[0]).double(), batch[1], reduction="none")
        return {"loss": (each.sum(), torch.ones_like(each).sum())}

    problem = Problem(_mlp().model, oracles.images(50), measure=measure)
    eager = oracles.run_slice(problem, [(-1, 1, 5)], engine="eager")
    several = oracles.run_slice(problem, [(-1, 1, 5)], engine="vmapped", batch_size=20)
    assert several.provenance["engine"] == "vmapped"
    np.testing.assert_allclose(several.values["train_loss"], eager.values["train_loss"], rtol=1e-5)


def test_the_fallback_is_kept_when_the_same_command_resumes() -> None:
    problem = Problem(Branching(), oracles.images(20), "cross_entropy")
    first = oracles.run_slice(problem, [(-1, 1, 5)], engine="compiled", output="a.h5")
    recorder = oracles.Recorder()
    oracles.run_slice(problem, [(-1, 1, 5)], engine="compiled", output="a.h5", reporter=recorder)
    assert first.provenance["engine"] == "eager"
    assert any("complete already" in line for line in recorder.said)


def test_several_weight_sets_do_not_recalibrate_batch_norms() -> None:
    recorder = oracles.Recorder()
    options: Any = {"engine": "vmapped", "bn": "recalibrate", "reporter": recorder}
    assert oracles.run_slice(oracles.net_problem(), [(-1, 1, 3)], **options).provenance["engine"] == "eager"
    assert any("can't recalibrate batch norms" in line for line in recorder.warned)


def test_growth_of_filters_counts_from_theta_for_any_first_point() -> None:
    """24 layers whose activations overflow at some points; oneDNN's rectifier would make 0 of a NaN."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [part for _ in range(24) for part in (nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.ReLU())]
        model = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))
        data = (torch.randn(16, 3, 8, 8).repeat(1, 3, 1, 1)[:, :8], torch.arange(16) % 4)
    context = _context(Problem(model, data, "cross_entropy"))
    places = [(10.0, 0.0), (100.0, 0.0), (0.5, 0.0)]
    with borrowed(model, torch.device("cpu")):
        expected = Evaluator(context, EngineConfig("eager", 16))(places).values["train_loss"]
        values = Evaluator(context, EngineConfig("folded", 16))(places).values["train_loss"]
    assert np.isnan(expected).tolist() == [False, True, False]
    np.testing.assert_allclose(values, expected, rtol=1e-4)


def test_recalibration_uses_the_same_batches_with_every_engine() -> None:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        data = (torch.randn(1000, 1, 6, 6), torch.randint(3, (1000,)))
    problem = Problem(oracles.net(), data, "cross_entropy")
    context = _context(problem, bn="recalibrate")
    with borrowed(problem.model, torch.device("cpu")):
        chosen = select_engine(context, POINTS[:2], points=1e5, compiling=False)
        losses = [
            Evaluator(context, EngineConfig("eager", size))(POINTS[:1]).first["train_loss"] for size in (32, 128, 480)
        ]
    assert chosen.notes == []
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-7)


@pytest.mark.parametrize("engine", ["vmapped", "unfused"])
def test_a_mean_over_a_batch_works_with_several_weight_sets(engine: str) -> None:
    """Also with a short last batch that a graph of the others does not fit."""

    class Viewed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(36, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.fc(x.view(x.shape[0], -1))
            return out

    problem = Problem(Viewed(), oracles.images(50), functional.cross_entropy)
    context = _context(problem)
    with borrowed(problem.model, torch.device("cpu")):
        expected = Evaluator(context, EngineConfig("eager", 30))(POINTS)
        values = Evaluator(context, EngineConfig(engine, 30, 2))(POINTS)
    for name, array in expected.values.items():
        np.testing.assert_allclose(values.values[name], array, rtol=1e-5)


def test_the_engine_that_was_compiled_for_timing_evaluates_all_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[int] = []
    fold = ConvBnFusion.__call__

    def counting(folding: ConvBnFusion, *given: Any) -> Any:
        compiled.append(1)
        return fold(folding, *given)

    monkeypatch.setattr(ConvBnFusion, "__call__", counting)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(2)
        data = {"a": (torch.randn(2900, 1, 6, 6), torch.randint(3, (2900,))), "b": oracles.images(33)}
    problem = Problem(oracles.net(), data, "cross_entropy")
    context = _context(problem)
    with borrowed(problem.model, torch.device("cpu")):
        chosen = select_engine(context, POINTS[:1], points=10, engine="folded", batch_size=480)
        assert chosen.evaluator is not None
        values = chosen.evaluator(POINTS)
        expected = Evaluator(context, EngineConfig("eager", 480))(POINTS)
    assert compiled == [1]
    for name, array in expected.values.items():
        np.testing.assert_allclose(values.values[name], array, rtol=1e-5)
    assert context.shortened(1000).samples == 1000


def test_warnings_of_engines_that_are_only_tried_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = importlib.import_module("surfaceviz.evaluate.engine_trials")
    tried: list[str] = []
    evaluator = trials.Evaluator

    class Warning(evaluator):  # type: ignore[misc, valid-type]  # noqa: A001
        """Warns for each engine except the eager one, as functorch does for operators without a batching rule."""

        def __call__(self, points: Any) -> Any:
            if self.engine.name != "eager":
                tried.append(self.engine.name)
                warnings.warn(f"there is a performance drop with {self.engine.name}", stacklevel=1)
            return super().__call__(points)

    monkeypatch.setattr(trials, "Evaluator", Warning)
    monkeypatch.setattr(importlib.import_module("surfaceviz.evaluate.select_engine"), "_MIN_WORK", 0.0)
    with warnings.catch_warnings(record=True) as shown:
        warnings.simplefilter("always")
        _select("mlp", points=1e5, batch_size=20, compiling=False)
    assert {"unfused", "vmapped"} <= set(tried)
    assert [str(each.message) for each in shown if "performance drop" in str(each.message)] == []


@pytest.mark.parametrize("points", [1, 5, 11])
def test_choosing_an_engine_for_few_points_evaluates_one(points: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Five points, one to warm up, two to compare and two to time, would take more than a third of eleven."""
    trials = importlib.import_module("surfaceviz.evaluate.engine_trials")
    evaluated: list[Any] = []
    evaluator = trials.Evaluator

    class Counting(evaluator):  # type: ignore[misc, valid-type]
        """Counts the points that are evaluated, with any engine."""

        def __call__(self, places: Any) -> Any:
            evaluated.extend(places)
            return super().__call__(places)

    monkeypatch.setattr(trials, "Evaluator", Counting)
    monkeypatch.setattr(importlib.import_module("surfaceviz.evaluate.select_engine"), "_MIN_WORK", 0.0)
    for name in ("net", "mlp"):
        evaluated.clear()
        assert _select(name, points=points).engine.name == "eager"
        assert len(evaluated) == 1
