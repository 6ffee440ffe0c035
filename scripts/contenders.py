"""The ways to cut a slice that the benchmarks compare, each in processes of its own.

``python scripts/contenders.py PROBLEM KIND THREADS`` answers lines of seconds on stdin with points per second.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from surfaceviz.evaluate import EngineConfig, Evaluator, select_engine
from surfaceviz.execute import retain_freed_memory
from surfaceviz.pipeline.resolve import resolve
from surfaceviz.pipeline.slice.planning.make_plan import make_plan
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.problem.functional import borrowed
from surfaceviz.problem.problem import Problem
from surfaceviz.zoo.networks import ResNet, small_cnn

BASELINES = ("loss-landscapes", "loader", "plain")
ENGINES = {str(engine): engine for engine in [
    EngineConfig("eager", 480), EngineConfig("eager", 128), EngineConfig("eager", 32),
    EngineConfig("folded", 480), EngineConfig("folded", 128), EngineConfig("folded", 32),
    EngineConfig("compiled", 480), EngineConfig("vmapped", 480, 16), EngineConfig("vmapped", 480, 64),
    EngineConfig("vmapped", 480, 256),
]}  # fmt: skip
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
    retain_freed_memory()
    axes = [(-1, 1, 101), (-1, 1, 101)]
    plan = make_plan(Request.of(problem, axes, dtype=dtype), lambda _line: None)
    _for_life.enter_context(borrowed(problem.model, torch.device("cpu")))
    context = plan.context()
    engine = (
        select_engine(context, [(0.1, 0.2), (-0.2, 0.1)], points=10_000).engine if kind == "auto" else ENGINES[kind]
    )
    evaluator = Evaluator(context, engine)
    evaluator.centre()

    def points() -> int:
        evaluator([(0.1, 0.1)] * evaluator.group)
        return evaluator.group

    return points, str(engine)


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
        command = [sys.executable, __file__, name, kind, str(2 // processes)]
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
            "points_per_second": statistics.median(self.rates or [0.0]),
            "start_seconds": self.start,
            "peak_mb": self.megabytes,
        }


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    told = dict(reversed([[x.strip() for x in line.split(":", 1)] for line in lines if ":" in line]))
    flags = sorted({"avx2", "avx512f", "avx512_bf16", "amx_bf16", "neon"} & set(told.get("flags", "").split()))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": told.get("model name", platform.processor() or platform.machine()), "flags": flags,
        "cores": os.cpu_count(), "memory_gb": round(memory, 1), "torch": torch.__version__, "python":
        platform.python_version(),
    }  # fmt: skip


if __name__ == "__main__":
    child(sys.argv[1], sys.argv[2], int(sys.argv[3]))
