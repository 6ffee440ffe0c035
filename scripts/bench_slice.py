"""Points per second of surfaceviz against three other ways to cut a slice, on two cores.

    pip install loss-landscapes==3.0.6
    python scripts/bench_slice.py [--problems resnet20-digits ...] [--rounds 3] [--seconds 2] [--json FILE]

The baselines, each as one process of two threads and as two processes of one, of which the faster counts:

* ``loss-landscapes``: `random_plane` of the PyPI package, its own filter normalisation;
* ``loader``: as the reference code of Li et al. works, a `DataLoader` restarted at each point, weights copied;
* ``plain``: what a good engineer writes in ten lines, data in memory, batches of 128, `inference_mode`.

surfaceviz runs as two processes of one thread, as the tool does, by each of its engines and by the one it chooses;
it computes accuracies and standard errors as well. All processes of a problem are started and warmed up once, then
take turns in each round; medians over the rounds are given. Images are random numbers, but for the digits.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.flop_counter import FlopCounterMode

from surfaceviz.evaluate import Evaluator, How, choose
from surfaceviz.execute import keep_memory
from surfaceviz.functional import borrowed
from surfaceviz.grid import Axis
from surfaceviz.pipeline.plan import make_plan
from surfaceviz.pipeline.request import Request
from surfaceviz.pipeline.resolve import resolve
from surfaceviz.problem import Problem
from surfaceviz.zoo.networks import ResNet, small_cnn

BASELINES = ("loss-landscapes", "loader", "plain")
ENGINES = {
    "eager": How("eager", 128),
    "folded": How.of("folded"),
    "folded, small batches": How("folded", 32),
    "compiled": How.of("compiled"),
    "vmapped": How.of("vmapped"),
}
# at least, aim: points per second over the best baseline's
TARGETS = {
    "resnet20-digits": (1.35, 2.0),
    "resnet20-32": (1.8, 2.5),
    "resnet20-32 bf16": (2.6, 4.0),
    "mlp-digits": (2.2, 5.0),
    "mlp-digits-64": (4.5, 15.0),
}
PROBLEMS = ("resnet20-digits", "resnet20-32", "resnet20-32 bf16", "cnn-28", "mlp-digits", "mlp-digits-64")

_for_life = ExitStack()  # what a process borrows, it never gives back

Point = Callable[[], int]  # evaluates some points and returns their number


def problem_of(name: str) -> Problem:
    """Return one of the problems, with the train split alone."""
    torch.manual_seed(0)
    if name.startswith("resnet20-32"):
        model = ResNet(3, channels=3)
        for parameter in model.parameters():  # loss-landscapes divides by the norms of filters, and of biases
            parameter.data.add_(0.01 * torch.randn_like(parameter))
        return Problem(model, (torch.randn(512, 3, 32, 32), torch.randint(10, (512,))), "cross_entropy")
    if name == "cnn-28":
        return Problem(small_cnn(), (torch.randn(2000, 1, 28, 28), torch.randint(10, (2000,))), "cross_entropy")
    catalogue = resolve(name.removesuffix("-64"), None)
    x, y = catalogue.load("train").rows
    count = 64 if name.endswith("-64") else len(x)
    return Problem(catalogue.model, (x[:count], y[:count]), "cross_entropy")


def loss_landscapes(problem: Problem) -> Point:
    """Return planes of 3 x 3 points by the PyPI package."""
    import loss_landscapes  # noqa: PLC0415
    from loss_landscapes.metrics import Loss  # noqa: PLC0415

    x, y = problem.load("train").rows
    metric = Loss(nn.CrossEntropyLoss(), x, y)

    def points() -> int:
        with torch.no_grad():
            plane = loss_landscapes.random_plane(
                problem.model, metric, distance=1, steps=3, normalization="filter", deepcopy_model=True
            )
        return int(plane.size)

    return points


def _weights(model: nn.Module) -> tuple[list[Tensor], list[Tensor], list[Tensor], list[Tensor]]:
    own = [p.detach() for p in model.parameters()]
    theta = [p.clone() for p in own]
    delta, eta = ([torch.randn_like(p) * p.norm() / p.numel() ** 0.5 for p in theta] for _ in range(2))
    return own, theta, delta, eta


def loader(problem: Problem) -> Point:
    """Return a point as the reference code evaluates it."""
    batches = DataLoader(TensorDataset(*problem.load("train").rows), batch_size=128)
    own, theta, delta, eta = _weights(problem.model)

    def point() -> int:
        for p, w, a, b in zip(own, theta, delta, eta, strict=True):
            p.copy_(w + (0.1 * a + 0.1 * b))
        total = 0.0
        with torch.no_grad():
            for x, y in batches:
                total += functional.cross_entropy(problem.model(x), y).item() * len(x)
        return 1

    return point


def plain(problem: Problem) -> Point:
    """Return a point of a plain, careful loop."""
    x, y = problem.load("train").rows
    batches = list(zip(x.split(128), y.split(128), strict=True))
    own, theta, delta, eta = _weights(problem.model)

    @torch.inference_mode()
    def point() -> int:
        torch._foreach_copy_(own, theta)
        torch._foreach_add_(own, delta, alpha=0.1)
        torch._foreach_add_(own, eta, alpha=0.1)
        total = torch.zeros(())
        for inputs, targets in batches:
            total += functional.cross_entropy(problem.model(inputs), targets, reduction="sum")
        (total / len(x)).item()
        return 1

    return point


def surfaceviz(problem: Problem, dtype: str, kind: str) -> tuple[Point, str]:
    """Return a group of points by an engine, or by the one that is chosen, and its name."""
    keep_memory()
    axes = (Axis(-1, 1, 101), Axis(-1, 1, 101))
    plan = make_plan(Request(problem, axes=axes, dtype=dtype), lambda _line: None)
    _for_life.enter_context(borrowed(problem.model, torch.device("cpu")))
    world = plan.world()
    how = choose(world, [(0.1, 0.2), (-0.2, 0.1)], points=10_000).how if kind == "auto" else ENGINES[kind]
    evaluator = Evaluator(world, how)
    evaluator.centre()

    def points() -> int:
        evaluator([(0.1, 0.1)] * evaluator.group)
        return evaluator.group

    return points, str(how)


def child(name: str, kind: str, threads: int) -> None:
    """Run points for as long as the lines on stdin say."""
    torch.set_num_threads(threads)
    problem, dtype = problem_of(name), "bf16" if name.endswith("bf16") and kind not in BASELINES else "float32"
    problem.model.eval()
    begun, label = time.perf_counter(), kind
    makers = {"loss-landscapes": loss_landscapes, "loader": loader, "plain": plain}
    if kind in makers:
        points = makers[kind](problem)
    else:
        points, label = surfaceviz(problem, dtype, kind)
    points()
    print(json.dumps({"label": label, "start": time.perf_counter() - begun}), flush=True)
    for line in sys.stdin:
        count, begun = 0, time.perf_counter()
        while time.perf_counter() - begun < float(line):
            count += points()
        rate = count / (time.perf_counter() - begun)
        print(json.dumps({"rate": rate, "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}), flush=True)


class Contender:
    """One way to cut a slice: its processes, and what they measured."""

    def __init__(self, name: str, kind: str, processes: int, environment: dict[str, str]) -> None:
        self.title = f"{kind}, {processes} x {2 // processes}"
        command = [sys.executable, __file__, "--child", name, kind, str(2 // processes)]
        self._processes = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            for _ in range(processes)
        ]
        answers = [self._answer(process) for process in self._processes]
        self.label, self.start = str(answers[0]["label"]), max(float(a["start"]) for a in answers)
        self.rates: list[float] = []
        self.megabytes = 0.0

    @staticmethod
    def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
        assert process.stdout is not None
        answer: dict[str, Any] = json.loads(process.stdout.readline())
        return answer

    def round(self, seconds: float) -> None:
        """Measure for some seconds, all processes at once."""
        for process in self._processes:
            assert process.stdin is not None
            process.stdin.write(f"{seconds}\n")
            process.stdin.flush()
        answers = [self._answer(process) for process in self._processes]
        self.rates.append(sum(float(a["rate"]) for a in answers))
        self.megabytes = sum(float(a["mb"]) for a in answers)

    def end(self) -> dict[str, Any]:
        """Stop and return the medians."""
        for process in self._processes:
            process.communicate()
        return {
            "engine": self.label,
            "points_per_second": statistics.median(self.rates),
            "start_seconds": self.start,
            "peak_mb": self.megabytes,
        }


def matrix_product_rate() -> float:
    """Return the floating point operations per second of a float32 product of 1024 x 1024 matrices, one thread."""
    torch.set_num_threads(1)
    a = torch.randn(1024, 1024)
    times = []
    for _ in range(10):
        begun = time.perf_counter()
        a @ a
        times.append(time.perf_counter() - begun)
    return 2 * 1024**3 / statistics.median(times)


def operations(problem: Problem) -> int:
    """Return the multiplications and additions of one point."""
    x = problem.load("train").rows[0]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        problem.model.eval()(x[:1])
    return int(counter.get_total_flops()) * len(x)


def measure(name: str, rounds: int, seconds: float, environment: dict[str, str]) -> dict[str, Any]:
    """Return all figures of one problem."""
    contenders = [Contender(name, kind, n, environment) for kind in BASELINES for n in (1, 2)]
    for kind in (*ENGINES, "auto"):
        if kind.startswith("folded" if name.startswith("mlp") else "vmapped"):
            continue  # nothing to fold; and over convolutions vmap takes half a minute to compile, and loses
        contenders.append(Contender(name, kind, 2, environment))
    products = []
    for _ in range(rounds):
        for contender in contenders:
            contender.round(seconds)
        products.append(matrix_product_rate())
    figures = {contender.title: contender.end() for contender in contenders}
    rates = {title: each["points_per_second"] for title, each in figures.items()}
    baseline = max(rate for title, rate in rates.items() if title.startswith(BASELINES))
    ours = {title: rate for title, rate in rates.items() if not title.startswith(BASELINES)}
    auto = ours.pop("auto, 2 x 1")
    product = statistics.median(products)
    return {
        "contenders": figures,
        "best_baseline": baseline,
        "ratio": auto / baseline,
        "auto_over_best_fixed": auto / max(ours.values()),
        "matrix_product_gflops": product / 1e9,
        "matrix_product_fraction": auto / 2 * operations(problem_of(name)) / product,
    }


def grid_of_2601(environment: dict[str, str], rate: float) -> dict[str, float]:
    """Return the time of a whole command over 51 x 51 points, nothing compiled before, and its ratio to a baseline."""
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "a.h5"
        command = [sys.executable, "-m", "surfaceviz", "slice", "resnet20-digits", "--quiet", "--no-plot"]
        axes = ["--axis=-1:1:51", "--axis=-1:1:51", "--split", "train", "-o", str(output)]
        begun = time.perf_counter()
        subprocess.run([*command, *axes], check=True, stderr=subprocess.DEVNULL, env=environment)
        seconds = time.perf_counter() - begun
    return {"seconds": seconds, "ratio": 2601 / rate / seconds}


def main() -> int:
    """Print and write the figures; return 0 where every ratio is at least what it must be."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path, help="written after each problem; the others' figures stay")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.child:
        child(asked.child[0], asked.child[1], int(asked.child[2]))
        return 0
    machine = f"{platform.machine()}, 2 processes of one thread, torch {torch.__version__}"
    results: dict[str, Any] = json.loads(asked.json.read_text()) if asked.json and asked.json.exists() else {}
    results |= {"machine": machine, "cores": os.cpu_count()}
    met = True
    for name in asked.problems:
        with tempfile.TemporaryDirectory() as cache:  # an empty cache: `start_seconds` are those of a first time
            environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": cache}
            figures = measure(name, asked.rounds, asked.seconds, environment)
            if name == "resnet20-digits":
                with tempfile.TemporaryDirectory() as cold:
                    environment = os.environ | {"TORCHINDUCTOR_CACHE_DIR": cold}
                    figures["grid_of_2601_cold"] = grid_of_2601(environment, figures["best_baseline"])
        results[name] = figures
        least, aim = TARGETS.get(name, (0.0, 0.0))
        met &= figures["ratio"] >= least
        print(f"{name}: {figures['ratio']:.2f} times the best baseline (at least {least}, aim {aim})")
        print(json.dumps(figures, indent=2), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
