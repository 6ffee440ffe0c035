"""The cost of a `surfaceviz.Recorder` at one record an epoch, in a training of ResNet-20 on the digits.

    python scripts/bench_recorder.py [--epochs N] [--json FILE]

The time in `record` is set against that of the whole training, with the state of SGD's momentum; it must stay below 2%.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import surfaceviz
from surfaceviz.zoo import datasets, network_table
from surfaceviz.zoo.training import Recipe, Training, make_optimiser

LIMIT = 0.02


def main() -> int:
    """Train, print both times, and return 1 if the cost is too high."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    data, recipe = datasets.load("digits"), Recipe(epochs=options.epochs, batch_size=128)
    model = network_table.build("resnet20", data, 0)
    training = Training(model=model, optimiser=make_optimiser(model, recipe), data=data, recipe=recipe, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        recorder = surfaceviz.Recorder(model, folder, optimiser=training.optimiser, every=training.epoch_steps)
        recording, started = 0.0, time.perf_counter()
        for step in range(training.total + 1):
            begun = time.perf_counter()
            recorder.record(step)
            recording += time.perf_counter() - begun
            if step < training.total:
                training.advance()
        seconds = time.perf_counter() - started
        row = {
            "records": len(recorder.steps), "bytes": sum(p.stat().st_size for p in Path(folder).rglob("*.safetensors")),
            "recording_seconds": recording, "training_seconds": seconds - recording,
            "cost": recording / (seconds - recording), "limit": LIMIT,
        }  # fmt: skip
    print(json.dumps(row))
    if options.json:
        options.json.write_text(json.dumps(row, indent=1) + "\n")
    return 0 if row["cost"] < LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
