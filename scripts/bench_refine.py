"""How many points a refined picture takes, how true it is, and how soon it is there.

    python scripts/bench_refine.py [--parts time shares coverage samples] [--json FILE]

* shares: both shipped ResNets over [-1, 1]^2 on 51 x 51 and 101 x 101 points, tolerances 0.02 and 0.05: the share of
  points evaluated, the audits among them, and the true errors of the others against the full grid;
* coverage: on 40 listed surfaces that nothing was tuned on, how often the audit's bound covers the true share;
* time: a slice with ``tol=0.05`` against the full grid by a plain loop (two processes of one thread, points per second
  as in bench_slice.py, their starting not counted), in a process that has started; and the whole command, from
  importing torch to the picture drawn;
* samples: ``--samples auto`` against all samples, for an MLP trained on the 60,000 images of Fashion-MNIST.

Full grids are cut by surfaceviz itself and kept in build/refine; a refinement is then answered from them, which gives
what a run gives. cnn-fashion and the last part need the data set (docs/start/first-slice.md).
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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contenders import Contender, machine
from torch import nn

import surfaceviz
from surfaceviz.records import FloatArray, Slice
from surfaceviz.refine import JudgedMetric, LossError, RefinementGoal, RefinementResult, refinement
from surfaceviz.reporting import QuietReporter
from surfaceviz.zoo.datasets import idx_folder
from surfaceviz.zoo.labelled_data import Dataset
from surfaceviz.zoo.training import Recipe, train

KEPT = Path(__file__).parent.parent / "build" / "refine"
CLASSES = 10
STEP = 1 / 360  # of the smaller split's accuracy
# (grid, tolerance) -> at least, aim: the share of points evaluated
SHARES = {(51, 0.02): (0.25, 0.15), (51, 0.05): (0.15, 0.09), (101, 0.02): (0.09, 0.05), (101, 0.05): (0.06, 0.03)}
COVERED, TIMES = 36, (8.0, 20.0)
RANGES = (0.1, 0.3, 0.6, 1.0, 1.5, 2.0, 3.0)


@dataclass(frozen=True)
class Surface:
    """A surface of the coverage list."""

    problem: str
    seed: int
    reach: float
    points: int
    samples: int | None = None

    def run_slice(self) -> Slice:
        """Return the full grid, from the file where it is there already."""
        axis = (-self.reach, self.reach, self.points)
        output = KEPT / f"{self.problem}-{self.seed}-{self.reach:g}-{self.points}.h5"
        return surfaceviz.slice(
            self.problem, [axis, axis], seed=self.seed, samples=self.samples, output=output, reporter=Silent()
        )


class Silent(QuietReporter):
    """Says nothing, not even warnings: a surface that explodes is no news here."""

    def warn(self, line: str) -> None:
        """Say nothing."""


LISTED = (
    [Surface("resnet20-digits", 100 + i, RANGES[i], 31) for i in range(7)]
    + [Surface("resnet20-plain-digits", 110 + i, RANGES[i], 31) for i in range(7)]
    + [Surface("cnn-fashion", 120 + i, RANGES[i], 31, samples=500) for i in range(7)]
    + [Surface("mlp-digits", 130 + i, RANGES[i % 7], 51) for i in range(19)]
)


def refined(full: Slice, tolerance: float, step: int = 1) -> tuple[RefinementResult, float, dict[str, float]]:
    """Return a refinement answered from a full grid, its own seconds, and the levels."""
    axes = [axis[::step] for axis in full.axes]
    values = {name: array[::step, ::step] for name, array in full.values.items()}
    centre = {name: full.centre[name] for name in values if name.endswith("_loss")}
    levels = {name: max(10 * loss, float(np.log(CLASSES))) for name, loss in centre.items()}
    others = {name: JudgedMetric(full.loss_of(name), STEP) for name in values if name not in levels}
    begun = time.perf_counter()
    course = refinement(axes, RefinementGoal(tolerance=tolerance, levels=levels, centre=centre, metrics=others))
    asked = next(course)
    while True:
        try:
            asked = course.send({name: array.flat[asked.indices] for name, array in values.items()})
        except StopIteration as stop:
            return stop.value, time.perf_counter() - begun, levels


def errors(full: Slice, result: RefinementResult, levels: dict[str, float], step: int = 1) -> FloatArray:
    """Return the larger of the losses' errors at each interpolated point that is drawn as known, by the definition."""
    worst: FloatArray = np.zeros(0)
    shown = np.logical_or.reduce([result.filled[name].reshape(-1) <= level for name, level in levels.items()])
    for name, level in levels.items():
        truth = full.values[name][::step, ::step].reshape(-1)
        measure = LossError.of(truth[result.evaluated], level=level, centre=full.centre[name])
        rest = np.setdiff1d(np.flatnonzero(shown), result.evaluated)
        clipped = np.minimum(truth[rest], level)
        guess = np.minimum(result.filled[name].reshape(-1)[rest], level)
        error = np.abs(guess - clipped) / np.maximum(clipped - measure.minimum, measure.floor)
        error = np.where(np.isfinite(truth[rest]), error, np.inf)
        worst = np.maximum(worst, error) if worst.size else error
    return worst


def shares() -> tuple[list[dict[str, Any]], bool]:
    """Return a row for each network, grid and tolerance, and whether all reach what they must."""
    rows, met = [], True
    for problem in ("resnet20-digits", "resnet20-plain-digits"):
        full = Surface(problem, 0, 1.0, 101).run_slice()
        for (points, tolerance), (least, aim) in SHARES.items():
            step = 100 // (points - 1)
            result, seconds, levels = refined(full, tolerance, step)
            found = errors(full, result, levels, step)
            row = {
                "problem": problem, "grid": f"{points} x {points}", "tolerance": tolerance,
                "share": result.evaluated.size / points**2, "least": least, "aim": aim,
                "audits": len(result.failed) + 1, "percentile95": float(np.percentile(found, 95)),
                "share_over": float(np.mean(found > tolerance)), "own_seconds": seconds,
            }  # fmt: skip
            met &= row["share"] <= least and row["percentile95"] <= tolerance  # type: ignore[operator]
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows, met


def coverage() -> tuple[dict[str, Any], bool]:
    """Return how often the bound covers the truth on the listed surfaces, and a row for each."""
    rows = []
    for surface in LISTED:
        full = surface.run_slice()
        for tolerance in (0.05,):
            result, _, levels = refined(full, tolerance)
            found = errors(full, result, levels)
            over = float(np.mean(found > tolerance)) if found.size else 0.0
            bound = result.audit.share_upper95
            row = {
                "surface": f"{surface.problem}, seed {surface.seed}, range {surface.reach:g}, {surface.points}^2",
                "tolerance": tolerance, "share": result.evaluated.size / full.origin.size, "share_over": over,
                "bound": bound, "covered": bool(over <= bound),
            }  # fmt: skip
            print(json.dumps(row), flush=True)
            rows.append(row)
    covered = sum(bool(row["covered"]) for row in rows)
    summary = {
        "covered": covered,
        "of": len(rows),
        "median_share": statistics.median(float(str(r["share"])) for r in rows),
    }
    print(json.dumps(summary))
    return {**summary, "surfaces": rows}, covered >= COVERED


def picture_time(rounds: int) -> tuple[dict[str, Any], bool]:
    """Return the time to a picture of 51 x 51 points and its ratio to a plain loop over the full grid."""
    baseline = Contender("resnet20-digits", "plain", 2, dict(os.environ))
    axes = [(-1, 1, 51), (-1, 1, 51)]
    seconds, commands = [], []
    for _ in range(rounds):
        baseline.round(2.0)
        surface, taken = _timed("resnet20-digits", axes, splits="train", tol=0.05)
        seconds.append(taken)
        commands.append(_command_seconds())
    rate = baseline.end()["points_per_second"]
    ours, command = statistics.median(seconds), statistics.median(commands)
    figures = {
        "command_seconds": command, "command_ratio": 2601 / rate / command,
        "seconds": ours, "evaluated": surface.evaluated, "baseline_points_per_second": rate,
        "baseline_seconds": 2601 / rate, "ratio": 2601 / rate / ours, "least": TIMES[0], "aim": TIMES[1],
        "engine": surface.provenance["engine"],
    }  # fmt: skip
    print(json.dumps(figures))
    return figures, figures["ratio"] >= TIMES[0]


def fashion_mlp() -> surfaceviz.Problem:
    """Return a 784-64-10 ReLU network trained on Fashion-MNIST, with its training split."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        data = idx_folder(splits=("train",))["train"]
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
        train(model, Dataset(splits={"train": data}, classes=10), Recipe(epochs=5, batch_size=256))
    return surfaceviz.Problem(model, {"train": data}, "cross_entropy")


def samples(tolerance: float = 0.05, points: int = 51) -> tuple[dict[str, Any], bool]:
    """Return what as few samples as the tolerance bears cost and how far they are off, against all samples."""
    problem, axes = fashion_mlp(), [(-1, 1, points), (-1, 1, points)]
    few, on_all, full = (
        _timed(problem, axes, tol=tol, samples=number)
        for tol, number in ((tolerance, "auto"), (tolerance, None), (None, None))
    )
    seconds = [each[1] for each in (few, on_all, full)]
    truth, surface = full[0].values["train_loss"].ravel(), few[0]
    level = max(10 * surface.centre["train_loss"], float(np.log(CLASSES)))
    measure = LossError.of(truth, level=level, centre=surface.centre["train_loss"])
    off = measure.error(surface.values["train_loss"].ravel(), truth)
    figures: dict[str, Any] = {
        "samples": surface.provenance["subset"], "of": problem.load("train").count,
        "evaluated": [each[0].evaluated for each in (few, on_all)], "seconds": seconds,
        "time_saved": 1 - seconds[0] / seconds[1], "percentile95": float(np.percentile(off, 95)),
        "share_over": float(np.mean(off > tolerance)),
    }  # fmt: skip
    print(json.dumps(figures))
    return figures, figures["percentile95"] <= tolerance


def _command_seconds() -> float:
    with tempfile.TemporaryDirectory() as folder:
        words = ["resnet20-digits", "--axis=-1:1:51", "--axis=-1:1:51", "--split=train", "--tol=0.05", "--quiet"]
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "surfaceviz", "slice", *words, "-o", f"{folder}/a.h5"], check=True)
        return time.perf_counter() - begun


def _timed(problem: surfaceviz.Problem | str, axes: Any, **options: Any) -> tuple[Slice, float]:
    begun = time.perf_counter()
    surface = surfaceviz.slice(problem, axes, reporter=Silent(), **options)
    return surface, time.perf_counter() - begun


def main() -> int:
    """Print and write the figures; return 0 where all are what they must be."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--parts", nargs="+", default=["time", "shares", "coverage", "samples"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = json.loads(asked.json.read_text()) if asked.json and asked.json.exists() else {}
    results["machine"] = machine()
    met = True
    parts = {"time": lambda: picture_time(asked.rounds), "shares": shares, "coverage": coverage, "samples": samples}
    for part in asked.parts:
        results[part], fine = parts[part]()
        met &= fine
        if asked.json:
            asked.json.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if met else 1


if __name__ == "__main__":
    sys.exit(main())
