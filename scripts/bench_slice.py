"""Points per second of surfaceviz against three other ways to cut a slice, on two cores.

    pip install loss-landscapes==3.0.6
    python scripts/bench_slice.py [--problems resnet20-digits ...] [--rounds 3] [--seconds 2] [--json FILE]

The baselines, each as one process of two threads and as two processes of one, of which the faster counts:

* ``loss-landscapes``: `random_plane` of the PyPI package, its own filter normalisation;
* ``loader``: as the reference code of Li et al. works, a `DataLoader` restarted at each point, weights copied;
* ``plain``: what a good engineer writes in ten lines, data in memory, batches of 128, `inference_mode`.

surfaceviz runs as two processes of one thread, as the tool does, by each of its engines and by the one it chooses;
it computes accuracies and standard errors as well. All processes of a problem are started and warmed up once, then
take turns in each round; medians over the rounds are given. Images are random numbers, but for the digits. Starting
times are those with nothing in torch's cache; for the compiled engine, and for the one chosen, also with a full one.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from contenders import BASELINES, ENGINES, Contender, machine, problem_of
from torch.utils.flop_counter import FlopCounterMode

from surfaceviz.problem.problem import Problem

# at least, aim: points per second over the best baseline's
TARGETS = {
    "resnet20-digits": (1.35, 2.0),
    "resnet20-32": (1.8, 2.5),
    "resnet20-32 bf16": (2.6, 4.0),
    "mlp-digits": (2.2, 5.0),
    "mlp-digits-64": (4.5, 15.0),
}
FRACTION, GRID, CHOICE = 0.8, 1.15, 0.95  # of the matrix product at 32 x 32 in float32; 2601 points cold; of the best
PROBLEMS = ("resnet20-digits", "resnet20-32", "resnet20-32 bf16", "cnn-28", "mlp-digits", "mlp-digits-64")


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
    # An MLP has nothing to fold; over convolutions vmap takes half a minute to compile, and loses.
    others = [kind for kind in ENGINES if not kind.startswith("folded" if name.startswith("mlp") else "vmapped")]
    contenders += [Contender(name, kind, 2, environment) for kind in (*others, "auto")]
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
    for kind in ("compiled, batches of 480", "auto"):
        again = Contender(name, kind, 2, environment)
        again.end()
        figures[again.title]["start_seconds_warm"] = again.start
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


def met(name: str, figures: dict[str, Any]) -> bool:
    """Return whether a problem's figures are what they must be."""
    grid = figures.get("grid_of_2601_cold", {"ratio": GRID})
    fine = figures["ratio"] >= TARGETS.get(name, (0.0, 0.0))[0] and grid["ratio"] >= GRID
    fine &= figures["auto_over_best_fixed"] >= CHOICE
    return bool(fine and (name != "resnet20-32" or figures["matrix_product_fraction"] >= FRACTION))


def main() -> int:
    """Print and write the figures; return 0 where every ratio is at least what it must be."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--problems", nargs="+", default=list(PROBLEMS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--json", type=Path, help="written after each problem; the others' figures stay")
    asked = parser.parse_args()
    results: dict[str, Any] = json.loads(asked.json.read_text()) if asked.json and asked.json.exists() else {}
    results["machine"] = machine()
    fine = True
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
        fine &= met(name, figures)
        print(f"{name}: {figures['ratio']:.2f} times the best baseline (at least {least}, aim {aim})")
        print(json.dumps(figures, indent=2), flush=True)
        if asked.json:
            asked.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
