"""How long pictures take, imports aside, and what watching costs a run.

    python scripts/bench_render.py [--rounds 3] [--no-watch] [--json FILE]

Each picture is composed and written, of a surface of 51 x 51 points with two splits, two metrics and standard errors,
and of one of 1001 x 1001; medians over the rounds. Then a ResNet-20 is sliced with ``--watch`` and without, in turns,
as whole commands; the share of the watched run's time that went into its pictures is what the run itself counts.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyvista as pv
from contenders import machine
from vtkmodules.vtkRenderingCore import vtkRenderWindow

import surfaceviz
from surfaceviz.pipeline.slice.ranks import run_slice
from surfaceviz.pipeline.slice.request import Request
from surfaceviz.records import Slice

TARGETS = {"contour": 1.0, "surface": 4.0, "report": 3.0}  # seconds, of 51 x 51 points
WATCHED = 0.02  # of a run's time, at most
LARGE = 1001


def surface(points: int) -> Slice:
    """Return a bumpy bowl over a square with everything that a slice has of each point."""
    axis = np.linspace(-1, 1, points)
    a, b = np.meshgrid(axis, axis, indexing="ij")
    z = 0.01 + a**2 + 4 * b**2 * (1.5 + np.sin(3 * a + 4 * b)) + 0.2 * np.sin(7 * a) ** 2
    values = {"train_loss": z, "train_accuracy": np.exp(-z), "test_loss": 1.1 * z, "test_accuracy": np.exp(-1.1 * z)}
    errors = {name: 0.02 * np.abs(array) for name, array in values.items()}
    return Slice(
        axes=(axis, axis),
        values=values,
        origin=np.ones(z.shape, np.uint8),
        centre=dict.fromkeys(values, 0.01),
        directions=(),
        stderr=errors,
        rise_stderr=errors,
        provenance={"problem": "bowl", "splits": "train,test"},
    )


def pictures(folder: Path) -> dict[str, Callable[[Slice], object]]:
    """Return what writes each kind of picture."""
    return {
        "contour": lambda s: surfaceviz.plot(s, output=folder / "contour.png"),
        "lines": lambda s: surfaceviz.plot(s, output=folder / "lines.svg", kind="lines"),
        "heat": lambda s: surfaceviz.plot(s, output=folder / "heat.png", kind="heat"),
        "surface": lambda s: surfaceviz.plot(s, output=folder / "surface.png", kind="surface"),
        "report": lambda s: surfaceviz.report(s, output=folder / "report.html"),
    }


def time_pictures(rounds: int) -> dict[str, dict[str, float]]:
    """Return seconds by the number of points along an axis and the kind of picture."""
    small, large = surface(51), surface(LARGE)
    found: dict[str, dict[str, float]] = {"51": {}, str(LARGE): {}}
    with tempfile.TemporaryDirectory() as name:
        writers = pictures(Path(name))
        for write in writers.values():
            write(surface(9))  # imports
        for kind, write in writers.items():
            for points, given, often in (("51", small, rounds), (str(LARGE), large, 1)):
                found[points][kind] = statistics.median(_seconds(lambda w=write, g=given: w(g)) for _ in range(often))  # type: ignore[misc]
                print(f"  {kind:8} {points:>4} x {points:<4} {found[points][kind]:6.2f} s", flush=True)
    return found


def _seconds(action: Callable[[], object]) -> float:
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def time_watching(rounds: int) -> dict[str, float]:
    """Return the ratio of watched and unwatched whole commands, and the share that the pictures took."""
    ratios = []
    with tempfile.TemporaryDirectory() as name:
        for _ in range(rounds):
            watched, alone = (_seconds(lambda more=more: _command(Path(name), more)) for more in (["--watch"], []))  # type: ignore[misc]
            ratios.append(watched / alone)
            print(f"  watched {watched:.1f} s, alone {alone:.1f} s", flush=True)
        share = _share(Path(name))
    return {"ratio": statistics.median(ratios), "share": share}


def _command(folder: Path, more: list[str]) -> None:
    command = [sys.executable, "-m", "surfaceviz", "slice", "--quiet", "--overwrite", "--no-plot", "--engine=folded"]
    grid = ["--batch=480", "--axis=-1:1:41", "--axis=-1:1:41"]
    subprocess.run([*command, *grid, *more, "-o", str(folder / "a.h5")], check=True)


def _share(folder: Path) -> float:
    """Return the share of a run's time that its pictures took, as the run counts it."""
    request = Request.of(
        "resnet20-digits", [(-1, 1, 41), (-1, 1, 41)], engine="folded", batch_size=480, output=folder / "b.h5",
        watch=True,
    )  # fmt: skip
    outcome = run_slice(request)
    return outcome.watch_seconds / outcome.seconds


def main() -> None:
    """Time, compare with the targets, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-watch", action="store_true", help="time pictures alone")
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    found = {
        "machine": machine(),
        "libraries": {"pyvista": pv.__version__, "window": type(vtkRenderWindow()).__name__},
        "seconds": time_pictures(asked.rounds),
    }
    for kind, target in TARGETS.items():
        took = found["seconds"]["51"][kind]
        print(f"{kind}: {took:.2f} s of {target:g} s at most: {'reached' if took <= target else 'MISSED'}")
    if not asked.no_watch:
        found["watching"] = time_watching(asked.rounds)
        reached = "reached" if found["watching"]["share"] <= WATCHED else "MISSED"
        print(f"watching: {found['watching']['share']:.2%} of the run, 2% at most: {reached}")
    if asked.json:
        asked.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
