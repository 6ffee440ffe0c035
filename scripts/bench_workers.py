"""Two workers against one, the share of snapshots, and how fast a signal ends a run.

    python scripts/bench_workers.py [--points 15] [--rounds 3] [--json FILE]

Runs ``surfaceviz slice resnet20-digits`` with one and two workers, one after the other, in each round, and
prints medians. The ratio counts the points alone, which is what sharing can shorten, and, beside it, the
whole command with its start-up. Every run's values must be equal bits.
"""

from __future__ import annotations

import argparse
import json
import platform
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from surfaceviz import store

TARGET_RATIO, TARGET_SHARE, TARGET_SECONDS = 0.6, 0.02, 2.0

SLOW = """
import time
import torch
import surfaceviz

def problem():
    def warm(model, batch, calls=iter(range(2))):  # the centre is quick
        if next(calls, None) is None:
            time.sleep(10)
        return {"loss": (model(batch[0]).square().sum(), 1.0)}
    return surfaceviz.Problem(torch.nn.Linear(4, 4), (torch.ones(3, 4),), measure=warm)
"""


def timed_run(folder: Path, workers: int, points: int) -> tuple[float, float, Path]:
    """Return the seconds of the whole command and of its points, and the file."""
    output = folder / f"{workers}.h5"
    axis = f"--axis=-1:1:{points}"
    command = [
        sys.executable,
        "-m",
        "surfaceviz",
        "slice",
        "--quiet",
        "--overwrite",
        "--no-plot",
        axis,
        axis,
        "--engine=eager",
        "--batch=128",
    ]
    begun = time.perf_counter()
    subprocess.run([*command, f"--workers={workers}", "-o", str(output)], check=True, stderr=subprocess.DEVNULL)
    whole = time.perf_counter() - begun
    return whole, float(store.read(output).provenance["seconds"]), output


def equal_bits(one: Path, two: Path) -> bool:
    """Return whether two files hold the same values."""
    a, b = store.read(one), store.read(two)
    return all(np.array_equal(array, b.values[name]) for name, array in a.values.items())


def signal_seconds(folder: Path, signum: signal.Signals) -> float:
    """Return how long a run takes to end when its running point would take ten seconds more."""
    (folder / "slow.py").write_text(SLOW)
    output = folder / "slow.h5"
    output.unlink(missing_ok=True)
    command = [sys.executable, "-m", "surfaceviz", "slice", f"{folder / 'slow.py'}:problem", "-o", str(output)]
    process = subprocess.Popen([*command, "--workers=1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not output.exists():
        time.sleep(0.05)
    time.sleep(0.5)
    begun = time.perf_counter()
    process.send_signal(signum)
    code = process.wait()
    assert code == 128 + signum, code
    return time.perf_counter() - begun


def snapshot_share(points: int) -> float:
    """Return the share of a serial run's time that snapshots take."""
    from surfaceviz.pipeline.slice.planning.make_plan import make_plan  # noqa: PLC0415  torch is not needed before
    from surfaceviz.pipeline.slice.request import Request  # noqa: PLC0415
    from surfaceviz.pipeline.slice.run import run  # noqa: PLC0415

    with tempfile.TemporaryDirectory() as folder:
        axes = [(-1, 1, points), (-1, 1, points)]
        plan = make_plan(Request.of("resnet20-digits", axes, output=Path(folder) / "a.h5"), lambda _line: None)
        outcome = run(plan)
    return outcome.snapshot_seconds / outcome.seconds


def main() -> int:
    """Print the figures, write them as JSON if asked, and return 0 where all targets are met."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--points", type=int, default=15, help="along each axis")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    rounds = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for _ in range(asked.rounds):
            one, two = (timed_run(folder, workers, asked.points) for workers in (1, 2))
            rounds.append((two[1] / one[1], two[0] / one[0], one[0], two[0], equal_bits(one[2], two[2])))
        signals = {s.name: signal_seconds(folder, s) for s in (signal.SIGINT, signal.SIGTERM)}
    figures = {
        "machine": f"{platform.machine()}, {platform.python_implementation()} {platform.python_version()}",
        "points": asked.points**2,
        "ratio_points": statistics.median(r[0] for r in rounds),
        "ratio_command": statistics.median(r[1] for r in rounds),
        "seconds_one": statistics.median(r[2] for r in rounds),
        "seconds_two": statistics.median(r[3] for r in rounds),
        "equal_bits": all(r[4] for r in rounds),
        "snapshot_share": snapshot_share(asked.points),
        "signal_seconds": signals,
    }
    print(json.dumps(figures, indent=2))
    if asked.json:
        asked.json.write_text(json.dumps(figures, indent=2) + "\n")
    met = figures["ratio_points"] <= TARGET_RATIO and figures["snapshot_share"] <= TARGET_SHARE
    return 0 if met and figures["equal_bits"] and max(signals.values()) <= TARGET_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
